package test

import (
	"encoding/csv"
	"strings"
	"testing"
)

const outagesTable = `interruption,start,end,customers,kva,feeder
1,2026-03-17T12:12:20Z,2026-03-17T12:20:30Z,200,800,F1
2,2026-04-15T18:23:56Z,2026-04-15T18:24:26Z,400,1600,F1
3,2026-05-05T00:23:10Z,2026-05-05T01:34:29Z,600,1800,F2
4,2026-06-12T23:17:00Z,2026-06-12T23:47:14Z,25,75,F2
5,2026-07-06T09:30:10Z,2026-07-06T09:31:10Z,2000,4000,F1
6,2026-08-20T15:45:39Z,2026-08-20T20:12:50Z,90,500,F1
7,2026-08-31T08:20:00Z,2026-08-31T10:20:00Z,700,2100,F2
8,2026-09-03T17:10:00Z,2026-09-03T17:20:00Z,1500,3000,F2
9,2026-10-27T10:15:00Z,2026-10-27T10:55:00Z,100,200,F1
`

// The worked example of IEEE Std 1366, as an engineer computes it from tables.
func TestIndicesAreComputedFromTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "outages.csv", outagesTable)
	write(t, dir, "customers.csv", "feeder,customers,kva\nF1,1200,2400\nF2,800,1600\n")
	tables := []string{"report", "", "--outages", "outages.csv", "--customers", "customers.csv", "--period", "2026", "--now", "2027-01-01T00:00:00Z"}
	report := func(what string, args ...string) (string, string, int) {
		all := append([]string{}, tables...)
		all[1] = what
		return call(t, dir, "busbar-cloud", append(all, args...)...)
	}
	out, errs, code := report("indices", "--affected", "1800", "--by", "feeder", "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if code != 0 || err != nil || len(rows) != 4 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{"SAIDI": "86.112833333", "SAIFI": "1.6075", "CTAIDI": "95.680925926", "CAIFI": "1.786111111", "ASAI": "0.999836163", "ASIDI": "140.190625",
		"MAIFI_E": "1.2", "state": "final", "CEMI_3": ""} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	// The regulator's table is one that can be read again.
	if out, errs, code = report("steps", "--out", "filing.csv"); code != 0 || out != "" {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	first, _, _ := report("indices", "--format", "json")
	tables[3] = "filing.csv"
	if again, errs, code := report("indices", "--format", "json"); code != 0 || again != first {
		t.Errorf("exit code %d: %s\nwant %s\n%s", code, again, first, errs)
	}
	write(t, dir, "filing.csv", outagesTable+"10,yesterday,,1,,F1\n")
	if _, errs, code = report("indices"); code != 2 || !strings.Contains(errs, `filing.csv:11: start: "yesterday", expected a time`) {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}
