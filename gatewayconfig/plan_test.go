package gatewayconfig

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
)

const planned = `gateway: {id: gw}
forward: {kafka: {brokers: [localhost:9092]}}
buffer: {path: data}
defaults: {poll_every: 10s}
devices:
  - {id: m1, modbus: {endpoint: "rtu:///dev/ttyUSB0?baud=9600", unit: 1}, profile: eastron/sdm630}
  - {id: m2, modbus: {endpoint: "rtu:///dev/ttyUSB0?baud=9600", unit: 2}, profile: eastron/sdm630}
  - {id: inverter, modbus: {endpoint: "tcp://10.0.0.12", base: 40069}, profile: sunspec/103}
rules: [{use: supervision}]
`

func parsed(t *testing.T, src string) Config {
	t.Helper()
	c, err := Parse("gateway.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChanges(t *testing.T) {
	from := parsed(t, planned)
	if got := from.Changes(parsed(t, planned)); got != nil {
		t.Errorf("%+v", got)
	}
	to := parsed(t, strings.NewReplacer(
		"{path: data}", "{path: data, max_size: 4GiB}",
		"unit: 2}", "unit: 3}, poll_every: 1s, signals: [{name: Hz, deadband: 1%}, {name: Tmp, input: 1000, type: int16, unit: Cel}]",
		"id: inverter", "id: pv",
		"use: supervision", "use: en50160, with: {reference_voltage: 230 V}",
	).Replace(planned))
	want := []Change{
		{"buffer", "max_size", "1GiB", "4GiB", true},
		{"device m2", "modbus.unit", "2", "3", false},
		{"device m2", "poll_every", "10s", "1s", false},
		{"device m2", "signals Hz deadband", "none", "1%", false},
		{"device m2", "signals Hz report_every", "0s", "1m", false},
		{"device m2", "signals Tmp", "", "added", false},
		{"device pv", "", "", "added", false}, {"device inverter", "", "", "removed", false},
		{"rule use en50160", "", "", "added", false}, {"rule use supervision", "", "", "removed", false},
	}
	if got := to.Changes(from); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nexpected\n%+v", got, want)
	}
}

// Every key says what it was and becomes, also where it is in only one of the two.
func TestChangesOfEveryKind(t *testing.T) {
	from := parsed(t, planned)
	for _, c := range []struct {
		old, new string
		want     []string
	}{
		{"{id: gw}", "{id: gw2, site: north}", []string{"gateway.id: id gw becomes gw2 (restart)", "gateway.site: site none becomes north (restart)"}},
		{"kafka: {brokers: [localhost:9092]}", "uplink: {url: https://uplink.example}", []string{
			"forward.kafka: kafka {brokers: [localhost:9092], topic_prefix: busbar} becomes none (restart)",
			"forward.uplink: uplink none becomes {url: https://uplink.example} (restart)"}},
		{"[localhost:9092]", "[localhost:9092, localhost:9093]", []string{"forward.kafka.brokers: kafka.brokers [localhost:9092] becomes [localhost:9092, localhost:9093] (restart)"}},
		{"buffer:", "time: {ntp: [10.0.0.1], require_sync: true}\nbuffer:", []string{
			"time.ntp: ntp [] becomes [10.0.0.1] (restart)", "time.require_sync: require_sync false becomes true (restart)"}},
		{"devices:", "assets: [{id: m1, nominal_voltage: 400 V}, {id: m2}, {id: inverter}]\ndevices:", []string{"asset m1: added", "asset m2: added", "asset inverter: added"}},
		{"unit: 1}", "unit: 1, max_gap: 0, pause: 20ms}", []string{"device m1.modbus.max_gap: modbus.max_gap none becomes 0", "device m1.modbus.pause: modbus.pause 0s becomes 20ms"}},
		{"[{use: supervision}]", "[{use: supervision, for: 1m, priority: high, with: {}, on: {device: m1}}]", []string{
			"rule use supervision.on.device: on.device none becomes m1", "rule use supervision.for: for none becomes 1m", "rule use supervision.priority: priority none becomes high"}},
		{"{poll_every: 10s}", "{poll_every: 10s, timeout: 2s}", []string{"defaults.timeout: timeout 1s becomes 2s",
			"device m1.timeout: timeout 1s becomes 2s", "device m2.timeout: timeout 1s becomes 2s", "device inverter.timeout: timeout 1s becomes 2s"}},
	} {
		if strings.Count(planned, c.old) != 1 {
			t.Fatalf("%q isn't there once", c.old)
		}
		var got []string
		for _, change := range parsed(t, strings.Replace(planned, c.old, c.new, 1)).Changes(from) {
			line := change.Name() + ": " + change.How()
			if change.Restart {
				line += " (restart)"
			}
			got = append(got, line)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.new, got, c.want)
		}
	}
}

func TestDemand(t *testing.T) {
	d := parsed(t, planned).Demand()
	if len(d.Buses) != 2 || d.Buses[0].Endpoint != "rtu:///dev/ttyUSB0" || d.Buses[0].Devices != 2 || d.Buses[1].Busy != 0 {
		t.Errorf("%+v", d)
	}
	if one, all := d.Buses[0].Requests/2, d.Values; math.Abs(one-0.3) > 1e-9 || math.Abs(all-10.3) > 1e-9 {
		t.Errorf("%v requests/s of one, %v values/s", one, all)
	}
	if got := d.Holds(Buffer{MaxSize: configfile.GiB, ReserveForEvents: 64 * configfile.MiB}); got < 300*24*time.Hour || got > 400*24*time.Hour {
		t.Errorf("%v", got)
	}
}
