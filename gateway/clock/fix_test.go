package clock

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// told is what a source says that is right to 10 ms.
func told(f *fake, now telemetry.Micros) Fix {
	return Fix{Source: "NTP", Began: now - f.now.SinceBoot, At: f.now.SinceBoot, MaxError: 10 * time.Millisecond, Agreeing: 2}
}

func offer(t *testing.T, c *Clock, f Fix) {
	t.Helper()
	if err := c.Offer(f); err != nil {
		t.Error(err)
	}
}

// A machine that boots in 1970, and whose wall clock nobody may set, gets the time
// by a fix: what waits is placed, and what is read then is marked by nothing.
func TestAFixIsTheTime(t *testing.T) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{})
	r := hold(t, c)
	f.pass(60 * second)
	c.Observe()
	waits(t, c, r)
	offer(t, c, told(f, noon))
	c.Observe()
	if s := c.Stats(); s.State != telemetry.ClockSynchronised || s.Source != "NTP" || s.MaxError != 10*time.Millisecond || c.Now() != noon || s.Holding != Nothing {
		t.Errorf("%+v, now %v", s, c.Now().Time())
	}
	s := sent(t, c, r)
	near(t, "it", s.Time, noon-60*second)
	if s.Quality != 0 {
		t.Errorf("quality %v", s.Quality)
	}
	if c.Reading(c.Now()) != nil {
		t.Error("an event isn't of a synchronised clock")
	}
	want := []Change{{telemetry.ClockStep{
		State: telemetry.ClockSynchronised, Was: telemetry.ClockUnset, Step: int64(noon - 67*second - Minimum), Boot: f.id.String(), Offset: noon - 67*second,
	}, noon}}
	if got := c.Changes(); len(got) != 1 || got[0] != want[0] {
		t.Errorf("%+v", got)
	}
	// What anybody does to the wall clock moves nothing.
	generation := c.Stamp(time.Now(), nil).Generation
	for _, wall := range []telemetry.Micros{hour, noon - hour, noon + hour, 0} {
		f.set(wall)
		f.pass(second)
		c.Observe()
	}
	if got := c.Now(); got != noon+4*second || len(c.Changes()) != 0 || c.Stamp(time.Now(), nil).Generation != generation {
		t.Errorf("now %v", got.Time())
	}
}

// Small corrections are slewed, and time never goes back by them; large ones are
// steps.
func TestFixesAreFollowedSlowly(t *testing.T) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{})
	offer(t, c, told(f, noon))
	generation := c.Stamp(time.Now(), nil).Generation
	f.pass(100 * second)
	offer(t, c, told(f, noon+100*second-90_000))
	last := c.Now()
	for range 200 {
		f.pass(second)
		c.Observe()
		now := c.Now()
		if now-last < second-501 || now > last+second {
			t.Fatalf("a second takes %d µs", now-last)
		}
		last = now
	}
	if off := last - (noon + 300*second - 90_000); off != 0 {
		t.Errorf("off by %d µs after 200 s", off)
	}
	if c.Stamp(time.Now(), nil).Generation != generation || c.Stats().Steps != 1 {
		t.Errorf("%d steps", c.Stats().Steps)
	}
	c.Changes()
	offer(t, c, told(f, noon+400*second))
	if changes := c.Changes(); c.Now() != noon+400*second || len(changes) != 1 || changes[0].Step != int64(100*second+90_000) || c.Stats().Steps != 2 {
		t.Errorf("%v, %+v", c.Now().Time(), changes)
	}
}

// Where each answer is off by more than a step, time isn't set to and fro.
func TestFixesOverABadLine(t *testing.T) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{})
	offer(t, c, told(f, noon))
	for i := range telemetry.Micros(50) {
		f.pass(64 * second)
		now := noon + (i+1)*64*second
		fix := told(f, now+(i%3-1)*250_000)
		fix.MaxError = 300 * time.Millisecond
		offer(t, c, fix)
		c.Observe()
		if off := c.Now() - now; off < -250_000 || off > 250_000 {
			t.Fatalf("off by %d µs", off)
		}
	}
	if s := c.Stats(); s.Steps != 1 || s.State != telemetry.ClockSynchronised {
		t.Errorf("%+v", s)
	}
}

func TestWhoGivesTheTime(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*testing.T, *fake, *Clock)
		want string
		now  telemetry.Micros // from noon, which the wall clock says at the boot
	}{
		"the kernel, if both are right": {func(t *testing.T, f *fake, c *Clock) {
			f.synchronised, f.maxError = true, 10*time.Millisecond
			offer(t, c, told(f, noon+50_000))
		}, "kernel", 0},
		"the kernel, while it may be right": {func(t *testing.T, f *fake, c *Clock) {
			f.synchronised, f.maxError = true, 500*time.Millisecond
			offer(t, c, told(f, noon+400_000))
		}, "kernel", 0},
		"two servers that say it is wrong": {func(t *testing.T, f *fake, c *Clock) {
			f.synchronised, f.maxError = true, 10*time.Millisecond
			offer(t, c, told(f, noon+hour))
		}, "NTP", hour},
		"not one server alone": {func(t *testing.T, f *fake, c *Clock) {
			f.synchronised, f.maxError = true, 10*time.Millisecond
			fix := told(f, noon+hour)
			fix.Agreeing = 1
			offer(t, c, fix)
		}, "kernel", 0},
		"the fix, if nothing confirms the kernel": {func(t *testing.T, f *fake, c *Clock) { offer(t, c, told(f, noon+200_000)) }, "NTP", 200_000},
		"an old fix before a wall clock that nobody confirmed": {func(t *testing.T, f *fake, c *Clock) {
			offer(t, c, told(f, noon+hour))
			f.pass(5 * hour)
		}, "NTP", 6 * hour},
		"the kernel, if it was confirmed after an old fix": {func(t *testing.T, f *fake, c *Clock) {
			offer(t, c, told(f, noon+hour))
			f.pass(5 * hour)
			f.synchronised, f.maxError = true, 0
			c.Observe()
			f.synchronised = false
		}, "kernel", 5 * hour},
		"two servers that say that what is assumed is wrong": {func(t *testing.T, f *fake, c *Clock) {
			c.o.Assume = true
			offer(t, c, told(f, noon+hour))
		}, "NTP", hour},
		"the better of two sources": {func(t *testing.T, f *fake, c *Clock) {
			offer(t, c, told(f, noon+hour))
			worse := told(f, noon+2*hour)
			worse.Source, worse.MaxError = "master", time.Second
			offer(t, c, worse)
		}, "NTP", hour},
		"the same source, if it has changed its mind": {func(t *testing.T, f *fake, c *Clock) {
			offer(t, c, told(f, noon+hour))
			worse := told(f, noon+2*hour)
			worse.MaxError = time.Second
			offer(t, c, worse)
		}, "NTP", 2 * hour},
		"not the same source, if it is merely worse": {func(t *testing.T, f *fake, c *Clock) {
			offer(t, c, told(f, noon+hour))
			worse := told(f, noon+hour+900_000)
			worse.MaxError = time.Second
			offer(t, c, worse)
		}, "NTP", hour},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			f.boot(noon)
			clock := start(f, &memory{})
			c.do(t, f, clock)
			clock.Observe()
			if s := clock.Stats(); s.Source != c.want || clock.Now() != noon+c.now {
				t.Errorf("%s gives %v, want %s and %v", s.Source, clock.Now().Time(), c.want, (noon + c.now).Time())
			}
		})
	}
}

// While two sources can't both be right, that is said, and gateway time doesn't go
// to and fro between them as their bounds grow.
func TestAContradictionIsTold(t *testing.T) {
	f := &fake{}
	f.boot(noon)
	c := start(f, &memory{})
	f.synchronised, f.maxError = true, time.Millisecond
	offer(t, c, told(f, noon+300_000))
	for range 1000 {
		f.pass(second)
		f.maxError += 500 * time.Microsecond
		c.Observe()
		if s := c.Stats(); s.Source != "NTP" || s.Contradiction != 300*time.Millisecond || s.Steps != 1 {
			t.Fatalf("%+v", s)
		}
	}
	f.set(f.now.Wall + 250_000) // the kernel's source is put right
	f.maxError = time.Millisecond
	c.Observe()
	if s := c.Stats(); s.Source != "kernel" || s.Contradiction != 0 {
		t.Errorf("%+v", s)
	}
}

// A fix is good for an hour, as the kernel's word is, and its time counts as
// confirmed for another.
func TestAFixAges(t *testing.T) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{}, requireSync)
	offer(t, c, told(f, noon))
	f.pass(3900 * second)
	c.Observe()
	if s := c.Stats(); s.State != telemetry.ClockSynchronised || s.MaxError != 1960*time.Millisecond {
		t.Errorf("%+v", s)
	}
	f.pass(100 * second)
	c.Observe()
	if s := c.Stats(); s.State != telemetry.ClockFreeRunning || s.Holding != Nothing || c.Now() != noon+4000*second {
		t.Errorf("%+v, now %v", s, c.Now().Time())
	}
	f.pass(hour)
	c.Observe()
	if s := c.Stats(); s.Holding != Counters {
		t.Errorf("%+v", s)
	}
	offer(t, c, told(f, c.Now()))
	if s := c.Stats(); s.State != telemetry.ClockSynchronised || s.Holding != Nothing {
		t.Errorf("%+v", s)
	}
}

// A program that is started again goes on in the time of the fix, also where the
// wall clock says something else.
func TestARestartKeepsAFix(t *testing.T) {
	for _, wall := range []telemetry.Micros{0, noon - 40*24*hour, noon + hour} {
		f, m := &fake{}, &memory{}
		f.boot(wall)
		before := start(f, m)
		offer(t, before, told(f, noon))
		before.Observe()
		f.pass(100 * second)
		c := start(f, m)
		c.Observe()
		if s := c.Stats(); s.State != telemetry.ClockSynchronised || s.Source != "NTP" || c.Now() != noon+100*second || len(c.Changes()) != 0 {
			t.Errorf("%+v, now %v", s, c.Now().Time())
		}
		// The next boot knows nothing of it but that it can't be before.
		f.boot(0)
		c = start(f, m)
		if s := c.Stats(); s.State != telemetry.ClockUnset || c.Now() < noon {
			t.Errorf("%+v, now %v", s, c.Now().Time())
		}
	}
}

func TestFixesThatCannotBe(t *testing.T) {
	f := &fake{}
	f.boot(noon)
	c := start(f, &memory{})
	for want, change := range map[string]func(*Fix){
		"may be off by 3s":  func(x *Fix) { x.MaxError = 3 * time.Second },
		"may be off by -1":  func(x *Fix) { x.MaxError = -1 },
		"which has passed":  func(x *Fix) { x.Began = Minimum - hour },
		"µs since the boot": func(x *Fix) { x.At += second },
	} {
		fix := told(f, noon+hour)
		change(&fix)
		if err := c.Offer(fix); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", fix, err, want)
		}
	}
	if c.Now() != noon {
		t.Errorf("now %v", c.Now().Time())
	}
}

// A machine that has slept since a sample was taken counts its age by the wall
// clock, as the monotonic one has stood still.
func TestASampleOfBeforeTheMachineSlept(t *testing.T) {
	f := &fake{}
	f.boot(telemetry.MicrosOf(time.Now()))
	c := start(f, &memory{})
	before := time.Now()
	f.sleep(hour)
	// The machine's time goes on where the test's doesn't.
	if at := c.At(before); away(at, telemetry.MicrosOf(before)) {
		t.Errorf("an instant before it slept is %v, %v off", at.Time(), at.Time().Sub(before))
	}
}

// A machine that doesn't tell the id of its boot still has a time since it.
func TestWithoutABootID(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "boot_id")
	k, other := system(missing), system(missing)
	if k.Boot() == other.Boot() || k.Now().SinceBoot < 0 || k.Now().SinceBoot > hour || away(k.Now().Wall, telemetry.MicrosOf(time.Now())) {
		t.Errorf("%v, %v, %+v", k.Boot(), other.Boot(), k.Now())
	}
	if k.Discipline() != System().Discipline() {
		t.Errorf("%+v", k.Discipline())
	}
}

// Who may set the wall clock brings it to gateway time, which stays what it is; nobody sets
// it by a source that isn't good any more, or back before a time that has passed.
func TestTheWallClockIsSetByAFix(t *testing.T) {
	f, notes := &fake{}, &memory{}
	f.boot(0)
	c := start(f, notes)
	if got := c.Amiss(); got != 0 {
		t.Errorf("before anything is known: %v", got)
	}
	f.pass(60 * second)
	offer(t, c, told(f, noon))
	set := func() telemetry.Micros {
		off := c.Amiss()
		f.set(f.now.Wall - off)
		c.Observe()
		return off
	}
	if off := set(); off >= 0 || f.now.Wall != noon || c.Amiss() != 0 || c.Now() != noon {
		t.Errorf("off by %v, then %v; now %v", off, c.Amiss(), c.Now().Time())
	}
	c.Changes()
	f.set(noon + hour) // somebody else
	f.pass(second)
	if off := set(); off != hour || c.Now() != noon+second || len(c.Changes()) != 0 || c.Stats().Source != "NTP" {
		t.Errorf("off by %v, now %v, %+v", off, c.Now().Time(), c.Stats())
	}
	f.pass(48 * hour) // the fix is too old by then
	f.set(noon)
	c.Observe()
	if off := c.Amiss(); off != 0 {
		t.Errorf("by an old fix it is off by %v", off)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	known := c.Now()
	f.boot(0)
	c = start(f, notes)
	f.pass(second)
	offer(t, c, told(f, known-hour))
	if off := c.Amiss(); off != 0 {
		t.Errorf("it would be set before %v, by %v", known.Time(), off)
	}
}
