package test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// disk is a file system of its own on a loop device, whose sectors are counted:
// what a process seems to write leaves out the journal and the metadata.
type disk struct{ path, device string }

func newDisk(b *testing.B, megabytes int64) disk {
	b.Helper()
	if os.Getuid() != 0 {
		b.Skip("a loop device needs root")
	}
	dir := b.TempDir()
	image, path := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	file, err := os.Create(image)
	if err == nil {
		err = file.Truncate(megabytes << 20)
	}
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = os.Mkdir(path, 0o700)
	}
	if err != nil {
		b.Fatal(err)
	}
	command := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			b.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	command("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
	command("mount", "-o", "loop,noatime", image, path)
	b.Cleanup(func() { exec.Command("umount", path).Run() })
	return disk{path, filepath.Base(command("findmnt", "-n", "-o", "SOURCE", path))}
}

// written is how many bytes have reached the device.
func (d disk) written(b *testing.B) uint64 {
	b.Helper()
	if out, err := exec.Command("sync", "-f", d.path).CombinedOutput(); err != nil {
		b.Fatalf("sync: %v\n%s", err, out)
	}
	stat, err := os.ReadFile("/sys/block/" + d.device + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	var ignored, sectors uint64
	if _, err := fmt.Sscan(string(stat), &ignored, &ignored, &ignored, &ignored, &ignored, &ignored, &sectors); err != nil {
		b.Fatal(err)
	}
	return 512 * sectors
}

// used is the size of the files in the directory dir.
func (d disk) used(b *testing.B, dir string) (bytes int64) {
	b.Helper()
	err := filepath.WalkDir(filepath.Join(d.path, dir), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			info, infoErr := entry.Info()
			if infoErr == nil {
				bytes += info.Size()
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

// BenchmarkWear counts what reaches the device for a value while the log
// acknowledges, and what a value takes on disk while it doesn't.
func BenchmarkWear(b *testing.B) {
	for _, load := range []struct {
		meters, values int
		commit         string
	}{{1, 10, ""}, {2, 50, ""}, {100, 50, ""}, {100, 50, "2s"}} {
		name := fmt.Sprintf("values=%d/s/commit=%s", load.meters*load.values, load.commit)
		b.Run(name+"/online", func(b *testing.B) { benchWear(b, load.meters, load.values, load.commit, true) })
	}
	b.Run("values=5000/s/commit=2s/offline", func(b *testing.B) { benchWear(b, 100, 50, "2s", false) })
}

const wearTime = 2 * time.Minute

func benchWear(b *testing.B, meters, values int, commit string, online bool) {
	_, addresses := startMeters(b)
	broker := freeAddress(b)
	if online {
		broker = startBroker(b)
	}
	d, status := newDisk(b, 512), freeAddress(b)
	config := wearConfig(broker, status, filepath.Join(d.path, "buffer"), commit, addresses[:meters], values)
	dir := b.TempDir()
	write(b, dir, "gateway.yaml", config)
	start(b, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
	await(b, "the gateway reads", 20*time.Second, func() bool { return reachable(status) })
	time.Sleep(benchWarm)
	sectors, used, m0 := d.written(b), d.used(b, "buffer"), metrics(b, status)
	time.Sleep(wearTime)
	sectors, used = d.written(b)-sectors, d.used(b, "buffer")-used
	read := metrics(b, status)[`busbar_gateway_samples_total{validity="good"}`] - m0[`busbar_gateway_samples_total{validity="good"}`]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(sectors)/read, "device-B/value")
	b.ReportMetric(float64(sectors)/wearTime.Seconds()*86400/1e6, "MB/day")
	if !online {
		b.ReportMetric(float64(used)/read, "kept-B/value")
	}
}

func wearConfig(broker, status, buffer, commit string, addresses []string, values int) string {
	var c strings.Builder
	if commit != "" {
		commit = ", commit_every: " + commit
	}
	fmt.Fprintf(&c, "gateway: {id: bench, site: bench}\nforward: {kafka: {brokers: [%q]}}\nbuffer: {path: %q, max_size: 256MiB%s}\nstatus: {listen: %q}\ndefaults: {poll_every: 1s}\nrules:\n%s\ndevices:\n",
		broker, buffer, commit, status, interruptionRule)
	for i, address := range addresses {
		fmt.Fprintf(&c, "  - id: meter-%d\n    modbus: {endpoint: \"tcp://%s\"}\n    signals:\n", i, address)
		for v := range values {
			fmt.Fprintf(&c, "      - {name: %s, input: %d, type: float32, unit: V}\n", benchName(v), 2*v)
		}
	}
	return c.String()
}
