package field

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/world"
	"github.com/busbar/busbar/telemetry"
)

func play(t *testing.T) (*scenario.Scenario, *live.Live) {
	t.Helper()
	s, err := scenario.Parse("s.yaml", []byte(`description: A quiet day.
lasts: 24h
start: 2026-01-05T18:00:00Z
grid: {service_points: 120, seed: 3}
edge: {auxiliary: 0.2, metered: 0.9, silent: 0.05}
`), os.ReadFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := live.New(s, scenario.Sinks{})
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

// read is what a profile makes of a unit's registers.
func read(t *testing.T, u devices.Unit, p profile.Profile) map[string]telemetry.Value {
	t.Helper()
	tables := map[modbus.Table]devices.Table{modbus.Coil: devices.Coils, modbus.Discrete: devices.DiscreteInputs, modbus.Holding: devices.HoldingRegisters, modbus.Input: devices.InputRegisters}
	values := map[string]telemetry.Value{}
	for _, s := range p.Signals {
		point := s.Point()
		if !point.Table.Registers() {
			var bit [1]byte
			if e := u.Read(tables[point.Table], int(point.Address), 1, bit[:]); e != 0 {
				t.Fatalf("%s: exception %d", s.Name, e)
			}
			values[s.Name] = telemetry.BoolValue(bit[0] == 1)
			continue
		}
		data := make([]byte, 2*point.Size())
		if e := u.Read(tables[point.Table], int(point.Address), point.Size(), data); e != 0 {
			t.Fatalf("%s: exception %d", s.Name, e)
		}
		if v, reason, err := point.Decode(point.Table, point.Address, data); err != nil {
			t.Fatal(err)
		} else if reason == 0 {
			values[s.Name] = v
		}
	}
	return values
}

func number(v telemetry.Value) float64 { n, _ := v.Float(); return n }

func near(a, b, resolution float64) bool { return math.Abs(a-b) <= resolution+1e-6*math.Abs(b) }

func TestMetersShowWhatTheGridHas(t *testing.T) {
	s, l := play(t)
	if err := l.Advance(l.Now() + 2*3600e6); err != nil {
		t.Fatal(err)
	}
	f := &Field{config: Config{Grid: l, Edge: s.Edge, Seed: s.Seed, UnitsPerPort: 20, Products: DefaultProducts()}, log: slog.New(slog.DiscardHandler)}
	if err := f.place(); err != nil {
		t.Fatal(err)
	}
	ports, err := f.units()
	if err != nil {
		t.Fatal(err)
	}
	compare := func() {
		t.Helper()
		products := map[string]int{}
		for i := range f.devices {
			d := &f.devices[i]
			if d.Of != Meter {
				continue
			}
			products[d.Product]++
			p, err := profileOf(d.Product)
			if d.Product != onePhaseFile {
				p, err = firmware.Profiles().Load(d.Product)
			}
			if err != nil {
				t.Fatal(err)
			}
			has := l.Point(d.index)
			m := ports[d.port][d.Unit].(*devices.Meter)
			equip := s.Edge.Equip(s.Seed, d.index)
			if want := !equip.Silent && (equip.Auxiliary || has.Alive); m.Works() != want {
				t.Errorf("%s works: %v, expected %v", d.ID, m.Works(), want)
			}
			v := read(t, m, p)
			used := l.Snapshot().Point(d.index).Phases
			at := 0
			var power float64
			for phase := range 3 {
				power += has.Active[phase]
				if used>>phase&1 == 0 {
					continue
				}
				letter := string(rune('A' + at))
				if got := number(v["PhV.phs"+letter]); !near(got, has.Voltage[phase], 0.051) {
					t.Errorf("%s (%s): phase %s has %v V, expected %v", d.ID, d.Product, letter, got, has.Voltage[phase])
				}
				if got := number(v["A.phs"+letter]); !near(got, has.Current[phase], 0.0056) {
					t.Errorf("%s (%s): phase %s has %v A, expected %v", d.ID, d.Product, letter, got, has.Current[phase])
				}
				at++
			}
			if got := number(v["TotW"]); !near(got, power, 0.16) {
				t.Errorf("%s (%s) takes %v W, expected %v", d.ID, d.Product, got, power)
			}
			if got := number(v["DmdWh"]); !near(got, has.Import, 51) { // em340 counts 100 W.h
				t.Errorf("%s (%s) has counted %v W.h, expected %v", d.ID, d.Product, got, has.Import)
			}
		}
		if len(products) < 5 {
			t.Errorf("products %v", products)
		}
	}
	compare()
	if _, err := l.Fault(world.Fault{Asset: "f1"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Advance(l.Now() + 60e6); err != nil {
		t.Fatal(err)
	}
	dead, silent := 0, 0
	for _, d := range f.devices {
		if d.Of == Meter && !l.Point(d.index).Alive {
			dead++
			if !ports[d.port][d.Unit].(*devices.Meter).Works() {
				silent++
			}
		}
	}
	if silent == 0 || silent == dead {
		t.Errorf("%d of %d meters without voltage are silent, expected some", silent, dead)
	}
	compare()

	p, err := profileOf(bayFile)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.devices {
		switch d := &f.devices[i]; d.Of {
		case Bay:
			v, has := read(t, ports[d.port][d.Unit], p), l.Switch(d.index)
			if got := number(v["Pos"]); got != float64(has.Position) || number(v["OpCnt"]) != float64(has.Operations) || (v["Lockout"].Bits() == 1) != has.LockedOut || !near(number(v["A.phsB"]), has.Current[1], 0.0056) {
				t.Errorf("%s shows %v, and it is %+v", d.ID, v, has)
			}
			if d.Asset == "f1-breaker" && (number(v["Pos"]) != 1 || v["Tr"].Bits() != 1 || v["Lockout"].Bits() != 1) {
				t.Errorf("%s shows %v", d.ID, v)
			}
		case TransformerMeter:
			pac, err := firmware.Profiles().Load(d.Product)
			if err != nil {
				t.Fatal(err)
			}
			v, has := read(t, ports[d.port][d.Unit], pac), l.Transformer(d.index)
			if !near(number(v["PhV.phsB"]), has.LowVoltage[1], 0.051) || !near(number(v["A.phsC"]), has.LowCurrent[2], 0.0056) || !near(number(v["TotW"]), has.Active, 0.16) {
				t.Errorf("%s shows %v, and it has %+v", d.ID, v, has)
			}
		}
	}
}

// What is written is read by a gateway as it is, and the model names its signals.
func TestTheConfigurationFits(t *testing.T) {
	s, l := play(t)
	log := slog.New(slog.DiscardHandler)
	f, err := New(Config{Grid: l, Edge: s.Edge, Seed: s.Seed, Listen: "127.0.0.1:0", Broker: "tcp://127.0.0.1:1", MQTTShare: 0.3, SparkplugShare: 0.5, OPCUA: "127.0.0.1:4841", IEC104: "127.0.0.1:0",
		Operate: func(string, bool) error { return nil }}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := f.WriteGateway(path, Gateway{ID: "north", Poll: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	config, err := gatewayconfig.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]gatewayconfig.Device{}
	for _, d := range config.Devices {
		written[d.ID] = d
	}
	count := map[string]int{}
	for _, d := range f.Devices() {
		count[d.By]++
		w, is := written[d.ID]
		if is != (d.By != BySparkplug) || is && (w.Asset != d.Asset || string(w.PoweredBy) != d.PoweredBy || w.Supply != d.Supply || w.Modbus != nil && w.Modbus.Unit != d.Unit) {
			t.Errorf("%+v is written as %+v", d, w)
		}
	}
	for _, by := range []string{ByModbus, ByIEC104, ByMQTT, BySparkplug, ByOPCUA} {
		if count[by] == 0 {
			t.Errorf("no device by %s", by)
		}
	}
	before := slices.Clone(s.Model().Switches)
	var text bytes.Buffer
	if err := gridfile.WriteYAML(&text, f.Model(s.Model(), "north")); err != nil {
		t.Fatal(err)
	}
	m, findings := gridfile.ReadYAML("model.yaml", text.Bytes())
	if len(findings) > 0 {
		t.Error(findings)
	}
	for _, x := range m.Switches {
		if x.Telemetered() && (written[x.Device].Asset != x.ID || x.Gateway != "north" || x.Signal != "Pos") {
			t.Errorf("switch %s is shown by %s %s at %s", x.ID, x.Device, x.Signal, x.Gateway)
		}
	}
	if !slices.Equal(before, s.Model().Switches) {
		t.Error("the scenario's own model was changed")
	}
}

// A meter without supply says nothing, or has its address refuse, and others go on.
func TestSilence(t *testing.T) {
	for _, refused := range []bool{false, true} {
		s, l := play(t)
		f, err := New(Config{Grid: l, Edge: evidence.Config{Metered: 1}, Seed: s.Seed, Listen: "127.0.0.1:0", UnitsPerPort: 247, Refused: refused}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		go f.Run(t.Context())
		if _, err := l.Fault(world.Fault{Asset: "f1"}); err != nil {
			t.Fatal(err)
		}
		if err := l.Advance(l.Now() + 60e6); err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(f.devices, func(d Device) bool { return d.Of == Meter && !l.Point(d.index).Alive })
		bay := slices.IndexFunc(f.devices, func(d Device) bool { return d.Of == Bay })
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.devices[at].Endpoint, "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		request := []byte{0, 1, 0, 0, 0, 6, f.devices[at].Unit, 4, 0, 0, 0, 2}
		other := []byte{0, 2, 0, 0, 0, 6, f.devices[bay].Unit, 4, 0, 0, 0, 1}
		if _, err := conn.Write(slices.Concat(request, other)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 9)
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		if first := binary.BigEndian.Uint16(answer); refused && (first != 1 || answer[7] != 0x84 || answer[8] != 0x0B) || !refused && (first != 2 || answer[7] != 4) {
			t.Errorf("refused %v: answer % x", refused, answer)
		}
		conn.Close()
	}
}
