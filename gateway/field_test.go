package gateway

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/iec104peer"
	"github.com/busbar/busbar/test/opcuapeer"
)

// upsdServer plays as much of an upsd as the gateway asks for. The real one is in the
// tests of the adapter.
type upsdServer struct {
	address string
	status  atomic.Pointer[string]
}

func startUPSD(t *testing.T) *upsdServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	u := &upsdServer{address: listener.Addr().String()}
	u.is("OL")
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewScanner(c); in.Scan(); {
					fmt.Fprintf(c, "BEGIN LIST VAR ups\nVAR ups ups.status \"%s\"\nVAR ups battery.runtime \"600\"\nEND LIST VAR ups\n", *u.status.Load())
				}
			}()
		}
	}()
	return u
}

func (u *upsdServer) is(status string) { u.status.Store(&status) }

// withUPS is the bench's configuration with a UPS, and a contact on a chip that isn't
// there.
func (b *bench) withUPS(u *upsdServer) string {
	return strings.Replace(b.source, "rules:\n", fmt.Sprintf(`  - id: ups
    nut: {endpoint: "tcp://%s", ups: ups}
    signals: [{name: OnLine, status: OL}, {name: Runtime, variable: battery.runtime, unit: s}]
  - id: door
    gpio: {chip: /dev/gpiochip-none}
    signals: [{name: Open, line: 1}]
rules:
`, u.address), 1)
}

// Devices of all protocols are read side by side, in one table and with accounts of
// their own, and what says that the supply has failed may be a UPS.
func TestDevicesOfSeveralProtocols(t *testing.T) {
	b := newBench(t)
	u := startUPSD(t)
	b.source = strings.Replace(b.withUPS(u), "site: north}", "site: north, mains: {device: ups, signal: OnLine}}", 1)
	b.config = b.parse(b.source)
	stop := b.run()
	defer stop()
	of := func(l log, device, name string) (values []telemetry.Value) {
		for _, s := range l.points {
			if s.Signal == l.id(device, name) {
				values = append(values, s.Value)
			}
		}
		return values
	}
	b.read(func(l log) bool {
		return len(l.births) > 0 && slices.Contains(of(l, "ups", "OnLine"), telemetry.BoolValue(true)) && len(of(l, "meter", "PhV.phsA")) > 0 &&
			slices.Contains(of(l, "door", "ChLiv"), telemetry.BoolValue(false)) && slices.Contains(of(l, "door", "Open"), telemetry.Value{})
	})
	if readings, err := (source{b.gateway, time.Now()}).Read(t.Context(), "ups"); err != nil || len(readings) != 2 || readings[1].Value != "600" || !readings[1].Good {
		t.Errorf("%+v, %v", readings, err)
	}
	if readings, err := ReadDevice(t.Context(), b.config, "", "ups", quiet); err != nil || len(readings) != 2 || readings[0].Value != "true" {
		t.Errorf("%+v, %v", readings, err)
	}
	if _, err := (source{b.gateway, time.Now()}).Read(t.Context(), "door"); err == nil || !strings.Contains(err.Error(), "gpiochip-none") {
		t.Errorf("%v", err)
	}
	u.is("OB DISCHRG")
	l := b.read(func(l log) bool { return len(l.of(telemetry.SupplyFailed)) > 0 })
	if g := l.of(telemetry.SupplyFailed)[0].LastGasp; g.Runtime == nil || *g.Runtime != 600 {
		t.Errorf("%+v", g)
	}
}

// Devices of other protocols come and go while the gateway runs, and one that stops
// delivering takes the configuration back.
func TestDevicesOfSeveralProtocolsChange(t *testing.T) {
	b := newBench(t)
	u := startUPSD(t)
	stop := b.run()
	defer stop()
	b.read(func(l log) bool { return l.samples > 0 })
	try := func(source string) (Outcome, error) {
		t.Helper()
		outcome, err := b.gateway.Try(Trial{Config: b.parse(source), Source: Source{Text: []byte(source)}, By: "test", Wait: 2 * time.Second})
		if err == nil && outcome.Held {
			err = b.gateway.Keep(hashOf([]byte(source)))
		}
		return outcome, err
	}
	if outcome, err := try(b.withUPS(u)); err != nil || !outcome.Held || len(outcome.Notes) != 1 || !strings.Contains(outcome.Notes[0], "door is new and doesn't answer") {
		t.Fatalf("%+v, %v", outcome, err)
	}
	b.read(func(l log) bool { return l.id("ups", "OnLine") != 0 })
	gone := startUPSD(t)
	gone.is("WAIT")
	if outcome, err := try(b.withUPS(gone)); err != nil || outcome.Held || !strings.Contains(strings.Join(outcome.Causes, "\n"), "ups") {
		t.Errorf("a UPS that says nothing: %+v, %v", outcome, err)
	}
	if outcome, err := try(b.source); err != nil || !outcome.Held {
		t.Errorf("%+v, %v", outcome, err)
	}
	if devices := b.gateway.live.Load().config.Devices; slices.ContainsFunc(devices, gatewayconfig.Device.ByChange) || b.gateway.field.reader("ups") != nil {
		t.Errorf("%+v", devices)
	}
}

// A server's signals come as they are found, are born, have rules, and can be read; what
// isn't configured otherwise goes on when something else changes.
func TestServerThatIsFollowed(t *testing.T) {
	b := newBench(t)
	p := opcuapeer.Start(t, opcuapeer.Asyncua, opcuapeer.Settings{})
	b.source = strings.Replace(b.source, "rules:\n", fmt.Sprintf(`  - id: plant
    opcua: {endpoint: %q, security: {policy: None}, publish_every: 100ms, keep_alive: 1s}
    signals: [{name: Counter, node: "nsu=%s;s=T1.Counter", kind: counter, unit: "1"}]
    follow: [{node: "nsu=%s;s=T1", match: "*", unit: "1"}]
rules:
  - {name: oil, on: {device: plant}, when: TopOil > 0, priority: low}
`, p.Endpoint(), opcuapeer.Namespace, opcuapeer.Namespace), 1)
	b.config = b.parse(b.source)
	stop := b.run()
	defer stop()
	good := func(l log, name string) bool {
		id := l.id("plant", name)
		return id != 0 && slices.ContainsFunc(l.points, func(s telemetry.Sample) bool { return s.Signal == id && s.Quality.Validity() == telemetry.Good })
	}
	b.read(func(l log) bool {
		return len(l.births) > 0 && good(l, "Counter") && good(l, "TopOil") && good(l, "Harmonics_4") &&
			slices.ContainsFunc(l.of(telemetry.AlarmRaised), func(e telemetry.Event) bool { return e.Alarm.Rule == "oil" })
	})
	readings, err := (source{b.gateway, time.Now()}).Read(t.Context(), "plant")
	if err != nil || !slices.ContainsFunc(readings, func(r Reading) bool { return r.Signal == "Range.High" && r.Value == "140" && r.Good }) {
		t.Errorf("%+v, %v", readings, err)
	}
	device := b.gateway.field.stats()
	changed := strings.Replace(b.source, "TopOil > 0", "TopOil > 1", 1)
	if outcome, err := b.gateway.Try(Trial{Config: b.parse(changed), Source: Source{Text: []byte(changed)}, By: "test", Wait: 2 * time.Second}); err != nil || !outcome.Held {
		t.Errorf("%+v, %v", outcome, err)
	}
	if last := b.gateway.field.last(t.Context(), "plant"); !last.Polled || last.Cause != nil || last.Quality["Counter"].Validity() != telemetry.Good {
		t.Errorf("%+v, before %+v", last, device)
	}
}

// A station of IEC 60870-5-104 is read, judged and read on demand like other devices, and its
// breaker is operated.
func TestStationOfIEC104(t *testing.T) {
	b := newBench(t)
	s := iec104peer.Start(t, iec104peer.C104, nil)
	b.source = strings.Replace(b.source, "rules:\n", fmt.Sprintf(`  - id: bay
    iec104: {endpoint: "tcp://%s", counters_every: 1h}
    signals: [{name: Pos, ioa: 1001, type: bool}, {name: Level, ioa: 1003, unit: "1"}, {name: TotWh, ioa: 1005, unit: W.h, kind: counter}]
    control: [{signal: Pos, command: {ioa: 2001, type: double}, settle: 5s, mode: direct}]
rules:
  - {name: closed, on: {device: bay}, when: Pos, priority: low}
`, s.Address()), 1)
	b.source = strings.Replace(b.source, "gateway: {", "gateway: {control: enabled, ", 1)
	b.config = b.parse(b.source)
	stop := b.run()
	defer stop()
	b.read(func(l log) bool {
		id := l.id("bay", "TotWh")
		return id != 0 && slices.ContainsFunc(l.points, func(s telemetry.Sample) bool { return s.Signal == id && s.Value == telemetry.IntValue(4711) })
	})
	answer := b.gateway.control.Operate(t.Context(), control.Request{Device: "bay", Signal: "Pos", Value: telemetry.BoolValue(true), Origin: telemetry.ControlLocal, By: "test"})
	if answer.Outcome != telemetry.ControlDone || answer.ReadBack != telemetry.BoolValue(true) {
		t.Errorf("%+v", answer)
	}
	b.read(func(l log) bool {
		return slices.ContainsFunc(l.of(telemetry.AlarmRaised), func(e telemetry.Event) bool { return e.Alarm.Rule == "closed" })
	})
	readings, err := (source{b.gateway, time.Now()}).Read(t.Context(), "bay")
	if err != nil || !slices.ContainsFunc(readings, func(r Reading) bool { return r.Signal == "Level" && r.Value == "10.5" && r.Good }) {
		t.Errorf("%+v, %v", readings, err)
	}
}
