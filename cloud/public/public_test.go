package public

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

var noon = telemetry.MicrosOf(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))

const minute = telemetry.Micros(60e6)

func options(t testing.TB) Options {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Languages: []string{"en", "de", "nl"}, Operator: "Rhine & Mill Grid", Contact: "Report an outage: 0800 000 000", URL: "https://grid.example/public/",
		Sender: "outages@grid.example", Location: berlin, Stale: 5 * time.Minute}
}

// storm has an outage of every kind.
func storm() Picture {
	outline := []Position{{50.1, 8.6}, {50.1, 8.7}, {50.2, 8.7}, {50.2, 8.6}, {50.1, 8.6}}
	return Picture{
		At: noon - minute,
		Areas: []Area{{ID: "mill", Name: "Millbrook", Known: true, Outline: outline}, {ID: "north", Name: "North & Harbour", Known: true, Outline: outline[:4]},
			{ID: "hill", Name: "Hillside", Known: false}, {ID: "south", Name: "Southgate", Known: true}, {ID: "old", Name: "Old Town", Known: true}, {ID: "vale", Name: "Valley"}},
		Outages: []Outage{
			{ID: "inc-feeder-7", Confirmed: true, Since: noon - 90*minute, P50: noon + 40*minute, P80: noon + 120*minute, Cause: Tree, Crew: OnSite,
				Areas: []Part{{"mill", 1234}, {"north", 410}}},
			{ID: "inc-house-sp-4711", Since: noon - 20*minute, Areas: []Part{{"mill", 3}}},
			{ID: "inc-house-sp-4712", Since: noon - 10*minute, Areas: []Part{{"mill", 7}}},
			{ID: "inc-9", Since: noon - 5*minute, Areas: []Part{{"hill", -1}}},
			{ID: "plan-1", Planned: true, Confirmed: true, Since: noon + 24*60*minute, Until: noon + 27*60*minute, Cause: Work, Areas: []Part{{"old", 88}}},
		},
	}
}

func view(t testing.TB, p Picture) View {
	t.Helper()
	return ViewOf(p, options(t), noon, NewLedger().name)
}

func area(t testing.TB, v View, id string) AreaView {
	t.Helper()
	i := slices.IndexFunc(v.Areas, func(a AreaView) bool { return a.ID == id })
	if i < 0 {
		t.Fatalf("no area %s", id)
	}
	return v.Areas[i]
}

func TestSmallCountsArentTold(t *testing.T) {
	for n, want := range map[int64]string{-1: "number of customers not known", 1: "fewer than 10 customers", 9: "fewer than 10 customers", 10: "10 customers", 1234567: "1,234,567 customers"} {
		if got := english.customers(CountOf(n)); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	a := area(t, view(t, storm()), "mill")
	if a.Without != 1234 || a.Small != 2 || a.State != Out {
		t.Errorf("%+v", a)
	}
	if got := english.sum(a); got != "1,234 customers, and fewer than 10 customers in each of 2 places" {
		t.Error(got)
	}
}

// Nothing that is published differs by how many fewer than ten customers there are, by whose
// service point it is, or by what the operator calls it.
func TestWhatIsPublishedTellsNoCustomer(t *testing.T) {
	publish := func(p Picture) string {
		l := NewLedger()
		for i, out := range p.Outages {
			l.Outages[out.ID] = &entry{Public: fmt.Sprintf("%016x", i)}
		}
		files, err := FilesOf(p, options(t), noon, l)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, name := range inOrder(files) {
			fmt.Fprintf(&all, "%s\n%s\n", name, files[name])
		}
		return all.String()
	}
	one := publish(storm())
	for _, secret := range []string{"inc-", "sp-47", "plan-1", "4711"} {
		if strings.Contains(one, secret) {
			t.Errorf("%q is published", secret)
		}
	}
	other := storm()
	other.Outages[1].Areas[0].Customers, other.Outages[1].ID = 9, "another"
	other.Outages[2].Areas[0].Customers = 1
	if publish(other) != one {
		t.Error("it can be seen how many they are")
	}
	// Ids are drawn, and stay.
	l, m := NewLedger(), NewLedger()
	if a, b := l.name("inc-1"), m.name("inc-1"); a == b || l.name("inc-1") != a || !isPublicID(a) {
		t.Errorf("%s and %s", a, b)
	}
}

func TestUnknownIsNeverFine(t *testing.T) {
	p := storm()
	v := view(t, p)
	for id, want := range map[string]State{"mill": Out, "hill": Out, "vale": Unknown, "south": None, "old": Planned} {
		if got := area(t, v, id).State; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	p.Outages = []Outage{{ID: "o", Confirmed: true, Since: noon - minute, Areas: []Part{{Area: "gone", Customers: 40}}}}
	if got := area(t, view(t, p), "gone"); got.State != Out || got.Known || got.Without != 40 {
		t.Errorf("an outage of an area that isn't in the picture is %+v", got)
	}
	p.Outages = nil
	v = view(t, p)
	if got := area(t, v, "hill").State; got != Unknown {
		t.Errorf("what nobody knows is %s", got)
	}
	for _, c := range []struct {
		what string
		at   telemetry.Micros
	}{{"old", noon - 6*minute}, {"never there", 0}} {
		p.At = c.at
		for _, a := range view(t, p).Areas {
			if a.State != Unknown {
				t.Errorf("with data that is %s, %s is %s", c.what, a.Name, a.State)
			}
		}
		files, err := FilesOf(p, options(t), noon, NewLedger())
		if err != nil {
			t.Fatal(err)
		}
		page := string(files["index.html"])
		if !strings.Contains(page, "This isn’t current.") || strings.Contains(page, "No outage known") || strings.Contains(page, "<p>No outage is known.</p>") {
			t.Errorf("with data that is %s the page says:\n%s", c.what, page)
		}
	}
}

// What has supply again isn't listed, and what is planned isn't an outage.
func TestWhatIsOverIsGone(t *testing.T) {
	p := storm()
	p.Outages[0].Areas[0].Customers = 0
	a := area(t, view(t, p), "mill")
	if len(a.Outages) != 2 || a.Without != 0 {
		t.Errorf("%+v", a)
	}
	if old := area(t, view(t, p), "old"); old.Without != 0 || len(old.Outages) != 1 {
		t.Errorf("%+v", old)
	}
}

func TestThePublisherWritesWholeFiles(t *testing.T) {
	dir := t.TempDir()
	p := storm()
	failing := false
	w := Publisher{Dir: filepath.Join(dir, "public"), Ledger: filepath.Join(dir, "told.json"), Log: slog.New(slog.DiscardHandler),
		Options: func() Options { return options(t) },
		Picture: func(context.Context) (Picture, error) {
			if failing {
				return Picture{}, fmt.Errorf("no database")
			}
			return p, nil
		}}
	write := func(now telemetry.Micros) {
		t.Helper()
		p.At = now
		if err := w.Write(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	alerts := func() int {
		entries, err := os.ReadDir(filepath.Join(w.Dir, "cap"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	write(noon)
	var v View
	text, err := os.ReadFile(filepath.Join(w.Dir, "outages.json"))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || v.Version != 1 || len(v.Areas) != 6 || alerts() != 2 {
		t.Fatal(err, v, alerts())
	}
	if info, err := os.Stat(w.Ledger); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	// Another process goes on where the first one was.
	write(noon + minute)
	if again := area(t, readView(t, w.Dir), "mill").Outages; again[0].ID != area(t, v, "mill").Outages[0].ID || alerts() != 2 {
		t.Error("ids have changed, or something was told twice")
	}
	// What can't be known isn't overwritten.
	failing = true
	if err := w.Write(t.Context(), noon+2*minute); err == nil {
		t.Error("no error")
	}
	if readView(t, w.Dir).Written != noon+minute {
		t.Error("it was overwritten")
	}
	failing = false
	// A day after the end, nothing is left of it.
	p.Outages = nil
	write(noon + 3*minute)
	if alerts() != 4 {
		t.Errorf("%d alerts, want two and their ends", alerts())
	}
	write(noon + 26*60*minute)
	if alerts() != 0 {
		t.Errorf("%d alerts are left", alerts())
	}
	if err := os.WriteFile(w.Ledger, []byte(`{"version":1,"outages":{"a":{"public":"../../x"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), noon); err == nil || !strings.Contains(err.Error(), w.Ledger) {
		t.Errorf("%v", err)
	}
}

func readView(t *testing.T, dir string) (v View) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "outages.json"))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func FuzzParseLedger(f *testing.F) {
	f.Add([]byte(`{"version":1,"outages":{"a":{"public":"0011223344556677","seen_us":1,"alerts":[{"identifier":"0011223344556677-1","sender":"a","sent":1,"kind":"Alert","title":"x","expires":2}]}}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		l, err := ParseLedger(src)
		if err != nil {
			return
		}
		if _, err := FilesOf(storm(), options(t), noon, l); err != nil && !strings.Contains(err.Error(), "cap: ") {
			t.Error(err)
		}
	})
}
