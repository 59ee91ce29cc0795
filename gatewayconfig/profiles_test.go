package gatewayconfig

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/telemetry"
)

func TestProfiles(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(strings.Replace(minimal, `    modbus: {endpoint: tcp://10.0.0.11}
    signals:
      - {name: TotW, input: 0x34, type: float32, unit: W}
      - {name: Pos, coil: 7}
`, `    modbus: {endpoint: tcp://10.0.0.11, max_gap: 0, base: 1000}
    profile: eastron/sdm630
    signals:
      - {name: TotW, scale: 0.001, unit: kW}
      - {name: Hz, holding: 7}
      - {name: Pos, coil: 7}
  - id: inverter
    modbus: {endpoint: tcp://10.0.0.12, base: 40069}
    profile: sunspec/103
  - id: inverter-meter
    modbus: {endpoint: tcp://10.0.0.12, base: 40121}
    profile: sunspec/203
`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	points := map[string]modbus.Point{}
	d := c.Devices[0].ModbusDevice()
	for _, p := range d.Points {
		points[p.Name] = p
	}
	for name, want := range map[string]modbus.Point{
		"PhV.phsA": {Name: "PhV.phsA", Table: modbus.Input, Address: 1000, Type: modbus.Float32, Scale: 1},
		"TotW":     {Name: "TotW", Table: modbus.Input, Address: 1052, Type: modbus.Float32, Scale: 0.001},
		"Hz":       {Name: "Hz", Table: modbus.Holding, Address: 7, Type: modbus.Float32, Scale: 1},
		"Pos":      {Name: "Pos", Table: modbus.Coil, Address: 7, Type: modbus.Bool, Scale: 1},
	} {
		if got := points[name]; got.Table != want.Table || got.Address != want.Address || got.Type != want.Type || got.Scale != want.Scale {
			t.Errorf("%+v, expected %+v", got, want)
		}
	}
	if d.Reads.MaxGap != -1 || len(d.Points) != 37 {
		t.Errorf("%+v, %d points", d.Reads, len(d.Points))
	}
	for _, s := range c.Devices[0].Signals {
		if s.Name == "TotW" && s.Unit != "kW" || s.Name == "DmdWh" && s.Kind != telemetry.Counter {
			t.Errorf("%+v", s)
		}
	}
	inverter := c.Devices[1].ModbusDevice()
	if id := inverter.Identity; len(id) != 1 || id[0] != (modbus.Register{Table: modbus.Holding, Address: 40069, Value: 103}) {
		t.Errorf("%+v", id)
	}
	if p := inverter.Points[0]; p.Address != 40071 || *p.Factor != 40075 {
		t.Errorf("%+v", p)
	}
}

// A profile of what is published is of one device, or of all whose topics match, with
// what the device says over it.
func TestProfilesOfMessages(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(`gateway: {id: gw}
forward: {kafka: {brokers: ["127.0.0.1:9092"]}}
buffer: {path: buffer}
devices:
  - id: kitchen
    mqtt: {broker: "tcp://127.0.0.1", topic: hall/kitchen}
    profile: tasmota
    signals: [{name: TotW, scale: 0.001, unit: kW}, {name: Door, topic: "{topic}/door", type: bool}]
    follow: [{name: PhV, deadband: 1}, {topic: "x/+", name: "{1}.X", unit: "1"}]
  - id: shellies
    mqtt: {broker: "tcp://127.0.0.1"}
    profile: shelly/gen1
    follow: [{name: "Meter{1}.W", deadband: 2, stale_after: 1m}, {name: Tmp2, topic: "shellies/{topic}/x", unit: Cel}]
  - id: later
    mqtt: {broker: "tcp://127.0.0.1", topic: "+/hall/+", stale_after: 7m, available: {topic: hall}}
    profile: shelly/gen2
`))
	if err != nil {
		t.Fatal(err)
	}
	words := func(d Device) map[string]string {
		m, words := d.MQTTDevice(""), map[string]string{}
		for _, p := range m.Points {
			words[p.Name] = fmt.Sprint(p.Topic, " ", p.JSON, " ", p.Scale, " ", p.StaleAfter)
		}
		for _, f := range m.Follow {
			words[f.Name] = fmt.Sprint(f.Topic, " ", f.JSON, " ", f.Scale, " ", f.StaleAfter, " ", f.Sources, " ", f.Kind)
		}
		for i, a := range m.Available {
			words[fmt.Sprint("available ", i)] = fmt.Sprint(a.Topic, " ", a.JSON, " ", a.Online, " ", a.Offline)
		}
		return words
	}
	for i, want := range []map[string]string{
		{
			"TotW": "tele/hall/kitchen/SENSOR $.ENERGY.Power 0.001 11m0s", "Door": "hall/kitchen/door  1 11m0s",
			"PhV": "tele/hall/kitchen/SENSOR $.ENERGY.Voltage 1 11m0s 0 gauge", "DmdWh": "tele/hall/kitchen/SENSOR $.ENERGY.Total 1000 11m0s 0 counter",
			"{1}.X": "x/+  1 11m0s 0 gauge", "available 0": "tele/hall/kitchen/LWT  Online Offline", "available 1": "",
		},
		{
			"{1}.Meter{2}.W": "shellies/+/emeter/+/power  1 1m0s 1 gauge", "{1}.Meter{2}.PhV": "shellies/+/emeter/+/voltage  1 2m0s 1 gauge",
			"{1}.Relay{2}.State": "shellies/+/relay/+  1 2m0s 1 state", "available 0": "shellies/+/online  true false",
			"{1}.Tmp2": "shellies/+/x  1 2m0s 1 gauge",
		},
		{
			"{1}.{2}.{3}.W": "+/hall/+/status/+ $.apower 1 7m0s 2 gauge", "{1}.{2}.{3}.On": "+/hall/+/status/+ $.output 1 7m0s 2 state",
			"available 0": "hall  online offline", "available 1": "",
		},
	} {
		got := words(c.Devices[i])
		for name, of := range want {
			if got[name] != of {
				t.Errorf("%s %s: %q, expected %q", c.Devices[i].ID, name, got[name], of)
			}
		}
	}
	for _, f := range c.Devices[0].Follow {
		if f.Name == "TotW" || f.Name == "PhV" && (f.Deadband == nil || time.Duration(f.ReportEvery) != time.Minute) {
			t.Errorf("%+v", f)
		}
	}
	if !c.Devices[0].Open() || c.Devices[0].Fingerprint() == c.Devices[1].Fingerprint() {
		t.Error("what is followed decides which signals there are")
	}
}
