package buffer

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Whoever waits for samples is told when they are on disk, which is at once; also of
// none. While the disk takes nothing nobody is told, and of what memory can't take,
// that it never will.
func TestWhoWaitsIsToldOfTheCommit(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 1) // a new file for every commit
	defer b.Close()
	w := b.NewWriter(time.Hour, func([]telemetry.Loss) error { return nil }, uncounted{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	told := make(chan bool, 10)
	tell := func(committed bool) { told <- committed }
	expect := func(want bool) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Errorf("on disk: %v, expected %v", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nobody is told")
		}
	}
	samples := noisySamples(5000)
	w.Add(samples[:1], nil, tell)
	expect(true)
	if n := b.Telemetry.Stats().Committed; n != 1 {
		t.Errorf("%d samples on disk", n)
	}
	w.Add(nil, nil, tell, tell)
	expect(true)
	expect(true)
	if err := os.Rename(dir+"/telemetry", dir+"/away"); err != nil {
		t.Fatal(err)
	}
	w.Add(samples[1:3], nil, tell)
	for deadline := time.Now().Add(20 * time.Second); !w.Failing(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the writer doesn't notice that it can't write")
		}
	}
	for w.Discarded() == 0 {
		w.Add(samples, nil)
	}
	w.Add(samples[3:4], nil, tell)
	expect(false)
	select {
	case <-told:
		t.Error("somebody is told of a commit that failed")
	default:
	}
	if err := os.Rename(dir+"/away", dir+"/telemetry"); err != nil {
		t.Fatal(err)
	}
	expect(true)
	cancel()
	<-ended
}
