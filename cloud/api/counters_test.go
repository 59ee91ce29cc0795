package api

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// named is a birth of a counter and of a state with names.
func (b *bench) named(version uint32, states telemetry.States) {
	b.t.Helper()
	birth := record.Birth{Gateway: "gw", Site: "north", Zone: "z", Table: fmt.Sprintf("%016x", 7), Version: version, Parts: 1, Signals: []telemetry.Signal{
		{ID: 1, Device: "meter", Name: "DmdWh", Unit: "W.h", Asset: "feeder-2", Kind: telemetry.Counter},
		{ID: 2, Device: "meter", Name: "St", Unit: "1", Asset: "feeder-2", Kind: telemetry.State, States: states},
	}}
	if version > 2 {
		birth.Signals = append(birth.Signals, telemetry.Signal{ID: 3, Device: "meter", Name: "Evt", Unit: "1", Kind: telemetry.State, Flags: telemetry.Flags{0: "ground fault", 40: "late"}})
	}
	payload, err := json.Marshal(birth)
	if err != nil {
		b.t.Fatal(err)
	}
	b.produce(b.topics.Births(), birth.Key(), record.FormatBirth, record.Identity{Gateway: "gw"}, payload)
}

// seriesNamed waits until the series of a name is right.
func (b *bench) seriesNamed(name string, right func(s map[string]any) bool) (found map[string]any) {
	b.t.Helper()
	b.eventually("/api/v1/series", func(a map[string]any) bool {
		for _, s := range a["series"].([]any) {
			if s := s.(map[string]any); s["name"] == name && right(s) {
				found = s
			}
		}
		return found != nil
	})
	return found
}

// The names of values come with the births, also under the version that was known
// before, and are shown beside the number.
func TestValuesHaveNames(t *testing.T) {
	b := newBench(t)
	b.named(2, telemetry.States{2: "running"})
	at := telemetry.MicrosOf(time.Now()) - 5_000_000
	b.samples(telemetry.Sample{Signal: 2, Time: at, Value: telemetry.UintValue(2)}, telemetry.Sample{Signal: 2, Time: at + 1, Value: telemetry.UintValue(7)},
		telemetry.Sample{Signal: 2, Time: at + 2, Value: telemetry.UintValue(2)})
	s := b.seriesNamed("St", func(s map[string]any) bool { return s["latest"] != nil })
	if got, want := fmt.Sprint(s["states"], s["latest"].(map[string]any)["state"], s["latest"].(map[string]any)["v"]), "map[2:running]running2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	_, answer := b.call("GET", fmt.Sprintf("/api/v1/series/%v/samples?from_us=%d&to_us=%d", s["id"], at, at+10), "")
	var names []any
	for _, sample := range answer["samples"].([]any) {
		names = append(names, sample.(map[string]any)["state"])
	}
	if fmt.Sprint(names) != "[running <nil> running]" {
		t.Errorf("%v", names)
	}
	b.named(2, telemetry.States{2: "feeding in"})
	again := b.seriesNamed("St", func(s map[string]any) bool { return fmt.Sprint(s["states"]) == "map[2:feeding in]" })
	if again["id"] != s["id"] {
		t.Errorf("with other names it is series %v, was %v", again["id"], s["id"])
	}
	b.named(3, nil)
	b.seriesNamed("St", func(s map[string]any) bool { return s["states"] == nil })
	if evt := b.seriesNamed("Evt", func(map[string]any) bool { return true }); fmt.Sprint(evt["flags"]) != "map[0:ground fault 40:late]" {
		t.Errorf("%v", evt)
	}
}

// What gateways tell of their counters is there, by time and by series, and once
// however often it comes.
func TestCounterChanges(t *testing.T) {
	b := newBench(t)
	told := func(kind telemetry.EventKind, at telemetry.Micros, before, after, modulus float64) {
		b.event(telemetry.Event{Kind: kind, Time: at, Decided: at + 2, Counter: &telemetry.CounterChange{
			Signal: 1, Device: "meter", Name: "DmdWh", Unit: "W.h", Asset: "feeder-2", Before: before, BeforeTime: at - 1, After: after, AfterTime: at, Modulus: modulus}})
	}
	told(telemetry.CounterRolledOver, 1_000_000, 65530, 4, 65536)
	told(telemetry.CounterReset, 2_000_000, 70000, 20, 0)
	told(telemetry.CounterReset, 2_000_000, 70000, 20, 0)
	told(telemetry.CounterReset, 9_000_000, 1, 0, 0)
	const path = "/api/v1/counter-changes?from_us=0&to_us=9000000"
	answer := b.eventually(path, func(a map[string]any) bool { return len(a["changes"].([]any)) == 2 })
	got, err := json.Marshal(answer["changes"])
	want := `[{"after":20,"after_us":2000000,"asset":"feeder-2","before":70000,"before_us":1999999,"device":"meter","gateway":"gw","kind":"counter-reset","modulus":0,"name":"DmdWh","series":0,"unit":"W.h"},` +
		`{"after":4,"after_us":1000000,"asset":"feeder-2","before":65530,"before_us":999999,"device":"meter","gateway":"gw","kind":"counter-rolled-over","modulus":65536,"name":"DmdWh","series":0,"unit":"W.h"}]`
	if err != nil || string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	b.named(2, nil)
	id := b.seriesNamed("DmdWh", func(map[string]any) bool { return true })["id"]
	b.eventually(fmt.Sprintf("%s&series=%v", path, id), func(a map[string]any) bool { return len(a["changes"].([]any)) == 2 })
	if _, other := b.call("GET", path+"&series=99", ""); len(other["changes"].([]any)) != 0 {
		t.Errorf("of another series: %v", other)
	}
	if status, answer := b.call("GET", "/api/v1/counter-changes?from_us=1&to_us=1", ""); status != 422 {
		t.Errorf("%d %v", status, answer)
	}
}
