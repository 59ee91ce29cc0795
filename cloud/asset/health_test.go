package asset

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const town = `
zones: [{id: zone}, {id: elsewhere}]
sources: [{id: grid, node: bar, voltage: 20 kV}]
substations: [{id: station, zone: zone}]
nodes: [{id: bar, type: busbar, voltage: 20 kV, substation: station}]
switches: [{id: b, from: bar, to: f, type: breaker, substation: station, signal: Pos, device: bay, gateway: gw}]
feeders: [{id: feeder, head: b}]
lines: [{id: l, from: f, to: e, rated_current: 100 A, voltage: 20 kV}, {id: bare, from: e, to: e2}]
transformers: [{id: t, from: e, to: lv, high_voltage: 20 kV, low_voltage: 400 V, rated_power: 400 kVA}]
service_points: [{id: p, node: lv, customers: 1}, {id: q, node: lv, customers: 1}]
`

// house is a store with a network, and a gateway that measures it.
type house struct {
	*testing.T
	store  *store.Store
	net    *network.Network
	places map[string]store.Place // by asset and signal
	latest map[int64]map[telemetry.SignalID]telemetry.Sample
	now    telemetry.Micros
}

func newHouse(t *testing.T) *house {
	h := &house{T: t, store: storetest.Open(t), places: map[string]store.Place{}, latest: map[int64]map[telemetry.SignalID]telemetry.Sample{}, now: telemetry.MicrosOf(time.Now()) / tenMinutes * tenMinutes}
	m, findings := gridfile.ReadYAML("town.yaml", []byte(town))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(t.Context(), h.store); err != nil {
		t.Fatal(err, m.Check(0))
	}
	var err error
	if h.net, err = network.NewHolder(h.store).Current(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) write(do func(*store.Tx) error) {
	h.Helper()
	if err := h.store.Write(h.Context(), do); err != nil {
		h.Fatal(err)
	}
}

func (h *house) exec(query string, args ...any) {
	h.Helper()
	h.write(func(tx *store.Tx) error { _, err := tx.Exec(query, args...); return err })
}

// measured has the gateway measure signals, by their asset, name and unit.
func (h *house) measured(signals ...[3]string) {
	h.Helper()
	birth := record.Birth{Gateway: "gw", Zone: "zone", Table: "000000000000000a", Version: 1, Parts: 1}
	for i, s := range signals {
		birth.Signals = append(birth.Signals, telemetry.Signal{ID: telemetry.SignalID(i + 1), Device: "bay", Name: s[1], Unit: s[2], Asset: s[0], Kind: telemetry.Gauge})
		if s[0] != "b" {
			birth.Signals[i].Device = s[0] + "-meter"
		}
	}
	h.write(func(tx *store.Tx) error { return tx.SaveBirth(birth) })
	h.write(func(tx *store.Tx) error { return tx.SavePresence("gw", telemetry.Presence{Every: 60_000_000}) })
	table, err := h.store.SignalTable(h.Context(), "gw", 0xa)
	if err != nil {
		h.Fatal(err)
	}
	for i, s := range signals {
		h.places[s[0]+" "+s[1]] = table[telemetry.SignalID(i+1)]
	}
}

// samples are stored ten minutes apart, the last one ten minutes ago; NaN is a bad one.
func (h *house) samples(of string, values ...float64) {
	h.Helper()
	at := h.places[of]
	h.write(func(tx *store.Tx) error {
		var enc telemetry.Encoder
		for i, v := range values {
			s := telemetry.Sample{Signal: at.Series, Time: h.now - telemetry.Micros(len(values)-i)*tenMinutes, Value: telemetry.FloatValue(v)}
			if v != v {
				s.Value, s.Quality = telemetry.FloatValue(0), telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
			}
			block, err := enc.AppendBlock(nil, telemetry.TableRef{}, []telemetry.Sample{s})
			if err != nil {
				return err
			}
			if err := tx.AddChunk(store.Chunk{Bundle: at.Bundle, Minute: store.MinuteOf(s.Time), First: s.Time, Last: s.Time, Samples: 1, Block: block}); err != nil {
				return err
			}
			if h.latest[at.Bundle] == nil {
				h.latest[at.Bundle] = map[telemetry.SignalID]telemetry.Sample{}
			}
			h.latest[at.Bundle][at.Series] = s
		}
		var newest []telemetry.Sample
		for _, id := range slices.Sorted(maps.Keys(h.latest[at.Bundle])) {
			newest = append(newest, h.latest[at.Bundle][id])
		}
		block, err := enc.AppendBlock(nil, telemetry.TableRef{}, newest)
		if err != nil {
			return err
		}
		return tx.SaveLatest(at.Bundle, block)
	})
}

func (h *house) of(id string) AssetHealth {
	h.Helper()
	out, err := HealthOf(h.Context(), h.store, h.net, id, h.now)
	if err != nil {
		h.Fatal(err)
	}
	return out
}

// Of what nothing measures nothing is known, but what its network says.
func TestUnmeasured(t *testing.T) {
	h := newHouse(t)
	for id, want := range map[string]string{
		"l":       "live; not-measured not-measured not-measured not-measured; not-applicable not-measured not-measured",
		"b":       "live; not-measured not-measured not-measured not-measured; not-measured not-measured not-applicable",
		"t":       "live; not-measured not-measured not-measured not-measured; not-applicable not-measured not-measured",
		"p":       "not-heard; not-measured not-measured not-measured not-measured; not-applicable not-measured not-applicable",
		"feeder":  "live; not-measured not-measured not-measured not-measured; not-applicable not-measured not-applicable",
		"station": "live; not-measured not-measured not-measured not-measured; not-applicable not-measured not-applicable",
		"zone":    "not-applicable; not-measured not-measured not-measured not-measured; not-applicable not-measured not-applicable",
	} {
		o := h.of(id)
		got := fmt.Sprintf("%s%s; %s %s %s %s; %s %s %s", o.Supply.State, o.Supply.Unknown, o.Communication.Unknown, o.Completeness.Unknown, o.Quality.Unknown, o.Alarms.Unknown, o.Operations.Unknown, o.Voltage.Unknown, o.Loading.Unknown)
		if got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if _, err := HealthOf(t.Context(), h.store, h.net, "nothing", h.now); !errors.Is(err, store.ErrNoAsset) {
		t.Error(err)
	}
	if _, err := HealthOf(store.InZones(t.Context(), []string{"elsewhere"}), h.store, h.net, "b", h.now); !errors.Is(err, store.ErrNoAsset) {
		t.Errorf("of another zone: %v", err)
	}
}

func TestHealth(t *testing.T) {
	h := newHouse(t)
	h.measured([3]string{"l", "A.phsA", "A"}, [3]string{"l", "A.phsB", "kA"}, [3]string{"l", "PPV.phsAB", "kV"}, [3]string{"b", "Pos", "1"}, [3]string{"b", "OpCnt", "1"},
		[3]string{"t", "PhV.phsA", "V"}, [3]string{"t", "TotVA", "kV.A"}, [3]string{"p", "PhV.phsA", "V"}, [3]string{"bare", "A.phsA", "A"})
	bad := math.NaN()
	h.samples("l A.phsA", 60, -80, 70, bad)
	h.samples("l A.phsB", 0.01, 0.02, 0.02)
	h.samples("l PPV.phsAB", 20, 21, 22.5, 17.9, 0.2, bad)
	h.samples("b OpCnt", 7)
	h.samples("t PhV.phsA", 230, 200, 231)
	h.samples("t TotVA", 100, 500, bad)
	h.samples("bare A.phsA", 10)

	l := h.of("l")
	if c := l.Communication; c.Signals != 3 || c.Valueless != 0 || c.Gateways != 1 || c.Heard != 1 || *c.Newest != h.now-tenMinutes {
		t.Errorf("communication: %+v", c)
	}
	if q := l.Quality; q.Unknown != "" || q.Samples != 13 || q.Good != 11 || q.Signals != 3 || q.From != h.now-week {
		t.Errorf("quality: %+v", q)
	}
	if c := l.Completeness; c.Unknown != NoAccount || c.Devices != 1 || c.Looked != 1 {
		t.Errorf("completeness: %+v", c)
	}
	// The least and the most are of those with voltage: 17.9 and 22.5 of 20 kV.
	if v := l.Voltage; v.Unknown != "" || v.Nominal != 20_000 || v.Intervals != 5 || v.Of != 1008 || v.Without != 1 || v.Outside != 2 || *v.Least != 0.895 || *v.Most != 1.125 || v.Interval != tenMinutes {
		t.Errorf("voltage: %+v", v)
	}
	if c := l.Loading; c.Unknown != "" || c.Peak != 80 || c.Rated != 100 || c.Signal != "A.phsA" || c.PeakAt != h.now-3*tenMinutes || c.Intervals != 6 || c.Of != 2016 {
		t.Errorf("loading: %+v", c)
	}
	tr := h.of("t")
	// Phase to neutral, of its lower side.
	if v := tr.Voltage; v.Unknown != "" || v.Nominal != 400 || v.Intervals != 3 || v.Outside != 1 || math.Abs(*v.Most-231*math.Sqrt(3)/400) > 1e-9 {
		t.Errorf("voltage of the transformer: %+v", v)
	}
	if c := tr.Loading; c.Peak != 500_000 || c.Rated != 400_000 || c.Unit != "V.A" {
		t.Errorf("loading of the transformer: %+v", c)
	}
	if c := h.of("bare").Loading; c.Unknown != NoRating {
		t.Errorf("of a line without a rating: %+v", c)
	}
	if o := h.of("p"); o.Voltage.Unknown != NoSamples || o.Quality.Unknown != NoSamples || o.Communication.Valueless != 1 || o.Supply.State != "" || o.Supply.Unknown != NotHeard {
		t.Errorf("of a meter that has told nothing: %+v", o)
	}
	for _, of := range []struct {
		says  string
		volts []float64
		state string
		why   Why
	}{{"voltage", []float64{231}, "live", ""}, {"none", []float64{231, 0}, "dead", ""}, {"a timeout", []float64{231, bad}, "", Uncertain}} {
		h.samples("p PhV.phsA", of.volts...)
		if o := h.of("p").Supply; o.State != of.state || o.Unknown != of.why {
			t.Errorf("of a meter that says %s: %+v", of.says, o)
		}
	}
	h.samples("p PhV.phsA", 231, 231, 231, 231, 231, 231, 231)
	h.now += 2 * desk.CurrentFor
	if o := h.of("p").Supply; o.State != "" || o.Unknown != Uncertain {
		t.Errorf("of a meter that said so two hours ago: %+v", o)
	}
	h.now -= 2 * desk.CurrentFor
	if o := h.of("q"); o.Supply.State != "live" { // by the transformer's meter
		t.Errorf("of a service point whose transformer is measured: %+v", o.Supply)
	}
	if o := h.of("b").Operations; o.Unknown != "" || *o.Counter != 7 || o.Since != nil {
		t.Errorf("operations: %+v", o)
	}

	h.write(func(tx *store.Tx) error { return tx.MarkSilent("gw", 1) })
	if o := h.of("l"); o.Communication.Heard != 0 {
		t.Errorf("of a silent gateway: %+v", o.Communication)
	}
	for _, point := range []string{"p", "q"} {
		if o := h.of(point); o.Supply.Unknown != NotHeard || o.Supply.State != "" {
			t.Errorf("of a silent gateway: %s: %+v", point, o.Supply)
		}
	}
}

// Of a meter with many registers, those of voltage and loading are summed up first.
func TestManySignals(t *testing.T) {
	h := newHouse(t)
	var signals [][3]string
	for i := range 60 {
		signals = append(signals, [3]string{"t", fmt.Sprintf("Har.%02d", i), "1"})
	}
	signals = append(signals, [3]string{"t", "PhV.phsA", "V"}, [3]string{"t", "TotVA", "kV.A"})
	for i := range 40 {
		signals = append(signals, [3]string{"l", fmt.Sprintf("A.%02d", i), "A"})
	}
	h.measured(signals...)
	h.samples("t PhV.phsA", 230)
	h.samples("t TotVA", 100)
	h.samples("l A.39", 10)
	o := h.of("t")
	if o.Voltage.Unknown != "" || o.Loading.Unknown != "" || o.Quality.Signals != 32 || o.Quality.Of != 62 || o.Quality.Samples != 2 {
		t.Errorf("of the transformer: %+v, %+v, %+v", o.Voltage, o.Loading, o.Quality)
	}
	if c := h.of("l").Loading; c.Unknown != TooMany {
		t.Errorf("of the line, of which the only signal with samples was left out: %+v", c)
	}
}

func TestCounts(t *testing.T) {
	h := newHouse(t)
	h.measured([3]string{"b", "Pos", "1"}, [3]string{"p", "PhV.phsA", "V"})
	ago := func(days float64) int64 { return int64(h.now) - int64(days*float64(day)) }
	for i, of := range []struct {
		raised float64
		active bool
	}{{1, true}, {20, false}, {100, false}, {400, false}} {
		h.exec(`INSERT INTO alarm (id, gateway, rule, asset, device, priority, summary, active, acknowledged, raised, decided, acknowledged_by, comment) VALUES (?, 'gw', 'r', 'b', 'bay', 'high', '', ?, FALSE, ?, 0, '', '')`,
			fmt.Sprint(i), of.active, ago(of.raised))
	}
	for _, e := range []struct {
		days     float64
		position string
	}{{500, "closed"}, {400, "open"}, {399, "closed"}, {100, "open"}, {99, "normal"}, {98, "open"}, {97, "closed"}, {3, "open"}, {2, "closed"}, {1, "closed"}} {
		h.exec(`INSERT INTO switching_entry (asset, at, position, phases, cut, tag, gateway, actor, comment) VALUES ('b', ?, ?, '', FALSE, '', '', '', '')`, ago(e.days), e.position)
	}
	outage := func(id, state, class, plan string, found float64) {
		h.exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, plan, found, over, told, data) VALUES (?, ?, 'zone', 'feeder', 'b', '', ?, ?, ?, 1, ?)`,
			id, state, plan, ago(found), map[bool]int{true: 1}[state == "completed"], fmt.Sprintf(`{"class": %q}`, class))
	}
	outage("long", "completed", "sustained", "", 50)
	outage("short", "completed", "momentary", "", 40)
	outage("wrong", "dismissed", "sustained", "", 30)
	outage("plan", "completed", "planned", "x", 20)
	outage("old", "completed", "sustained", "", 380)
	lost := func(id string, days, minutes float64) {
		h.exec(`INSERT INTO outage_point (outage, point, customers, since, until) VALUES (?, 'p', 1, ?, ?)`, id, ago(days), ago(days)+int64(minutes*60e6))
	}
	lost("long", 50, 60)
	lost("short", 40, 3)
	lost("wrong", 30, 500)
	lost("plan", 20, 30)
	lost("old", 380, 100)
	h.exec(`INSERT INTO outage_earlier (outage, number, point, customers, since, until) VALUES ('long', 1, 'p', 1, ?, ?)`, ago(51), ago(51)+60e6)

	b, p := h.of("b"), h.of("p")
	if a := b.Alarms; a.Unknown != "" || a.Active != 1 || a.Month != 2 || a.Year != 3 {
		t.Errorf("alarms: %+v", a)
	}
	if o := b.Operations; o.Unknown != "" || o.Month != 2 || o.Year != 4 || int64(*o.Since) != ago(399) {
		t.Errorf("operations: %+v", o)
	}
	if i := b.Interruptions; i.Sustained != 2 || i.Momentary != 1 || i.Planned != 1 || i.Minutes != nil {
		t.Errorf("of the breaker: %+v", i)
	}
	if i := h.of("feeder").Interruptions; i.Sustained != 2 || i.Momentary != 1 {
		t.Errorf("of the feeder: %+v", i)
	}
	if i := p.Interruptions; i.Sustained != 2 || i.Momentary != 2 || i.Planned != 1 || math.Abs(*i.Minutes-94) > 1e-9 {
		t.Errorf("of the service point: %+v, %v min", i, *i.Minutes)
	}
	if h.of("station").Interruptions.Unknown != NotApplicable {
		t.Error("a substation is no device")
	}

	// One that goes on is out of supply, and one that isn't confirmed isn't known.
	outage("now", "probable", "open", "", 0.5)
	h.exec(`INSERT INTO outage_point (outage, point, customers, since, until) VALUES ('now', 'p', 1, ?, 0)`, ago(0.5))
	if s := h.of("p").Supply; s.Unknown != Uncertain || s.State != "" || fmt.Sprint(s.Outages) != "[now]" {
		t.Errorf("of a probable outage: %+v", s)
	}
	if s := h.of("l").Supply; s.Unknown != Uncertain {
		t.Errorf("of what is behind it: %+v", s)
	}
	h.exec(`UPDATE outage SET state = 'confirmed' WHERE id = 'now'`)
	if s := h.of("p").Supply; s.Unknown != "" || s.State != "dead" {
		t.Errorf("of a confirmed outage: %+v", s)
	}
	for id, want := range map[string]string{"l": "dead", "b": "part", "bar": "live", "grid": "live", "feeder": "dead", "station": "live"} {
		if s := h.of(id).Supply; s.State != want {
			t.Errorf("%s of a confirmed outage: %+v, want %s", id, s, want)
		}
	}
	if i := h.of("p").Interruptions; i.Sustained != 3 || math.Abs(*i.Minutes-94-720) > 1e-9 {
		t.Errorf("with one that goes on: %+v, %v min", i, *i.Minutes)
	}
}
