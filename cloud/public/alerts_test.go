package public

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/public/cap"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/peer"
)

// alerts are those that a picture brings, by kind and name of the area.
func alerts(t *testing.T, l *Ledger, p Picture, now telemetry.Micros) []cap.Alert {
	t.Helper()
	p.At = now
	made := l.alertsOf(p, options(t), now)
	var list []cap.Alert
	for _, id := range slices.Sorted(maps.Keys(made)) {
		if err := made[id].Check(); err != nil {
			t.Error(err)
		}
		list = append(list, made[id])
	}
	return list
}

func TestAnAlertIsToldOnceAndChangesWithWhatMatters(t *testing.T) {
	p, l := storm(), NewLedger()
	p.Outages = p.Outages[:3]
	first := alerts(t, l, p, noon)
	if len(first) != 1 || first[0].Kind != cap.New || len(first[0].Infos[0].Areas) != 2 || first[0].Infos[0].Severity != "Moderate" || first[0].Infos[0].Certainty != "Observed" {
		t.Fatalf("%+v", first)
	}
	before := first[0]
	now := noon
	next := func(what string, want cap.Kind, change func()) {
		t.Helper()
		now += minute
		change()
		got := alerts(t, l, p, now)
		if want == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", what, got)
			}
			return
		}
		if len(got) != 1 || got[0].Kind != want {
			t.Fatalf("%s: %+v, want %s", what, got, want)
		}
		refers := want != cap.New
		if refers && (len(got[0].References) != 1 || got[0].References[0].Identifier != before.Identifier || !got[0].References[0].Sent.Equal(before.Sent)) || !refers && len(got[0].References) != 0 {
			t.Errorf("%s: it refers to %+v, before it was %s", what, got[0].References, before.Identifier)
		}
		if !got[0].Sent.After(before.Sent) || got[0].Identifier == before.Identifier {
			t.Errorf("%s: %s at %s", what, got[0].Identifier, got[0].Sent)
		}
		before = got[0]
	}
	out := &p.Outages[0]
	next("nothing", "", func() {})
	next("a few customers are back", "", func() { out.Areas[0].Customers -= 100 })
	next("supply is expected a little later", "", func() { out.P80 += 20 * minute })
	next("much later", cap.Update, func() { out.P80 += 20 * minute })
	next("many are back", cap.Update, func() { out.Areas[0].Customers = 500 })
	next("an area is back", cap.Update, func() { out.Areas[1].Customers = 5 })
	next("the cause is found", cap.Update, func() { out.Cause = ByOthers })
	next("nobody knows how many", "", func() { out.Areas[0].Customers = -1 })
	next("they are known again", "", func() { out.Areas[0].Customers = 500 })
	next("it is about to expire", cap.Update, func() { now += 95 * minute })
	next("fewer than the floor are out", cap.Cancel, func() { out.Areas[0].Customers = 9 })
	next("and still", "", func() {})
	next("out again", cap.New, func() { out.Areas[0].Customers = 300 })
	next("over", cap.Cancel, func() { p.Outages = nil })
	next("and forgotten", "", func() {})

	// What isn't current neither begins nor ends an alert.
	p = storm()
	p.At = noon - 6*minute
	if got := NewLedger().alertsOf(p, options(t), noon); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// A ledger that has causes in words says nothing new by their codes.
func TestAFormerCauseIsNothingNew(t *testing.T) {
	p, l := storm(), NewLedger()
	if len(alerts(t, l, p, noon)) == 0 {
		t.Fatal("no alert")
	}
	kept, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	former := bytes.ReplaceAll(kept, []byte(`"cause":"tree"`), []byte(`"cause":"Tree or branch"`))
	if bytes.Equal(former, kept) {
		t.Fatalf("no cause is told: %s", kept)
	}
	if l, err = ParseLedger(former); err != nil {
		t.Fatal(err)
	}
	if got := alerts(t, l, p, noon+minute); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// An implementation of the protocol that isn't ours reads what is published, and comes to
// the same alerts in force.
func TestAlertsAreReadByAnother(t *testing.T) {
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if exec.Command(python, "-c", "import cap_tools").Run() != nil {
		peer.Missing(t, "no cap-tools: make peers-python, and BUSBAR_PYTHON=$PWD/.venv/bin/python")
	}
	dir := t.TempDir()
	var sent []string
	write := func(l *Ledger, p Picture, now telemetry.Micros) map[string][]byte {
		t.Helper()
		p.At = now
		files, err := FilesOf(p, options(t), now, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if !strings.HasPrefix(name, alertsDir) {
				continue
			}
			path := filepath.Join(dir, strings.TrimPrefix(name, alertsDir))
			if err := os.WriteFile(path, files[name], 0o644); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, path)
		}
		return files
	}
	p, l := storm(), NewLedger()
	write(l, p, noon)
	p.Outages[0].P80 += 60 * minute
	write(l, p, noon+minute)
	p.Outages = slices.Delete(p.Outages, 4, 5) // the planned one isn't needed
	files := write(l, p, noon+2*minute)
	for _, path := range sent {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("Z<")) || !bytes.Contains(text, []byte("-00:00</sent>")) {
			t.Errorf("%s has a time of another form:\n%s", path, text)
		}
	}
	feed := filepath.Join(dir, "feed.atom")
	if err := os.WriteFile(feed, files["feed.atom"], 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, append([]string{"testdata/read.py", feed}, sent...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	type alert struct {
		Identifier, Type, Event, Urgency, Certainty, Sent, Headline, Web string
		Languages                                                        map[string]string // their headlines
		Areas                                                            []struct {
			Name, Polygon string
			Geocodes      []string
		}
	}
	var got struct {
		Read    []alert
		InForce []string `json:"in_force"`
		Feed    []string
		Lang    string `json:"feed_language"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var kinds []string
	for _, a := range got.Read {
		kinds = append(kinds, a.Type)
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{"Alert", "Alert", "Cancel", "Update"}) {
		t.Errorf("read %v", kinds)
	}
	// The Cancel itself is no alert, but the peer keeps it as the last message.
	update, cancelled := l.Outages["inc-feeder-7"].Alerts[1].Identifier, l.Outages["plan-1"].Alerts[1].Identifier
	if want := []string{cancelled, update}; !slices.Equal(sorted(got.InForce), sorted(want)) {
		t.Errorf("in force are %v, want %v", got.InForce, want)
	}
	i := slices.IndexFunc(got.Read, func(a alert) bool { return a.Identifier == update })
	a := got.Read[i]
	if a.Event != "Power outage" || a.Urgency != "Immediate" || a.Certainty != "Observed" || a.Sent != "2026-11-26T12:01:00+00:00" || a.Web != "https://grid.example/public/" ||
		a.Headline != "Power outage in Millbrook and North & Harbour" || len(a.Areas) != 2 || a.Areas[1].Name != "North & Harbour" ||
		a.Areas[0].Polygon != "50.10000,8.60000 50.10000,8.70000 50.20000,8.70000 50.20000,8.60000 50.10000,8.60000" || a.Areas[1].Polygon != a.Areas[0].Polygon {
		t.Errorf("%+v", a)
	}
	if len(a.Languages) != 3 || a.Languages["en"] != a.Headline || a.Languages["de"] != "Stromausfall in Millbrook und North & Harbour" || a.Languages["nl"] != "Stroomstoring in Millbrook en North & Harbour" {
		t.Errorf("it says %q", a.Languages)
	}
	var links []string
	for _, path := range sent {
		links = append(links, "https://grid.example/public/cap/"+filepath.Base(path))
	}
	if !slices.Equal(sorted(got.Feed), sorted(links)) || got.Lang != "en" {
		t.Errorf("the feed has %v in %q, want %v in English", got.Feed, got.Lang, links)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
