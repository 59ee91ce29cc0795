package rules

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

var phases = []string{"PhV.phsA", "PhV.phsB", "PhV.phsC"}

func feeder(names ...string) Model {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: byPoll}, names...)
	return m
}

// volts reads the same voltage on every phase each second, from and until s.
func (r *rig) volts(from, until int, device string, names []string, v any) {
	r.t.Helper()
	for s := from; s <= until; s++ {
		var values []any
		for _, name := range names {
			values = append(values, name, v)
		}
		r.read(float64(s), device, values...)
	}
}

// The limits are EN 50160:2010's 5 % of the reference voltage and the usual
// hysteresis of 2 %: 11.5 V and 16.1 V of 230 V.
func TestVoltageInterruption(t *testing.T) {
	for _, c := range []struct {
		name   string
		with   map[string]configfile.Quantity
		phases []string
		volts  []any // each second, on every phase
		want   []string
	}{
		{"normal", nil, phases, []any{230, 207, 230}, nil},
		{"exactly 5 % is none", nil, phases, []any{230, 11.5, 11.5, 11.5}, nil},
		{"below 5 %", nil, phases, []any{230, math.Nextafter(11.5, 0), 11.49}, []string{"1 raised voltage-interruption"}},
		{"one sample only", nil, phases, []any{230, 0, 230, 0, 230}, nil},
		{"below 7 % doesn't clear", nil, phases, []any{0, 0, 16.09, 16.09, 16.09, 16.09, 16.09}, []string{"0 raised voltage-interruption"}},
		{"exactly 7 % clears", nil, phases, []any{0, 0, 16.1, 16.1, 16.1, 16.1}, []string{"0 raised voltage-interruption", "2 cleared voltage-interruption"}},
		{"as a meter's float32", nil, phases, []any{0, 0, float64(float32(16.1)), 230, 230, 230}, []string{"0 raised voltage-interruption", "2 cleared voltage-interruption"}},
		{"back for less than 3 s", nil, phases, []any{0, 0, 230, 230, 230, 0, 230, 230, 230, 230}, []string{"0 raised voltage-interruption", "6 cleared voltage-interruption"}},
		{"a meter that says nothing", nil, phases, []any{230, silent{}, silent{}, silent{}, silent{}}, nil},
		{"silent while out", nil, phases, []any{0, 0, silent{}, silent{}, silent{}, silent{}, 230, 230, 230, 230}, []string{"0 raised voltage-interruption", "6 cleared voltage-interruption"}},
		{"single-phase", nil, phases[:1], []any{230, 11.5, 11.4, 11.4, 230, 230, 230, 230}, []string{"2 raised voltage-interruption", "4 cleared voltage-interruption"}},
		{"110 V", map[string]configfile.Quantity{"reference_voltage": {Value: 110, Unit: "V"}}, phases, []any{5.5, 5.5, 5.49, 5.49}, []string{"2 raised voltage-interruption"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, feeder(c.phases...), Rule{Use: "en50160/voltage-interruption", With: c.with})
			for s, v := range c.volts {
				r.volts(s, s, "m1", c.phases, v)
			}
			r.want(c.want...)
		})
	}
}

func TestVoltageInterruptionNeedsEveryPhase(t *testing.T) {
	r := newRig(t, feeder(phases...), Rule{Use: "en50160/voltage-interruption"})
	read := func(t float64, a, b, c any) { r.read(t, "m1", phases[0], a, phases[1], b, phases[2], c) }
	for s := range 5 {
		read(float64(s), 0, 0, 11.5)
	}
	r.want()
	for s := 5; s < 10; s++ {
		read(float64(s), 0, 0, silent{})
	}
	r.want()
	read(10, 0, 0, 3)
	read(11, 0, 0, 3)
	r.want("10 raised voltage-interruption")
	for s := 12; s < 16; s++ {
		read(float64(s), silent{}, 16.1, 0)
	}
	r.want("12 cleared voltage-interruption")
}

func TestVoltageInterruptionIsUrgentAndShort(t *testing.T) {
	r := newRig(t, feeder(phases...), Rule{Use: "en50160/voltage-interruption"})
	r.volts(0, 1, "m1", phases, 0.2)
	a := r.events[0].Alarm
	if a.Summary != "f1 is without voltage" || a.Priority != telemetry.High || len(a.Inputs) != 3 || *a.Inputs[0].Value != 0.2 {
		t.Errorf("%+v", a)
	}
}

// Which of the three rules speaks for a silent device.
func TestSupervision(t *testing.T) {
	const measured, auxiliary = PoweredByMeasured, PoweredByAuxiliary
	for _, c := range []struct {
		name  string
		fed   PoweredBy
		other any // the neighbour's voltages; nil: there is no neighbour
		third any // and those of another
		want  string
	}{
		{"measured, neighbour dead", measured, 0, nil, "supply-suspect"},
		{"measured, neighbour at 5 %", measured, 11.5, nil, "device-silent"},
		{"measured, neighbour below 5 %", measured, 11.49, nil, "supply-suspect"},
		{"measured, alone", measured, nil, nil, "supply-unknown"},
		{"measured, neighbour silent too", measured, silent{}, nil, "supply-unknown"},
		{"measured, neighbour alive", measured, 230, nil, "device-silent"},
		{"measured, neighbours contradict", measured, 0, 230, "supply-unknown"},
		{"measured, neighbours contradict, the other way", measured, 230, 0, "supply-unknown"},
		{"measured, one of two dead, the other silent", measured, 0, silent{}, "supply-suspect"},
		{"measured, both dead", measured, 0, 0, "supply-suspect"},
		{"auxiliary, alone", auxiliary, nil, nil, "device-silent"},
		{"auxiliary, neighbour dead", auxiliary, 0, nil, "device-silent"},
		{"auxiliary, neighbour alive", auxiliary, 230, nil, "device-silent"},
		{"unknown, neighbour dead", PoweredByUnknown, 0, nil, "device-silent"},
		{"not said, alone", "", nil, nil, "device-silent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Model{}
			meter(&m, Device{ID: "m1", Asset: "f1", PoweredBy: c.fed, Supply: "bus", PollEvery: byPoll}, phases...)
			meter(&m, Device{ID: "m2", Asset: "f2", PoweredBy: auxiliary, Supply: "bus", PollEvery: byPoll}, phases...)
			meter(&m, Device{ID: "m3", Asset: "f3", PoweredBy: auxiliary, Supply: "bus", PollEvery: byPoll}, phases...)
			meter(&m, Device{ID: "m4", Asset: "f4", PoweredBy: auxiliary, Supply: "another", PollEvery: byPoll}, phases...)
			r := newRig(t, m, Rule{Use: "supervision"})
			read := func(from, until int) {
				for s := from; s <= until; s++ {
					r.volts(s, s, "m4", phases, 0)
					if c.other != nil {
						r.volts(s, s, "m2", phases, c.other)
					}
					if c.third != nil {
						r.volts(s, s, "m3", phases, c.third)
					}
					r.tick(float64(s) + 0.01)
				}
			}
			answer := func(s float64) { r.read(s, "m1", "ChLiv", true, phases[0], 230, phases[1], 230, phases[2], 230) }
			answer(0)
			read(0, 9)
			r.read(10, "m1", "ChLiv", false)
			read(10, 20)
			r.want("10 raised " + c.want)
			answer(21)
			read(21, 24)
			r.want("21 cleared " + c.want)
		})
	}
}

func TestASupplyWithOneLivePhaseIsAlive(t *testing.T) {
	for _, v := range [][3]any{{230, 0, 0}, {0, 0, 230}, {0, silent{}, 230}} {
		m := Model{}
		meter(&m, Device{ID: "m1", Asset: "f1", PoweredBy: PoweredByMeasured, Supply: "bus", PollEvery: byPoll}, phases...)
		meter(&m, Device{ID: "m2", Asset: "f2", PoweredBy: PoweredByAuxiliary, Supply: "bus", PollEvery: byPoll}, phases...)
		r := newRig(t, m, Rule{Use: "supervision"})
		r.read(0, "m1", "ChLiv", false)
		for s := range 12 {
			r.read(float64(s), "m2", phases[0], v[0], phases[1], v[1], phases[2], v[2])
		}
		r.want("0 raised device-silent")
	}
}

func TestSupervisionFollowsTheEvidence(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PoweredBy: PoweredByMeasured, Supply: "bus", PollEvery: byPoll}, phases...)
	meter(&m, Device{ID: "m2", Asset: "f2", PoweredBy: PoweredByAuxiliary, Supply: "bus", PollEvery: byPoll}, phases...)
	r := newRig(t, m, Rule{Use: "supervision"})
	next := 0
	read := func(until int, v any) {
		for ; next <= until; next++ {
			r.volts(next, next, "m2", phases, v)
			r.tick(float64(next) + 0.01)
		}
	}
	read(9, 230)
	r.read(9.5, "m1", "ChLiv", false)
	read(10, 230) // still read alive after the other fell silent
	read(20, 0)
	r.want("11 raised supply-suspect")

	read(21, silent{}) // one poll without an answer changes nothing
	read(30, 0)
	r.want()
	read(40, silent{})
	r.want("31 cleared supply-suspect", "31 raised supply-unknown")
	read(50, 230)
	r.want("41 cleared supply-unknown")
	read(52, 230) // ten seconds to start, and it still doesn't answer
	r.want("41 raised device-silent")
}

func TestLibrarySourcesItsNumbers(t *testing.T) {
	for _, name := range libraryNames() {
		f, err := openLibrary(name)
		if err != nil {
			t.Error(err)
		}
		for key, p := range f.Parameters {
			if p.Source == "" || p.Default.Unit == "" && key != "shots" || p.Default.Value <= 0 {
				t.Errorf("%s: parameter %s is %+v", name, key, p)
			}
		}
	}
}

func TestUseOverrides(t *testing.T) {
	m := feeder(phases...)
	meter(&m, Device{ID: "m2", Asset: "f2", PollEvery: byPoll}, phases...)
	r := newRig(t, m, Rule{Use: "en50160/voltage-interruption", On: Target{Asset: "f2"}, For: lasting(0), KeepFiringFor: lasting(time.Second), Priority: telemetry.Critical})
	r.volts(0, 0, "m1", phases, 0)
	r.want()
	r.volts(1, 1, "m2", phases, 0)
	if len(r.events) != 1 || r.events[0].Alarm.Priority != telemetry.Critical || r.events[0].Alarm.Asset != "f2" {
		t.Fatal(fmt.Sprint(r.events))
	}
	r.volts(2, 3, "m2", phases, 230)
	r.want("1 raised voltage-interruption", "2 cleared voltage-interruption")
}
