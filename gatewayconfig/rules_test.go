package gatewayconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/configfile"
)

// places are where the errors of a file are, without what they say.
func places(t *testing.T, src string) []string {
	t.Helper()
	_, err := Parse("f", []byte(src))
	var all configfile.Errors
	if err != nil && !errors.As(err, &all) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprintf("%d:%d %s", e.Line, e.Column, e.Path))
	}
	return out
}

// What is wrong with a rule, by the rules' own compiler, comes out at its place
// in the file and with the errors of other parts.
func TestRuleErrorsHavePlaces(t *testing.T) {
	src := strings.Replace(minimal, "path: data", "path: 012", 1) + `rules:
  - use: en50161
  - name: Too Hot
    when: TotW > 5
  - name: broken
    for: [5s]
    when: NoSuchSignal > 1
  - name: overload
    on: {asset: feeder-2}
    when: TotW > 95
  - name: nonsense
    when: "TotW > > 5"
    priority: urgent
    sumary: "?"
  - name: unknown-signal
    on: {asset: meter}
    when: TotW > 5 and TotX > 3
  - name: target
    on: feeder-3
    when: TotW > 5
  - name: dear
    on: {asset: meter}
    when: TotW > 5 and max_over(TotW, "2h") > 5
  - name: held-back
    on: {asset: meter}
    when: TotW > 5
    suppressed_when: Maintenance
  - name: kept
    on: {asset: meter}
    when: TotW > 5
    suppressed_by: [overlode]
    capture: {before: 1h}
  - name: waiting
    on: {asset: meter}
    when: TotW > 5
    suppressed_by: [overlode]
`
	want := []string{
		"3:16 buffer.path",
		"11:10 rules[0].use",
		"12:11 rules[1].name",
		"15:5 rules[2].for", // a list is shown at its key
		"16:11 rules[2].when",
		"18:17 rules[3].on.asset",
		"21:19 rules[4].when",
		"22:15 rules[4].priority",
		"23:5 rules[4].sumary",
		"26:24 rules[5].when",
		"28:9 rules[6].on",
		"32:39 rules[7].when", // the time, of which too many samples would have to be kept
		"36:22 rules[8].suppressed_when",
		"41:23 rules[9].capture.before",
		"45:21 rules[10].suppressed_by[0]",
	}
	if got := places(t, src); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A rule about a signal that is itself wrong is judged when the signal is right.
func TestRulesWaitForTheirDevices(t *testing.T) {
	src := strings.Replace(minimal, "name: TotW", "nmae: TotW", 1) + "rules: [{name: high, when: TotW > 5}]\n"
	if got := places(t, src); !slices.Equal(got, []string{"8:10 devices[0].signals[0].nmae"}) {
		t.Errorf("got %q", got)
	}
}
