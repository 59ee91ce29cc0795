package gatewayconfig

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
)

// What isn't said of a control is the careful thing.
func TestControl(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(strings.Replace(minimal, "gateway: {id: gw}", "gateway: {id: gw, control: enabled}", 1)+`
    control:
      - {signal: Pos}
  - id: inverter
    modbus: {endpoint: tcp://10.0.0.12}
    signals: [{name: WMaxLimPct, holding: 3, type: uint16, unit: "%"}, {name: Bits, holding: 4, type: uint16, mask: 0x0F, kind: state}]
    control:
      - signal: WMaxLimPct
        one_of: [0, 50, 100]
        mode: direct
        min_interval: 5m
        settle: 0s
        write: multiple
        interlock: [{when: Pos, device: meter}]
      - {signal: Bits, min: 0, max: 3, write: read-modify-write, feedback: WMaxLimPct}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Gateway.Control != Enabled {
		t.Errorf("%q", c.Gateway.Control)
	}
	p, listed := c.Devices[0].ControlOf("Pos")
	if !listed || p.Mode != ControlSelected || time.Duration(p.SelectTimeout) != 30*time.Second || time.Duration(p.MinInterval) != time.Second || time.Duration(p.Settle) != time.Second {
		t.Errorf("%+v", p)
	}
	if _, listed := c.Devices[0].ControlOf("TotW"); listed {
		t.Error("TotW can be written")
	}
	if got := c.Devices[1].Control[0].Interlock[0].Target("inverter"); got.Device != "meter" || got.Asset != "" {
		t.Errorf("%+v", got)
	}
	want := []modbus.Control{
		{Point: "WMaxLimPct", Method: modbus.Multiple}, {Point: "Bits", Method: modbus.ReadModifyWrite, Feedback: "WMaxLimPct", Settle: time.Second},
	}
	if got := c.Devices[1].ModbusDevice().Controls; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	without := c
	without.Devices = slices.Clone(c.Devices)
	without.Devices[0].Control = nil
	if changes := without.Changes(c); len(changes) != 1 || changes[0].Name() != "device meter.control" {
		t.Errorf("%+v", changes)
	}
}
