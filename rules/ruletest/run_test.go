package ruletest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// network is what the tests below are about.
const network = `gateway: {id: gw}
assets:
  - {id: f1, kind: feeder, rated_current: 100 A}
devices:
  - id: m1
    asset: f1
    signals:
      - {name: PhV.phsA, unit: V}
      - {name: A.phsA, unit: A}
  - id: rtu
    asset: f1
    poll_every: 0s
    signals:
      - {name: Pos, states: {0: open, 1: closed}}
  - id: m2
    powered_by: measured
    poll_every: 10s
    signals: [{name: TotW, unit: W}]
  - {id: m3, poll_every: 0s, signals: [{name: Trip, kind: state}, {name: Live, kind: state}]}
  - {id: m4, bus: line-1, poll_every: 10s, signals: [{name: TotW, unit: W}]}
  - {id: gw, poll_every: 0s, signals: [{name: Mains, kind: state}]}
rules:
  - {name: low, when: PhV.phsA < 207, for: 2s, keep_firing_for: 1s, priority: high, summary: "{{ .PhV.phsA }} V"}
  - {name: sensor, when: PhV.phsA < 10 and A.phsA > 0.02 * rated_current}
  - {name: opened, when: Pos == "open", for: 3s}
  - {name: silent, on: {device: m2}, when: not ChLiv}
  - {name: loaded, on: {device: m2}, when: TotW > 5, for: 10s}
  - {name: tripped, on: {device: m3}, when: Trip, latch: true, group: protection}
  - {name: bus, on: {bus: "*"}, when: answering == 0}
  - {name: mains, on: {gateway: true}, when: not Mains}
  - {name: dead, on: {device: m3}, when: not Live, group: protection}
tests:
  - name: one
`

// first is the number of the line behind network.
var first = strings.Count(network, "\n") + 1

// play is what comes of a test that has these further lines. The numbers of lines
// count from the first of them, which is 26.
func play(t *testing.T, lines string) (failures []string) {
	t.Helper()
	s, err := Parse("t.yaml", []byte(network+lines))
	if err != nil {
		t.Fatal(err)
	}
	results := s.Run()
	if len(results) != 1 || results[0].Name != "one" {
		t.Fatalf("%+v", results)
	}
	for _, f := range results[0].Failures {
		failures = append(failures, fmt.Sprintf("%d:%d %s: %s", f.Line-first+26, f.Column, f.Path, f.Message))
	}
	return failures
}

func TestWhatIsExpectedComes(t *testing.T) {
	for name, lines := range map[string]string{
		"nothing": `
    series: {m1: {PhV.phsA: 230x100}}`,
		"raised and cleared": `
    series: {m1: {PhV.phsA: 230x2 200x4 230x9}}
    alarms: [{rule: low, asset: f1, raised: 3s, cleared: 8s, priority: high, summary: 200 V}]`,
		"active at the end": `
    series: {m1: {PhV.phsA: 200x4}}
    alarms: [{rule: low, asset: f1, raised: 0s}]`,
		"values go on where the series end": `
    series: {m1: {PhV.phsA: 200}}`,
		"twice": `
    series: {m1: {PhV.phsA: 200x2 230x2 200x2}}
    alarms:
      - {rule: low, asset: f1, raised: 6s}
      - {rule: low, asset: f1, raised: 0s, cleared: 3s}`,
		"another interval": `
    every: 500ms
    series: {m1: {PhV.phsA: 230 200x4 230x9}}
    alarms: [{rule: low, asset: f1, raised: 500ms, cleared: 3s}]`,
		"bad values neither raise nor clear": `
    series: {m1: {PhV.phsA: 200 timeoutx5 230x3 200x3 stalex9}}
    alarms: [{rule: low, asset: f1, raised: 11s}]`,
		"what isn't read neither": `
    series: {m1: {PhV.phsA: 200 _x6 230x3 200x3 _x10}}
    alarms: [{rule: low, asset: f1, raised: 11s}]`,
		// The values of one moment are one exchange: at no time the new voltage meets the
		// old current.
		"one exchange": `
    series: {m1: {PhV.phsA: 230x2 0x2 230x2, A.phsA: 50x2 0x2 50x2}}
    alarms: [{rule: low, asset: f1, raised: 3s, cleared: 6s}]`,
		"two signals": `
    series: {m1: {PhV.phsA: 230 0, A.phsA: 50x9}}
    alarms: [{rule: sensor, asset: f1, raised: 1s}]`,
		"back before its time": `
    series: {rtu: {Pos: true false _ true}, m1: {PhV.phsA: 230x20}}`,
		"time alone raises": `
    series: {rtu: {Pos: true false _x3}}
    alarms: [{rule: opened, asset: f1, raised: 1s}]`,
		"between two moments": `
    every: 2s
    series: {rtu: {Pos: false _ true}}
    alarms: [{rule: opened, asset: f1, raised: 0s, cleared: 4s}]`,
		"a device that doesn't answer": `
    every: 10s
    series: {m2: {TotW: 1x2 timeoutx3 1}}
    alarms: [{rule: silent, device: m2, raised: 30s, cleared: 1m10s}]`,
		"of which the asset is given too": `
    every: 10s
    series: {m2: {TotW: 1x2 not-connectedx3}}
    alarms: [{rule: silent, device: m2, asset: m2, raised: 30s}]`,
		"a device that refuses answers": `
    every: 10s
    series: {m2: {TotW: 1x2 refusedx3 1}}`,
		"a device that isn't asked says nothing": `
    every: 10s
    series: {m2: {TotW: 1x2 _x9}}`,
		"a series of its life goes before": `
    every: 10s
    series: {m2: {TotW: 1x2, ChLiv: true falsex1}}
    alarms: [{rule: silent, device: m2, raised: 10s}]`,
		"when its time comes": `
    start: 2026-03-29T00:59:58Z
    every: 10s
    series: {m2: {TotW: 9x2}}
    alarms: [{rule: loaded, device: m2, raised: 0s}]`,
		"a latched alarm is reset": `
    series: {m3: {Trip: false true false _x9}}
    resets: [{rule: tripped, device: m3, at: 4500ms}]
    alarms: [{rule: tripped, device: m3, raised: 1s, cleared: 4500ms}]`,
		"and comes again if it still holds": `
    series: {m3: {Trip: false true _x3 true}}
    resets: [{rule: tripped, device: m3, at: 3s}]
    alarms:
      - {rule: tripped, device: m3, raised: 1s, cleared: 3s}
      - {rule: tripped, device: m3, raised: 3s}`,
		"a bus": `
    every: 10s
    series: {m4: {TotW: 1 timeout}}
    alarms: [{rule: bus, device: line-1, raised: 10s}]`,
		"the gateway": `
    series: {gw: {Mains: true false}}
    alarms: [{rule: mains, device: gw, raised: 1s}]`,
		"which came first": `
    series: {m3: {Trip: false true, Live: true _ false}}
    alarms:
      - {rule: tripped, device: m3, raised: 1s, confirmed: 1s, first_up: tripped}
      - {rule: dead, device: m3, raised: 2s, first_up: tripped}`,
	} {
		if failures := play(t, strings.TrimPrefix(lines, "\n")); len(failures) > 0 {
			t.Errorf("%s: %q", name, failures)
		}
	}
}

func TestWhatIsOtherwiseFails(t *testing.T) {
	const series = `
    series: {m1: {PhV.phsA: 230x2 200x4 230x9}}`
	for name, c := range map[string]struct {
		lines string
		want  []string
	}{
		"not expected": {series, []string{
			"25:5 tests[0]: an alarm that isn't expected: low at asset f1, raised at 3s, cleared at 8s"}},
		"missing": {`
    series: {m1: {PhV.phsA: 230x9}}
    alarms:
      - {rule: low, asset: f1, raised: 3s}`, []string{
			"28:9 tests[0].alarms[0]: low at asset f1 isn't raised, and no alarm is"}},
		"another rule": {series + `
    alarms:
      - {rule: lower, asset: f1, raised: 3s, cleared: 8s}`, []string{
			"28:9 tests[0].alarms[0]: lower at asset f1 isn't raised, but low at asset f1, raised at 3s, cleared at 8s",
			"25:5 tests[0]: an alarm that isn't expected: low at asset f1, raised at 3s, cleared at 8s"}},
		"an asset's alarm isn't a device's": {series + `
    alarms:
      - {rule: low, asset: f1, device: m1, raised: 3s, cleared: 8s}`, []string{
			"28:9 tests[0].alarms[0]: low at device m1 isn't raised, but low at asset f1, raised at 3s, cleared at 8s",
			"25:5 tests[0]: an alarm that isn't expected: low at asset f1, raised at 3s, cleared at 8s"}},
		"at other times": {series + `
    alarms:
      - {rule: low, asset: f1, raised: 4s, cleared: 1m30s}`, []string{
			"28:40 tests[0].alarms[0].raised: low at asset f1: raised at 3s, expected 4s",
			"28:53 tests[0].alarms[0].cleared: low at asset f1: cleared at 8s, expected 1m30s"}},
		"cleared": {series + `
    alarms:
      - {rule: low, asset: f1, raised: 3s}`, []string{
			"28:9 tests[0].alarms[0].cleared: low at asset f1: cleared at 8s, expected active at the end"}},
		"not cleared": {`
    series: {m1: {PhV.phsA: 200x9}}
    alarms:
      - {rule: low, asset: f1, raised: 0s, cleared: 5s}`, []string{
			"28:53 tests[0].alarms[0].cleared: low at asset f1: active at the end, expected cleared at 5s"}},
		"other words": {series + `
    alarms:
      - {rule: low, asset: f1, raised: 3s, cleared: 8s, priority: low, summary: 201 V}`, []string{
			"28:67 tests[0].alarms[0].priority: low at asset f1: its priority is high, expected low",
			`28:81 tests[0].alarms[0].summary: low at asset f1: its summary is "200 V", expected "201 V"`}},
		"what isn't active is reset": {`
    series: {m3: {Trip: false _ true}}
    resets:
      - {rule: tripped, device: m3, at: 0s}
      - {rule: tripped, device: m3, at: 1s}
    alarms: [{rule: tripped, device: m3, raised: 2s, first_up: dead}]`, []string{
			"28:9 tests[0].resets[0]: tripped at device m3 isn't active then",
			"29:9 tests[0].resets[1]: tripped at device m3 isn't active then",
			`30:64 tests[0].alarms[0].first_up: tripped at device m3: what came first is "tripped", expected dead`}},
		"one too many": {`
    series: {m1: {PhV.phsA: 200x2 230x2 200x2 230x2}}
    alarms:
      - {rule: low, asset: f1, raised: 6s, cleared: 9s}`, []string{
			"25:5 tests[0]: an alarm that isn't expected: low at asset f1, raised at 0s, cleared at 3s"}},
		"one too few": {`
    series: {m1: {PhV.phsA: 200x2 230x2 200x2 230x2}}
    alarms:
      - {rule: low, asset: f1, raised: 1s, cleared: 2s}
      - {rule: low, asset: f1, raised: 6s, cleared: 8s}
      - {rule: low, asset: f1, raised: 0s, cleared: 3s}`, []string{
			"28:9 tests[0].alarms[0]: low at asset f1 isn't raised, but low at asset f1, raised at 0s, cleared at 3s; low at asset f1, raised at 6s, cleared at 9s",
			"29:53 tests[0].alarms[1].cleared: low at asset f1: cleared at 9s, expected 8s"}},
	} {
		if failures := play(t, strings.TrimPrefix(c.lines, "\n")); !slices.Equal(failures, c.want) {
			t.Errorf("%s:\n%s\nexpected\n%s", name, strings.Join(failures, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestWhenAnAlarmIsConfirmed(t *testing.T) {
	const start = telemetry.Micros(1_780_000_000_000_000)
	lasting := func(d time.Duration) *configfile.Duration { return new(configfile.Duration(d)) }
	o := &occurrence{AlarmChange: telemetry.AlarmChange{Rule: "low", Asset: "f1", Confirmed: start + 2_000_000}, raised: start}
	expected := alarm{subject: subject{Rule: "low", Asset: "f1"}, Raised: lasting(0), Confirmed: lasting(2 * time.Second)}
	c := comparison{start: start}
	if got := c.differences(expected, o); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	expected.Confirmed = lasting(3 * time.Second)
	if got := c.differences(expected, o); len(got) != 1 || got[0] != (difference{"confirmed", "confirmed at 2s", "3s"}) {
		t.Errorf("%+v", got)
	}
}

// No test goes on from another.
func TestEachTestBeginsAnew(t *testing.T) {
	s, err := Parse("t.yaml", []byte(network+`    series: {m1: {PhV.phsA: 200x5}}
    alarms: [{rule: low, asset: f1, raised: 0s}]
  - name: two
    series: {m1: {PhV.phsA: 200x1 230}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, r := range s.Run() {
			if len(r.Failures) > 0 {
				t.Errorf("%s: %v", r.Name, r.Failures)
			}
		}
	}
}

const gatewayYAML = `gateway: {id: gw}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
  - {id: m1, asset: f1, modbus: {endpoint: "tcp://127.0.0.1"}, signals: [{name: TotW, holding: 1, type: int16, unit: W}]}
rules:
  - {name: loaded, when: TotW > 5}
`

func TestRulesOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gateway.yaml"), []byte(gatewayYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "t.yaml")
	s, err := Parse(path, []byte(`configuration: gateway.yaml
tests:
  - name: loaded
    series: {m1: {TotW: 1 6}}
    alarms: [{rule: loaded, asset: f1, raised: 1s}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if failures := s.Run()[0].Failures; len(failures) > 0 {
		t.Error(failures)
	}
}
