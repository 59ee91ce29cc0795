package buffer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// After a failed commit the file isn't trusted with another one: the next goes into
// a new file, and what had been committed is still read.
func TestFailedCommitEndsTheFile(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	defer func() { b.Close() }()
	commit(t, b.Telemetry, 1, 2, 3)
	b.Telemetry.writing.descriptor.Close() // every further write fails
	if err := b.Telemetry.Commit([]Item{item(4)}, nil); err == nil {
		t.Fatal("a commit without a file succeeded")
	}
	if since := b.Telemetry.Stats().FailingSince; since.IsZero() {
		t.Error("the failure isn't reported")
	}
	commit(t, b.Telemetry, 4)
	if s := b.Telemetry.Stats(); s.Segments != 2 || !s.FailingSince.IsZero() {
		t.Errorf("%+v", s)
	}
	for range 2 {
		entries := readAll(t, b.Telemetry, 0)
		if got := numbers(entries); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
			t.Errorf("read %v", got)
		}
		if id := entries[3].Record.Identity; id.First != entries[2].Record.Last+1 {
			t.Errorf("numbers go on at %d after %d", id.First, entries[2].Record.Last)
		}
		b.Close()
		b = open(t, dir, 0)
	}
}

const smallDisk = "BUSBAR_BUFFER_SMALL_DISK"

// onSmallDisk runs the calling test in a process of its own, in a name space of its
// own where it may mount file systems; it returns true in that process.
func onSmallDisk(t *testing.T) bool {
	if os.Getenv(smallDisk) != "" {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), smallDisk+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "" {
		t.Skip("this machine allows no name spaces:", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "no tests to run") {
		t.Fatalf("%s", out)
	}
	return false
}

func mount(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal("mount:", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// declareInto makes a writer whose memory is full, so that a full disk isn't borne.
func declareInto(t *testing.T, b *Buffer, losses *[]telemetry.Loss) *Writer {
	w := b.NewWriter(10*time.Millisecond, func(l []telemetry.Loss) error {
		for i := range l {
			payload, err := json.Marshal(telemetry.Event{Kind: telemetry.SamplesLost, Loss: &l[i]})
			if err != nil {
				return err
			}
			if err := b.Events.Commit([]Item{{Format: record.FormatEvent, Payload: payload, Count: 1}}, nil); err != nil {
				return err
			}
			*losses = append(*losses, l[i])
		}
		return nil
	}, uncounted{})
	b.pressed = func() bool { return true }
	return w
}

// A disk that is smaller than max_size: acquisition goes on, the oldest telemetry
// is given up and declared, events are kept.
func TestFullDiskStopsNothing(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	b, err := Open(Options{Dir: mount(t, 6<<20), Gateway: "gw", MaxSize: 64 << 20, SegmentSize: 512 << 10, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var losses []telemetry.Loss
	w := declareInto(t, b, &losses)
	var all uint64
	for n := uint64(1); n <= 10_000; n++ {
		big := Item{Format: record.FormatBlock, Payload: make([]byte, 5000), Count: 1}
		if err := b.Telemetry.Commit([]Item{big}, nil); err != nil {
			t.Fatalf("commit %d: %v", n, err)
		}
		all++
		if n%100 == 0 {
			if err := b.Events.Commit([]Item{item(3)}, []byte("state")); err != nil {
				t.Fatalf("event %d: %v", n, err)
			}
		}
	}
	w.keepBooks()
	var lost uint64
	for _, l := range losses {
		if l.Stream != "telemetry" || l.Reason != telemetry.LostDiskFull {
			t.Errorf("%+v", l)
		}
		lost += l.SeqLast - l.SeqFirst + 1
	}
	if kept := uint64(len(readAll(t, b.Telemetry, 0))); lost == 0 || kept+lost != all {
		t.Errorf("%d committed, %d kept, %d declared", all, kept, lost)
	}
}

// A disk that somebody else fills and empties again costs nothing: commits fail
// meanwhile, and nothing is given up for them.
func TestAPassingFullDiskCostsNothing(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	dir := mount(t, 6<<20)
	b, err := Open(Options{Dir: filepath.Join(dir, "buffer"), Gateway: "gw", MaxSize: 64 << 20, SegmentSize: 512 << 10, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var losses []telemetry.Loss
	declareInto(t, b, &losses)
	b.pressed = func() bool { return false }
	big := Item{Format: record.FormatBlock, Payload: make([]byte, 5000), Count: 1}
	committed := 0
	commitOne := func() error {
		err := b.Telemetry.Commit([]Item{big}, nil)
		if err == nil {
			committed++
		}
		return err
	}
	for range 300 {
		if err := commitOne(); err != nil {
			t.Fatal(err)
		}
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk isn't full: %v", err)
	}
	failed := 0
	for range 300 {
		if err := commitOne(); errors.Is(err, syscall.ENOSPC) {
			failed++
		}
	}
	if failed == 0 {
		t.Fatal("no commit failed: the test tests nothing")
	}
	for range 3 { // what runs beside the commits bears it, too
		b.relieve(t.Context())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := commitOne(); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if kept := len(readAll(t, b.Telemetry, 0)); kept != committed || len(losses) > 0 {
		t.Errorf("%d committed, %d kept, lost %+v", committed, kept, losses)
	}
	// One that lasts is borne no longer than a minute, and for events a few seconds.
	b.fullSince = b.fullMet.Add(-eventsBear)
	if !b.bears(b.Telemetry, b.fullMet) || b.bears(b.Events, b.fullMet) {
		t.Error("after some seconds, telemetry isn't borne any more, or events still are")
	}
	b.fullSince = b.fullMet.Add(-samplesBear)
	if b.bears(b.Telemetry, b.fullMet) {
		t.Error("telemetry is borne after a minute")
	}
}

// A buffer starts on a full disk, and on one that can't be written: it commits as
// soon as it can.
func TestDiskRecoversWithoutAnOperator(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	dir := mount(t, 6<<20)
	b, err := Open(Options{Dir: dir, Gateway: "gw", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	ballast, err := os.Create(dir + "/ballast")
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4096); err == nil; {
		_, err = ballast.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	b, err = Open(Options{Dir: dir, Gateway: "gw", Log: quiet})
	if err != nil {
		t.Fatal("a start on a full disk:", err)
	}
	defer b.Close()
	var losses []telemetry.Loss
	declareInto(t, b, &losses)
	if err := b.Telemetry.Commit([]Item{item(1)}, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("commit on a full disk: %v", err)
	}
	ballast.Close()
	os.Remove(ballast.Name())
	commit(t, b.Telemetry, 1)

	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, "size=6m"); err != nil {
			t.Fatal("remount:", err)
		}
	}
	b.Telemetry.abandon(nil) // a file that is open for writing forbids it
	b.meta.close()
	remount(syscall.MS_RDONLY)
	if err := b.Telemetry.Commit([]Item{item(2)}, nil); !errors.Is(err, syscall.EROFS) {
		t.Errorf("commit to a read-only file system: %v", err)
	}
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{1}) {
		t.Errorf("read %v from a read-only file system", got)
	}
	remount(0)
	commit(t, b.Telemetry, 2)
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("read %v", got)
	}
}

// What memory couldn't take is declared by signal and device when the disk takes
// commits again.
func TestDiscardedSamplesAreDeclared(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	if _, err := b.Table().Define([]Definition{{Signal: telemetry.Signal{Device: "meter", Name: "n"}}}); err != nil {
		t.Fatal(err)
	}
	var losses []telemetry.Loss
	w := declareInto(t, b, &losses)
	samples := make([]telemetry.Sample, maxPending)
	for i := range samples {
		samples[i] = telemetry.Sample{Signal: 1, Time: telemetry.Quarter + telemetry.Micros(i), Value: telemetry.FloatValue(1)}
	}
	w.Add(samples, nil)
	w.Add(samples[:7], nil)
	w.keepBooks()
	if len(losses) != 1 || losses[0].Reason != telemetry.LostDiscarded || w.Discarded() != 7 ||
		!slices.Equal(losses[0].Signals, []telemetry.SignalLoss{{Signal: 1, Count: 7}}) ||
		!slices.Equal(losses[0].Devices, []telemetry.DeviceLoss{{Device: "meter", Quarter: telemetry.Quarter, Count: 7}}) {
		t.Errorf("declared %+v", losses)
	}
	if w.keepBooks(); len(losses) != 1 {
		t.Error("it was declared twice")
	}
}

// A file that is set aside is told until somebody takes the news.
func TestDamageIsTold(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	fill(t, b, 3)
	path := b.Telemetry.segments[1].path
	b.Close()
	overwrite(t, path, 0, sizeOf(t, path), 0)
	var told []telemetry.Damage
	refuse := true
	b, err := Open(Options{Dir: dir, Gateway: "gw", Log: quiet, Damaged: func(d telemetry.Damage) error {
		if refuse {
			return errors.New("refused")
		}
		told = append(told, d)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	w := b.NewWriter(time.Second, func([]telemetry.Loss) error { return nil }, uncounted{})
	w.keepBooks()
	refuse = false
	w.keepBooks()
	w.keepBooks()
	if len(told) != 1 || !strings.HasPrefix(told[0].File, "telemetry/q-") || !strings.HasSuffix(told[0].File, brokenSuffix) || told[0].Cause == "" {
		t.Errorf("told %+v", told)
	}
}

// While the disk takes a telemetry commit for as long as it likes, events are
// committed, records read and acknowledged, and figures told.
func TestSlowCommitHoldsUpNothingElse(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	commit(t, b.Telemetry, 1, 2)
	b.Telemetry.commits.Lock() // as a commit does while it waits for the disk
	defer b.Telemetry.commits.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		commit(t, b.Events, 1)
		if got := readAll(t, b.Telemetry, 0); len(got) != 2 {
			t.Errorf("%d records", len(got))
		}
		if err := b.Telemetry.Acknowledge(1, 1); err != nil {
			t.Error(err)
		}
		b.Report()
		w := b.NewWriter(time.Second, nil, uncounted{})
		w.Add(make([]telemetry.Sample, 5), nil)
		w.keepBooks()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("something waits for the telemetry commit")
	}
}
