package gatewayconfig

import (
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

const stationYAML = `gateway: {id: gw, control: enabled}
forward: {kafka: {brokers: ["127.0.0.1:9092"]}}
buffer: {path: buffer}
serve:
  iec104:
    common_address: 7
    signals:
      - {device: rtu, signal: Pos, ioa: 1001, type: double, command: {ioa: 5001, type: double}}
      - {device: rtu, signal: A, ioa: 2001, deadband: 0.5, group: 2}
      - {device: rtu, signal: TotWh, ioa: 3001, scale: 0.001}
      - {device: rtu, signal: TapPos, ioa: 4001, common_address: 8}
      - {device: rtu, signal: ChLiv, ioa: 1}
devices:
  - id: rtu
    iec104: {endpoint: "tcp://10.0.0.20"}
    signals:
      - {name: Pos, ioa: 1, type: bool}
      - {name: A, ioa: 2, unit: A}
      - {name: TotWh, ioa: 3, unit: W.h, kind: counter}
      - {name: TapPos, ioa: 4, kind: state}
    control:
      - {signal: Pos, command: {ioa: 11, type: double}, mode: direct}
`

// What a signal is told as follows from what it is, and how it is commanded from what its
// device's control says.
func TestServedPoints(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(stationYAML))
	if err != nil {
		t.Fatal(err)
	}
	points := c.ServedPoints()
	for i, want := range []struct {
		station       uint16
		of            asdu.Type
		quiet, latest bool
	}{
		{7, asdu.DoublePoint, false, false}, {7, asdu.ShortFloat, false, true}, {7, asdu.Totals, true, true}, {8, asdu.Scaled, false, true}, {7, asdu.SinglePoint, false, false},
	} {
		p := points[i].Point
		if p.Station != want.station || p.Type != want.of || p.Quiet != want.quiet || p.Latest != want.latest || p.Quality&asdu.Invalid == 0 {
			t.Errorf("%s: %+v, expected %+v", points[i].Signal, p, want)
		}
	}
	if m := points[0].Control; m == nil || m.Type != asdu.DoubleCommand || m.Select || m.Address != 5001 || points[1].Control != nil {
		t.Errorf("%+v, %+v", points[0].Control, points[1].Control)
	}
	if a := c.Serve.IEC104.Address(); a != "127.0.0.1:2404" {
		t.Error(a)
	}
}

// What other machines reach is encrypted, unless the file says that it isn't to be, and for
// whom.
// What is told follows from the devices, so that a change of them may take a restart.
func TestAServedSignalChanges(t *testing.T) {
	was, err := Parse("gateway.yaml", []byte(stationYAML))
	if err != nil {
		t.Fatal(err)
	}
	now := was
	now.Devices = slices.Clone(was.Devices)
	for i := range now.Devices {
		now.Devices[i].Timeout *= 2
	}
	if list := Restarts(now.Changes(was)); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	for i := range now.Devices {
		now.Devices[i].Signals = slices.Clone(now.Devices[i].Signals)
		for j := range now.Devices[i].Signals {
			now.Devices[i].Signals[j].Type = "uint16"
		}
	}
	if list := Restarts(now.Changes(was)); len(list) != 1 || list[0].What != "serve" {
		t.Errorf("%+v", list)
	}
}

func TestStationAddress(t *testing.T) {
	tls := "tls: {ca: ca.crt, cert: gw.crt, key: gw.key}"
	for _, c := range []struct {
		keys []string
		want string
	}{
		{[]string{"listen: 127.0.0.1:2404"}, ""},
		{[]string{`listen: "[::1]:2404"`}, ""},
		{[]string{"listen: 0.0.0.0:2404"}, "expected tls beside it"},
		{[]string{"listen: 0.0.0.0:2404", "insecure: true"}, "expected groups"},
		{[]string{"listen: 0.0.0.0:2404", "insecure: true", "groups: [{name: a}]"}, "expected groups"},
		{[]string{"listen: 0.0.0.0:2404", "insecure: true", "groups: [{name: a, masters: [10.0.0.1]}]"}, ""},
		{[]string{"listen: 10.0.0.2:19998", tls}, ""},
		{[]string{"listen: 10.0.0.2:19998", "tls: {cert: gw.crt, key: gw.key}"}, "ca: the key is missing"},
		{[]string{"listen: 10.0.0.2:19998", "insecure: true", tls}, "no effect beside tls"},
		{[]string{"listen: control-room:19998", tls}, "expected address:port"},
	} {
		keys := ""
		for _, key := range c.keys {
			keys += "    " + key + "\n"
		}
		_, err := Parse("gateway.yaml", []byte(strings.Replace(stationYAML, "    common_address: 7\n", keys, 1)))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, expected %q", c.keys, err, c.want)
		}
	}
}
