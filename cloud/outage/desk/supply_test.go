package desk

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const halves = `
sources: [{id: grid, node: hv, voltage: 110 kV}]
nodes: [{id: bar, type: busbar, voltage: 20 kV}]
transformers: [{id: t, from: hv, to: bar, high_voltage: 110 kV, low_voltage: 20 kV}]
switches:
  - {id: b1, from: bar, to: f1, type: breaker, signal: Pos, device: rtu, gateway: gw}
  - {id: b2, from: bar, to: f2, type: breaker}
feeders: [{id: feeder-1, head: b1}, {id: feeder-2, head: b2}]
lines: [{id: l1, from: f1, to: e1}, {id: l2, from: f2, to: e2}]
service_points: [{id: p1, node: e1, customers: 1}, {id: p2, node: e2, customers: 1}]
`

// What is measured, said and concluded makes up how the network is operated.
func TestOperation(t *testing.T) {
	s := storetest.Open(t)
	m, findings := gridfile.ReadYAML("halves.yaml", []byte(halves))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(t.Context(), s); err != nil {
		t.Fatal(err, m.Check(0))
	}
	n, err := network.NewHolder(s).Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := func(do func(*store.Tx) error) {
		t.Helper()
		if err := s.Write(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	exec := func(query string, args ...any) {
		t.Helper()
		write(func(tx *store.Tx) error { _, err := tx.Exec(query, args...); return err })
	}
	write(func(tx *store.Tx) error {
		return tx.SaveBirth(record.Birth{Gateway: "gw", Table: "000000000000000a", Version: 1, Parts: 1, Signals: []telemetry.Signal{
			{ID: 1, Device: "rtu", Name: "Pos", Unit: "1", Asset: "b1", Kind: telemetry.State}, {ID: 2, Device: "rtu", Name: "PPV.phsAB", Unit: "kV", Asset: "hv", Kind: telemetry.Gauge},
			{ID: 3, Device: "rtu", Name: "PhV.phsA", Unit: "V", Asset: "bar", Kind: telemetry.Gauge}, {ID: 4, Device: "rtu", Name: "PhV.phsB", Unit: "V", Asset: "bar", Kind: telemetry.Gauge}}})
	})
	write(func(tx *store.Tx) error { return tx.SavePresence("gw", telemetry.Presence{Every: 60_000_000}) })
	places, err := s.SignalTable(t.Context(), "gw", 0xa)
	if err != nil {
		t.Fatal(err)
	}
	const bad = -1
	// measure has position, the source's voltage in kV, and those of the busbar in V.
	measure := func(values ...float64) {
		t.Helper()
		var samples []telemetry.Sample
		for i, v := range values {
			of := telemetry.Sample{Signal: places[telemetry.SignalID(i+1)].Series, Time: telemetry.MicrosOf(time.Now()), Value: telemetry.FloatValue(v)}
			if v == bad {
				of.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)
			}
			samples = append(samples, of)
		}
		var enc telemetry.Encoder
		block, err := enc.AppendBlock(nil, telemetry.TableRef{}, samples)
		if err != nil {
			t.Fatal(err)
		}
		write(func(tx *store.Tx) error { return tx.SaveLatest(places[1].Bundle, block) })
	}
	says := func(what, want string) {
		t.Helper()
		o, err := Operation(t.Context(), s, n, []int{n.Node("bar")})
		if err != nil {
			t.Fatal(err)
		}
		is, got := n.Supplied(o, nil), ""
		for _, node := range []string{"hv", "bar", "e1", "e2"} {
			got += fmt.Sprint(is[n.Node(node)], " ")
		}
		if got != want+" " {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	says("nothing has come yet", "unknown unknown unknown unknown")
	measure(posClosed, 110, 11_500, 11_600)
	says("all is measured", "live live live live")
	measure(posOpen, 110, 11_500, 11_600)
	says("a switch is measured to be open", "live live dead live")
	measure(bad, 110, 11_500, 11_600)
	says("its position is bad", "live live unknown live")
	measure(posClosed, 0.4, 11_500, 11_600)
	says("the source is dead", "dead dead dead dead")
	measure(posClosed, bad, 11_500, 11_600)
	says("the source's voltage is bad", "unknown unknown unknown unknown")
	measure(posClosed, 110, 12, 11_600)
	says("a phase of the busbar is lost", "live live live live")
	measure(posClosed, 110, 12, 570)
	says("the busbar is dead", "live dead dead dead")
	measure(posClosed, 110, bad, bad)
	says("that of the busbar is bad", "live live live live")
	write(func(tx *store.Tx) error { return tx.MarkSilent("gw", 1) })
	says("the gateway is silent", "unknown unknown unknown unknown")
	measure(posOpen, 110, bad, bad)
	says("and it was open then", "unknown unknown dead unknown")
	write(func(tx *store.Tx) error { return tx.MarkSilent("gw", 0) })

	measure(posClosed, 110, 11_500, 11_600)
	if _, err := Operate(t.Context(), s, Operated{Asset: "b2", Position: "open", At: Now(), By: "Ana"}); err != nil {
		t.Fatal(err)
	}
	says("one is said to be open", "live live live dead")
	if _, err := Operate(t.Context(), s, Operated{Asset: "b2", Position: "normal", At: Now(), By: "Ana"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Operate(t.Context(), s, Operated{Asset: "l1", Cut: new(true), At: Now(), By: "Ana"}); err != nil {
		t.Fatal(err)
	}
	says("a line is cut", "live live dead live")
	exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, plan, found, over, told, data) VALUES ('o', 'suspected', '', '', 't', '', '', 1, 0, 1, '{}')`)
	for state, want := range map[string]string{"suspected": "live unknown dead unknown", "probable": "live unknown dead unknown", "confirmed": "live dead dead dead", "repaired": "live dead dead dead", "restored": "live live dead live"} {
		exec(`UPDATE outage SET state = ?`, state)
		says("an outage is "+state, want)
	}
	exec(`UPDATE outage SET over = 1, state = 'confirmed'`)
	says("it is over", "live live dead live")

	// An outage of a device that is closed since.
	if _, err := Operate(t.Context(), s, Operated{Asset: "l1", Cut: new(false), At: Now(), By: "Ana"}); err != nil {
		t.Fatal(err)
	}
	found := Now()
	outageOf := func(device, state, data string, out ...string) {
		exec(`DELETE FROM outage_point`)
		exec(`DELETE FROM outage`)
		exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, plan, found, over, told, data) VALUES ('o', ?, '', '', ?, '', '', ?, 0, 1, ?)`, state, device, int64(found), data)
		for _, p := range out {
			exec(`INSERT INTO outage_point (outage, point, customers, since, until) VALUES ('o', ?, 1, 1, 0)`, p)
		}
	}
	outageOf("b1", "confirmed", `{"points": 2, "points_out": 2}`, "p1", "p2")
	says("its device was measured before", "live live dead live")
	measure(posClosed, 110, 11_500, 11_600)
	says("and is closed after, with nobody back", "live live unknown live")
	outageOf("b1", "confirmed", `{"points": 2, "points_out": 1}`, "p2")
	says("and of which a part is back", "live live live dead")
	outageOf("b1", "probable", `{"points": 2, "points_out": 1}`, "p2")
	says("that isn't sure", "live live unknown live")
	outageOf("b1", "confirmed", `{"class": "phase-loss", "points": 1}`)
	says("of a phase only", "live live live live")
	outageOf("b2", "confirmed", `{"points": 2, "points_out": 1}`, "p1")
	says("of a device of which nobody says", "live live live dead")
	if _, err := Operate(t.Context(), s, Operated{Asset: "b2", Position: "closed", At: Now(), By: "Ana"}); err != nil {
		t.Fatal(err)
	}
	says("that is said to be closed", "live live dead live")
	exec(`DELETE FROM outage_point`)
	exec(`DELETE FROM outage`)

	exec(`UPDATE presence SET every = 0`)
	says("the gateway doesn't say any more how often it can be heard", "unknown unknown unknown unknown")
	exec(`UPDATE presence SET every = 60000000`)
}

// A voltage says how it is now only if it is of the series begun last, good, not old, and if its
// nominal value is known; and of a node with several sources each speaks for itself.
func TestVoltageSays(t *testing.T) {
	s := storetest.Open(t)
	now := Now()
	const model = `
sources: [{id: one, node: hv, voltage: 110 kV}, {id: two, node: hv, voltage: 110 kV}]
nodes: [{id: bare, type: busbar}]
lines: [{id: l, from: hv, to: bare}]
service_points: [{id: p, node: bare, customers: 1}]
`
	m, findings := gridfile.ReadYAML("two.yaml", []byte(model))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(t.Context(), s); err != nil {
		t.Fatal(err, m.Check(0))
	}
	n, err := network.NewHolder(s).Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := uint64(9)
	tell := func(device, asset, name, unit string, v float64, at telemetry.Micros) {
		t.Helper()
		table++
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			err := tx.SaveBirth(record.Birth{Gateway: "gw", Table: fmt.Sprintf("%016x", table), Version: 1, Parts: 1,
				Signals: []telemetry.Signal{{ID: 1, Device: device, Name: name, Unit: unit, Asset: asset, Kind: telemetry.Gauge}}})
			if err != nil {
				return err
			}
			return tx.SavePresence("gw", telemetry.Presence{Every: 60_000_000})
		})
		if err != nil {
			t.Fatal(err)
		}
		if v < 0 {
			return
		}
		places, err := s.SignalTable(t.Context(), "gw", table)
		if err != nil {
			t.Fatal(err)
		}
		var enc telemetry.Encoder
		block, err := enc.AppendBlock(nil, telemetry.TableRef{}, []telemetry.Sample{{Signal: places[1].Series, Time: at, Value: telemetry.FloatValue(v)}})
		if err == nil {
			err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveLatest(places[1].Bundle, block) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	says := func(what, asset string, want network.Supply) {
		t.Helper()
		if is, err := VoltageOf(t.Context(), s, n, asset, now); err != nil || is != want {
			t.Errorf("%s: %q, %v, want %q", what, is, err, want)
		}
	}
	node := func(what string, want network.Supply) {
		t.Helper()
		o, err := Operation(t.Context(), s, n, []int{n.Node("bare")})
		if err != nil {
			t.Fatal(err)
		}
		if is := n.Supplied(o, nil)[n.Node("hv")]; is != want {
			t.Errorf("%s: %s, want %s", what, is, want)
		}
	}
	says("nothing is measured", "one", "")
	tell("d1", "one", "PPV.phsAB", "kV", 110, now-2*CurrentFor)
	says("it is old", "one", network.Unknown)
	tell("d1", "one", "PPV.phsAB", "kV", 110, now)
	says("it is new", "one", network.Live)
	tell("d1", "one", "PPV.phsAB", "V", -1, now)
	says("its unit has changed, and nothing has come since", "one", network.Unknown)
	tell("d1", "one", "PPV.phsAB", "V", 0, now)
	says("and then none", "one", network.Dead)
	node("one of two is dead, and nothing is measured of the other", network.Unknown)
	tell("d2", "two", "PPV.phsAB", "kV", 110, now)
	node("one of two is dead", network.Live)
	tell("d2", "two", "PPV.phsAB", "kV", 0, now)
	node("both are", network.Dead)
	tell("d3", "hv", "PPV.phsAB", "kV", 110, now)
	node("both are, but the node is fed", network.Live)
	tell("d3", "hv", "PPV.phsAB", "kV", 0, now)
	tell("d2", "two", "PPV.phsAB", "kV", 110, now)
	node("its own voltage is dead", network.Dead)
	tell("d4", "bare", "PPV.phsAB", "V", 7, now)
	says("its nominal voltage isn't known", "bare", network.Unknown)
}
