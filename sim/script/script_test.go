package script

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

var devices = []Device{
	{ID: "head", Feeder: "feeder-2"},
	{ID: "meter", Feeder: "feeder-2", SelfPowered: true},
	{ID: "other", Feeder: "feeder-1", SelfPowered: true},
}

func script(t *testing.T, faults ...Fault) *Script {
	t.Helper()
	sc, err := New(devices, faults)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func TestOutageTakesItsFeederAndTheMetersThatLiveOnIt(t *testing.T) {
	sc := script(t, Fault{At: 20 * s, For: 20 * s, Kind: Outage, Feeder: "feeder-2"})
	for _, c := range []struct {
		at          time.Duration
		live, meter bool
	}{
		{0, true, true},
		{20*s - 1, true, true},
		{20 * s, false, true},
		{20*s + HoldUp - 1, false, true},
		{20*s + HoldUp, false, false},
		{40*s - 1, false, false},
		{40 * s, true, false},
		{40*s + BootTime - 1, true, false},
		{40*s + BootTime, true, true},
	} {
		if got := sc.Live("feeder-2", c.at); got != c.live {
			t.Errorf("at %v feeder-2 live: %v", c.at, got)
		}
		if got, want := sc.Condition("meter", c.at), (Condition{Live: c.live, Powered: c.meter}); got != want {
			t.Errorf("at %v the self-powered meter: %+v, want %+v", c.at, got, want)
		}
		if got, want := sc.Condition("head", c.at), (Condition{Live: c.live, Powered: true}); got != want {
			t.Errorf("at %v the auxiliary-powered meter: %+v, want %+v", c.at, got, want)
		}
		if got, want := sc.Condition("other", c.at), (Condition{Live: true, Powered: true}); got != want || !sc.Live("feeder-1", c.at) {
			t.Errorf("at %v the meter of another feeder: %+v, want %+v", c.at, got, want)
		}
	}
	var changes []time.Duration
	for at, ok := sc.Next(-1); ok; at, ok = sc.Next(at) {
		changes = append(changes, at)
	}
	if want := []time.Duration{20 * s, 20*s + HoldUp, 40 * s, 40*s + BootTime}; len(changes) != 4 || [4]time.Duration(changes) != [4]time.Duration(want) {
		t.Errorf("changes at %v, want %v", changes, want)
	}
}

func TestOutagesThatMeet(t *testing.T) {
	sc := script(t,
		Fault{At: 60 * s, Kind: Outage, Feeder: "feeder-2"},                   // to the end
		Fault{At: 10 * s, For: 5 * s, Kind: Outage, Feeder: "feeder-2"},       // until 15 s
		Fault{At: 12 * s, For: 4 * s, Kind: Outage, Feeder: "feeder-2"},       // until 16 s
		Fault{At: 17 * s, For: 1 * s, Kind: Outage, Feeder: "feeder-2"},       // while the meter boots
		Fault{At: 5 * s, For: HoldUp, Kind: Outage, Feeder: "feeder-2"},       // too short for the meter
		Fault{At: 25 * s, For: HoldUp + ms, Kind: Outage, Feeder: "feeder-2"}, // just long enough
		Fault{At: 50 * s, For: HoldUp - ms, Kind: Outage, Feeder: "feeder-2"},
		Fault{At: 50*s + HoldUp - ms, For: HoldUp - ms, Kind: Outage, Feeder: "feeder-2"}, // long enough together
	)
	for _, c := range []struct {
		at            time.Duration
		live, powered bool
	}{
		{5*s + 400*ms, false, true},
		{5*s + HoldUp, true, true},
		{15*s + 500*ms, false, false},
		{16*s + 500*ms, true, false},
		{19 * s, true, false},
		{20 * s, true, true},
		{25*s + HoldUp, false, false},
		{25*s + HoldUp + ms, true, false},
		{28 * s, true, true},
		{50*s + HoldUp - 1, false, true},
		{50*s + HoldUp, false, false},
		{60 * s, false, true},
		{9000 * time.Hour, false, false},
	} {
		if got, want := sc.Condition("meter", c.at), (Condition{Live: c.live, Powered: c.powered}); got != want {
			t.Errorf("at %v: %+v, want %+v", c.at, got, want)
		}
	}
}

func TestDeviceFaults(t *testing.T) {
	sc := script(t,
		Fault{At: 1 * s, For: 1 * s, Kind: Misbehave, Device: "meter", How: "silent"},
		Fault{At: 2 * s, For: 1 * s, Kind: Misbehave, Device: "meter", How: "late=300ms"},
		Fault{At: 5 * s, Kind: Misbehave, Device: "meter", How: "garbage"},
	)
	for at, want := range map[time.Duration]Condition{
		0:            {Live: true, Powered: true},
		1 * s:        {Live: true, Powered: true, How: "silent"},
		2 * s:        {Live: true, Powered: true, How: "late=300ms"},
		3 * s:        {Live: true, Powered: true},
		time.Hour:    {Live: true, Powered: true, How: "garbage"},
		5*s - 1:      {Live: true, Powered: true},
		5 * s:        {Live: true, Powered: true, How: "garbage"},
		2*s + 999*ms: {Live: true, Powered: true, How: "late=300ms"},
	} {
		if got := sc.Condition("meter", at); got != want {
			t.Errorf("at %v: %+v, want %+v", at, got, want)
		}
		if got := sc.Condition("head", at); got.How != "" {
			t.Errorf("at %v another device: %+v", at, got)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []Fault
		want   string
	}{
		{"kind", []Fault{{Kind: "fire", Feeder: "feeder-2"}}, `faults[0].kind: "fire" is no kind of fault; there are outage, misbehave`},
		{"unknown feeder", []Fault{{Kind: Outage, Feeder: "feeder-9"}}, `faults[0].feeder: no device is on feeder "feeder-9"; there are feeder-2, feeder-1`},
		{"no feeder", []Fault{{Kind: Outage}}, "faults[0].feeder: is missing; an outage is of a feeder"},
		{"outage of a device", []Fault{{Kind: Outage, Feeder: "feeder-2", Device: "head"}}, "faults[0].device: an outage is of a feeder, not of a device"},
		{"unknown device", []Fault{{Kind: Misbehave, How: "silent", Device: "haed"}}, `faults[0].device: no device "haed"; there are head, meter, other`},
		{"no device", []Fault{{Kind: Misbehave, How: "silent"}}, `faults[0].device: is missing; "misbehave" is a fault of a device`},
		{"silent feeder", []Fault{{Kind: Misbehave, How: "silent", Feeder: "feeder-2", Device: "head"}}, `faults[0].feeder: "misbehave" is a fault of a device, not of a feeder`},
		{"no word of how", []Fault{{Kind: Misbehave, Device: "head"}}, "faults[0].how: is missing, expected what it does wrong"},
		{"how of an outage", []Fault{{Kind: Outage, Feeder: "feeder-2", How: "silent"}}, "faults[0].how: belongs to kind misbehave only"},
		{"before the start", []Fault{{At: -s, Kind: Misbehave, How: "silent", Device: "head"}}, "faults[0].at: -1s is not from 0s to 876000h0m0s"},
		{"for too long", []Fault{{For: forever, Kind: Misbehave, How: "silent", Device: "head"}}, "faults[0].for: "},
		{"overlap", []Fault{{Kind: Misbehave, How: "silent", Device: "head"}, {At: 9 * s, Kind: Misbehave, How: "garbage", Device: "head"}}, "faults[1].at: overlaps faults[0] of the same device"},
		{"several", []Fault{{Kind: "fire"}, {Kind: Outage, Feeder: "feeder-1"}, {Kind: Outage}}, "there are outage, misbehave\nfaults[2].feeder: is missing"},
	} {
		_, err := New(devices, c.faults)
		var problems Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// Between two changes nothing changes, and a meter's power follows its feeder.
func TestNextMissesNothing(t *testing.T) {
	const step = 50 * ms
	var meters []Device
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		meters = append(meters, Device{ID: id, Feeder: "feeder-1", SelfPowered: true})
	}
	rapid.Check(t, func(t *rapid.T) {
		steps := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * step
		}
		var faults []Fault
		for i := range rapid.IntRange(0, len(meters)).Draw(t, "faults") {
			f := Fault{At: steps("at", 200), For: steps("for", 100), Kind: rapid.SampledFrom(Kinds).Draw(t, "kind")}
			switch f.Kind {
			case Outage:
				f.Feeder = "feeder-1"
			default:
				f.Device, f.How = meters[i].ID, "silent"
			}
			faults = append(faults, f)
		}
		sc, err := New(meters, faults)
		if err != nil {
			t.Fatal(err)
		}
		conditions := func(at time.Duration) (c [5]Condition) {
			for i, m := range meters {
				c[i] = sc.Condition(m.ID, at)
			}
			return c
		}
		var live, dead time.Duration // for how long the feeder has been
		live = BootTime
		for at := time.Duration(0); at < 20*s; at += step {
			now := conditions(at)
			if at > 0 && now != conditions(at-step) {
				if next, ok := sc.Next(at - step); !ok || next > at {
					t.Fatalf("a change at %v, the next one was to be at %v", at, next)
				}
			}
			if now[0].Live {
				live, dead = live+step, 0
			} else {
				live, dead = 0, dead+step
			}
			if live > BootTime && !now[0].Powered || dead > HoldUp && now[0].Powered {
				t.Fatalf("at %v powered is %v, the feeder live for %v, dead for %v", at, now[0].Powered, live, dead)
			}
		}
	})
}
