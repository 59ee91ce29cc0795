package buffer

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func export(t *testing.T, path string, s Selection, format Format) (string, Exported) {
	t.Helper()
	i, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var total Exported
	lines := NewLines(&out, format)
	for _, path := range i.Segments() {
		n, err := i.Export(path, s, lines)
		if err != nil {
			t.Fatal(err)
		}
		total = Exported{total.Lines + n.Lines, total.Salvaged + n.Salvaged, total.Unreadable + n.Unreadable}
	}
	if err := lines.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String(), total
}

func TestExportWritesEverySampleWithItsNames(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	measured(t, b, 40)
	b.Close()
	text, n := export(t, dir, Selection{Stream: record.Telemetry}, CSV)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(rows)-1) != n.Lines || n.Unreadable != 0 {
		t.Errorf("%d rows, %+v", len(rows), n)
	}
	want := []string{"2026-09-21T14:13:20.000000Z", "1790000000000000", "feeder-1-head", "PhV.phsA", "V", "0", "good"}
	if !slices.Equal(rows[1], want) {
		t.Errorf("first row %q, want %q", rows[1], want)
	}
	from, to := telemetry.Micros(1_790_000_003_000_000), telemetry.Micros(1_790_000_004_000_000)
	text, n = export(t, dir, Selection{Stream: record.Telemetry, From: from, To: to, Device: "feeder-2-head"}, JSONLines)
	if n.Lines != 4 || strings.Count(text, "\n") != 4 {
		t.Fatalf("%+v: %s", n, text)
	}
	var line exportedSample
	if err := json.Unmarshal([]byte(text[:strings.Index(text, "\n")]), &line); err != nil {
		t.Fatal(err)
	}
	if line != (exportedSample{"2026-09-21T14:13:23.000000Z", from, "feeder-2-head", "TotW", "W", math.Sqrt(3000), "good"}) {
		t.Errorf("line %+v", line)
	}
	if _, n := export(t, dir, Selection{Stream: record.Telemetry, Device: "feeder-9"}, CSV); n.Lines != 0 {
		t.Errorf("a device that isn't there: %+v", n)
	}
}

// Names come from the table that a block was written under, also when that was
// set aside; without it the numbers are exported.
func TestExportKnowsTheNamesOfATableThatWasSetAside(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	measured(t, b, 3)
	b.Close()
	meta := filepath.Join(dir, "meta.db")
	overwrite(t, meta, 0, 40, 0xff) // one of the meta pages: the other has the table
	overwrite(t, meta, 4096, 40, 0xff)
	text, _ := export(t, dir, Selection{Stream: record.Telemetry}, CSV)
	if !strings.Contains(text, ",,signal 1 of table ") {
		t.Errorf("without a table: %.300s", text)
	}
	b = open(t, dir, 0)
	b.Close()
	if set, _ := filepath.Glob(meta + brokenSuffix + "*"); len(set) != 1 {
		t.Fatalf("set aside: %v", set)
	}
	os.Remove(meta)
	b = open(t, dir, 0)
	measured(t, b, 3)
	b.Close()
	if err := os.Rename(meta, meta+brokenSuffix+"-9"); err != nil {
		t.Fatal(err)
	}
	if text, _ = export(t, dir, Selection{Stream: record.Telemetry}, CSV); !strings.Contains(text, ",feeder-1-head,PhV.phsA,V,") {
		t.Errorf("with a table that was set aside: %.300s", text)
	}
}

func TestExportWritesEventsAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	event := telemetry.Event{Kind: telemetry.AlarmRaised, Time: 5_000_000, Alarm: &telemetry.AlarmChange{ID: "1", Device: "feeder-1-head"}}
	payload, _ := json.Marshal(event)
	if err := b.Events.Commit([]Item{{record.FormatEvent, payload, 1}}, nil); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if text, _ := export(t, dir, Selection{Stream: record.Events, Device: "feeder-1-head"}, JSONLines); text != string(payload)+"\n" {
		t.Errorf("%s", text)
	}
	if text, _ := export(t, dir, Selection{Stream: record.Events, Device: "feeder-2-head"}, JSONLines); text != "" {
		t.Errorf("another device: %s", text)
	}
}
