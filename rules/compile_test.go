package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

func twoFeeders() Model {
	m := Model{Assets: []Asset{{ID: "f1", Kind: "feeder"}, {ID: "f2", Kind: "feeder"}, {ID: "T1", Kind: "transformer", RatedCurrent: 100}}}
	meter(&m, Device{ID: "m1", Asset: "f1", Supply: "s", PollEvery: time.Second}, "PhV.phsA", "PhV.phsB", "PhV.phsC", "A.phsA")
	meter(&m, Device{ID: "m2", Asset: "f2", Supply: "s", PollEvery: time.Second}, "PhV.phsA", "A.phsA")
	meter(&m, Device{ID: "check", Asset: "f2", PollEvery: time.Second}, "PhV.phsA")
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: time.Second}, "TopOilTmp", "Pos")
	return m
}

func TestProblems(t *testing.T) {
	m1, f2, t1 := Target{Device: "m1"}, Target{Asset: "f2"}, Target{Asset: "T1"}
	volts := map[string]configfile.Quantity{"reference_voltage": {Value: 110, Unit: "V"}}
	for _, c := range []struct {
		rule Rule
		want string
	}{
		// Names.
		{Rule{Name: "x", On: t1, When: "TopOilTemp > 95"}, `rules[0].when: character 1: asset T1 has no signal TopOilTemp, did you mean TopOilTmp?`},
		{Rule{Name: "x", On: t1, When: "Pos == 2 and Oil > 95"}, `rules[0].when: character 14: asset T1 has no signal Oil, expected one of ChLiv, Pos, TopOilTmp`},
		{Rule{Name: "x", On: t1, When: "Pos == 2", ClearWhen: "Poz == 1"}, `rules[0].clear_when: character 1: asset T1 has no signal Poz, did you mean Pos?`},
		{Rule{Name: "x", When: "TopOilTemp > 95"}, `rules[0].when: character 1: it applies to no asset: asset T1 has no signal TopOilTemp, did you mean TopOilTmp?`},
		{Rule{Name: "x", On: f2, When: "A.phsA > 1 and PhV.phsA < 5"}, `rules[0].when: character 16: PhV.phsA of asset f2 is measured by m2 and check; select one with on: {device: m2}, or each on its own with device: "*"`},
		{Rule{Name: "x", When: "PhV.phsA < 5"}, `rules[0].when: character 1: PhV.phsA of asset f2 is measured by m2 and check; select one with on: {device: m2}, or each on its own with device: "*"`},
		{Rule{Name: "x", On: Target{Kind: "feeder"}, When: "PhV.phsC < 5"}, `rules[0].when: character 1: asset f2 has no signal PhV.phsC, did you mean PhV.phsA?`},
		{Rule{Name: "x", On: m1, When: "PhV < 5"}, `rules[0].when: character 1: PhV is measured per phase: write PhV.phsA, or every_phase(…) or any_phase(…) around the condition`},
		{Rule{Name: "x", On: m1, When: "every_phase(PhV < 5 and A > 1)"}, `rules[0].when: character 25: A of device m1 isn't measured on phsB`},
		{Rule{Name: "x", On: m1, When: "every_phase(PhV.phsA < 5)"}, `rules[0].when: character 1: every_phase names nothing that is measured per phase, such as PhV for PhV.phsA`},
		{Rule{Name: "x", On: m1, When: "every_phase(any_phase(PhV < 5))"}, `rules[0].when: character 13: any_phase can't stand within every_phase or any_phase`},
		{Rule{Name: "x", On: t1, When: "TopOilTmp > nominal_voltage"}, `rules[0].when: character 13: asset T1 has no nominal_voltage`},
		{Rule{Name: "x", On: t1, When: "rated_current > 5"}, `rules[0].when: the condition names no signal`},
		{Rule{Name: "x", On: t1, When: "self_powered and Pos"}, `rules[0].when: character 1: self_powered is about a device; select it with on: {device: …}, or every one with device: "*"`},
		{Rule{Name: "x", On: t1, When: "Pos and supply_below(5)"}, `rules[0].when: character 9: supply_below is about a device; select it with on: {device: …}, or every one with device: "*"`},

		// Types and units.
		{Rule{Name: "x", On: t1, When: "TopOilTmp"}, `rules[0].when: character 1: TopOilTmp is a number, expected a condition such as TopOilTmp > 0`},
		{Rule{Name: "x", On: t1, When: "Pos and TopOilTmp + 1"}, `rules[0].when: character 9: TopOilTmp + 1 is a number, expected a condition such as TopOilTmp + 1 > 0`},
		{Rule{Name: "x", On: t1, When: "(Pos == 2) + 1 > 2"}, `rules[0].when: character 2: Pos == 2 is a condition, expected a number`},
		{Rule{Name: "x", On: t1, When: "not TopOilTmp > 2"}, `rules[0].when: character 5: TopOilTmp is a number, expected a condition such as TopOilTmp > 0`},
		{Rule{Name: "x", On: m1, When: "PhV.phsA < A.phsA"}, `rules[0].when: character 1: PhV.phsA < A.phsA mixes the units V and A`},
		{Rule{Name: "x", On: m1, When: "max(PhV.phsA, 5, A.phsA) < 5"}, `rules[0].when: character 1: max(PhV.phsA, 5, A.phsA) mixes the units V and A`},
		{Rule{Name: "x", On: m1, When: "PhV.phsA < 2 * limit", With: map[string]configfile.Quantity{"limit": {Value: 1, Unit: "kV"}}}, `rules[0].when: character 1: PhV.phsA < 2 * limit mixes the units V and kV`},
		{Rule{Name: "x", On: m1, When: "supply_below(limit) and ChLiv", With: map[string]configfile.Quantity{"limit": {Value: 1, Unit: "kV"}}}, `rules[0].when: character 1: supply_below(limit) is compared with PhV.phsA of device m2, which is in V`},

		// What the language doesn't have.
		{Rule{Name: "x", On: t1, When: `Pos == "off"`}, `rules[0].when: character 8: "off" is text, but Pos has no names for its values, expected a number`},
		{Rule{Name: "x", On: t1, When: `Pos == true`}, `rules[0].when: character 8: a literal true or false isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `len(Pos) > 1`}, `rules[0].when: character 1: the function len isn't supported in a rule; there are min, max, abs, has, every_phase, any_phase, unknown, surely, optional, supply_below, neighbours, neighbours_elsewhere, unbalance, spread, min_over, max_over, mean_over, delta, rate and count_over`},
		{Rule{Name: "x", On: t1, When: `all([Pos], # > 1)`}, `rules[0].when: character 1: the function all isn't supported in a rule; there are min, max, abs, has, every_phase, any_phase, unknown, surely, optional, supply_below, neighbours, neighbours_elsewhere, unbalance, spread, min_over, max_over, mean_over, delta, rate and count_over`},
		{Rule{Name: "x", On: t1, When: `Pos ? 1 : 2`}, `rules[0].when: character 11: a choice by ? : isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `Pos in [1, 2]`}, `rules[0].when: character 1: the operator in isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `TopOilTmp ** 2 > 4`}, `rules[0].when: character 1: the operator ** isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `+TopOilTmp > 4`}, `rules[0].when: character 1: the operator + isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `let x = 1; x > Pos`}, `rules[0].when: character 5: a variable by let isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `Pos[0] > 1`}, `rules[0].when: character 1: an index isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `Pos?.x > 1`}, `rules[0].when: character 1: the operator ?. isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `Pos > 1; Pos > 2`}, `rules[0].when: character 1: a sequence by ; isn't supported in a rule`},
		{Rule{Name: "x", On: t1, When: `Pos > abs()`}, `rules[0].when: character 7: abs has 0 arguments, expected one`},
		{Rule{Name: "x", On: t1, When: `Pos > min()`}, `rules[0].when: character 7: min has 0 arguments, expected at least one`},
		{Rule{Name: "x", On: t1, When: `unknown(Pos, Pos)`}, `rules[0].when: character 1: unknown has 2 arguments, expected one`},

		// Syntax and size.
		{Rule{Name: "x", On: t1}, `rules[0].when: the expression is empty, expected a condition such as TotW > 0`},
		{Rule{Name: "x", On: t1, When: "Pos > > 1"}, `rules[0].when: character 7: unexpected token Operator(">")`},
		{Rule{Name: "x", On: t1, When: "Pos > 1 §"}, `rules[0].when: character 9: unrecognized character: U+00A7 '§'`},
		{Rule{Name: "x", On: t1, When: "Pos > " + strings.Repeat("(", 3000)}, `rules[0].when: the expression is 3006 bytes long, expected at most 2000`},
		{Rule{Name: "x", On: t1, When: "Pos > 0" + strings.Repeat("+1", 600)}, `rules[0].when: character 508: compilation failed: expression exceeds maximum allowed nodes`},

		// The other keys.
		{Rule{Name: "Hot", On: t1, When: "Pos"}, `rules[0].name: "Hot" is no name, expected up to 63 lower-case letters, digits and hyphens`},
		{Rule{Name: "x", On: t1, When: "Pos", Priority: "urgent"}, `rules[0].priority: "urgent" is no priority, expected low, medium, high or critical`},
		{Rule{Name: "x", On: Target{Asset: "T2"}, When: "Pos"}, `rules[0].on.asset: there is no asset T2, did you mean f2?`},
		{Rule{Name: "x", On: Target{Kind: "feder"}, When: "Pos"}, `rules[0].on.kind: there is no asset of kind feder, did you mean feeder?`},
		{Rule{Name: "x", On: Target{Device: "m9"}, When: "Pos"}, `rules[0].on.device: there is no device m9, did you mean m1?`},
		{Rule{Name: "x", On: Target{Asset: "T1", Device: "m1"}, When: "Pos"}, `rules[0].on: no asset or device matches all of it`},
		{Rule{Name: "x", On: t1, When: "Pos", With: map[string]configfile.Quantity{"limit": {Value: 1}}}, `rules[0].with.limit: the rule doesn't use it`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: "{{ .TopOil }}"}, `rules[0].summary: asset T1 has no signal TopOil, expected one of ChLiv, Pos, TopOilTmp`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: "{{ .asset.name }}"}, `rules[0].summary: asset T1 has no signal asset.name, expected one of ChLiv, Pos, TopOilTmp`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: "{{ .Pos"}, `rules[0].summary: template: summary:1: unclosed action`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: "{{ range .Pos }}{{ end }}"}, `rules[0].summary: {{range .Pos}}{{end}} isn't supported in a summary, expected {{ .name }} or {{ printf … }}`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: "{{ . }}"}, `rules[0].summary: . isn't supported in a summary, expected {{ .name }} or {{ printf … }}`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: "{{ printf .Pos }}"}, `rules[0].summary: template: summary:1:10: executing "summary" at <.Pos>: wrong type for value; expected string; got rules.reading`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: strings.Repeat("x", 501)}, `rules[0].summary: it is 501 bytes long, expected at most 500`},
		{Rule{Name: "x", On: t1, When: "Pos", Summary: `{{ printf "%600.1f" .TopOilTmp }}`}, `rules[0].summary: it prints 600 bytes, expected at most 500`},

		// The library.
		{Rule{Use: "en50610"}, `rules[0].use: the standard library has no "en50610", did you mean en50160?`},
		{Rule{Use: "outages"}, `rules[0].use: the standard library has no "outages", expected one of en50160, fleet, frozen, gateway, ieee1159, ieee1366, reverse-power, supervision, switchgear, transformer`},
		{Rule{Use: "en50160/voltage-drop"}, `rules[0].use: en50160 has no "voltage-drop", did you mean voltage-dip?`},
		{Rule{Use: "en50160", Method: "half-cycle"}, `rules[0].method: method comes from en50160 and can't be changed; write a rule of your own, without use`},
		{Rule{Use: "en50160", When: "Pos"}, `rules[0].when: when comes from en50160 and can't be changed; write a rule of your own, without use`},
		{Rule{Use: "en50160", On: m1, With: map[string]configfile.Quantity{"reference_volts": {Value: 110, Unit: "V"}}}, `rules[0].with.reference_volts: there is no such parameter, did you mean reference_voltage?`},
		{Rule{Use: "en50160", On: m1, With: map[string]configfile.Quantity{"x": {Value: 110, Unit: "V"}}}, `rules[0].with.x: there is no such parameter, expected one of current, dip, dip_end, frequency_band, frequency_high, frequency_low, healthy, interruption, nominal_frequency, reference_voltage, restoration, swell, swell_end, unbalance`},
		{Rule{Use: "en50160", On: m1, With: map[string]configfile.Quantity{"reference_voltage": {Value: 110}}}, `rules[0].with.reference_voltage: it is 110, expected a value above 0 in V, such as 230 V`},
		{Rule{Use: "en50160", On: m1, With: map[string]configfile.Quantity{"reference_voltage": {Value: -230, Unit: "V"}}}, `rules[0].with.reference_voltage: it is -230 V, expected a value above 0 in V, such as 230 V`},
		{Rule{Use: "en50160", On: f2, With: volts}, `rules[0].use: PhV of asset f2 is measured by m2 and check; select one with on: {device: m2}, or each on its own with device: "*"`},
		{Rule{Use: "en50160", On: t1}, `rules[0].use: asset T1 has no signal PhV, expected one of ChLiv, Pos, TopOilTmp, current, dip, dip_end, frequency_band, frequency_high, frequency_low, healthy, interruption, nominal_frequency`},
	} {
		engine, problems := Compile([]Rule{c.rule}, twoFeeders())
		if len(problems) != 1 || engine != nil || problems[0].Error() != c.want {
			t.Errorf("%+v\n\t%v\n\texpected %s", c.rule, problems, c.want)
		}
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	_, problems := Compile([]Rule{
		{Name: "ok", On: Target{Asset: "T1"}, When: "Pos"},
		{Name: "X", When: "a >", ClearWhen: "§", Summary: "{{", Priority: "?"},
		{Name: "ok", On: Target{Asset: "T1"}, When: "Pos"},
	}, twoFeeders())
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprint(p.Rule, p.Field))
	}
	if want := "[1name 1priority 1when 1clear_when 1summary 2name]"; fmt.Sprint(got) != want {
		t.Errorf("%s, expected %s", got, want)
	}
	if got, want := problems[5].Error(), "rules[2].name: rule ok applies to asset T1 already, by rules[0]"; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

func TestUnitsThatAgree(t *testing.T) {
	for _, when := range []string{
		"PhV.phsA < 5", "5 + PhV.phsA < PhV.phsB * 2", "2 * PhV.phsA < limit", "PhV.phsA * A.phsA > 100",
		"ChLiv / PhV.phsA < A.phsA", "ChLiv * PhV.phsA < limit", "PhV.phsA / PhV.phsB > 0.9", "abs(-limit) > min(PhV.phsA, 5)",
	} {
		_, problems := Compile([]Rule{{Name: "x", On: Target{Device: "m1"}, When: when + " or PhV.phsA < limit",
			With: map[string]configfile.Quantity{"limit": {Value: 5, Unit: "V"}}}}, twoFeeders())
		if len(problems) > 0 {
			t.Error(problems)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Name: "x", On: Target{Kind: "feeder"}, When: "A.phsA > 1"}, "f1/ f2/"},
		{Rule{Name: "x", On: Target{Device: "*"}, When: "not ChLiv"}, "f1/m1 f2/m2 f2/check T1/monitor"},
		{Rule{Name: "x", On: Target{Device: "*", Asset: "f2"}, When: "PhV.phsA < 5"}, "f2/m2 f2/check"},
		{Rule{Name: "x", On: Target{Device: "check"}, When: "PhV.phsA < 5"}, "f2/check"},
		{Rule{Name: "x", When: "A.phsA > 1"}, "f1/ f2/"},
		{Rule{Name: "x", When: "TopOilTmp > 1"}, "T1/"},
		{Rule{Use: "en50160/voltage-interruption", On: Target{Device: "check"}}, "f2/check"},
	} {
		e, problems := Compile([]Rule{c.rule}, twoFeeders())
		if len(problems) > 0 {
			t.Error(problems)
			continue
		}
		var got []string
		for _, i := range e.instances {
			got = append(got, i.target.asset+"/"+i.target.device)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v applies to %s, expected %s", c.rule.On, got, c.want)
		}
	}
}

// A feeder's own keys, as an engineer writes them.
func TestRulesFromYAML(t *testing.T) {
	var file struct {
		Rules []Rule `yaml:"rules"`
	}
	if _, err := configfile.Decode("gateway.yaml", []byte(`
rules:
  - use: en50160/voltage-interruption
    on: {device: m1}
    with: {reference_voltage: 110 V}
    for: 0s
  - name: transformer-hot
    on: {asset: T1}
    when: TopOilTmp > limit
    with: {limit: 95 Cel}
    for: 2m
    keep_firing_for: 5m
    priority: high
    summary: "Top oil of {{ .asset }} is {{ .TopOilTmp }} °C"
`), &file); err != nil {
		t.Fatal(err)
	}
	e, problems := Compile(file.Rules, twoFeeders())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	v, o := e.instances[0], e.instances[1]
	if v.rule != "voltage-interruption" || v.delay != 0 || v.keep != 3_000_000 || v.priority != telemetry.High {
		t.Errorf("%+v", v)
	}
	if o.rule != "transformer-hot" || o.delay != 120_000_000 || o.keep != 300_000_000 || o.priority != telemetry.High {
		t.Errorf("%+v", o)
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"PhV.phsA < 5", "every_phase(PhV < limit) and not ChLiv", "5 < A.phsA < max(1, 2e3, -0x1F)", "unknown(supply_below(11.5)) or !self_powered",
		`max_over(PhV.phsA, "5s") > 230 and optional(rate(TotW, "1m") > 1)`, `count_over(surely(PhV.phsA > 230), "10s") >= 2`, "unbalance(PPV) > spread(PhV)", "answering == devices or mains_lost",
		"a?.b ?? c | d(1)", "let x = [1, {a: 2}][0:1]; x", "filter(1..9, # > 1)", "PhV[\"phsA\"] in 'x'", "if Pos {1} else {2}", "not not ChLiv matches b\"\\x00\"", "(((", "/* */", "1 / 0 > 0",
	} {
		f.Add(seed, seed, "{{ .TopOilTmp }}")
	}
	m := twoFeeders()
	f.Fuzz(func(t *testing.T, when, clear, summary string) {
		e, problems := Compile([]Rule{{
			Name: "x", On: Target{Device: "m1"}, When: when, ClearWhen: clear, Summary: summary,
			With: map[string]configfile.Quantity{"limit": {Value: 5, Unit: "V"}},
		}}, m)
		if (e == nil) != (len(problems) > 0) {
			t.Fatal("an engine with problems, or none without")
		}
		for _, p := range problems {
			if p.Error() == "" || p.Column < 0 || p.Column > len([]rune(when))+len([]rune(clear))+1 {
				t.Fatalf("%+v", p)
			}
		}
		if e == nil {
			return
		}
		for s, v := range []float64{230, 0, 0} {
			var samples []telemetry.Sample
			for _, signal := range m.Signals {
				samples = append(samples, telemetry.Sample{Signal: signal.ID, Time: at(float64(s)), Value: telemetry.FloatValue(v)})
			}
			e.Update(at(float64(s)).Time(), samples, func(telemetry.Event) {})
		}
		if err := e.Restore(e.State(), at(2).Time()); err != nil {
			t.Fatal(err)
		}
	})
}
