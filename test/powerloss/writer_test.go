package powerloss

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// writerRun makes this test binary the process whose power is cut: its value is
// the number of the run and the buffer's directory.
const writerRun = "BUSBAR_POWERLOSS_WRITER"

func TestMain(m *testing.M) {
	var run int
	var dir string
	if n, _ := fmt.Sscanf(os.Getenv(writerRun), "%d %s", &run, &dir); n == 2 {
		if err := write(dir, run); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// keep calls f until it succeeds, as a gateway tries again. Only a fault that
// doesn't pass makes it give up: strace makes up to ten calls of each thread fail.
func keep(f func() error) (err error) {
	for range 500 {
		if err = f(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("failed 500 times: %w", err)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(dir string) (*buffer.Buffer, error) {
	return buffer.Open(buffer.Options{Dir: dir, Gateway: "gw", SegmentSize: 48 << 10, Log: quiet})
}

// say tells the trace, in order with the flushes, what the buffer has promised.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// write uses a buffer as a gateway does: signals are defined, blocks and events
// committed, and what has been handed out is released. Every promise is said once
// the call that makes it has returned; what is released, before the call. Every
// second run ends as a killed process does, and every third writes samples in
// groups.
func write(dir string, run int) error {
	b, err := open(dir)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(uint64(run), 4))
	var ids []telemetry.SignalID
	err = keep(func() (err error) {
		ids, err = b.Table().Define([]buffer.Definition{{Signal: telemetry.Signal{Device: "d", Name: fmt.Sprint("run-", run)}}})
		return err
	})
	if err != nil {
		return err
	}
	say("signal %d run-%d %016x", ids[0], run, b.Table().Ref().Table)
	if run%3 == 2 {
		if err := writeGroups(b, ids[0], 12); err != nil {
			return err
		}
	}
	telemetrySeq := b.Telemetry.Stats().Committed
	var eventSeq uint64
	for n := range 45 {
		var items []buffer.Item
		var lines []string
		for range 1 + random.IntN(3) {
			payload := make([]byte, []int{100, 300, 700, 5000, 9000}[random.IntN(5)])
			for i := range payload {
				payload[i] = byte(random.Uint32())
			}
			count := 1 + random.Uint64N(5)
			items = append(items, buffer.Item{Format: record.FormatBlock, Payload: payload, Count: count})
			lines = append(lines, fmt.Sprintf("record telemetry %s %d %d %08x", b.Epoch(), telemetrySeq, telemetrySeq+count-1, crc32.ChecksumIEEE(payload)))
			telemetrySeq += count
		}
		if err := keep(func() error { return b.Telemetry.Commit(items, nil) }); err != nil {
			return err
		}
		for _, line := range lines {
			say("%s", line)
		}
		if n%3 == 0 {
			payload, state := fmt.Sprintf("event %d of run %d", n, run), fmt.Sprintf("%d/%d", run, n)
			item := buffer.Item{Format: record.FormatEvent, Payload: []byte(payload), Count: 1}
			err := b.Events.Hold([]buffer.Item{item}, []byte(state))
			if err == nil {
				err = keep(b.Events.CommitHeld)
			}
			if err != nil {
				return err
			}
			say("record events %s %d %d %08x", b.Epoch(), eventSeq, eventSeq, crc32.ChecksumIEEE([]byte(payload)))
			say("state %s", state)
			eventSeq++
		}
		if n%4 == 3 {
			if err := forward(b.Telemetry, 14<<10); err != nil {
				return err
			}
			if err := forward(b.Events, 100); err != nil {
				return err
			}
		}
	}
	if run%2 == 0 {
		return nil
	}
	b.Close() // saves how far it has come, which may fail
	return nil
}

// forward releases the next records, as if the log had acknowledged them.
func forward(c *buffer.Chain, bytes int) error {
	var entries []buffer.Entry
	err := keep(func() (err error) {
		entries, err = read(c, c.Released(), bytes)
		return err
	})
	if err != nil || len(entries) == 0 {
		return err
	}
	for _, e := range entries {
		say("release %s %s %d", e.Record.Stream, e.Record.Epoch, e.Record.First)
	}
	return keep(func() error { return acknowledge(c, entries) })
}

// writeGroups commits samples through the Writer.
func writeGroups(b *buffer.Buffer, id telemetry.SignalID, groups int) error {
	ctx, stop := context.WithCancel(context.Background())
	w := b.NewWriter(time.Millisecond, func([]telemetry.Loss) error { return nil }, uncounted{})
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	defer running.Wait()
	defer stop()
	var added uint64
	for n := range groups {
		var samples []telemetry.Sample
		for i := range 10 + 40*n {
			samples = append(samples, telemetry.Sample{
				Time: telemetry.Micros(1e15 + 1000*i), Signal: id, Value: telemetry.UintValue(added + uint64(i)),
			})
		}
		w.Add(samples, nil)
		added += uint64(len(samples))
		for b.Telemetry.Stats().Committed < added {
			time.Sleep(100 * time.Microsecond) // there is nothing to wait on: a gateway doesn't
		}
		say("samples %s %d", b.Epoch(), added)
	}
	return nil
}
