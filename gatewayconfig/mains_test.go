package gatewayconfig

import (
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

const withUPS = `gateway: {id: gw, mains: {device: ups, signal: OnLine}}
forward: {kafka: {brokers: [localhost:9092]}}
buffer: {path: data}
devices:
  - id: ups
    nut: {endpoint: tcp://10.0.0.1, ups: ups}
    signals: [{name: OnLine, status: OL}, {name: Charge, variable: battery.charge, unit: "%"}]
  - id: door
    gpio: {chip: /dev/gpiochip0}
    signals: [{name: Open, line: 17, active_low: true}]
rules: [{name: on-battery, when: not Mains, on: {device: gw}}, {use: supervision}, {name: open, on: {device: "*", asset: door}, when: Open}]
`

// A password isn't sent to another machine unless that is asked for.
func TestAUserOfUPSD(t *testing.T) {
	for nut, want := range map[string][]string{
		"endpoint: tcp://127.0.0.1, username: m, password_file: p":                 nil,
		"endpoint: tcp://localhost, username: m, password_file: p":                 nil,
		"endpoint: tcp://10.0.0.1":                                                 nil,
		"endpoint: tcp://10.0.0.1, username: m, password_file: p, insecure: true":  nil,
		"username: m, password_file: p, endpoint: tcp://10.0.0.1":                  {"6:21 devices[0].nut.username"},
		"insecure: true, endpoint: tcp://10.0.0.1":                                 {"6:21 devices[0].nut.insecure"},
		"insecure: true, endpoint: tcp://127.0.0.1, username: m, password_file: p": {"6:21 devices[0].nut.insecure"},
	} {
		if got := places(t, strings.Replace(withUPS, "endpoint: tcp://10.0.0.1", nut, 1)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, expected %q", nut, got, want)
		}
	}
}

// The gateway is a device of its own, which "*" of a rule doesn't mean.
func TestTheGatewayIsADevice(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(withUPS))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Model().Signals {
		names = append(names, s.Device+" "+s.Name+" "+string(s.Kind)+" "+s.Unit)
	}
	want := []string{"ups OnLine state 1", "ups Charge gauge %", "ups ChLiv state 1", "door Open state 1", "door ChLiv state 1", "gw ClkSt state 1", "gw BufUse gauge By", "gw BufLeft gauge s", "gw SwRev state 1", "gw Mains state 1"}
	if !slices.Equal(names, want) {
		t.Errorf("%q, expected %q", names, want)
	}
	if s := c.Model().Signals[5]; s.InWords(telemetry.IntValue(2)) != "synchronised" {
		t.Errorf("%+v", s)
	}
	door := c.Devices[1]
	if door.PollEvery != 0 || !door.ByChange() || c.Model().Devices[1].PollEvery != 0 {
		t.Errorf("%+v", door)
	}
	if d := c.Demand(); len(d.Buses) != 0 || d.Values != 2 || d.Telling != 1 {
		t.Errorf("%+v", d)
	}
}

// What says whether the supply is there has to be a number of a device that there is.
func TestMainsIsASignal(t *testing.T) {
	for from, to := range map[string]string{
		"device: ups, signal: OnLine": "device: usp, signal: OnLine",
		"signal: OnLine}":             "signal: Nothing}",
		"status: OL":                  "variable: ups.status, type: string",
		"id: door":                    "id: gw",
	} {
		if _, err := Parse("gateway.yaml", []byte(strings.Replace(withUPS, from, to, 1))); err == nil {
			t.Errorf("%s is accepted", to)
		}
	}
}
