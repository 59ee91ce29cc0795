package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// faulty is a store that asks before it puts, creates or gets a file.
type faulty struct {
	object.Store
	put            func(name string, size int64) (done bool, err error) // done: it isn't put
	created, reads func(name string) error                              // created: afterwards
}

func (f *faulty) Put(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	if f.put != nil {
		if done, err := f.put(name, size); done || err != nil {
			return err
		}
	}
	return f.Store.Put(ctx, name, r, size)
}

func (f *faulty) Create(ctx context.Context, name string, data []byte) error {
	err := f.Store.Create(ctx, name, data)
	if err == nil && f.created != nil {
		err = f.created(name)
	}
	return err
}

func (f *faulty) Get(ctx context.Context, name string) ([]byte, error) {
	if f.reads != nil {
		if err := f.reads(name); err != nil {
			return nil, err
		}
	}
	return f.Store.Get(ctx, name)
}

var errFaulty = errors.New("the store fails")

// untilStopped runs a lake over f, which ends it by stop.
func (w *world) untilStopped(f *faulty, prepare func(stop func())) (string, error) {
	w.Helper()
	if _, err := iceberg.Open(w.Context(), w.files, Definition()); err != nil {
		w.Fatal(err)
	}
	w.send(birth(w, "gw"), blockRecord(w, "gw", 0, 9))
	var said bytes.Buffer
	cfg := w.config()
	cfg.Files, cfg.Logger = f, slog.New(slog.NewTextHandler(&said, nil))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	prepare(stop)
	err := NewRunner(cfg).Run(ctx)
	return said.String(), err
}

func TestACommitWhoseTidyingFailsIsMadeOnce(t *testing.T) {
	w := newWorld(t, "gw")
	f := &faulty{Store: w.files}
	said, err := w.untilStopped(f, func(stop func()) {
		f.put = func(name string, _ int64) (bool, error) {
			if strings.HasSuffix(name, "version-hint.text") {
				stop()
				return false, errFaulty
			}
			return false, nil
		}
	})
	if err != nil || !strings.Contains(said, "the commit is made") {
		t.Errorf("%v, and it said %s", err, said)
	}
	if !w.caughtUp() {
		t.Error("what was read isn't committed")
	}
	w.exactlyOnce(map[string]uint64{"gw": 10})
}

func TestACommitThatMayHaveTakenPlaceIsNotMadeAgain(t *testing.T) {
	w := newWorld(t, "gw")
	f := &faulty{Store: w.files}
	const version = "metadata/v2.metadata.json"
	said, err := w.untilStopped(f, func(stop func()) {
		f.created = func(name string) error {
			if name != version {
				return nil
			}
			stop()
			return errFaulty
		}
		f.reads = func(name string) error {
			if name == version {
				return errFaulty
			}
			return nil
		}
	})
	if !errors.Is(err, errFaulty) || !strings.Contains(said, "isn't known to be committed") {
		t.Errorf("%v, and it said %s", err, said)
	}
	_, stop := w.start(w.config())
	await.True(t, "everything in the table", w.caughtUp)
	stop()
	w.exactlyOnce(map[string]uint64{"gw": 10})
}

func TestAFlushThatFailedIsNotDoneAgain(t *testing.T) {
	sp := newSpool(t.TempDir())
	defer sp.close()
	broken, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	of := &series{gateway: "gw"}
	add := func(days ...int64) {
		for _, day := range days {
			sample := telemetry.Sample{Time: telemetry.Micros(day * microsOfDay), Value: telemetry.FloatValue(1)}
			sp.add(&source{epoch: "1"}, []telemetry.Sample{sample}, func(telemetry.SignalID) *series { return of })
		}
	}
	add(2)
	if err := sp.flush(); err != nil {
		t.Fatal(err)
	}
	sp.files[2].file.Close()
	sp.files[2].file = broken // for close
	add(1, 2)
	first := sp.flush()
	if first == nil || sp.files[1].rows != 1 {
		t.Fatalf("%v, %d rows of the day before", first, sp.files[1].rows)
	}
	if again := sp.flush(); again != first || sp.files[1].rows != 1 {
		t.Errorf("%v, %d rows of the day before", again, sp.files[1].rows)
	}
}

func TestManyDaysAreCommittedBeforeThereAreTooManyFiles(t *testing.T) {
	w := newWorld(t, "gw")
	var files []int
	var mu sync.Mutex
	now := 0
	f := &faulty{Store: w.files, put: func(name string, _ int64) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasPrefix(name, "data/"):
			now++
			return true, nil
		case strings.HasPrefix(name, "metadata/state-"):
			files = append(files, now)
			now = 0
		}
		return false, nil
	}}
	w.send(birth(t, "gw"))
	first, day := uint64(0), int64(0)
	for _, days := range []int{record.MaxMinutes, 300, 300, 300} {
		var samples []telemetry.Sample
		for range days {
			samples = append(samples, telemetry.Sample{Time: telemetry.Micros(day * microsOfDay), Value: telemetry.FloatValue(1)})
			day++
		}
		w.send(recordOf(t, "gw", record.FormatBlock, first, first+uint64(days)-1, samples))
		first += uint64(days)
	}
	cfg := w.config()
	cfg.Files, cfg.CommitEvery = f, time.Hour
	r, stop := w.start(cfg)
	await.True(t, "everything read", func() bool { return r.Stats().Records == 4 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if want := []int{record.MaxMinutes, 600, 300}; !slices.Equal(files, want) {
		t.Errorf("commits of %d files, want %d", files, want)
	}
}

func TestAWholeRecordAfterTheThinnedOneThatCoversIt(t *testing.T) {
	w := newWorld(t, "gw")
	full := blockRecord(t, "gw", 0, 9)
	w.send(birth(t, "gw"), recordOf(t, "gw", record.FormatThinned, 0, 19, []telemetry.Sample{sampleOf(3)}), full)
	r, stop := w.start(w.config())
	await.True(t, "both in the table", w.caughtUp)
	stop()
	w.send(again(full), recordOf(t, "gw", record.FormatThinned, 0, 14, []telemetry.Sample{sampleOf(4)}))
	if s := r.Stats(); s.Duplicates != 0 {
		t.Errorf("%+v", s)
	}
	r, _ = w.start(w.config())
	await.True(t, "everything in the table", w.caughtUp)
	await.True(t, "two duplicates", func() bool { return r.Stats().Duplicates == 2 })
	marked := 0
	rows := w.rows()
	for _, l := range rows {
		if l.Overlap {
			marked++
		}
	}
	if len(rows) != 11 || marked != 10 {
		t.Errorf("%d rows, %d of them marked", len(rows), marked)
	}
}

func TestAStateFromBeforeThinnedRecordsWereToldApart(t *testing.T) {
	w := newWorld(t, "gw")
	table, err := iceberg.Open(t.Context(), w.files, Definition())
	if err != nil {
		t.Fatal(err)
	}
	old := newState()
	old.Whole = nil
	for _, n := range []uint64{0, 20} {
		old.Received["gw"] = map[string]store.Intervals{"1": old.Received["gw"]["1"].Add(store.Interval{First: n, Last: n + 9})}
	}
	properties, err := old.write(t.Context(), w.files, table)
	if err == nil {
		err = table.Append(t.Context(), nil, properties)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := readState(t.Context(), w.files, table)
	if err != nil {
		t.Fatal(err)
	}
	if !s.has("gw", "1", store.Interval{First: 20, Last: 29}, false) {
		t.Error("what was received would be written again")
	}
	s.Whole["gw"]["1"] = s.Whole["gw"]["1"].Add(store.Interval{First: 10, Last: 19})
	if got := fmt.Sprint(s.Received["gw"]["1"]); got != "[{0 9} {20 29}]" {
		t.Errorf("received %s", got)
	}
}

func TestAQuietHourIsHealthy(t *testing.T) {
	l := &Lake{every: time.Minute, runner: NewRunner(RunnerConfig{})}
	set := func(since time.Time) {
		l.runner.count(func(st *Stats) {
			st.Current, st.Committed, st.Since, st.Waiting = time.Now(), time.Now().Add(-2*time.Hour), since, 1
		})
	}
	started := time.Now().Add(-3 * time.Hour)
	set(time.Now())
	if reasons := l.unhealthy(started); len(reasons) > 0 {
		t.Errorf("the first samples after two quiet hours: %v", reasons)
	}
	set(time.Time{})
	if reasons := l.unhealthy(started); len(reasons) > 0 {
		t.Errorf("nothing to commit: %v", reasons)
	}
	set(time.Now().Add(-time.Hour))
	if reasons := l.unhealthy(started); len(reasons) != 1 || !strings.Contains(reasons[0], "1h0m") {
		t.Errorf("samples that have waited for an hour: %v", reasons)
	}
}
