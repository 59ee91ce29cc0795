package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/rules"
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
