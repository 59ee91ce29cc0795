package test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// torture asks for the long versions of tests.
var torture = os.Getenv("BUSBAR_TORTURE") != ""

// need skips a test without a program that it works with, and fails it where
// everything must be tested.
func need(t *testing.T, what string, there bool) {
	t.Helper()
	if there {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s", what)
	}
	t.Skipf("this test needs %s", what)
}

func needStrace(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("strace")
	need(t, "strace: apt-get install strace", err == nil)
}

// metric is a value of the gateway's metrics; -1 while it has none.
func (s site) metric(t *testing.T, series string) float64 {
	t.Helper()
	if !reachable(s.status) {
		return -1
	}
	for line := range strings.Lines(get(t, "http://"+s.status+"/metrics")) {
		if rest, ok := strings.CutPrefix(line, "busbar_gateway_"+series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return -1
}

const (
	goodSamples      = `samples_total{validity="good"}`
	discardedSamples = `samples_discarded_total`
	committedSamples = `committed_total{stream="telemetry"}`
)

// awaitRise waits until a counter has risen by so much.
func (s site) awaitRise(t *testing.T, series string, by float64) {
	t.Helper()
	from := s.metric(t, series)
	await(t, series+" rises", 30*time.Second, func() bool { return s.metric(t, series) >= from+by })
}

// awaitAccounted waits until the store has everything that the gateway, which has
// been stopped, says it committed, but for what the gateway has declared lost: a
// disk without room costs what waits longest.
func (s site) awaitAccounted(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "cloud.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var expected, received, declared uint64
	t.Cleanup(func() {
		if g, _ := s.state(t); t.Failed() {
			state, _ := json.Marshal(g)
			t.Logf("the cloud has %s; %d were declared lost", state, declared)
		}
	})
	await(t, "everything committed is stored or declared lost", 60*time.Second, func() bool {
		g, ok := s.state(t)
		if !ok || len(g.Totals) == 0 {
			return false
		}
		expected, received = 0, 0
		for _, of := range g.Totals {
			if of.Running > 0 {
				return false
			}
			expected, received = expected+of.Expected, received+of.Received
		}
		query := `SELECT COALESCE(SUM(seq_last - seq_first + 1), 0) FROM declared_loss`
		if err := db.QueryRow(query).Scan(&declared); err != nil {
			return false
		}
		return received+declared >= expected
	})
	t.Logf("%d committed, %d stored, %d declared lost", expected, received, declared)
}

// awaitFailing waits until the gateway says that something is wrong.
func (s site) awaitFailing(t *testing.T) {
	t.Helper()
	await(t, "the gateway says that it can't write", 60*time.Second, func() bool { return s.metric(t, "problems") > 0 })
}

// injection makes a program's system calls fail, from the outside.
type injection struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// inject attaches strace to a running program.
func inject(t *testing.T, p *program, dir, fault string) *injection {
	t.Helper()
	call, _, _ := strings.Cut(fault, ":")
	i := &injection{log: filepath.Join(dir, fmt.Sprintf("strace-%d.log", time.Now().UnixNano())), done: make(chan struct{})}
	i.cmd = exec.Command("strace", "-f", "-p", strconv.Itoa(p.cmd.Process.Pid), "-o", i.log, "-e", "signal=none", "-e", "trace="+call, "-e", "inject="+fault)
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		i.cmd.Wait()
		close(i.done)
	}()
	t.Cleanup(i.end)
	return i
}

// struck counts the calls that were made to fail or to wait.
func (i *injection) struck() int {
	text, err := os.ReadFile(i.log)
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte("(INJECTED)")) + bytes.Count(text, []byte("(DELAYED)"))
}

func (i *injection) end() {
	i.cmd.Process.Signal(syscall.SIGINT)
	<-i.done
}

func (p *program) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// TestTortureDiskFaults makes the disk of a gateway refuse, at each write of a
// commit and for several errors: the gateway goes on reading, and commits again
// when the disk does, and the cloud has everything in the end, or is told what not.
func TestTortureDiskFaults(t *testing.T) {
	needStrace(t)
	t.Parallel()
	s := newSite(t, "", "faults:\n  - {at: 1s, feeder: feeder-2, kind: outage, for: 1h}\n")
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitRise(t, committedSamples, 20)

	var faults []string
	calls, starts := []string{"pwrite64", "fdatasync"}, 2
	if torture {
		starts = 8
	}
	for _, call := range calls {
		for _, name := range []string{"ENOSPC", "EIO", "EROFS"} {
			for from := 1; from <= starts; from++ {
				faults = append(faults, fmt.Sprintf("%s:error=%s:when=%d..%d", call, name, from, from+4))
			}
		}
	}
	for _, fault := range faults {
		i := inject(t, gateway, s.dir, fault)
		await(t, fault+" strikes", 30*time.Second, func() bool { return !gateway.alive() || i.struck() > 0 })
		if !gateway.alive() {
			t.Fatalf("the gateway ended at %s", fault)
		}
		s.awaitRise(t, goodSamples, 10)
		await(t, fault+" is over", 60*time.Second, func() bool { return !gateway.alive() || i.struck() >= 5 })
		i.end()
		s.awaitRise(t, committedSamples, 20)
		if !gateway.alive() {
			t.Fatalf("the gateway ended after %s", fault)
		}
	}
	if n := s.metric(t, discardedSamples); n != 0 {
		t.Errorf("%v samples were discarded", n)
	}
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitAccounted(t)
}

// TestTortureDiskFaultsAtTheStart makes each of the first calls of a start fail: the
// gateway starts all the same, and commits when the fault is over. The next start
// has everything.
func TestTortureDiskFaultsAtTheStart(t *testing.T) {
	needStrace(t)
	t.Parallel()
	s := newSite(t, "", "")
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitWaiting(t, 3)
	gateway.kill()
	calls := map[string]int{"pwrite64": 16, "fdatasync": 16, "ftruncate": 3, "fsync": 4, "renameat": 2, "unlinkat": 3, "mkdirat": 1}
	for call, points := range calls {
		for n := 1; n <= points; n++ {
			if !torture && n%5 != 1 {
				continue
			}
			name := []string{"ENOSPC", "EIO", "EROFS"}[n%3]
			fault := fmt.Sprintf("%s:error=%s:when=%d", call, name, n)
			out, ended := s.startWith(t, fault)
			if strings.Contains(out, "panic") || strings.Contains(out, "fatal error") || strings.Contains(out, "SIG") {
				t.Errorf("%s: %s", fault, out)
			}
			if ended != 0 {
				t.Errorf("%s: exit code %d: %s", fault, ended, out)
			}
		}
	}
	gateway = s.gateway(t)
	s.cloud(t)
	s.awaitRise(t, committedSamples, 20)
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitAccounted(t)
}

// startWith starts a gateway with a fault until it has committed samples or
// ended, which its exit code tells; −1 if it had to be killed.
func (s site) startWith(t *testing.T, fault string) (out string, code int) {
	t.Helper()
	call, _, _ := strings.Cut(fault, ":")
	cmd := exec.Command("strace", "-D", "-f", "-qq", "-o", os.DevNull, "-e", "signal=none", "-e", "trace="+call, "-e", "inject="+fault,
		filepath.Join(bin, "busbar-gateway"), "run", "--config", "gateway.yaml")
	var text bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &text, &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	deadline := time.Now().Add(30 * time.Second)
	for s.metric(t, committedSamples) <= 0 {
		select {
		case <-done:
			return text.String(), cmd.ProcessState.ExitCode()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			<-done
			t.Errorf("%s: nothing is committed: %s", fault, text.String())
			return text.String(), -1
		}
	}
	cmd.Process.Kill()
	<-done
	return text.String(), 0
}

// mount puts a small file system in the place of the gateway's buffer.
func (s site) mount(t *testing.T, kind string, megabytes int) string {
	t.Helper()
	need(t, "root, to mount a file system", os.Getuid() == 0)
	at := filepath.Join(s.dir, "buffer")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(at, "gateway.key")) // that the cloud knows
	if err != nil {
		t.Fatal(err)
	}
	var steps [][]string
	if kind == "tmpfs" {
		steps = [][]string{{"mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", megabytes), "none", at}}
	} else {
		image := filepath.Join(s.dir, "disk.img")
		write(t, s.dir, "disk.img", "")
		if err := os.Truncate(image, int64(megabytes)<<20); err != nil {
			t.Fatal(err)
		}
		steps = [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop,errors=remount-ro", image, at}}
	}
	for _, step := range steps {
		if out, err := exec.Command(step[0], step[1:]...).CombinedOutput(); err != nil {
			need(t, fmt.Sprintf("%s, which says %s%v", strings.Join(step, " "), out, err), false)
		}
	}
	t.Cleanup(func() { exec.Command("umount", "--lazy", at).Run() })
	write(t, at, "gateway.key", string(key))
	if out, err := exec.Command("sync", "-f", at).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return at
}

// TestTortureFullDisk fills the file system that the buffer is on, and empties it
// again: reading goes on, and so do the commits afterwards.
func TestTortureFullDisk(t *testing.T) {
	for _, kind := range []string{"ext4", "tmpfs"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "", "")
			at := s.mount(t, kind, 24)
			s.cloud(t)
			s.sim(t)
			gateway := s.gateway(t)
			s.awaitRise(t, committedSamples, 20)
			rounds := 2
			if torture {
				rounds = 20
			}
			for range rounds {
				fillUp(t, filepath.Join(at, "filler"))
				s.awaitFailing(t)
				s.awaitRise(t, goodSamples, 20)
				if err := os.Remove(filepath.Join(at, "filler")); err != nil {
					t.Fatal(err)
				}
				s.awaitRise(t, committedSamples, 20)
			}
			if n := s.metric(t, discardedSamples); n != 0 {
				t.Errorf("%v samples were discarded", n)
			}
			s.awaitSent(t, time.Minute)
			gateway.stop()
			s.awaitAccounted(t)
		})
	}
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		chunk := make([]byte, size)
		for err == nil {
			_, err = f.Write(chunk)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}
