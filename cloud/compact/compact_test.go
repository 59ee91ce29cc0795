package compact

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// meter is a store with one meter of one signal, which is 230 V.
type meter struct {
	*testing.T
	store *store.Store
	place store.Place
	log   bytes.Buffer
}

func newMeter(t *testing.T) *meter {
	s := storetest.Open(t)
	m := &meter{T: t, store: s}
	birth := record.Birth{Gateway: "gw", Table: "000000000000000a", Version: 1, Parts: 1, Signals: []telemetry.Signal{{ID: 1, Device: "meter", Name: "PhV", Unit: "V", Kind: telemetry.Gauge}}}
	m.write(func(tx *store.Tx) error { return tx.SaveBirth(birth) })
	table, err := s.SignalTable(t.Context(), "gw", 0xa)
	if err != nil {
		t.Fatal(err)
	}
	m.place = table[1]
	return m
}

func (m *meter) write(do func(*store.Tx) error) {
	m.Helper()
	if err := m.store.Write(m.Context(), do); err != nil {
		m.Fatal(err)
	}
}

// read stores a sample a second from from on, each in a chunk.
func (m *meter) read(from time.Time, n int) {
	m.Helper()
	var enc telemetry.Encoder
	m.write(func(tx *store.Tx) error {
		for i := range n {
			at := telemetry.MicrosOf(from.Add(time.Duration(i) * time.Second))
			block, err := enc.AppendBlock(nil, telemetry.TableRef{}, []telemetry.Sample{{Signal: m.place.Series, Time: at, Value: telemetry.FloatValue(230)}})
			if err == nil {
				err = tx.AddChunk(store.Chunk{Bundle: m.place.Bundle, Minute: store.MinuteOf(at), First: at, Last: at, Samples: 1, Block: block})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *meter) count(query string) (n int) {
	m.Helper()
	if err := m.store.Read(m.Context(), func(tx *store.Tx) error { return tx.QueryRow(query, nil, &n) }); err != nil {
		m.Fatal(err)
	}
	return n
}

func (m *meter) stored() int {
	m.Helper()
	_, samples, err := m.store.Samples(m.Context(), m.place.Series, math.MinInt64, math.MaxInt64)
	if err != nil {
		m.Fatal(err)
	}
	return len(samples)
}

func (m *meter) runner(keep map[string]int) *Runner {
	return New(Config{Store: m.store, Logger: slog.New(slog.NewTextHandler(&m.log, nil)), Keep: keep})
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (m *meter) pass(r *Runner, at time.Time) {
	m.Helper()
	if err := r.Pass(m.Context(), at); err != nil {
		m.Fatal(err)
	}
}

func TestWhatIsOverIsPackedAndSummedUp(t *testing.T) {
	m := newMeter(t)
	r := m.runner(nil)
	m.read(noon, 3000)
	m.pass(r, noon.Add(46*time.Minute)) // the third quarter-hour may still get samples
	if quarters, sum := m.count(`SELECT COUNT(*) FROM rollup_15min`), m.count(`SELECT SUM(samples) FROM rollup_1h`); quarters != 2 || sum != 1800 {
		t.Errorf("%d quarter-hours, %d samples in hours", quarters, sum)
	}
	m.pass(r, noon.Add(62*time.Minute))
	s := r.Stats()
	if s.Chunks != 3000 || s.Packed != 2 || s.Passes != 2 || s.Backlog != 0 || s.Failed != 0 || s.Longest <= 0 || s.Busy <= 0 || !s.Through.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v", s)
	}
	if n, left := m.stored(), m.count(`SELECT COUNT(*) FROM chunk`); n != 3000 || left != 1 {
		t.Errorf("%d samples, %d chunks left", n, left)
	}
	m.read(noon.Add(5*time.Minute), 10) // late
	m.pass(r, noon.Add(77*time.Minute))
	if sum := m.count(`SELECT SUM(samples) FROM rollup_1d WHERE min_value = 230 AND mean_value = 230 AND good_share = 1`); sum != 3010 || m.stored() != 3010 {
		t.Errorf("%d samples in days, %d stored", sum, m.stored())
	}
}

// An hour that can't be read doesn't keep others from being packed.
func TestADamagedHourIsPassedOver(t *testing.T) {
	m := newMeter(t)
	r := m.runner(nil)
	m.read(noon, 5)
	m.write(func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE chunk SET block = ? WHERE id = 2`, []byte("damaged"))
		return err
	})
	m.read(noon.Add(time.Hour), 5)
	later := noon.Add(3 * time.Hour)
	if err := r.Pass(t.Context(), later); err == nil || !strings.Contains(err.Error(), "bundle") {
		t.Errorf("%v", err)
	}
	if hours, s := m.count(`SELECT COUNT(*) FROM rollup_1h`), r.Stats(); hours != 1 || s.Failed != 1 || s.Packed != 1 || s.Passes != 0 {
		t.Errorf("%d hours, %+v", hours, s)
	}
	if chunks := m.count(`SELECT COUNT(*) FROM chunk WHERE id <= 5`); chunks != 5 {
		t.Errorf("%d chunks of the damaged hour are left", chunks)
	}
}

func TestWhatIsOldEnoughIsDeletedAndSaid(t *testing.T) {
	m := newMeter(t)
	r := m.runner(map[string]int{store.Raw: 10, store.Minutes: 20})
	m.read(noon, 60)
	m.read(noon.AddDate(0, 0, 15), 60)
	m.pass(r, noon.AddDate(0, 0, 16))
	if n, s := m.stored(), r.Stats(); n != 60 || s.Deleted[store.Raw] != 1 || s.Deleted[store.Minutes] != 0 {
		t.Errorf("%d samples, %+v", n, s)
	}
	m.pass(r, noon.AddDate(0, 0, 21))
	if n := m.count(`SELECT COUNT(*) FROM rollup_minutes`); n != 1 || r.Stats().Deleted[store.Minutes] != 1 {
		t.Errorf("%d hours of minutes", n)
	}
	if sum := m.count(`SELECT SUM(samples) FROM rollup_15min`); sum != 120 {
		t.Errorf("%d samples in quarter-hours", sum)
	}
	for _, said := range []string{"level=raw days=10 before=2026-03-07 rows=1", "level=1min days=20 before=2026-03-02 rows=1"} {
		if strings.Count(m.log.String(), said) != 1 {
			t.Errorf("%q isn't said once in\n%s", said, m.log.String())
		}
	}
}

// While another process packs, a pass ends, and that is no failure.
func TestAnotherThatPacksIsLeftToIt(t *testing.T) {
	m := newMeter(t)
	ctx, stop := context.WithCancel(t.Context())
	var other sync.WaitGroup
	defer other.Wait()
	defer stop()
	later := noon.Add(3 * time.Hour)
	m.read(noon, 5)
	r := m.runner(nil)
	m.pass(r, later)
	other.Go(func() {
		for ctx.Err() == nil {
			m.store.Write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE consumer_offset SET next = next + 1 WHERE consumer = 'pack'`)
				return err
			})
		}
	})
	for deadline := time.Now().Add(time.Minute); ; {
		m.read(noon, 5)
		m.read(noon.Add(time.Hour), 5)
		err := r.Pass(ctx, later)
		if errors.Is(err, store.ErrFenced) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("not fenced: %v", err)
		}
	}
	if s := r.Stats(); s.Failed != 0 || s.Backlog != 0 {
		t.Errorf("%+v", s)
	}
	stop()
	other.Wait()
	stored := m.stored()
	m.pass(r, later)
	if sum := m.count(`SELECT SUM(samples) FROM rollup_1d`); sum != stored {
		t.Errorf("%d samples in days of %d", sum, stored)
	}
}

func TestRunWorksUntilItIsStopped(t *testing.T) {
	m := newMeter(t)
	m.read(time.Now().Add(-3*time.Hour), 100)
	r := m.runner(nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	await.True(t, "something is done", func() bool { return r.Stats().Passes > 0 })
	stop()
	<-done
	if n := m.count(`SELECT COUNT(*) FROM chunk`); n != 1 || m.stored() != 100 {
		t.Errorf("%d chunks, %d samples", n, m.stored())
	}
}

// While reads are corrected all the time, a pass comes to its end.
func TestCorrectionsHoldNoPassUp(t *testing.T) {
	m := newMeter(t)
	ctx, stop := context.WithCancel(t.Context())
	var other sync.WaitGroup
	defer other.Wait()
	defer stop()
	later := noon.Add(3 * time.Hour)
	m.read(noon, 5)
	r := m.runner(nil)
	m.pass(r, later)
	other.Go(func() {
		packer := m.store.NewPacker()
		for ctx.Err() == nil {
			m.store.Write(ctx, func(tx *store.Tx) error {
				return packer.Correct(tx, m.place.Bundle, store.HourOf(telemetry.MicrosOf(noon)), nil)
			})
			time.Sleep(100 * time.Millisecond)
		}
	})
	for deadline := time.Now().Add(time.Minute); r.Stats().Again == 0; {
		m.read(noon.Add(time.Hour), 5)
		if err := r.Pass(ctx, later); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", r.Stats(), err)
		}
	}
	if s := r.Stats(); s.Failed != 0 || s.Backlog != 0 {
		t.Errorf("%+v", s)
	}
}
