package ruletest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/configfile"
)

// Everything that is wrong with a file is said at once.
func TestWhatIsWrongWithAFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"gateway.yaml": gatewayYAML, "wrong.yaml": strings.Replace(gatewayYAML, "TotW > 5", "TotV > 5", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		src  string
		want []string
	}{
		"nothing": {"", []string{"tests: the key is missing", "rules: there is no rule"}},
		"no test": {network[:strings.Index(network, "tests:")] + "tests: []", []string{"tests: there is no test"}},
		"no rule": {"devices: [{id: m, signals: [{name: A, unit: A}]}]\ntests: [{name: a, series: {m: {A: 1}}}]", []string{"rules: there is no rule"}},
		"series": {network + `    every: 1us
    series:
      m1: {PhV.phsB: 1, A.phsA: 1y3}
      m9: {TotW: 1}
`, []string{
			"34:12: tests[0].every: 1µs is out of range, expected 1ms to 24h",
			`36:22: tests[0].series.m1["PhV.phsB"]: device m1 has no signal PhV.phsB, did you mean PhV.phsA?`,
			`36:33: tests[0].series.m1["A.phsA"]: "1y3" is no value`,
			"37:7: tests[0].series.m9: there is no device m9, did you mean m1?",
		}},
		"alarms": {network + `    series: {m1: {PhV.phsA: 1}}
    start: yesterday
    alarms:
      - {rule: low, raised: 1s}
      - {rule: low, asset: f1}
      - {rule: low, asset: f1, raised: 3s, cleared: 2s}
      - {rule: low, asset: f1, raised: -3s, at: 3}
`, []string{
			`35:12: tests[0].start: "yesterday" is no time, expected one such as 2026-01-01T00:00:00Z`,
			"37:9: tests[0].alarms[0]: neither asset nor device is given",
			"38:9: tests[0].alarms[1].raised: the key is missing",
			"39:53: tests[0].alarms[2].cleared: 2s is before 3s, at which it is raised",
			`40:40: tests[0].alarms[3].raised: "-3s" is no duration`,
			`40:45: tests[0].alarms[3].at: unknown key "at"`,
		}},
		"network": {`assets: [{id: f1}, {id: f1}]
devices:
  - {id: m1, asset: f2, powered_by: battery, signals: [{name: A, unit: A}, {name: A, unit: A}, {name: ChLiv, kind: state}]}
  - {id: m1, asset: f1, signals: [{name: A}, {name: B, kind: level}, {name: C, states: {x: a}}]}
rules: [{name: low, when: NoSuch > 1}]
tests: [{name: a, series: {m1: {A: 1}}}]
`, []string{
			`1:25: assets[1].id: "f1" is assets[0] already`,
			`3:21: devices[0].asset: there is no asset "f2"`,
			`3:37: devices[0].powered_by: "battery", expected measured, auxiliary or unknown`,
			`3:83: devices[0].signals[1].name: "A" is signals[0] of this device already`,
			"3:103: devices[0].signals[2].name: ChLiv is the gateway's own signal",
			`4:10: devices[1].id: "m1" is devices[0] already`,
			"4:35: devices[1].signals[0].unit: the key is missing",
			`4:62: devices[1].signals[1].kind: "level", expected gauge, counter or state`,
			`4:92: devices[1].signals[2].states.x: "x", expected a whole number`,
		}},
		"rules": {strings.Replace(network, "PhV.phsA < 10", "PhV.phsB < 10", 1) + "    series: {m1: {PhV.phsA: 1}}\n", []string{
			"24:26: rules[1].when: it applies to no asset: asset f1 has no signal PhV.phsB, did you mean PhV.phsA?"}},
		"both": {"configuration: gateway.yaml\nrules: [{name: a, when: TotW > 1}]\ntests: [{name: a, series: {m1: {TotW: 1}}}]", []string{
			"2:1: rules: configuration is given too, expected one of them"}},
		"no such configuration": {"configuration: none.yaml\ntests: [{name: a, series: {m1: {TotW: 1}}}]", []string{
			"1:16: configuration: open "}},
		"a wrong configuration": {"configuration: wrong.yaml\ntests: [{name: a, series: {m1: {TotW: 1}}}]", []string{
			"1:16: configuration: wrong.yaml is no valid configuration: it applies to no asset: asset f1 has no signal TotV"}},
	} {
		_, err := Parse(filepath.Join(dir, "t.yaml"), []byte(c.src))
		wrong, ok := errors.AsType[configfile.Errors](err)
		if !ok || len(wrong) != len(c.want) {
			t.Errorf("%s: %v\nexpected %q", name, err, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(wrong[i].Error(), want) {
				t.Errorf("%s: %v\nexpected %s", name, wrong[i], want)
			}
		}
	}
}

// Whatever the bytes, a file of tests is run or refused with places.
func FuzzParse(f *testing.F) {
	f.Add([]byte(network + "    series: {m1: {PhV.phsA: 230x2 200x4, A.phsA: _x3 timeout 5-1x3}, rtu: {Pos: true falsex2}}\n    alarms: [{rule: low, asset: f1, raised: 3s, cleared: 8s}]\n"))
	f.Add([]byte("devices: [{id: m, poll_every: 0s, signals: [{name: A, flags: {0: x}}]}]\nrules: [{name: a, when: 'has(A, \"x\")', for: 1ms}]\ntests: [{name: a, every: 24h, start: 9000-01-01T00:00:00Z, series: {m: {A: 0x9, ChLiv: stale}}}]"))
	f.Add([]byte("configuration: gateway.yaml\ntests: []"))
	f.Add([]byte(network))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := Parse(filepath.Join(t.TempDir(), "t.yaml"), src)
		if err != nil {
			if wrong, ok := errors.AsType[configfile.Errors](err); !ok || len(wrong) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		moments := 0
		for _, test := range s.tests {
			_, n := s.exchanges(test)
			moments += n
		}
		if moments > 10_000 {
			t.Skip("it only takes long")
		}
		for _, r := range s.Run() {
			for _, failure := range r.Failures {
				if failure.Line < 1 || failure.Message == "" {
					t.Errorf("%+v", failure)
				}
			}
		}
	})
}
