package configfile

import (
	"errors"
	"strings"
	"testing"
)

// Whatever the bytes, Decode ends without a panic, and each error points into
// the file.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		stationYAML, "", "- &a", "a: &x\n", "? a\n: b", "{a, b: , c}", "a: |\n  x\n y", "%YAML 1.2\n---\na: 1\n...\n",
		"points: [{name: 'it''s', address: 0x1f}]", "a: \"\\u00e4\\", "with: {v: 230 V}\ntimeout: 1h", "- - - -\n -", "a:\r\tb", "[[{[", "!!str a: b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var s station
		file, err := Decode("f", src, &s)
		if err == nil {
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%T", err)
		}
		for _, e := range all {
			if e.Line < 1 || e.Column < 1 || e.Line > max(1, len(file.lines)) || e.Message == "" || !strings.HasPrefix(e.Error(), "f:") {
				t.Fatalf("%#v of %d lines", e, len(file.lines))
			}
			file.Errorf(e.Path, "again")
			file.Broken(e.Path)
		}
	})
}
