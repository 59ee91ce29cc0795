package configfile

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var keys = []string{"id", "asset", "powered_by", "supply", "modbus", "poll_every", "timeout", "signals"}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"modbsu": "modbus", "assets": "asset", "poll_evry": "poll_every", "poweredby": "powered_by", "signal": "signals",
		"di": "id", "timout": "timeout", "opcua": "", "x": "", "": "", "pollinterval": "",
	} {
		if got := Nearest(word, keys); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// One slip of the keyboard in a key always leads back to it.
func TestNearestUndoesOneSlip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom(keys).Draw(t, "key")
		r := []rune(key)
		at := rapid.IntRange(0, len(r)-1).Draw(t, "at")
		letter := rapid.RuneFrom([]rune("abcdefghijklmnopqrstuvwxyz_é")).Draw(t, "letter")
		switch rapid.SampledFrom([]string{"drop", "add", "replace", "swap"}).Draw(t, "slip") {
		case "drop":
			r = slices.Delete(r, at, at+1)
		case "add":
			r = slices.Insert(r, at, letter)
		case "replace":
			r[at] = letter
		case "swap":
			if at+1 < len(r) {
				r[at], r[at+1] = r[at+1], r[at]
			}
		}
		if got := Nearest(string(r), keys); got != key {
			t.Fatalf("Nearest(%q) = %q, want %q", string(r), got, key)
		}
	})
}
