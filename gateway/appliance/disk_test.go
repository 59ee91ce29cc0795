//go:build linux

package appliance

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

func TestPartitionsAreFoundByName(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	block := fstest.MapFS{
		"mmcblk0/uevent":              file("DEVNAME=mmcblk0\nDEVTYPE=disk\n"),
		"mmcblk0/mmcblk0p1/partition": file("1\n"),
		"mmcblk0p1/uevent":            file("DEVNAME=mmcblk0p1\nDEVTYPE=partition\nPARTN=1\nPARTNAME=busbar-boot\n"),
		"mmcblk0p1/partition":         file("1\n"),
		"sda/uevent":                  file("DEVNAME=sda\n"),
	}
	if p, err := findIn(block, fstest.MapFS{}, "busbar-boot"); err != nil || !slices.Equal(p, []partition{{"/dev/mmcblk0p1", "/dev/mmcblk0", 1}}) {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := findIn(block, fstest.MapFS{}, "busbar"); err != nil || p != nil {
		t.Errorf("part of a name: %+v, %v", p, err)
	}
}

func TestDataTakesWhatIsBehindTheLastPartition(t *testing.T) {
	table := func() *gpt.Table {
		return &gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, Partitions: []*gpt.Partition{{Index: 1, Start: 2048, End: 522239}}}
	}
	p, err := free(table(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if p.Index != 2 || p.Start != 522240 || p.Start%align != 0 || (p.End+1)%align != 0 || p.Size != (p.End+1-p.Start)*512 || p.End*512 > 1<<30-34*512 {
		t.Errorf("%+v", p)
	}
	if _, err := free(table(), 300<<20); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("a card of 300 MB: %v", err)
	}
	// What busbar image flash lets pass is enough.
	for _, end := range []uint64{522239, 522240, 522241} {
		for odd := range uint64(3) {
			least := (end+1)*sector + layout.LeastData + layout.BesideData + odd*(1<<20-sector)
			of := table()
			of.Partitions[0].End = end
			if _, err := free(of, least); err != nil {
				t.Errorf("%d bytes behind sector %d: %v", least, end, err)
			}
		}
	}
}

// A Raspberry Pi's card has partitions without names: it is told by its first sector.
func TestPartitionsOfAPiAreFoundByNumber(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	block, dev := fstest.MapFS{}, fstest.MapFS{}
	for _, disk := range []string{"mmcblk0", "mmcblk1"} {
		block[disk+"/uevent"] = file("DEVTYPE=disk\n")
		for _, number := range []string{"1", "2", "3", "4"} {
			name := disk + "p" + number
			block[name+"/uevent"] = file("DEVTYPE=partition\n")
			block[name+"/partition"] = file(number + "\n")
			block[disk+"/"+name+"/partition"] = file(number + "\n")
		}
		head := make([]byte, sector)
		head[mbrEnd], head[mbrEnd+1] = 0x55, 0xaa
		if disk == "mmcblk1" {
			binary.LittleEndian.PutUint32(head[mbrDisk:], layout.PiDisk)
		}
		dev[disk] = file(string(head))
	}
	for name, number := range map[string]int{layout.BootName: 1, layout.PiSlotA: 2, layout.DataName: 4} {
		want := partition{fmt.Sprintf("/dev/mmcblk1p%d", number), "/dev/mmcblk1", number}
		if p, err := findIn(block, dev, name); err != nil || !slices.Equal(p, []partition{want}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	delete(block, "mmcblk1p4/uevent")
	if p, err := findIn(block, dev, layout.DataName); err != nil || p != nil {
		t.Errorf("of another card: %+v, %v", p, err)
	}
}
