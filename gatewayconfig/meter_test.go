package gatewayconfig

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/meter"
	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
)

const before = "gateway: {id: gw}\nforward: {kafka: {brokers: [\"localhost:9092\"]}}\nbuffer: {path: data}\n"

// The examples in docs/meters.md are right, and say what they look like they say.
func TestMeterDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/meters.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	for rest := string(page); ; {
		_, after, found := strings.Cut(rest, "```yaml\n")
		if !found {
			break
		}
		example, left, _ := strings.Cut(after, "```")
		examples, rest = append(examples, example), left
	}
	if len(examples) != 3 {
		t.Fatalf("%d examples", len(examples))
	}
	c, err := Parse("gateway.yaml", []byte(before+examples[0]))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []meter.Device{
		{ID: "house", Protocol: meter.P1, Endpoint: "serial:///dev/ttyUSB0", Zone: "Europe/Amsterdam", Timeout: 30 * time.Second},
		{ID: "flat", Protocol: meter.SML, Endpoint: "tcp://10.0.0.60:8888", Timeout: 30 * time.Second},
		{ID: "heating", Protocol: meter.IEC62056, Endpoint: "serial:///dev/ttyUSB1", ReadEvery: time.Hour, Timeout: 5 * time.Second},
	} {
		d := c.Devices[i]
		got := d.MeterDevice("dir")
		if got.Points != nil || got.ID != want.ID || got.Protocol != want.Protocol || got.Endpoint != want.Endpoint || got.Zone != want.Zone || got.ReadEvery != want.ReadEvery || got.Timeout != want.Timeout {
			t.Errorf("%+v, expected %+v", got, want)
		}
		if !d.Open() || !d.ByChange() || d.PollEvery != 0 {
			t.Errorf("%+v", d)
		}
	}
	if c, err = Parse("gateway.yaml", []byte(before+"devices:\n  - id: house\n    p1: {endpoint: \"tcp://h:1\"}\n"+examples[1])); err != nil {
		t.Fatal(err)
	}
	if p := c.Devices[0].MeterDevice("").Points; len(p) != 1 || p[0].Name != "Consumed" || p[0].Scale != 0.001 || p[0].Code != (obis.Code{A: 1, C: 1, D: 8, F: obis.Current}) {
		t.Errorf("%+v", p)
	}
	if c, err = Parse("gateway.yaml", []byte(before+"devices:\n  - id: house\n"+examples[2])); err != nil {
		t.Fatal(err)
	}
	if d := c.Devices[0].MeterDevice("dir"); d.KeyFile != "dir/meter.key" || d.AuthenticationKeyFile != "" {
		t.Errorf("%+v", d)
	}
}

// What a meter has told is stored by change, and forgotten when another name is written down
// for one of its registers.
func TestMeterFound(t *testing.T) {
	with := func(device string) Device {
		c, err := Parse("gateway.yaml", []byte(before+"devices:\n  - {id: house, "+device+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		c = c.With(func(Device) []adapters.Found {
			return []adapters.Found{{Name: "TotW", Unit: "W", Kind: telemetry.Gauge, Follow: adapters.NoFollow, Encoding: "obis"}}
		})
		return c.Devices[0]
	}
	first := with(`p1: {endpoint: "tcp://a:1"}`)
	s, _ := first.Signal("TotW")
	if s.Deadband == nil || s.Deadband.Value != 0 || time.Duration(s.ReportEvery) != time.Minute || s.Unit != "W" {
		t.Errorf("%+v", s)
	}
	if with(`p1: {endpoint: "tcp://b:2", time_zone: UTC}, timeout: 5s`).Fingerprint() != first.Fingerprint() {
		t.Error("at another place it has other signals")
	}
	for _, other := range []string{`sml: {endpoint: "tcp://a:1"}`, `p1: {endpoint: "tcp://a:1"}, signals: [{name: Power, obis: "16.7.0", unit: W}]`} {
		if with(other).Fingerprint() == first.Fingerprint() {
			t.Errorf("%s has the same signals", other)
		}
	}
}
