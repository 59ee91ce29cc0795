package station

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/adapters/iec104/apdu"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

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
