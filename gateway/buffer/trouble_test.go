package buffer

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
)

// After the disk has refused a signal, writing something else that fits doesn't make
// the signal written: the next process would give its id to another.
func TestWhatWasRefusedIsWrittenBeforeAnythingCounts(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	if _, err := define(b, "one"); err != nil {
		t.Fatal(err)
	}
	m := b.meta
	m.mu.Lock()
	b.table.assign([]Definition{{Signal: telemetry.Signal{Device: "d", Name: "two"}}})
	m.complete.Store(false)
	err := m.update(func(*bolt.Tx) error { return syscall.ENOSPC })
	m.mu.Unlock()
	if err == nil {
		t.Fatal("a full disk took a signal")
	}
	if err := b.SaveClockNotes([]byte("notes")); err != nil {
		t.Fatal(err)
	}
	commit(t, b.Telemetry, 1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir, 0)
	defer b.Close()
	if signals := b.Table().Signals(); len(signals) != 2 || signals[1].Name != "two" {
		t.Errorf("%+v", signals)
	}
}

// However long each failing commit takes, the writer ends when it is told to.
func TestWriterEndsBesideADyingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, t.TempDir(), 0)
		defer b.Close()
		w := b.NewWriter(0, func([]telemetry.Loss) error { return nil }, uncounted{})
		var tries atomic.Int32
		b.Telemetry.ready = func() error {
			tries.Add(1)
			time.Sleep(1100 * time.Millisecond)
			return syscall.EIO
		}
		w.Add(noisySamples(3), nil)
		w.Hurry()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.Run(ctx); close(ended) }()
		time.Sleep(10 * time.Second)
		if n := tries.Load(); n > 6 {
			t.Errorf("%d tries in 10 s, without a pause between them", n)
		}
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("it goes on")
			b.Telemetry.ready = func() error { return nil }
			<-ended
		}
	})
}

// That the disk works again is told, whatever came between.
func TestTroubleIsToldToBeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, t.TempDir(), 0)
		defer b.Close()
		c := b.Events
		answers := []error{syscall.EIO, errMakingRoom, nil}
		c.ready = func() (err error) {
			if len(answers) > 0 {
				err, answers = answers[0], answers[1:]
			}
			return err
		}
		var told []error
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			c.KeepCommitting(ctx, func(err error) { told = append(told, err) })
			close(ended)
		}()
		if err := c.Hold([]Item{item(1)}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		cancel()
		<-ended
		if len(told) != 2 || !errors.Is(told[0], syscall.EIO) || told[1] != nil {
			t.Errorf("told %v", told)
		}
	})
}

// What was given up in memory leaves a gap between two files, which isn't taken for
// damage after a crash.
func TestAGapOfWhatWasGivenUpIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	c := b.Events
	commit(t, c, 1, 2)
	back := awayWith(t, c)
	for n := range mostHeld + 10 {
		if err := c.Hold([]Item{item(uint64(n + 3))}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if c.CommitHeld() == nil {
		t.Fatal("the disk takes events")
	}
	back()
	if err := c.CommitHeld(); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = open(t, crashed, 0)
	defer b.Close()
	if len(b.Events.missing) != 0 || b.Broken() != 0 {
		t.Errorf("missing %v, %d files broken", b.Events.missing, b.Broken())
	}
}

// An epoch whose newest file can't be opened isn't said to have come no further than
// the file before it.
func TestAnEpochIsNotToldTooShort(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 1) // a file a commit
	defer b.Close()
	commit(t, b.Telemetry, 1)
	commit(t, b.Telemetry, 2)
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	newest := crashed + "/telemetry/" + newestFile(t, crashed+"/telemetry")
	if err := errors.Join(os.Remove(newest), os.Symlink("loop", crashed+"/telemetry/loop"), os.Symlink("loop", newest)); err != nil {
		t.Fatal(err)
	}
	after := open(t, crashed, 1)
	defer after.Close()
	for _, e := range after.Earlier() {
		if e.Stream == "telemetry" {
			t.Errorf("%+v", e)
		}
	}
}

func newestFile(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	return entries[len(entries)-1].Name()
}
