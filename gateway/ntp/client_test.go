package ntp

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// run lets a client run for a while of the bubble's time.
func run(c *Client, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	c.Run(ctx)
}

func TestOneGoodServerGivesTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{began: time.Now(), servers: map[string]*fake{"a": good()}}
		var got offers
		c := w.client(&got, "a")
		run(c, time.Second)
		if got.count() != 1 || got.by[0] != 1 {
			t.Fatalf("%+v", got.list)
		}
		m := got.list[0]
		if off := m.Began - noon; off < -1 || off > 1 || m.At != 5_000_000 || m.MaxError < least || m.MaxError > 2*least || m.Stratum != 2 {
			t.Errorf("off by %d µs: %+v", off, m)
		}
		if s := c.Stats(); s.Silent != 0 || len(s.Unused) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// What a server says that it isn't fit for, or can't be true, isn't taken.
func TestServersThatAreNotBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fake)
		want   string
	}{
		"silent":                  {func(f *fake) { f.mute = true }, "no answer"},
		"kiss of death":           {func(f *fake) { f.stratum, f.code = 0, "RATE" }, `it refuses to answer: "RATE"`},
		"stratum 0":               {func(f *fake) { f.stratum = 0 }, "it isn't synchronised itself"},
		"not yet synchronised":    {func(f *fake) { f.stratum, f.code = 0, "INIT" }, "it isn't synchronised itself"},
		"stratum 16":              {func(f *fake) { f.stratum = 16 }, "it isn't synchronised itself"},
		"version 2":               {func(f *fake) { f.change = func(a []byte) { a[0] = 2<<3 | 4 } }, "it speaks version 2"},
		"leap alarm":              {func(f *fake) { f.leap = 3 }, "it isn't synchronised itself"},
		"far from its source":     {func(f *fake) { f.delay = 4 * time.Second }, "it may be off by 2."},
		"dispersed":               {func(f *fake) { f.dispersal = 1600 * time.Millisecond }, "it may be off by 1.6"},
		"very dispersed":          {func(f *fake) { f.dispersal = 17 * time.Second }, "it may be off by 17"},
		"not set for days":        {func(f *fake) { f.stale = 48 * time.Hour }, "it was last set at 2026-11-23"},
		"set in the future":       {func(f *fake) { f.stale = -time.Hour }, "a time that hasn't come"},
		"in 1970":                 {func(f *fake) { f.off = -time.Duration(noon) * time.Microsecond }, "which has passed"},
		"in 2025":                 {func(f *fake) { f.off = -400 * 24 * time.Hour }, "which has passed"},
		"an answer to another":    {func(f *fake) { f.change = func(a []byte) { a[24]++ } }, "no answer"},
		"a broadcast":             {func(f *fake) { f.change = func(a []byte) { a[0] = 4<<3 | 5 } }, "has mode 5"},
		"no time":                 {func(f *fake) { f.change = func(a []byte) { clear(a[40:48]) } }, "which has passed"},
		"slow, and says it isn't": {func(f *fake) { f.change = func(a []byte) { a[35] -= 2 } }, "it says that it took 2"},
		"sent before it received": {func(f *fake) { f.change = func(a []byte) { a[35]++ } }, "before it was asked"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := good()
				c.change(f)
				w := &world{began: time.Now(), servers: map[string]*fake{"a": f}}
				var got offers
				client := w.client(&got, "a", "missing")
				run(client, 10*time.Second)
				s := client.Stats()
				if got.count() != 0 || s.Silent == 0 || len(s.Unused) != 2 || !strings.Contains(s.Unused[0], c.want) || !strings.Contains(s.Unused[1], "no such host") {
					t.Errorf("%+v, offered %+v", s, got.list)
				}
			})
		})
	}
}

func TestAFalsetickerIsOutvoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{began: time.Now(), servers: map[string]*fake{"a": good(), "b": good(), "wrong": good()}}
		w.servers["a"].delay = 40 * time.Millisecond
		w.servers["b"].off = 3 * time.Millisecond
		w.servers["wrong"].off = 10 * time.Second
		w.servers["wrong"].delay = 0
		var got offers
		c := w.client(&got, "wrong", "a", "b")
		run(c, time.Second)
		if got.count() != 1 || got.list[0].Server != "b" || got.by[0] != 2 {
			t.Errorf("%+v by %v", got.list, got.by)
		}
		if s := c.Stats(); s.Silent != 0 || len(s.Unused) != 1 || s.Unused[0] != "wrong: it contradicts the others" {
			t.Errorf("%+v", s)
		}
	})
}

func TestWithoutAMajorityNothingIsOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{began: time.Now(), servers: map[string]*fake{"a": good(), "b": good()}}
		w.servers["b"].off = time.Second
		var got offers
		c := w.client(&got, "a", "b")
		run(c, time.Second)
		if s := c.Stats(); got.count() != 0 || !strings.Contains(s.Cause, "of the 2 servers that answered no more than 1 agree") {
			t.Errorf("%+v, %+v", s, got.list)
		}
	})
}

// The server that is left after the others have gone can't overturn what they
// agreed on, neither at once nor in two steps; after hours it is believed.
func TestFewerDoNotOverturnMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{began: time.Now(), servers: map[string]*fake{"a": good(), "b": good(), "c": good()}}
		var got offers
		c := w.client(&got, "a", "b", "c")
		stop := start(c)
		time.Sleep(time.Second)
		for _, name := range []string{"b", "c"} {
			w.servers[name].set(func() { w.servers[name].mute = true })
		}
		time.Sleep(5 * time.Minute)
		if n := got.count(); n < 2 || got.by[n-1] != 1 {
			t.Errorf("one that agrees with before isn't believed: %d offers", n)
		}
		before := got.count()
		w.servers["a"].set(func() { w.servers["a"].off = time.Minute })
		time.Sleep(90 * time.Minute)
		if s := c.Stats(); got.count() != before || !strings.Contains(s.Cause, "a contradicts what 3 servers had agreed on") {
			t.Errorf("%d offers after %d, %+v", got.count(), before, s)
		}
		time.Sleep(time.Hour)
		if got.count() == before {
			t.Error("the only server isn't believed after hours")
		}
		stop()
	})
}

func start(c *Client) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }()
	return func() { cancel(); <-ended }
}

// However servers behave, they are asked seldom.
func TestServersAreAskedSeldom(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		change      func(*fake)
		least, most int // packets in a day
		closest     time.Duration
	}{
		"good":     {func(*fake) {}, 70, 90, shortest},
		"drifting": {func(f *fake) { f.off = 0; f.change = drifting() }, 600, 1350, shortest},
		"silent":   {func(f *fake) { f.mute = true }, 1000, 1380, firstRetry},
		"starting": {func(f *fake) { f.stratum = 0 }, 1000, 1380, firstRetry},
		"RATE":     {func(f *fake) { f.stratum, f.code = 0, "RATE" }, 2, 8, longest},
		"DENY":     {func(f *fake) { f.stratum, f.code = 0, "DENY" }, 1, 1, day},
		"RSTR":     {func(f *fake) { f.stratum, f.code = 0, "RSTR" }, 1, 1, day},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := good()
				c.change(f)
				w := &world{began: time.Now(), servers: map[string]*fake{"a": f}}
				run(w.client(&offers{}, "a"), day-time.Minute)
				times := f.times()
				if n := len(times); n < c.least || n > c.most {
					t.Errorf("asked %d times a day", n)
				}
				for i := range times[min(1, len(times)):] {
					if gap := times[i+1].Sub(times[i]); gap < c.closest || gap > longest+longest/8+answerTimeout && c.closest < longest {
						t.Errorf("asked after %v", gap)
					}
				}
			})
		})
	}
}

// drifting makes each answer a second later than the one before.
func drifting() func([]byte) {
	n := uint32(0)
	return func(a []byte) {
		n++
		for _, at := range []int{16, 32, 40} {
			binary.BigEndian.PutUint32(a[at:], binary.BigEndian.Uint32(a[at:])+n)
		}
	}
}

// A server that has refused is asked again, and good when it answers.
func TestARefusalIsNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := good()
		f.stratum, f.code = 0, "RATE"
		w := &world{began: time.Now(), servers: map[string]*fake{"a": f}}
		var got offers
		stop := start(w.client(&got, "a"))
		time.Sleep(time.Minute)
		f.set(func() { f.stratum = 2 })
		time.Sleep(longest - 2*time.Minute)
		if got.count() != 0 {
			t.Error("asked although it had refused")
		}
		time.Sleep(3 * time.Minute)
		if got.count() == 0 {
			t.Errorf("offered %d times", got.count())
		}
		stop()
	})
}

// A way to the server that takes long makes the error large.
func TestTheWayCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := good()
		f.change = func([]byte) { time.Sleep(400 * time.Millisecond) }
		w := &world{began: time.Now(), servers: map[string]*fake{"a": f}}
		var got offers
		run(w.client(&got, "a"), time.Second)
		m := got.list[0]
		if m.MaxError < 200*time.Millisecond || m.MaxError > 210*time.Millisecond {
			t.Errorf("%+v", m)
		}
		if off := (time.Duration(m.Began-noon) * time.Microsecond).Abs(); off > m.MaxError {
			t.Errorf("off by %v", off)
		}
	})
}

// FuzzAnswer: whatever a server sends, nothing is believed that can't be true.
func FuzzAnswer(f *testing.F) {
	now := noon + 5_000_000
	f.Add(good().answer(make([]byte, 48), now), int64(5_000_000), int64(1000))
	refusal := &fake{code: "RATE"}
	f.Add(refusal.answer(make([]byte, 48), now), int64(5_000_000), int64(0))
	f.Add([]byte("short"), int64(0), int64(0))
	f.Add(make([]byte, 100), int64(1)<<50, int64(4_000_000))
	f.Fuzz(func(t *testing.T, packet []byte, sent, took int64) {
		if sent < 0 || sent > 1<<55 || took < 0 || took > answerTimeout.Microseconds() {
			return
		}
		cookie := uint64(0)
		if len(packet) >= 32 {
			cookie = binary.BigEndian.Uint64(packet[24:])
		}
		a, err := parse(packet, cookie)
		if err != nil {
			return
		}
		if _, err := parse(packet, cookie+1); err == nil {
			t.Error("an answer to another request")
		}
		m, err := measure("a", a, telemetry.Micros(sent), telemetry.Micros(sent+took))
		if err != nil {
			return
		}
		off := (time.Duration(m.Began+m.At-a.answered) * time.Microsecond).Abs()
		if m.Began+m.At < earliest-telemetry.Micros(least.Microseconds()) || m.MaxError < least || m.MaxError > farthest || m.Stratum == 0 || m.Stratum > 15 || off > m.MaxError+least {
			t.Errorf("%+v, %v from what the server says", m, off)
		}
	})
}
