package station

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/adapters/iec104/apdu"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/telemetry"
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

// The damage of a file is found whenever it is read, the file is set aside under another name,
// and told; what waits goes on in another one.
func TestDamagedFiles(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"other content": func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("no database ", 4096))) },
		"a beginning":   func(t *testing.T, path string) { write(t, path, []byte("short")) },
		"truncated": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, info.Size()/2)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"zeroes": func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clear(b[2*os.Getpagesize():])
			write(t, path, b)
		},
		"a bad event": func(t *testing.T, path string) {
			put(t, path, func(tx *bolt.Tx) error { return tx.Bucket(bucketEvents).Put([]byte("12345678"), []byte("no event")) })
		},
		"a bad mark": func(t *testing.T, path string) {
			put(t, path, func(tx *bolt.Tx) error { return tx.Bucket(bucketMarks).Put([]byte("all"), []byte("no mark")) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			s, stop := run(t, o)
			flip(s, 5000)
			stop()
			damage(t, o.File)
			told := make(chan telemetry.Damage, 10)
			o.Damaged = func(d telemetry.Damage) error { told <- d; return nil }
			s, stop = run(t, o)
			d := <-told
			if !strings.HasSuffix(d.File, unreadable) || d.Cause == "" {
				t.Errorf("%+v", d)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(o.File), d.File)); err != nil {
				t.Error(err)
			}
			flip(s, 3)
			stop()
			s, _ = run(t, o)
			if n := s.Stats().Groups[0].Waiting; n != 2+1 || s.Stats().Unkept != nil { // with the start; the first position is no change
				t.Errorf("%d events wait, %v", n, s.Stats().Unkept)
			}
			if len(told) > 0 {
				t.Errorf("it is told again: %+v", <-told)
			}
		})
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path string, do func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(do); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file that is damaged while it is written to is set aside, and what is outstanding is in
// the next one.
func TestDamagedMeanwhile(t *testing.T) {
	t.Parallel()
	o := options(t)
	told := make(chan telemetry.Damage, 1)
	o.Damaged = func(d telemetry.Damage) error { told <- d; return nil }
	s, stop := run(t, o)
	flip(s, 5000)
	await.True(t, "they are on disk", func() bool { return !s.journal.await(func(bool) {}) })
	if err := os.Truncate(o.File, 2*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	flip(s, 2)
	<-told
	await.True(t, "it is kept again", func() bool { return s.Stats().Unkept == nil })
	waiting := s.Stats().Groups[0].Waiting
	stop()
	s, _ = run(t, o)
	if n := s.Stats().Groups[0].Waiting; n != waiting {
		t.Errorf("%d events wait, expected %d", n, waiting)
	}
	p, _ := s.server.Point(1, 1001)
	if p.Value != doubleOn && p.Value != doubleOff {
		t.Errorf("what the point was last is forgotten: %+v", p)
	}
}

// A file that can't be opened is tried again. What an earlier process has kept in it is told
// then, and everything is kept from then on.
func TestOpenedLater(t *testing.T) {
	t.Parallel()
	o := options(t)
	s, stop := run(t, o)
	flip(s, 4) // three events
	stop()
	db, err := bolt.Open(o.File, 0o600, nil) // somebody else has it
	if err != nil {
		t.Fatal(err)
	}
	s, stop = run(t, o)
	if s.Stats().Unkept == nil {
		t.Fatal("it is opened")
	}
	m := connect(t, o.Listen)
	s.Take(position(true), false, false)
	s.Take(position(false), false, false)
	await.True(t, "the present and an event are told without it", func() bool { return m.count() == 2 })
	db.Close()
	await.True(t, "it is opened", func() bool { return s.Stats().Unkept == nil })
	await.True(t, "what was kept is told, and what is behind that", func() bool { return m.count() == 2+3+1 })
	m.mu.Lock()
	if last := m.told[len(m.told)-1]; last != doubleOff {
		t.Errorf("the last that is told is %v, which isn't the present", m.told)
	}
	m.mu.Unlock()
	if err := m.conn.Stop(t.Context()); err != nil { // it acknowledges everything
		t.Fatal(err)
	}
	m.conn.Close()
	await.True(t, "the master is gone", func() bool { return s.Stats().Groups[0].Started == "" })
	flip(s, 2)
	stop()
	s, _ = run(t, o)
	if n := s.Stats().Groups[0].Waiting; n != 2+1 { // with the start
		t.Errorf("%d events wait: %+v", n, s.Stats())
	}
}

// A handle of a file that can't be read isn't kept: else nobody could open it any more.
func TestNoHandleIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.db")
	put(t, path, func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucketEvents); return err })
	put(t, path, func(tx *bolt.Tx) error { return tx.Bucket(bucketEvents).Put([]byte("12345678"), []byte("no event")) })
	if _, _, err := openFile(path, nil); err == nil {
		t.Fatal("it is read")
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal("it is still open:", err)
	}
	db.Close()
}

// The group that has had events isn't told them again when they are recovered.
func TestRecovered(t *testing.T) {
	point := controlled.Point{Station: 1, Address: 1001, Type: asdu.DoublePoint}
	c := controlled.Default
	c.Groups = []controlled.Group{{Name: "a"}, {Name: "b"}, {Name: "new"}}
	server, err := controlled.New(c, []controlled.Point{point}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	kept := controlled.Restored{Done: map[string]uint64{"a": 7, "b": 6}, Lost: map[string]uint64{"a": 3}, Last: 8}
	for n := uint64(5); n <= 8; n++ {
		kept.Events = append(kept.Events, controlled.Kept{Number: n, Station: 1, Type: asdu.DoublePointTime56, Cause: asdu.Spontaneous, Object: asdu.Object{Address: 1001, Value: float64(1 + n%2), Time: asdu.TimeOf(time.Now())}})
	}
	server.Recover(kept)
	for i, want := range []int{1 + 1, 1 + 2, 1 + 0} { // with the start
		if g := server.Status()[i]; g.Waiting != want {
			t.Errorf("%s: %d wait, expected %d", g.Name, g.Waiting, want)
		}
	}
	if g := server.Status()[0]; g.Dropped != 3 || g.Earlier != 3 {
		t.Errorf("%+v", g)
	}
	if o := server.Outstanding(); len(o.Events) != 3 || o.Last != 3 || o.Lost["a"] != 3 || o.Lost["b"] != 0 {
		t.Errorf("%+v", o)
	}
}

// What is on its way when another file replaces a damaged one is in that, too: when the link
// ends without an acknowledgement it waits again, and the next process tells it.
func TestDamagedOnTheWay(t *testing.T) {
	t.Parallel()
	o := options(t)
	s, stop := run(t, o)
	c, err := net.Dial("tcp", o.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start, err := apdu.Frame{Format: apdu.U, Function: apdu.StartAct}.Append(nil)
	if err == nil {
		_, err = c.Write(start) // and acknowledges nothing
	}
	if err != nil {
		t.Fatal(err)
	}
	await.True(t, "it is started", func() bool { return s.Stats().Groups[0].Started != "" })
	flip(s, 6) // the first position is no change
	await.True(t, "they are on their way", func() bool { return s.Stats().Groups[0].Waiting == 0 })
	await.True(t, "they are on disk", func() bool { return !s.journal.await(func(bool) {}) })
	if err := os.Truncate(o.File, 2*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	flip(s, 1)
	await.True(t, "the file is damaged", func() bool { return s.Stats().Unkept != nil })
	await.True(t, "it is kept again", func() bool { return s.Stats().Unkept == nil })
	c.Close()
	const events = 1 + 5 + 1 // with the start
	await.True(t, "they wait again", func() bool { return s.Stats().Groups[0].Waiting == events })
	stop()
	s, _ = run(t, o)
	if n := s.Stats().Groups[0].Waiting; n != events { // with its own start instead of the first one
		t.Errorf("%d events wait, expected %d", n, events)
	}
}

// What the machine refuses is no damage: the file stays, is opened again, and has everything.
func TestMachineRefuses(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Damaged = func(d telemetry.Damage) error { t.Errorf("%+v", d); return nil }
	s, stop := run(t, o)
	flip(s, 3)
	await.True(t, "they are on disk", func() bool { return !s.journal.await(func(bool) {}) })
	s.journal.file.os.Close() // nothing can be written, and bbolt doesn't say why
	flip(s, 6000)             // more than the file has room for
	await.True(t, "it can't be kept", func() bool { return s.Stats().Unkept != nil })
	if err := s.Stats().Unkept; errors.Is(err, errDamaged) {
		t.Error(err)
	}
	await.True(t, "it is kept again", func() bool { return s.Stats().Unkept == nil })
	waiting := s.Stats().Groups[0].Waiting
	stop()
	if aside, err := filepath.Glob(o.File + ".*"); err != nil || len(aside) > 0 {
		t.Errorf("%v are set aside: %v", aside, err)
	}
	s, _ = run(t, o)
	if n := s.Stats().Groups[0].Waiting; n != waiting || n < 6000 {
		t.Errorf("%d events wait, expected %d", n, waiting)
	}
}

// What is set aside, and what is to be told of it, doesn't grow without end.
func TestSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	j := &journal{path: path, log: slog.New(slog.DiscardHandler)}
	for n := range 2 * mostAside {
		write(t, path, []byte{byte(n)})
		if err := j.setAside(errDamaged); err != nil {
			t.Fatal(err)
		}
	}
	aside, err := filepath.Glob(path + ".*" + unreadable)
	if err != nil {
		t.Fatal(err)
	}
	told := j.damaged()
	if len(aside) != mostAside || len(told) != mostAside {
		t.Fatalf("%d are kept and %d told, expected %d", len(aside), len(told), mostAside)
	}
	for i, path := range aside {
		if b, err := os.ReadFile(path); err != nil || b[0] != byte(mostAside+i) || told[i].File != filepath.Base(path) {
			t.Errorf("%s, told %s: %v, %v", path, told[i].File, b, err)
		}
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
