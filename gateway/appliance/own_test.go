//go:build linux

package appliance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"

	"github.com/busbar/busbar/firmware-config/image/layout"
)

func TestWhatTheFirmwareSaysItWasStartedFrom(t *testing.T) {
	id := "3F2504E0-4F89-41D3-9A0C-0305E82C3301"
	variable := []byte{6, 0, 0, 0}
	for _, u := range append(utf16.Encode([]rune(id)), 0) {
		variable = binary.LittleEndian.AppendUint16(variable, u)
	}
	efivars := fstest.MapFS{loaderPartition: {Data: variable}}
	mode := func(n byte) fstest.MapFS {
		return fstest.MapFS{"chosen/bootloader/boot-mode": {Data: []byte{0, 0, 0, n}}}
	}
	for _, c := range []struct {
		efivars, tree fstest.MapFS
		want          origin
	}{
		{efivars, nil, origin{partition: strings.ToLower(id)}},
		{fstest.MapFS{loaderPartition: {Data: []byte{6, 0, 0, 0}}}, nil, origin{}},
		{nil, mode(1), origin{kind: "mmcblk"}},
		{nil, mode(4), origin{kind: "sd"}},
		{nil, mode(6), origin{kind: "nvme"}},
		{nil, mode(2), origin{}},
		{nil, fstest.MapFS{"compatible": {Data: []byte("raspberrypi,3-model-b\x00brcm,bcm2837\x00")}}, origin{cardFirst: true}},
		{nil, nil, origin{}},
	} {
		if got := readOrigin(c.efivars, c.tree); got != c.want {
			t.Errorf("%+v, expected %+v", got, c.want)
		}
	}
}

func TestTheMediumThatTheMachineWasStartedFrom(t *testing.T) {
	sda, sdb := partition{"/dev/sda1", "/dev/sda", 1}, partition{"/dev/sdb1", "/dev/sdb", 1}
	card, nvme := partition{"/dev/mmcblk0p1", "/dev/mmcblk0", 1}, partition{"/dev/nvme0n1p1", "/dev/nvme0n1", 1}
	ids := map[string]map[int]string{"/dev/sda": {1: "a", 2: "data"}, "/dev/sdb": {1: "b"}, "/dev/nvme0n1": {1: "a"}}
	for name, c := range map[string]struct {
		origin origin
		found  []partition
		own    partition
		others string
		err    error
	}{
		"no medium":                               {origin{}, nil, partition{}, "", errNoPartition},
		"the only one":                            {origin{}, []partition{sdb}, sdb, "", nil},
		"the second, by its id":                   {origin{partition: "b"}, []partition{sda, sdb}, sdb, "/dev/sda", nil},
		"the first, by its id":                    {origin{partition: "a"}, []partition{sda, sdb}, sda, "/dev/sdb", nil},
		"another than the only one there":         {origin{partition: "b"}, []partition{sda}, partition{}, "", errNoPartition},
		"one that can't be read beside it":        {origin{partition: "b"}, []partition{card, sdb}, sdb, "/dev/mmcblk0", nil},
		"two that have the same id":               {origin{partition: "a"}, []partition{sda, nvme}, partition{}, "", errAlike},
		"two, and nothing is said":                {origin{}, []partition{sda, sdb}, partition{}, "", errAlike},
		"a Pi's card and a stick":                 {origin{kind: "mmcblk"}, []partition{card, sda}, card, "/dev/sda", nil},
		"a Pi's stick beside a card":              {origin{kind: "sd"}, []partition{card, sda}, sda, "/dev/mmcblk0", nil},
		"a Pi's stick that isn't there":           {origin{kind: "sd"}, []partition{card}, partition{}, "", errNoPartition},
		"a Pi's two sticks":                       {origin{kind: "sd"}, []partition{card, sda, sdb}, partition{}, "", errAlike},
		"a Pi's NVMe disk beside a card, a stick": {origin{kind: "nvme"}, []partition{card, nvme, sda}, nvme, "/dev/mmcblk0 /dev/sda", nil},
	} {
		own, others, err := c.origin.own(c.found, func(disk string) (map[int]string, error) {
			if list := ids[disk]; list != nil {
				return list, nil
			}
			return nil, errors.New("not by GPT")
		})
		if own != c.own || strings.Join(others, " ") != c.others || !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s: %+v, others %q, %v", name, own, others, err)
		}
	}
}

// Two media that were flashed with one image have the same ids until each has made its data
// partition.
func TestAMediumGetsIDsOfItsOwnWithItsData(t *testing.T) {
	const size = 1 << 30
	image := func() (string, *os.File) {
		path := filepath.Join(t.TempDir(), "disk")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		table := &gpt.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true, GUID: "B05BA200-0000-4000-8000-000000000000",
			Partitions: []*gpt.Partition{{Index: 1, Start: 2048, End: 522239, Type: gpt.EFISystemPartition, Name: layout.BootName, GUID: "B05BA200-0000-4000-8000-000000000001"}}}
		if err := errors.Join(f.Truncate(size), table.Write(f, size)); err != nil {
			t.Fatal(err)
		}
		return path, f
	}
	var disks, boots []string
	for range 2 {
		path, f := image()
		before, err := partitionIDs(path)
		if err != nil || before[1] != "b05ba200-0000-4000-8000-000000000001" || len(before) != 1 {
			t.Fatalf("%v, %v", before, err)
		}
		if err := addGPT(f, size); err != nil {
			t.Fatal(err)
		}
		ids, err := partitionIDs(path)
		if err != nil || len(ids) != 2 || ids[1] == before[1] || ids[1] == ids[2] {
			t.Fatalf("%v, %v", ids, err)
		}
		table, err := gpt.Read(file.New(f, true), sector, sector)
		if err != nil || table.Partitions[0].Name != layout.BootName || table.Partitions[1].Name != layout.DataName {
			t.Fatalf("%+v, %v", table, err)
		}
		// Both copies of the table are the same but for where they are.
		var heads [2][16]byte
		for i, at := range []int64{sector + 56, size - sector + 56} {
			if _, err := unix.Pread(int(f.Fd()), heads[i][:], at); err != nil {
				t.Fatal(err)
			}
		}
		if heads[0] != heads[1] {
			t.Errorf("the copy of the table has the id %x, and the table %x", heads[1], heads[0])
		}
		disks, boots = append(disks, fmt.Sprint(heads[0])), append(boots, ids[1])
	}
	if slices.Equal(disks[:1], disks[1:]) || boots[0] == boots[1] {
		t.Errorf("two media have the same ids: %v", boots)
	}
}
