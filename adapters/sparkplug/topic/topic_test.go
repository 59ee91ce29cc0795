package topic

import (
	"strings"
	"testing"
)

func TestTopics(t *testing.T) {
	for text, want := range map[string]Topic{
		"spBv1.0/g/NBIRTH/n":      {Kind: NBirth, Group: "g", Node: "n"},
		"spBv1.0/g/DDATA/n/d":     {Kind: DData, Group: "g", Node: "n", Device: "d"},
		"spBv1.0/a b/NCMD/Line 1": {Kind: NCmd, Group: "a b", Node: "Line 1"},
	} {
		if got, ok := Parse(text); !ok || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "spBv1.0/g/NBIRTH", "spBv1.0/g/NBIRTH/n/d", "spBv1.0/g/DBIRTH/n", "spBv1.0/g/DBIRTH/n/d/e", "spBv1.0//NBIRTH/n", "spBv1.0/g/STATE/n", "spAv1.0/g/NBIRTH/n", "spBv1.0/STATE/h", "spBv1.0/g/nbirth/n"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for id, good := range map[string]bool{"n": true, "Line 1": true, "größe": true, "": false, "a/b": false, "a+": false, "#": false, "\xFF": false, strings.Repeat("x", 257): false} {
		if err := CheckID(id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestStates(t *testing.T) {
	s := State{Online: true, Timestamp: 1_700_000_000_000}
	if text := string(s.Payload()); text != `{"online":true,"timestamp":1700000000000}` {
		t.Error(text)
	}
	for text, want := range map[string]State{
		`{"online":true,"timestamp":1700000000000}`:              s,
		`{ "timestamp": 1.7e12, "online": true, "version": "3"}`: s,
		`{"online":false,"timestamp":0}`:                         {},
	} {
		if got, err := ParseState([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "ONLINE", "{}", `{"online":true}`, `{"timestamp":1}`, `{"online":1,"timestamp":1}`, `{"online":true,"timestamp":-1}`, `{"online":true,"timestamp":1e300}`, `[]`} {
		if got, err := ParseState([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("spBv1.0/g/NBIRTH/n", []byte(`{"online":true,"timestamp":1}`))
	f.Add("spBv1.0/g/DDATA/n/d", []byte("{}"))
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		if got, ok := Parse(text); ok && got.String() != text {
			t.Errorf("%q became %q", text, got)
		}
		if s, err := ParseState(b); err == nil {
			if again, err := ParseState(s.Payload()); err != nil || again != s {
				t.Errorf("%q became %+v, %v", b, again, err)
			}
		}
	})
}
