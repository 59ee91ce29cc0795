package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// line is a gateway with two meters on one bus and one on another.
func line() Model {
	m := Model{}
	m.Gateway = "north-gw1"
	meter(&m, Device{ID: "a", Asset: "f1", Bus: "rtu:///dev/ttyUSB0", PollEvery: time.Second}, "TopOilTmp")
	meter(&m, Device{ID: "b", Asset: "f2", Bus: "rtu:///dev/ttyUSB0", PollEvery: time.Second}, "TopOilTmp")
	meter(&m, Device{ID: "c", Asset: "f2", Bus: "tcp://c", PollEvery: time.Second}, "TopOilTmp")
	m.Devices = append(m.Devices, Device{ID: m.Gateway})
	for _, name := range []string{ClockState, Mains} {
		m.Signals = append(m.Signals, telemetry.Signal{ID: telemetry.SignalID(len(m.Signals) + 1), Device: m.Gateway, Name: name, Kind: telemetry.State, Unit: "1"})
	}
	return m
}

func TestRulesOfABus(t *testing.T) {
	r := newRig(t, line(), Rule{Name: "silent", On: Target{Bus: "*"}, When: "answering == 0 and devices > 1"})
	live := func(s float64, device string, v bool) { r.read(s, device, telemetry.ChannelLive, v) }
	live(0, "a", false)
	live(0, "c", false)
	r.want() // nobody has asked b yet
	live(1, "b", true)
	r.want()
	live(2, "b", false)
	if a := r.events[0].Alarm; a.Device != "rtu:///dev/ttyUSB0" || a.Asset != "" || len(a.Inputs) != 2 {
		t.Errorf("%+v", a)
	}
	r.want("2 raised silent")
	live(3, "a", true)
	r.want("3 cleared silent")
}

// An alarm of a bus suppresses those of its devices, and not of others.
func TestABusSuppressesItsDevices(t *testing.T) {
	r := newRig(t, line(),
		Rule{Name: "device-silent", On: Target{Device: "*"}, When: "not ChLiv", SuppressedBy: []string{"bus-silent"}},
		Rule{Name: "bus-silent", On: Target{Bus: "*"}, When: "answering == 0 and devices > 1"})
	r.read(0, "b", telemetry.ChannelLive, false)
	r.want("0 raised device-silent")
	r.read(1, "a", telemetry.ChannelLive, false)
	r.want("1 raised bus-silent")
	r.read(2, "c", telemetry.ChannelLive, false)
	r.want("2 raised device-silent")
	r.read(3, "b", telemetry.ChannelLive, true)
	r.want("3 cleared bus-silent", "1 raised device-silent", "3 cleared device-silent")
}

func TestRulesOfTheGateway(t *testing.T) {
	r := newRig(t, line(),
		Rule{Name: "clock", On: Target{Gateway: true}, When: "ClkSt < 2"},
		Rule{Name: "supply-away", On: Target{Bus: "*"}, When: "answering == 0 and mains_lost"},
		Rule{Name: "each", On: Target{Device: "*"}, When: "not ChLiv"}) // the gateway isn't one of them
	r.read(0, r.model.Gateway, ClockState, 1)
	r.want("0 raised clock")
	r.read(1, "c", telemetry.ChannelLive, false)
	r.want("1 raised each")
	r.read(2, r.model.Gateway, Mains, false)
	r.want("2 raised supply-away")
	r.read(3, r.model.Gateway, ClockState, 2, Mains, true)
	r.want("3 cleared clock", "3 cleared supply-away")
}

func TestMainsThatNobodyWatchesArentLost(t *testing.T) {
	m := line()
	m.Signals = m.Signals[:len(m.Signals)-1]
	r := newRig(t, m, Rule{Name: "silent", On: Target{Bus: "tcp://c"}, When: "answering == 0 and not mains_lost"})
	r.read(0, "c", telemetry.ChannelLive, false)
	r.want("0 raised silent")
}

func TestBusProblems(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Name: "x", On: Target{Bus: "tcp://d"}, When: "answering == 0"}, "[rules[0].on.bus: there is no bus tcp://d, did you mean tcp://c?]"},
		{Rule{Name: "x", On: Target{Bus: "*"}, When: "TopOilTmp > 1"}, "[rules[0].when: character 1: device rtu:///dev/ttyUSB0 has no signal TopOilTmp]"},
		{Rule{Name: "x", On: Target{Bus: "*"}, When: "self_powered"}, "[rules[0].when: character 1: self_powered is about a device; select it with on: {device: …}, or every one with device: \"*\"]"},
		{Rule{Name: "x", On: Target{Asset: "f1"}, When: "answering == 0"}, "[rules[0].when: character 1: asset f1 has no signal answering, expected one of ChLiv, TopOilTmp]"},
	} {
		if _, problems := Compile([]Rule{c.rule}, line()); fmt.Sprint(problems) != c.want {
			t.Errorf("%v\n\texpected %s", problems, c.want)
		}
	}
	if _, problems := Compile([]Rule{{Name: "x", On: Target{Gateway: true}, When: "ClkSt < 2"}}, feeder("TopOilTmp")); fmt.Sprint(problems) != "[rules[0].on.gateway: the gateway has no signals here]" {
		t.Error(problems)
	}
}
