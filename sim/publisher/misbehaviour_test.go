package publisher

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseMisbehaviours(t *testing.T) {
	got, err := ParseMisbehaviours(" gap,every=100; cut=10s;clock=-1h30m ;swap; ")
	want := []Misbehaviour{{Gap, 0, 100}, {Cut, 10 * time.Second, 60}, {Clock, -90 * time.Minute, 0}, {Swap, 0, 10}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, k := range Kinds() {
		got, err := ParseMisbehaviours(string(k.Kind))
		if err != nil || len(got) != 1 || (got[0].Time != 0) != (k.Time != "") || got[0].Every != k.Every {
			t.Errorf("%s: %+v, %v", k.Kind, got, err)
		}
	}
	for text, expected := range map[string]string{
		"gab": "did you mean gap?", "explode": "there are gap, swap", "gap=1s": "takes no value", "cut=-1s": "like cut=5s", "cut=0s": "like cut=5s", "clock=25h": "at most 24h",
		"gap,every=0": "from 1 to", "clock=1h,every=5": "no option", "gap,chance=1": "no option", "gap;gap": "more than once",
	} {
		if got, err := ParseMisbehaviours(text); err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
