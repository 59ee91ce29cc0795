package nut

import (
	"slices"
	"strings"
	"testing"
)

// The lines are those of RFC 9271, sections 4.2 and 5.
func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		`VAR su700 ups.mfr "APC"`:                         {"VAR", "su700", "ups.mfr", "APC"},
		`VAR su700 ups.status "OL CHRG"`:                  {"VAR", "su700", "ups.status", "OL CHRG"},
		`VAR su700 ups.id ""`:                             {"VAR", "su700", "ups.id", ""},
		`VAR ups device.model "a \"quoted\" back\\slash"`: {"VAR", "ups", "device.model", `a "quoted" back\slash`},
		`BEGIN LIST VAR su700`:                            {"BEGIN", "LIST", "VAR", "su700"},
		`ERR DATA-STALE`:                                  {"ERR", "DATA-STALE"},
		`  OK  `:                                          {"OK"},
		``:                                                nil,
		`VAR ups ups.mfr "APC`:                            nil,
		`VAR ups ups.mfr "APC\`:                           nil,
		`VAR ups ups.mfr "APC"x`:                          nil,
		`USERNAME ` + quote(`ann "the \ admin"`) + ` rest`: {"USERNAME", `ann "the \ admin"`, "rest"},
	} {
		got, err := split(line)
		if !slices.Equal(got, want) || (err != nil) != (want == nil && line != "") {
			t.Errorf("%s: %q, %v, expected %q", line, got, err, want)
		}
	}
}

// FuzzSplit: whatever upsd says, its words are taken or refused, and those that are
// taken are the same once they are quoted.
func FuzzSplit(f *testing.F) {
	for _, line := range []string{`VAR su700 ups.status "OL CHRG"`, `VAR u x "\"\\"`, `"`, `\`, `ERR DATA-STALE`, `"a"b`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			return
		}
		var again []string
		for _, w := range words {
			again = append(again, quote(w))
		}
		if got, err := split(strings.Join(again, " ")); err != nil || !slices.Equal(got, words) {
			t.Errorf("%q are %q again, %v", words, got, err)
		}
	})
}
