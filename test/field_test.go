package test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/field"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/transformer"
	"github.com/busbar/busbar/sim/world"
	"github.com/busbar/busbar/test/mosquitto"
)

// stand is a grid in real time, with devices that speak.
type stand struct {
	*live.Live
	devices []field.Device
	dir     string // with gateway.yaml
	python  string
}

func newStand(t *testing.T, broker, opcua, status string) stand {
	t.Helper()
	s := stand{dir: t.TempDir(), python: cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")}
	need(t, "pymodbus and asyncua: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python", exec.Command(s.python, "-c", "import pymodbus, asyncua").Run() == nil)
	write(t, s.dir, "s.yaml", "description: An evening.\nlasts: 24h\nstart: 2026-01-05T18:00:00Z\ngrid: {service_points: 120, seed: 3}\nedge: {auxiliary: 0.25}\n")
	plan, err := scenario.Open(filepath.Join(s.dir, "s.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Live, err = live.New(plan, scenario.Sinks{}); err != nil {
		t.Fatal(err)
	}
	f, err := field.New(field.Config{Grid: s.Live, Edge: plan.Edge, Seed: plan.Seed, Listen: "127.0.0.1:0", UnitsPerPort: 2, Broker: "tcp://" + broker,
		MQTTShare: 0.3, SparkplugShare: 0.5, Every: 500 * time.Millisecond, OPCUA: opcua,
		Operate: func(id string, closed bool) error {
			if closed {
				return s.Close(id, 0)
			}
			return s.Open(id, 0)
		}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.devices = f.Devices()
	if err := f.WriteGateway(filepath.Join(s.dir, "gateway.yaml"), field.Gateway{Kafka: "127.0.0.1:9", Status: status}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	for _, run := range []func() error{func() error { return f.Run(ctx) }, func() error { return s.Run(ctx, 1) }} {
		running.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// find is the first device that is as wanted.
func (s stand) find(t *testing.T, wanted func(field.Device) bool) field.Device {
	t.Helper()
	for _, d := range s.devices {
		if wanted(d) {
			return d
		}
	}
	t.Fatal("no device is as wanted")
	return field.Device{}
}

func (s stand) dead(d field.Device) bool {
	p := s.Snapshot().PointOf(d.Asset)
	return d.Of == field.Meter && p >= 0 && !s.Point(p).Alive
}

// ask reads input registers with pymodbus; nil is no answer.
func (s stand) ask(t *testing.T, d field.Device, table string, address, count int) (answer []any) {
	t.Helper()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(d.Endpoint, "tcp://"))
	script, _ := filepath.Abs("testdata/field_modbus.py")
	out, err := exec.Command(s.python, script, fmt.Sprintf("%s,%d,%s,%d,%d", port, d.Unit, table, address, count)).Output()
	if err != nil || json.Unmarshal(out, &answer) != nil {
		t.Fatalf("%s: %v: %s", d.ID, err, out)
	}
	return answer
}

// floatOf is two registers.
func floatOf(registers []any) float64 {
	return float64(math.Float32frombits(uint32(registers[0].(float64))<<16 | uint32(registers[1].(float64))))
}

// alarms is the state of each rule by the device or asset that it is about.
func (s stand) alarms(t *testing.T) map[string]rules.AlarmState {
	t.Helper()
	out, _, _ := call(t, s.dir, "busbar", "rules", "explain", "--config", "gateway.yaml", "--json")
	var list []rules.Explanation
	_ = json.Unmarshal([]byte(out), &list)
	states := map[string]rules.AlarmState{}
	for _, e := range list {
		states[e.Rule+" "+cmp.Or(e.Device, e.Asset)] = e.State
	}
	return states
}

// A gateway and clients that we didn't write read devices by four protocols, before a fault
// on a feeder, while it lasts, and after somebody has closed its breaker through the gateway.
func TestDevicesOfAGridSpeak(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, "")
	broker.Start()
	watched := broker.Watch("spBv1.0/field")
	opcua, status := freeAddress(t), freeAddress(t)
	s := newStand(t, broker.Address, opcua, status)
	const feeder = "f1"
	breaker := s.find(t, func(d field.Device) bool { return d.Asset == feeder+"-breaker" })
	start(t, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml")

	// What is behind the feeder, and meters of it that pymodbus reads as one that has floats.
	behind := s.Snapshot().Normal()
	on := func(d field.Device) bool {
		p := s.Snapshot().PointOf(d.Asset)
		return p >= 0 && s.Snapshot().FeederOf(feeder) == behind.Feeder(s.Snapshot().Point(p).Node)
	}
	eastron := func(by string) func(field.Device) bool {
		return func(d field.Device) bool {
			return d.Of == field.Meter && d.By == field.ByModbus && (d.Product == "eastron/sdm630" || d.Product == "one-phase.yaml") && d.PoweredBy == by && on(d)
		}
	}
	fed, own := s.find(t, eastron(evidence.Measured)), s.find(t, eastron(evidence.Auxiliary))
	for _, d := range []field.Device{fed, own} {
		p := s.Snapshot().PointOf(d.Asset)
		got, has := floatOf(s.ask(t, d, "input", 0, 2)), s.Point(p).Voltage
		if !(math.Abs(got-has[0]) < 0.1 || math.Abs(got-has[1]) < 0.1 || math.Abs(got-has[2]) < 0.1) || got < 200 {
			t.Errorf("%s shows %v V, and has %v", d.ID, got, has)
		}
	}
	if pos := s.ask(t, breaker, "input", 0, 1); pos[0] != 2. {
		t.Errorf("the breaker shows %v", pos)
	}
	monitor := s.find(t, func(d field.Device) bool { return d.Of == field.Monitor && strings.HasPrefix(d.Asset, feeder+"-") })
	other := s.find(t, func(d field.Device) bool { return d.Of == field.Monitor && !strings.HasPrefix(d.Asset, feeder+"-") })
	loads := s.watchOPCUA(t, "opc.tcp://"+opcua, monitor.Asset+".Load", other.Asset+".Load", monitor.Asset+".HotSpot")
	asOnGrid := func(v []float64) bool {
		return len(v) == 3 && v[0] == s.Transformer(s.Snapshot().EdgeOf(monitor.Asset)).Loading && v[1] == s.Transformer(s.Snapshot().EdgeOf(other.Asset)).Loading
	}
	await(t, "asyncua reads the transformers' loads", 30*time.Second, func() bool { v := loads(); return asOnGrid(v) && v[0] > 0 && v[2] > 0 })
	await(t, "all is well, and known", time.Minute, func() bool {
		states := s.alarms(t)
		if len(states) == 0 {
			return false
		}
		for _, d := range s.devices {
			for _, rule := range []string{"supply-suspect", "supply-unknown", "device-silent", "voltage-not-measured"} {
				if state, is := states[rule+" "+d.ID]; is && state != rules.Idle {
					return false
				}
			}
		}
		m := metrics(t, status)
		return m[`busbar_gateway_samples_total{validity="good"}`] > 5*float64(len(s.devices))
	})

	if _, err := s.Fault(world.Fault{ID: "tree", Asset: feeder}); err != nil {
		t.Fatal(err)
	}
	await(t, "the breaker is locked out", time.Minute, func() bool { return s.Switch(s.Snapshot().EdgeOf(breaker.Asset)).LockedOut })
	if got := s.ask(t, fed, "input", 0, 2); got != nil {
		t.Errorf("%s, which is fed by what it measures, answers %v", fed.ID, got)
	}
	if got := floatOf(s.ask(t, own, "input", 0, 2)); got != 0 {
		t.Errorf("%s, which has a supply of its own, shows %v V", own.ID, got)
	}
	if pos, lockout := s.ask(t, breaker, "input", 0, 1), s.ask(t, breaker, "discrete", 0, 2); pos[0] != 1. || lockout[0] != true || lockout[1] != true {
		t.Errorf("the breaker shows %v, tripped and locked out %v", pos, lockout)
	}
	await(t, "asyncua sees that nothing flows", 30*time.Second, func() bool { v := loads(); return asOnGrid(v) && v[0] == 0 && v[1] > 0 })

	expected := s.expected()
	for _, state := range []string{"supply-suspect", "supply-unknown", "voltage-interruption"} {
		if n := strings.Count(strings.Join(expected, "\n"), state); n == 0 && state != "supply-unknown" {
			t.Errorf("the fault should bring no %s", state)
		}
	}
	missing := ""
	defer func() {
		if t.Failed() {
			t.Log("without alarm at last: ", missing)
		}
	}()
	await(t, "the gateway's rules understand it", 2*time.Minute, func() bool {
		states := s.alarms(t)
		for _, alarm := range append(expected, "breaker-lockout "+breaker.Asset) {
			if states[alarm] != rules.Raised {
				missing = alarm
				return false
			}
		}
		return true
	})
	await(t, "edge nodes tell of devices that have gone", time.Minute, func() bool {
		gone := map[string]bool{}
		for _, m := range watched.Messages() {
			if parts := strings.Split(m.Topic, "/"); len(parts) == 5 && parts[2] == "DDEATH" {
				gone[parts[4]] = true
			}
		}
		for _, d := range s.devices {
			if d.By == field.BySparkplug && d.PoweredBy == evidence.Measured && s.dead(d) != gone[d.ID] {
				return false
			}
		}
		return true
	})

	if _, err := s.Repair("tree", false); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := call(t, s.dir, "busbar", "device", "write", "gateway.yaml", breaker.ID, "PosOn", "1", "--yes", "--by", "Ana"); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	if x := s.Switch(s.Snapshot().EdgeOf(breaker.Asset)); x.Position != live.Closed {
		t.Errorf("the breaker is %v", x.Position)
	}
	await(t, "what was silent answers again, and the alarms are over", 2*time.Minute, func() bool {
		states := s.alarms(t)
		for _, alarm := range append(expected, "breaker-lockout "+breaker.Asset) {
			if states[alarm] != rules.Idle {
				return false
			}
		}
		return len(states) > 0
	})
	await(t, "asyncua sees the load again", 30*time.Second, func() bool { v := loads(); return asOnGrid(v) && v[0] > 0 })
}

// expected is the alarms that those without voltage should have, by what they and others
// on their supply are.
func (s stand) expected() (alarms []string) {
	witness := map[string]bool{}
	for _, d := range s.devices {
		if d.PoweredBy == evidence.Auxiliary && d.By != field.BySparkplug && (d.Of == field.TransformerMeter || s.dead(d)) {
			witness[d.Supply] = true
		}
	}
	for _, d := range s.devices {
		switch {
		case !s.dead(d) || d.By == field.BySparkplug:
		case d.PoweredBy == evidence.Auxiliary:
			alarms = append(alarms, "voltage-interruption "+d.Asset)
		case witness[d.Supply]:
			alarms = append(alarms, "supply-suspect "+d.ID)
		default:
			alarms = append(alarms, "supply-unknown "+d.ID)
		}
	}
	return alarms
}

// watchOPCUA is what asyncua has read last.
func (s stand) watchOPCUA(t *testing.T, url string, ids ...string) func() []float64 {
	t.Helper()
	script, _ := filepath.Abs("testdata/field_opcua.py")
	cmd := exec.Command(s.python, append([]string{script, url, transformer.Namespace}, ids...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var last []float64
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var values []float64
			if json.Unmarshal(lines.Bytes(), &values) == nil {
				mu.Lock()
				last = values
				mu.Unlock()
			}
		}
	})
	t.Cleanup(func() { _ = cmd.Process.Kill(); reading.Wait(); _ = cmd.Wait() })
	return func() []float64 {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}
