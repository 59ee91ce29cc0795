package station

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/test/await"
)

// flip changes the position so many times.
func flip(s *Station, n int) {
	for range n {
		p, _ := s.server.Point(1, 1001)
		s.Take(position(p.Value != doubleOn), false, false)
	}
}

// master takes events and counts them.
type master struct {
	conn *link.Conn
	mu   sync.Mutex
	told []float64 // positions
}

func connect(t *testing.T, address string) *master {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	quickly := link.Default
	quickly.T2 = 100 * time.Millisecond
	m := &master{conn: link.Drive(c, quickly, link.Controlling)}
	t.Cleanup(m.conn.Close)
	if err := m.conn.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			select {
			case e := <-m.conn.Messages():
				a, err := asdu.IEC104.Parse(e.ASDU)
				if err != nil || a.Type != asdu.DoublePointTime56 {
					continue
				}
				m.mu.Lock()
				for i := range a.Len() {
					m.told = append(m.told, a.Object(i).Value)
				}
				m.mu.Unlock()
			case <-m.conn.Ended():
				return
			}
		}
	}()
	return m
}

func (m *master) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.told)
}

// stalled has the disk take nothing until it is let go.
func stalled(t *testing.T, s *Station) (letGo func()) {
	t.Helper()
	tx, err := s.journal.file.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() { tx.Rollback() })
}

// While the disk doesn't answer, control rooms see a trip all the same, who waits goes on, and
// what waits for the disk is bounded. Then it is kept again, and nothing is told twice.
func TestDiskStalls(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Config.Events = 100
	s, stop := run(t, o)
	m := connect(t, o.Listen)
	flip(s, 1)
	await.True(t, "the present value is told", func() bool { return m.count() == 1 })
	letGo := stalled(t, s)
	defer letGo()
	flip(s, 3)
	waits := make(chan bool, 1)
	s.Await([]func(bool){func(is bool) { waits <- is }})[0](true)
	await.True(t, "a trip is told that isn't on disk", func() bool { return m.count() == 4 })
	if !<-waits {
		t.Error("who waits is told that it isn't kept")
	}
	st := s.Stats()
	if st.Unkept == nil || st.Passed != 3 {
		t.Errorf("%v, %d are told without being kept", st.Unkept, st.Passed)
	}
	const many = 1000
	for n := range many / 10 {
		flip(s, 10)
		await.True(t, "events are told without a wait", func() bool { return m.count() == 4+10*(n+1) })
	}
	called := false
	if s.Await([]func(bool){func(bool) { called = true }})[0](true); !called {
		t.Error("other sources wait for a disk that doesn't answer")
	}
	s.journal.mu.Lock()
	if n := len(s.journal.pending.events); n > o.Config.Events {
		t.Errorf("%d events wait for the disk, expected at most %d", n, o.Config.Events)
	}
	if n := len(s.journal.pending.waiting); n > 0 {
		t.Errorf("%d wait", n)
	}
	s.journal.mu.Unlock()
	letGo()
	await.True(t, "it is kept again", func() bool { return s.Stats().Unkept == nil })
	flip(s, 1)
	await.True(t, "it is told", func() bool { return m.count() == 4+many+1 })
	if passed := s.Stats().Passed; passed != 3+many {
		t.Errorf("%d were told without being kept, expected %d", passed, 3+many)
	}
	await.True(t, "all is acknowledged", func() bool { return s.server.Outstanding().Done["all"] == s.server.Outstanding().Last })
	stop()
	f, kept, err := openFile(o.File, []string{"all"})
	if err != nil {
		t.Fatal(err)
	}
	f.db.Close()
	if len(kept.Events) > 0 {
		t.Errorf("%d events would be told twice", len(kept.Events))
	}
}

// A disk that doesn't answer doesn't keep the gateway from ending; who waits is told that it
// isn't kept.
func TestEndsWhileStalled(t *testing.T) {
	t.Parallel()
	o := options(t)
	s, stop := run(t, o)
	flip(s, 1)
	await.True(t, "it is on disk", func() bool { s.journal.mu.Lock(); defer s.journal.mu.Unlock(); return s.journal.writing == nil })
	letGo := stalled(t, s)
	defer letGo()
	flip(s, 3)
	waits := make(chan bool, 1)
	wait := s.Await([]func(bool){func(is bool) { waits <- is }})[0]
	stop()
	wait(true)
	<-waits // as kept if it was before the end that the disk was given up, and else as not
	if s.Await([]func(bool){func(is bool) { waits <- is }}); <-waits {
		t.Error("who comes behind the end is told that it is kept")
	}
}

// Who waits is woken by the commit, by its failure, and by the end, with what is true then.
func TestWaiters(t *testing.T) {
	t.Parallel()
	o := options(t)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Define(signals)
	j := s.journal
	waiter := func() chan bool {
		told := make(chan bool, 2)
		if !j.await(func(is bool) { told <- is }) {
			t.Fatal("there is nothing to wait for")
		}
		return told
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	first := waiter() // of the start
	go func() { defer close(ended); j.run(ctx) }()
	if !<-first {
		t.Error("it is on disk, and who waits is told that it isn't")
	}
	await.True(t, "all is written", func() bool { return !j.await(func(bool) {}) })

	letGo := stalled(t, s)
	flip(s, 2)
	var during []chan bool
	for range 3 {
		during = append(during, waiter())
	}
	s.journal.file.db.NoSync = true
	letGo()
	for _, told := range during {
		if !<-told {
			t.Error("it is committed, and who waits is told that it isn't")
		}
	}
	await.True(t, "all is written", func() bool { return !j.await(func(bool) {}) })

	letGo = stalled(t, s)
	flip(s, 1)
	failed := waiter()
	failing := make(chan struct{})
	go func() { s.journal.file.db.Close(); close(failing) }() // waits for the transaction, as the commit does
	letGo()
	<-failing
	if !<-failed { // the samples are in the buffer
		t.Error("a failing file holds up other sources")
	}
	flip(s, 1)
	await.True(t, "nobody waits for a failing file", func() bool { return s.Stats().Unkept == nil || !j.await(func(bool) {}) })
	cancel()
	<-ended
	flip(s, 1)
	if <-waiter() {
		t.Error("behind the end it is kept")
	}
}

// counter counts what is logged, by level.
type counter map[slog.Level]int

func (c counter) Enabled(context.Context, slog.Level) bool      { return true }
func (c counter) Handle(_ context.Context, r slog.Record) error { c[r.Level]++; return nil }
func (c counter) WithAttrs([]slog.Attr) slog.Handler            { return c }
func (c counter) WithGroup(string) slog.Handler                 { return c }

// A disk that takes a little too long each time is said once to keep nothing, and to keep all
// again when it has for some time.
func TestSaidOnce(t *testing.T) {
	o, said := options(t), counter{}
	o.Log = slog.New(said)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	j := s.journal
	defer j.end(true)
	for range 3 {
		j.fail(errStalled)
		j.calmed()
		j.writing = &pending{}
		j.settle(nil)
		j.calmed()
	}
	if s.Stats().Unkept != nil || said[slog.LevelError] != 1 || said[slog.LevelInfo] != 0 {
		t.Errorf("%v, %v", s.Stats().Unkept, said)
	}
	j.well = j.well.Add(-calm)
	j.calmed()
	j.calmed()
	if said[slog.LevelError] != 1 || said[slog.LevelInfo] != 1 {
		t.Errorf("%v", said)
	}
}
