package rules

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// gateways is a model of gateways on one feeder, named a to z, each by the carrier of
// which the letter stands at its place; '-' for one that isn't known.
func gateways(carriers string) Model {
	m := Model{}
	for n, c := range carriers {
		d := Device{ID: string(rune('a' + n)), Asset: "feeder-1", Supply: "feeder-1", Bus: strings.Trim(string(c), "-")}
		meter(&m, d, "LastGasp", "Stopped", "Lapsed")
	}
	return m
}

// What becomes of gateway a, on whose feeder the others are as said: L alive, S silent,
// G with a last gasp, D stopped after one,
// E stopped, O silent for hours, ? not known yet.
func TestSilentGateway(t *testing.T) {
	for _, c := range []struct{ name, carriers, states, want string }{
		{"alive", "xxx", "LLL", ""},
		{"alive, the others silent", "xyz", "LSS", ""},
		{"last gasp, alone", "x", "G", "0 raised gateway-supply-lost"},
		{"last gasp, the others alive", "xyz", "GLL", "0 raised gateway-supply-lost"},
		{"last gasp, the others silent", "xyz", "GSS", "0 raised gateway-supply-lost"},
		{"silent, one alive", "xx", "SL", "0 raised gateway-comms-suspect"},
		{"silent, all alive by other carriers", "xyz", "SLL", "0 raised gateway-comms-suspect"},
		{"silent, one silent by another carrier, one alive", "xyz", "SSL", "0 raised gateway-comms-suspect"},
		{"silent, two silent by other carriers", "xyz", "SSS", "0 raised gateway-supply-suspect"},
		{"silent, two dead by another carrier", "xyy", "SGG", "0 raised gateway-supply-suspect"},
		{"silent, two that have shut down on their batteries", "xyz", "SDD", "0 raised gateway-supply-suspect"},
		{"silent, one silent and one dead by other carriers", "xyz", "SSG", "0 raised gateway-supply-suspect"},
		{"silent, two of them on a branch of the feeder", "xyzx", "SSSL", "0 raised gateway-supply-suspect"},
		{"silent, the others by its carrier", "xxx", "SSS", "0 raised gateway-silent"},
		{"silent, one of two by its carrier", "xxy", "SSS", "0 raised gateway-silent"},
		{"silent, no carrier known", "---", "SSS", "0 raised gateway-silent"},
		{"silent, its carrier not known", "-yz", "SSS", "0 raised gateway-silent"},
		{"silent, alone", "x", "S", "0 raised gateway-silent"},
		{"silent, the only other dead and talking", "xy", "SG", "0 raised gateway-silent"},
		{"silent, the others stopped", "xyz", "SEE", "0 raised gateway-silent"},
		{"silent, two others for hours", "xyz", "SOO", "0 raised gateway-silent"},
		{"silent, two others for hours, one alive", "xyzz", "SOOL", "0 raised gateway-comms-suspect"},
		{"silent, one for hours and two not", "xyzz", "SOSS", "0 raised gateway-supply-suspect"},
		{"silent for hours, two others not", "xyz", "OSS", "0 raised gateway-supply-suspect"},
		{"silent, one not known", "xy", "S?", ""},
		{"silent, two silent and one by its carrier not known", "xyzx", "SSS?", "0 raised gateway-supply-suspect"},
		{"stopped", "xyz", "ELL", ""},
		{"not known", "xyz", "?SS", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, gateways(c.carriers), Rule{Use: "fleet"})
			for n, state := range c.states {
				live := map[rune]any{'L': 1, 'G': 1, 'E': 1, 'D': 0, 'S': 0, 'O': 0, '?': silent{}}[state]
				r.read(0, string(rune('a'+n)), telemetry.ChannelLive, live, "LastGasp", state == 'G' || state == 'D', "Stopped", state == 'E' || state == 'D', "Lapsed", state == 'O')
			}
			r.tick(89)
			r.tick(91)
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			events := r.events
			r.events = nil
			for _, e := range events {
				if e.Alarm.Device == "a" {
					r.events = append(r.events, e)
				}
			}
			r.want(want...)
		})
	}
}

// What speaks for the link is not said of a feeder whose gateways fall silent one after
// the other, and a verdict gives way to a better one.
func TestSilenceOneAfterTheOther(t *testing.T) {
	r := newRig(t, gateways("xyz"), Rule{Use: "fleet"})
	tell := func(at float64, device string, live int) {
		r.read(at, device, telemetry.ChannelLive, live, "LastGasp", 0, "Stopped", 0, "Lapsed", 0)
	}
	for _, d := range []string{"a", "b", "c"} {
		tell(0, d, 1)
	}
	tell(100, "a", 0)
	tell(130, "b", 0)
	tell(159, "c", 0)
	r.tick(300)
	r.want("159 raised gateway-supply-suspect", "159 raised gateway-supply-suspect", "159 raised gateway-supply-suspect")
	tell(310, "c", 1)
	r.want("310 cleared gateway-supply-suspect", "310 cleared gateway-supply-suspect", "310 cleared gateway-supply-suspect")
	r.tick(401)
	r.want("310 raised gateway-comms-suspect", "310 raised gateway-comms-suspect")
}

func TestNeighboursThatDontCompile(t *testing.T) {
	m := gateways("xy")
	meter(&m, Device{ID: "m", Asset: "feeder-1", Supply: "feeder-1"}, "PhV.phsA")
	for when, want := range map[string]string{
		"neighbours(LastGap) >= 1":              "has no signal LastGap, did you mean LastGasp?",
		"neighbours(3) >= 1":                    "3 is a number, expected a condition",
		"neighbours(LastGasp, ChLiv) >= 1":      "has 2 arguments, expected one",
		"neighbours_elsewhere(LastGasp) >= 1 V": "unexpected token",
		"neighbours(LastGasp)":                  "is a number, expected a condition",
	} {
		_, problems := Compile([]Rule{{Name: "r", On: Target{Device: "a"}, When: when}}, m)
		if len(problems) != 1 || !strings.Contains(problems[0].Err.Error(), want) {
			t.Errorf("%s: %v, expected %q", when, problems, want)
		}
	}
	if _, problems := Compile([]Rule{{Name: "r", On: Target{Asset: "feeder-1"}, When: "neighbours(ChLiv) >= 1"}}, m); len(problems) != 1 || !strings.Contains(problems[0].Err.Error(), "is about a device") {
		t.Errorf("%v", problems)
	}
	// A neighbour without the signal isn't counted.
	r := newRig(t, m, Rule{Name: "r", On: Target{Device: "a"}, When: "LastGasp and neighbours(not LastGasp) == 1"})
	r.read(0, "b", "LastGasp", 0)
	r.read(0, "a", "LastGasp", 1)
	r.want("0 raised r")
}
