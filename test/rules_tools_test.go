package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

const rulesTestYAML = `configuration: gateway.yaml
tests:
  - name: a dip to 8 V is no interruption
    series: {meter: {PhV.phsA: 230x3 8 230x9}}
  - name: no voltage is
    series: {meter: {PhV.phsA: 230x3 0x5 230x9}}
    alarms:
      - {rule: voltage-interruption, asset: feeder-1, raised: 4s, cleared: 10s}
`

func TestRulesAreTested(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "gateway.yaml", fmt.Sprintf(head, freeAddress(t))+`devices:
  - id: meter
    asset: feeder-1
    modbus: {endpoint: "tcp://127.0.0.1:9"}
    signals: [{name: PhV.phsA, holding: 0, type: uint16, unit: V}]
rules: [{use: en50160}]
`)
	write(t, dir, "good.yaml", rulesTestYAML)
	write(t, dir, "bad.yaml", strings.Replace(rulesTestYAML, "raised: 4s", "raised: 5s", 1))
	write(t, dir, "wrong.yaml", strings.Replace(rulesTestYAML, "PhV.phsA", "PhV.phsB", 1))
	out, errs, code := call(t, dir, "busbar", "rules", "test", "-v", "good.yaml")
	if code != 0 || out != "passed  good.yaml: a dip to 8 V is no interruption\npassed  good.yaml: no voltage is\n2 tests passed, 0 failed\n" {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	out, errs, code = call(t, dir, "busbar", "rules", "test", "bad.yaml", "good.yaml")
	if code != 1 || !strings.Contains(out, "FAILED  bad.yaml: no voltage is\nbad.yaml:8:63: tests[1].alarms[0].raised: voltage-interruption at asset feeder-1: raised at 4s, expected 5s\n") ||
		!strings.HasSuffix(out, "3 tests passed, 1 failed\n") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	out, errs, code = call(t, dir, "busbar", "rules", "test", "wrong.yaml", "good.yaml")
	if code != 2 || !strings.Contains(errs, `wrong.yaml:4:32: tests[0].series.meter["PhV.phsB"]: device meter has no signal PhV.phsB, did you mean PhV.phsA?`) || !strings.Contains(out, "2 tests passed") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestRulesAreExplained(t *testing.T) {
	t.Parallel()
	dir, meter := t.TempDir(), freeAddress(t)
	write(t, dir, "sim.yaml", fmt.Sprintf("devices:\n  - {id: meter, feeder: f, listen: %q, product: abb/b23, powered_by: auxiliary, profile: H0-A, rated_power: 20 kW}\n", meter))
	sim := start(t, dir, "busbar-sim", "run", "sim.yaml")
	await(t, "the meter listens", 20*time.Second, func() bool { return reachable(meter) })
	status := freeAddress(t)
	write(t, dir, "gateway.yaml", fmt.Sprintf(head, status)+fmt.Sprintf(`devices:
  - {id: meter, asset: feeder-1, modbus: {endpoint: "tcp://%s"}, profile: abb/b23, poll_every: 200ms, timeout: 200ms}
rules:
  - {use: en50160}
  - {use: supervision}
  - {name: alive, when: PhV.phsA > 100}
`, meter))
	explain := func(args ...string) (string, string, int) {
		return call(t, dir, "busbar", append([]string{"rules", "explain", "--config", "gateway.yaml"}, args...)...)
	}
	if _, errs, code := explain(); code != 1 || !strings.Contains(errs, "no gateway with this configuration runs on this machine") {
		t.Errorf("without a gateway: exit code %d, %s", code, errs)
	}
	start(t, dir, "busbar-gateway", "run", "--config", "gateway.yaml")
	await(t, "the rule is active", time.Minute, func() bool {
		out, _, code := explain("--rule", "alive")
		return code == 0 && strings.HasPrefix(out, "alive at asset feeder-1: active since 2")
	})
	out, errs, code := explain("--rule", "alive", "--asset", "feeder-1")
	for _, want := range []string{"when: PhV.phsA > 100  ", "PhV.phsA of meter", " V ", "good", " old"} {
		if code != 0 || !strings.Contains(out, want) || strings.Contains(out, "doesn't count") {
			t.Fatalf("exit code %d, expected %s:\n%s%s", code, want, out, errs)
		}
	}
	sim.stop()
	await(t, "the silence is explained", time.Minute, func() bool {
		out, _, _ := explain("--rule", "device-silent", "--device", "meter")
		return strings.HasPrefix(out, "device-silent at device meter: waiting since 2") && strings.Contains(out, "of 10s")
	})
	out, errs, code = explain("--json", "--rule", "voltage-interruption")
	var list []rules.Explanation
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || len(list) != 1 || list[0].When.Value != "unknown" || list[0].Signals[0].Ignored != "its quality is bad" {
		t.Errorf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if _, errs, code := explain("--rule", "none"); code != 1 || !strings.Contains(errs, "has no such rule") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// alarmsIn are the transitions of alarms in JSON lines, by what identifies them.
func alarmsIn(t *testing.T, lines string) (transitions []string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var e telemetry.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Kind == telemetry.AlarmRaised || e.Kind == telemetry.AlarmCleared {
			transitions = append(transitions, fmt.Sprint(e.Time, " ", e.Kind, " ", e.Alarm.Rule, " ", e.Alarm.ID, " ", e.Alarm.Summary))
		}
	}
	return transitions
}

// What rules make of a buffer is what they made of it when it was filled, and other
// rules make something else of it.
func TestRulesAreReplayed(t *testing.T) {
	t.Parallel()
	dir, meter := t.TempDir(), freeAddress(t)
	write(t, dir, "sim.yaml", fmt.Sprintf(`devices:
  - {id: meter, feeder: f, listen: %q, product: abb/b23, powered_by: auxiliary, profile: H0-A, rated_power: 20 kW}
faults:
  - {at: 6s, feeder: f, kind: outage, for: 3s}
`, meter))
	start(t, dir, "busbar-sim", "run", "sim.yaml")
	await(t, "the meter listens", 20*time.Second, func() bool { return reachable(meter) })
	at := site{status: freeAddress(t)}
	config := fmt.Sprintf(head, at.status) + fmt.Sprintf(`devices:
  - {id: meter, asset: feeder-1, modbus: {endpoint: "tcp://%s"}, profile: abb/b23, poll_every: 200ms, timeout: 200ms}
rules:
  - {use: en50160, for: 400ms, keep_firing_for: 400ms}
  - {use: supervision}
`, meter)
	write(t, dir, "gateway.yaml", config)
	gateway := start(t, dir, "busbar-gateway", "run", "--config", "gateway.yaml")
	gateway.awaitLog("alarm raised")
	gateway.awaitLog("alarm cleared")
	// A replay ends with the last sample, and this alarm cleared between two.
	at.awaitRise(t, goodSamples, 50)
	gateway.stop()

	lived, errs, code := call(t, dir, "busbar", "buffer", "export", "--stream", "events", "data")
	if code != 0 {
		t.Fatal(errs)
	}
	want := alarmsIn(t, lived)
	replayed, errs, code := call(t, dir, "busbar", "rules", "replay", "--config", "gateway.yaml", "--json", "data")
	if got := alarmsIn(t, replayed); code != 0 || len(got) < 2 || !slices.Equal(got, want) {
		t.Errorf("exit code %d: %q, expected %q\n%s", code, got, want, errs)
	}
	out, errs, code := call(t, dir, "busbar", "rules", "replay", "--config", "gateway.yaml", "data")
	if code != 0 || !strings.Contains(out, "Z  raised   voltage-interruption at asset feeder-1: feeder-1 is without voltage\n") ||
		!strings.Contains(out, "Z  cleared  voltage-interruption at asset feeder-1\n") || !strings.Contains(errs, ": 1 alarms raised, 1 cleared") || strings.Contains(errs, "left out") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}

	write(t, dir, "other.yaml", strings.Replace(config, "for: 400ms,", "for: 1m,", 1))
	if out, errs, code := call(t, dir, "busbar", "rules", "replay", "--config", "other.yaml", "data"); code != 0 || out != "" || !strings.Contains(errs, ": 0 alarms raised") {
		t.Errorf("with a longer time: exit code %d\n%s%s", code, out, errs)
	}
	write(t, dir, "other.yaml", strings.Replace(config, "id: meter", "id: another", 1))
	if out, errs, code := call(t, dir, "busbar", "rules", "replay", "--config", "other.yaml", "data"); code != 0 || out != "" || !strings.Contains(errs, "samples were left out: the configuration doesn't have their signals") {
		t.Errorf("with another device: exit code %d\n%s%s", code, out, errs)
	}
	write(t, dir, "other.yaml", strings.Replace(config, "poll_every: 200ms", "signals: [{name: PhV.phsA, deadband: 1}], poll_every: 200ms", 1)+`  - {name: rising, when: 'max_over(PhV.phsA, "2s") > 250'}`+"\n")
	out, errs, code = call(t, dir, "busbar", "rules", "replay", "--config", "other.yaml", "data")
	if code != 0 || !strings.Contains(errs, "not every value of device meter is stored: one counts for up to 3m, as if it were read every 1m") ||
		!strings.Contains(errs, "left out, as not every value is stored: rules[2].when") || !strings.Contains(out, "voltage-interruption") {
		t.Errorf("with a deadband: exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := call(t, dir, "busbar", "rules", "replay", "--config", "gateway.yaml", "--to", "2020-01-01", "data"); code != 0 || out != "" || !strings.Contains(errs, "busbar: 0 samples: 0 alarms raised") {
		t.Errorf("of another time: exit code %d\n%s%s", code, out, errs)
	}
	for args, want := range map[string]string{"--from yesterday data": `--from: "yesterday" is no time`, "none": "no such file"} {
		if _, errs, code := call(t, dir, "busbar", append([]string{"rules", "replay", "--config", "gateway.yaml"}, strings.Fields(args)...)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, %s", args, code, errs)
		}
	}
}
