package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// epoch is when the tests' clock starts.
const epoch = telemetry.Micros(1_780_000_000_000_000)

func at(seconds float64) telemetry.Micros {
	return epoch + telemetry.Micros(math.Round(seconds*1e6))
}

func seconds(t telemetry.Micros) float64 { return float64(t-epoch) / 1e6 }

func lasting(d time.Duration) *configfile.Duration { return new(configfile.Duration(d)) }

// meter is a device with the given signals: PhV in V, A in A, Tmp in Cel,
// ChLiv and Pos as states.
func meter(m *Model, d Device, names ...string) {
	m.Devices = append(m.Devices, d)
	for _, name := range slices.Concat(names, []string{telemetry.ChannelLive}) {
		s := telemetry.Signal{ID: telemetry.SignalID(len(m.Signals) + 1), Device: d.ID, Asset: d.Asset, Name: name, Kind: telemetry.Gauge}
		switch {
		case strings.HasPrefix(name, "PhV."):
			s.Unit = "V"
		case strings.HasPrefix(name, "A."):
			s.Unit = "A"
		case strings.HasSuffix(name, "Tmp"):
			s.Unit = "Cel"
		default:
			s.Unit, s.Kind = "1", telemetry.State
		}
		m.Signals = append(m.Signals, s)
	}
}

// rig feeds an engine and notes what it emits.
type rig struct {
	t      testing.TB
	model  Model
	engine *Engine
	events []telemetry.Event
	now    time.Time // of the latest read or tick
}

func newRig(t testing.TB, m Model, entries ...Rule) *rig {
	t.Helper()
	m.Gateway = "north-gw1"
	e, problems := Compile(entries, m)
	for _, p := range problems {
		t.Fatal(p)
	}
	return &rig{t: t, model: m, engine: e}
}

func (r *rig) emit(e telemetry.Event) { r.events = append(r.events, e) }

// Samples that aren't just a number.
type (
	silent  struct{} // bad, without a value
	flagged struct {
		value   float64
		quality telemetry.Quality
	}
	before struct { // taken earlier than the others, in seconds
		value, by float64
	}
)

// sample is one signal's sample at t.
func (r *rig) sample(t float64, device, name string, v any) telemetry.Sample {
	r.t.Helper()
	for _, s := range r.model.Signals {
		if s.Device != device || s.Name != name {
			continue
		}
		out := telemetry.Sample{Time: at(t), Signal: s.ID}
		switch v := v.(type) {
		case float64:
			out.Value = telemetry.FloatValue(v)
		case int:
			out.Value = telemetry.FloatValue(float64(v))
		case bool:
			out.Value = telemetry.BoolValue(v)
		case telemetry.Value:
			out.Value = v
		case silent:
			out.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
		case flagged:
			out.Value, out.Quality = telemetry.FloatValue(v.value), v.quality
		case before:
			out.Value, out.Time = telemetry.FloatValue(v.value), at(t-v.by)
		default:
			r.t.Fatalf("sample of %T", v)
		}
		return out
	}
	r.t.Fatalf("no signal %s of %s", name, device)
	panic("unreachable")
}

// read is one exchange at t, received 5 ms later: name, value, name, value …
func (r *rig) read(t float64, device string, values ...any) {
	r.t.Helper()
	var samples []telemetry.Sample
	for i := 0; i < len(values); i += 2 {
		samples = append(samples, r.sample(t, device, values[i].(string), values[i+1]))
	}
	r.now = at(t + 0.005).Time()
	r.engine.Update(r.now, samples, r.emit)
}

func (r *rig) tick(t float64) {
	r.now = at(t).Time()
	r.engine.Tick(r.now, r.emit)
}

// want compares the events so far, written like "1.5 raised hot", and forgets
// them.
func (r *rig) want(events ...string) {
	r.t.Helper()
	var got []string
	for _, e := range r.events {
		if e.Alarm == nil {
			continue
		}
		got = append(got, fmt.Sprintf("%g %s %s", seconds(e.Time), strings.TrimPrefix(string(e.Kind), "alarm-"), e.Alarm.Rule))
	}
	if fmt.Sprint(got) != fmt.Sprint(events) {
		r.t.Errorf("events %q, expected %q", got, events)
	}
	r.events = nil
}
