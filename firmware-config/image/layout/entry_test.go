package layout

import (
	"strings"
	"testing"
)

func TestEntriesAreReadAsTheyAreWritten(t *testing.T) {
	for name, e := range map[string]Entry{
		"busbar-1.conf":      {Number: 1, Version: "1.0", Options: "quiet rdinit=/init"},
		"busbar-12+3.conf":   {Number: 12, Version: "2.0~rc1+x", Epoch: 7, Content: "5f", Options: "quiet", Local: "loglevel=4 x=y", Trial: true, Left: 3},
		"busbar-12+0-3.conf": {Number: 12, Version: "2.0", Options: "quiet", Trial: true, Done: 3},
	} {
		if e.Name() != name {
			t.Errorf("%s: %s", name, e.Name())
		}
		if got, ok := ParseEntry(strings.ToUpper(name), e.Text()); !ok || got != e {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
		if got, ok := ParseEntry(name, e.Text()[:30]); !ok || got.Version != "" || got.Number != e.Number {
			t.Errorf("%s, cut short: %+v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"busbar-0.conf", "busbar-1+.conf", "busbar-1.conf.bak", "debian.conf", "busbar-1+2-.conf"} {
		if _, ok := ParseEntry(name, nil); ok {
			t.Errorf("%s is an entry", name)
		}
	}
}

func TestAStartSaysWhichSlotItIs(t *testing.T) {
	s := Started{Number: 3, Version: "1.2", Epoch: 9, Content: "00ff", Trial: true, Local: "loglevel=4 x=y"}
	if got := ParseStarted("BOOT_IMAGE=/vmlinuz quiet " + s.String() + " -- init busbar.slot=9\n"); got != s {
		t.Errorf("%+v", got)
	}
	if got := ParseStarted("quiet busbar.slot=x"); got != (Started{}) {
		t.Errorf("%+v", got)
	}
}

func TestACommandLineIsOneLine(t *testing.T) {
	if got, err := ParseOptions([]byte("quiet rdinit=/init\n")); err != nil || got != "quiet rdinit=/init" {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"", "a\nb", "a -- b", "a --", "é"} {
		if _, err := ParseOptions([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
