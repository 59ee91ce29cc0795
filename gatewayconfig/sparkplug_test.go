package gatewayconfig

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The example in docs/sparkplug.md is right, and says what it looks like it says.
func TestSparkplugDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/sparkplug.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example")
	}
	c, err := Parse("gateway.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Devices[0].SparkplugDevice("dir")
	if d.HostID != "busbar" || d.Broker.ClientID != "north-gw1-plant" || d.ReorderTimeout != 3*time.Second || len(d.Follow) != 2 || d.Follow[1][0] != "*/Temperature" || d.Dir != "dir" {
		t.Errorf("%+v", d)
	}
	if !c.Devices[0].Open() || !c.Devices[0].ByChange() || c.Devices[0].PollEvery != 0 {
		t.Errorf("%+v", c.Devices[0])
	}
	if s := c.Serve.Sparkplug; s.Node != "north-gw1" || s.ClientID != "north-gw1-sparkplug" || s.Group != "substations" || s.PrimaryHost != "scada" {
		t.Errorf("%+v", s)
	}
}

// What decides which signals there are is in the fingerprint, and nothing else.
func TestSparkplugFingerprint(t *testing.T) {
	with := func(device string) string {
		c, err := Parse("gateway.yaml", []byte("gateway: {id: gw}\nforward: {kafka: {brokers: [\"localhost:9092\"]}}\nbuffer: {path: data}\ndevices:\n  - {id: plant, "+device+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c.Devices[0].Fingerprint()
	}
	first := with(`sparkplug: {broker: "tls://a", host_id: h, groups: [a]}`)
	if with(`sparkplug: {broker: "tls://b", host_id: i, groups: [a], reorder_timeout: 5s}`) != first {
		t.Error("another broker has other signals")
	}
	for _, other := range []string{`sparkplug: {broker: "tls://a", host_id: h}`, `sparkplug: {broker: "tls://a", host_id: h, groups: [a, b]}`, `sparkplug: {broker: "tls://a", host_id: h, groups: [a]}, follow: [{metrics: ["x"]}]`} {
		if with(other) == first {
			t.Errorf("%s has the same signals", other)
		}
	}
}
