package gatewayconfig

import (
	"slices"
	"strings"
	"testing"
)

const operating = `gateway: {id: gw, control: enabled}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
  - id: bay-1
    modbus: {endpoint: "tcp://10.0.0.1"}
    signals: [{name: Horn, coil: 0}, {name: SetW, holding: 0, type: int16, unit: kW}, {name: V, input: 0, type: uint16, unit: V}]
    control: [{signal: Horn, by_rules: true}, {signal: SetW, min: 0, max: 100, by_rules: true}]
rules:
  - name: low
    when: V < 5
    operate: [{device: bay-1, signal: Horn, on_raise: 1, on_clear: 0}, {device: bay-1, signal: SetW, on_raise: 12.5}]
`

// Each of the places that permit it is needed.
func TestOperate(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(operating))
	if err != nil {
		t.Fatal(err)
	}
	if o := c.Rules[0].Operate; len(o) != 2 || *o[0].OnRaise != 1 || *o[0].OnClear != 0 || *o[1].OnRaise != 12.5 || o[1].OnClear != nil {
		t.Errorf("%+v", o)
	}
	for old, want := range map[string]string{
		", control: enabled":               "12:5 rules[0].operate",
		"{signal: Horn, by_rules: true}, ": "12:39 rules[0].operate[0].signal",
		"Horn, by_rules: true":             "12:39 rules[0].operate[0].signal",
	} {
		src := strings.Replace(operating, old, strings.TrimSuffix(old, ", by_rules: true"), 1)
		if !strings.HasSuffix(old, "true") {
			src = strings.Replace(operating, old, "", 1)
		}
		if got := places(t, src); !slices.Equal(got, []string{want}) {
			t.Errorf("without %q: %q, expected %s", old, got, want)
		}
	}
}

// What is written at the end can be written soon enough after the beginning.
func TestOperateWithinTheInterval(t *testing.T) {
	for interval, want := range map[string][]string{"9.9s": nil, "10s": {"12:68 rules[0].operate[0].on_clear"}, "1h": {"12:68 rules[0].operate[0].on_clear"}} {
		src := strings.Replace(operating, "signal: Horn, by_rules", "signal: Horn, min_interval: "+interval+", by_rules", 1)
		src = strings.Replace(src, "max: 100, by_rules", "max: 100, min_interval: 1h, by_rules", 1) // nothing is written to it at the end
		if got := places(t, src); !slices.Equal(got, want) {
			t.Errorf("%s: %q, expected %q", interval, got, want)
		}
	}
}
