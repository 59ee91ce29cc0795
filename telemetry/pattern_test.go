package telemetry

import "testing"

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"n/*", "n/d/x", true}, {"*/x", "n/d/x", true}, {"n/*/x", "n/x", false}, {"n/*x", "n/x", true},
		{"a*b*c", "a-b-c", true}, {"a*b*c", "a-c", false}, {"ab*ba", "aba", false}, {"n/x", "n/x", true}, {"n/x", "n/xy", false}, {"**", "x", true},
	} {
		if got := Matches(c.pattern, c.text); got != c.want {
			t.Errorf("%q of %q: %v", c.pattern, c.text, got)
		}
	}
	for text, want := range map[string]bool{"a1": true, "b": true, "c": false} {
		if MatchesAny([]string{"a*", "b"}, text) != want || !MatchesAny(nil, text) {
			t.Errorf("%q: not %v", text, want)
		}
	}
}
