package gatewayconfig

import (
	"testing"

	"github.com/busbar/busbar/adapters/opcua"
)

func node(t *testing.T, text string) opcua.Node {
	t.Helper()
	n, err := opcua.ParseNode(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What is read of alarms, and what methods are called, is as the adapter takes it.
func TestOPCUADevice(t *testing.T) {
	with := func(alarms string) Device {
		c, err := Parse("gateway.yaml", []byte(`gateway: {id: gw, control: enabled}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
  - id: panel
    opcua: {endpoint: "opc.tcp://10.0.0.1"}
    signals: [{name: Fans, node: "i=1", type: bool}]
    control: [{signal: Fans, call: {object: "i=2", on: "i=3"}}]
    alarms: `+alarms+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c.Devices[0]
	}
	d := with(`[{}, {node: "i=4", severity: 500, match: "T1.*"}]`)
	o := d.OPCUADevice("dir", "keep")
	if len(o.Alarms) != 2 || o.Alarms[0] != (opcua.Alarms{Node: node(t, "i=2253"), Severity: 1}) || o.Alarms[1] != (opcua.Alarms{Node: node(t, "i=4"), Severity: 500, Match: "T1.*"}) {
		t.Errorf("%+v", o.Alarms)
	}
	if call := o.Controls[0].Call; *call != (opcua.Call{Object: node(t, "i=2"), On: node(t, "i=3")}) {
		t.Errorf("%+v", call)
	}
	if !d.Open() || with("[]").Open() {
		t.Error("a device tells of its alarms by itself, and of nothing else")
	}
	if d.Fingerprint() == with("[{}]").Fingerprint() {
		t.Error("other alarms are the same signals")
	}
}
