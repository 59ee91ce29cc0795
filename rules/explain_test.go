package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// explain asks the rig's engine at t.
func (r *rig) explain(t float64, q Question, entries ...Rule) []Explanation {
	r.t.Helper()
	return r.engine.Explain(NewInquiry(entries, r.model, q), at(t).Time())
}

// lines is an expression and those within it, indented by their depth.
func (p *Part) lines(depth int) (out []string) {
	if p == nil {
		return nil
	}
	out = append(out, strings.Repeat("  ", depth)+p.Text+" is "+p.Value)
	for _, part := range p.Parts {
		out = append(out, part.lines(depth+1)...)
	}
	return out
}

func TestExpressionsAreExplainedByTheirParts(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{When: "PhV.phsA < 207 and not Pos"}, `
PhV.phsA < 207 and not Pos is unknown
  PhV.phsA < 207 is true
    PhV.phsA is 200 V
  not Pos is unknown
    Pos is unknown`},
		{Rule{
			With: map[string]configfile.Quantity{"reference_voltage": {Value: 230, Unit: "V"}, "interruption": {Value: 5, Unit: "%"}},
			When: "every_phase(PhV < reference_voltage * interruption / 100)",
		}, `
every_phase(PhV < reference_voltage * interruption / 100) is false
  phsA: PhV < reference_voltage * interruption / 100 is false
    PhV is 200 V
    reference_voltage * interruption / 100 is 11.5
      reference_voltage * interruption is 1150
        reference_voltage is 230 V
        interruption is 5 %
  phsB: PhV < reference_voltage * interruption / 100 is true
    PhV is 3.5 V
    reference_voltage * interruption / 100 is 11.5
      reference_voltage * interruption is 1150
        reference_voltage is 230 V
        interruption is 5 %`},
		{Rule{When: `max_over(PhV.phsA, "2s") - min_over(PhV.phsA, "2s") > -4 and unknown(Pos)`}, `
max_over(PhV.phsA, "2s") - min_over(PhV.phsA, "2s") > -4 and unknown(Pos) is true
  max_over(PhV.phsA, "2s") - min_over(PhV.phsA, "2s") > -4 is true
    max_over(PhV.phsA, "2s") - min_over(PhV.phsA, "2s") is 30 V
      max_over(PhV.phsA, "2s") is 230 V
        PhV.phsA is 200 V
      min_over(PhV.phsA, "2s") is 200 V
        PhV.phsA is 200 V
  unknown(Pos) is true
    Pos is unknown`},
		// What was counted is the rule's own, wherever the count stands in it.
		{Rule{When: `count_over(PhV.phsB > 100, "10s") + 1 > 9 or count_over(PhV.phsA < 207, "10s") > 1`, ClearWhen: `count_over(PhV.phsA > 207, "10s") == 0`}, `
count_over(PhV.phsB > 100, "10s") + 1 > 9 or count_over(PhV.phsA < 207, "10s") > 1 is true
  count_over(PhV.phsB > 100, "10s") + 1 > 9 is false
    count_over(PhV.phsB > 100, "10s") + 1 is 1
      count_over(PhV.phsB > 100, "10s") is 0
        PhV.phsB > 100 is false
          PhV.phsB is 3.5 V
  count_over(PhV.phsA < 207, "10s") > 1 is true
    count_over(PhV.phsA < 207, "10s") is 2
      PhV.phsA < 207 is true
        PhV.phsA is 200 V
count_over(PhV.phsA > 207, "10s") == 0 is false
  count_over(PhV.phsA > 207, "10s") is 1
    PhV.phsA > 207 is false
      PhV.phsA is 200 V`},
		{Rule{When: `PhV.phsA > 500 or optional(TopOilTmp > 95)`, SuppressedWhen: "max(PhV.phsA, PhV.phsB, 3) > 0"}, `
PhV.phsA > 500 or optional(TopOilTmp > 95) is false
  PhV.phsA > 500 is false
    PhV.phsA is 200 V
  optional(TopOilTmp > 95) is false
    TopOilTmp > 95 is not there
max(PhV.phsA, PhV.phsB, 3) > 0 is true
  max(PhV.phsA, PhV.phsB, 3) is 200 V
    PhV.phsA is 200 V
    PhV.phsB is 3.5 V`},
	} {
		m := feeder("PhV.phsA", "PhV.phsB", "Pos")
		c.rule.Name = "r"
		r := newRig(t, m, c.rule)
		for s, v := range []float64{230, 200, 230, 200} {
			r.read(float64(s), "m1", "PhV.phsA", v, "PhV.phsB", 3.5, "Pos", silent{})
		}
		answer := r.explain(3.2, Question{}, c.rule)
		if len(answer) != 1 {
			t.Errorf("%+v: %d answers", c.rule, len(answer))
			continue
		}
		got := slices.Concat(answer[0].When.lines(0), answer[0].ClearWhen.lines(0), answer[0].SuppressedWhen.lines(0))
		if text := strings.Join(got, "\n"); text != strings.TrimSpace(c.want) {
			t.Errorf("%s\nexpected%s", text, c.want)
		}
	}
}

// state is what becomes of the only alarm, in short.
func (x Explanation) state() string {
	text := fmt.Sprintf("%s since %g", x.State, seconds(max(x.Since, epoch)))
	if x.Needed > 0 {
		text += fmt.Sprintf(", %g of %g", float64(x.Counted)/1e6, float64(x.Needed)/1e6)
	}
	for name, is := range map[string]bool{", clearing": x.Clearing, ", interrupted": x.Interrupted, ", latched": x.Latched} {
		if is {
			text += name
		}
	}
	if len(x.SuppressedBy) > 0 {
		text += fmt.Sprint(" by ", x.SuppressedBy)
	}
	return text
}

func TestWhyAnAlarmIsActiveOrIsnt(t *testing.T) {
	outer := Rule{Name: "outer", When: "PhV.phsB < 100"}
	rule := Rule{Name: "r", When: "PhV.phsA < 207", For: lasting(4 * time.Second), KeepFiringFor: lasting(3 * time.Second), SuppressedBy: []string{"outer"}}
	r := newRig(t, feeder("PhV.phsA", "PhV.phsB"), outer, rule)
	expect := func(t float64, want string) {
		r.t.Helper()
		answer := r.explain(t, Question{Rule: "r"}, outer, rule)
		if len(answer) != 1 || answer[0].state() != want || answer[0].Asset != "f1" || answer[0].Priority != telemetry.Medium || answer[0].At != at(t) {
			r.t.Errorf("at %g: %+v, expected %s", t, answer, want)
		}
	}
	read := func(t float64, a, b any) { r.read(t, "m1", "PhV.phsA", a, "PhV.phsB", b) }
	expect(0, "idle since 0")
	read(1, 230, 230)
	expect(1.5, "idle since 0")
	read(2, 200, 230)
	read(3, 200, 230)
	expect(3.5, "waiting since 2, 1.5 of 4")
	read(4, silent{}, 230)
	read(5, silent{}, 230)
	expect(5.5, "waiting since 2, 1 of 4, interrupted")
	read(6, 200, 50)
	for s := 7; s < 10; s++ {
		read(float64(s), 200, 50)
	}
	expect(9.5, "suppressed since 2, 4 of 4 by [outer at asset f1]")
	read(10, 200, 230)
	expect(10.5, "active since 2")
	if answer := r.explain(10.5, Question{Rule: "r"}, outer, rule); answer[0].ID == "" || answer[0].ID != r.engine.ActiveIDs()[0] {
		t.Errorf("%+v, expected the id that the alarm has, %q", answer, r.engine.ActiveIDs())
	}
	read(11, 230, 230)
	read(12, 230, 230)
	expect(12.5, "active since 2, 1.5 of 3, clearing")
	r.engine.Acknowledge(r.engine.ActiveIDs()[0], "anna")
	if by := r.explain(12.5, Question{Rule: "r"}, outer, rule)[0].AcknowledgedBy; by != "anna" {
		t.Errorf("acknowledged by %q", by)
	}
	read(13, 230, 230)
	read(14, 230, 230)
	expect(14.5, "idle since 0")
}

func TestALatchedAlarmIsExplained(t *testing.T) {
	rule := Rule{Name: "r", When: "PhV.phsA < 207", Latch: true}
	r := newRig(t, feeder("PhV.phsA"), rule)
	r.read(0, "m1", "PhV.phsA", 200)
	r.read(1, "m1", "PhV.phsA", 230)
	if got := r.explain(1, Question{}, rule)[0].state(); got != "active since 0, latched" {
		t.Error(got)
	}
}

func TestWhySignalsDontCount(t *testing.T) {
	rule := Rule{Name: "r", When: "PhV.phsA + PhV.phsB > 0 or A.phsA + A.phsB > 0 or Tmp > 0 or Pos"}
	r := newRig(t, feeder("PhV.phsA", "PhV.phsB", "A.phsA", "A.phsB", "Tmp", "Pos"), rule)
	r.read(0, "m1", "A.phsB", 7)
	r.read(4, "m1", "PhV.phsA", 230, "PhV.phsB", silent{}, "A.phsA", flagged{5, telemetry.Stale}, "Pos", flagged{1, telemetry.Test})
	var got []string
	for _, s := range r.explain(4.5, Question{}, rule)[0].Signals {
		got = append(got, fmt.Sprintf("%s %s %s, %s: %s", s.Device, s.Name, s.Value, s.Quality, s.Ignored))
	}
	want := []string{
		"m1 PhV.phsA 230 V, good: ",
		"m1 PhV.phsB –, bad (timeout): its quality is bad",
		"m1 A.phsA 5 A, good (stale): the device calls it stale",
		"m1 A.phsB 7 A, good: it is older than three poll periods, 3s",
		"m1 Tmp –, : it was never read",
		"m1 Pos 1, good (test): it is of a test",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestQuestionsSelect(t *testing.T) {
	m := feeder("PhV.phsA")
	meter(&m, Device{ID: "m2", Asset: "f2", PollEvery: byPoll}, "PhV.phsA")
	entries := []Rule{{Name: "low", When: "PhV.phsA < 207"}, {Use: "supervision/device-silent"}}
	r := newRig(t, m, entries...)
	for q, want := range map[Question]int{
		{}:                                   4,
		{Rule: "low"}:                        2,
		{Rule: "device-silent"}:              2,
		{Asset: "f1"}:                        2,
		{Device: "m2"}:                       2, // with that of its asset, which reads it
		{Device: "m2", Rule: "low"}:          1,
		{Device: "m2", Asset: "f1"}:          0,
		{Rule: "high"}:                       0,
		{Asset: "f2", Rule: "device-silent"}: 1,
	} {
		if got := r.explain(0, q, entries...); len(got) != want {
			t.Errorf("%+v: %d answers, expected %d", q, len(got), want)
		}
	}
	// Another configuration may have taken its place meanwhile.
	if got := newRig(t, m, entries[0]).explain(0, Question{}, entries...); len(got) != 2 {
		t.Errorf("%d answers about rules of which the engine has 2", len(got))
	}
}
