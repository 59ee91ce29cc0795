package gatewayconfig

import (
	"strings"
	"testing"

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
