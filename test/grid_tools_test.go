package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A network of SimBench and one of pandapower are imported and checked as an
// engineer does it.
func TestNetworkIsImportedAndChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lv, err := filepath.Abs("../grid/simbench/testdata/lv")
	if err != nil {
		t.Fatal(err)
	}
	out, errs, code := call(t, dir, "busbar", "grid", "import", "--from", "simbench", lv, "--out", "lv.yaml")
	if code != 0 || out != "" || !strings.HasSuffix(errs, `0 substations, 1 source, 4 feeders, 43 nodes
13 lines, 28 switches (0 normally open, 0 telemetered), 1 transformer
13 service points, 13 customers
0 parts without a source, 0 loops
0 errors, 4 warnings
`) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	out, errs, code = call(t, dir, "busbar", "grid", "check", "lv.yaml")
	if code != 0 || !strings.Contains(out, "lv.yaml:51:5: warning: feeder-LV1.122 Switch 5: its head LV1.122 Switch 5 is a load-switch") || !strings.HasSuffix(out, "0 errors, 4 warnings\n") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}

	// To standard output, and without feeders, it is the same network.
	out, errs, code = call(t, dir, "busbar", "grid", "import", "--from", "pandapower", lv+"/../../../pandapower/testdata/case33bw.json", "--no-feeders", "--json")
	var report struct {
		Lines    int               `json:"lines"`
		Sources  int               `json:"sources"`
		Errors   int               `json:"errors"`
		Findings []json.RawMessage `json:"findings"`
	}
	if err := json.Unmarshal([]byte(errs), &report); err != nil || code != 0 || report.Lines != 37 || report.Sources != 1 || len(report.Findings) != 0 || !strings.HasPrefix(out, "name: case33bw\n") {
		t.Errorf("exit code %d, %v\n%.200s\n%s", code, err, out, errs)
	}
}

func TestWrongNetworkIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "grid.yaml", "sources:\n  - {id: supply, node: a}\nlines:\n  - {id: L1, from: a, to: b, valid_to: \"2026-01-01T00:00:00Z\"}\nservice_points:\n  - {id: P1, node: b, zone: north}\n")
	out, errs, code := call(t, dir, "busbar", "grid", "check", "--at", "2025-06-01T00:00:00Z", "grid.yaml")
	if want := "grid.yaml:6:5: error: P1: zone: there is no zone north [unknown-reference]\n\n"; code != 1 || !strings.HasPrefix(out, want) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	// Half a year later the line is gone.
	out, errs, code = call(t, dir, "busbar", "grid", "check", "--at", "2026-06-01T00:00:00Z", "--json", "grid.yaml")
	if code != 1 || !strings.Contains(out, `"code": "not-connected"`) || !strings.Contains(out, `"place": "grid.yaml:6:5"`) || !strings.Contains(out, `"errors": 2`) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	out, _, code = call(t, dir, "busbar", "grid", "check", "--at", "2026-06-01T00:00:00Z", "--most", "1", "grid.yaml")
	if code != 1 || !strings.HasPrefix(out, "grid.yaml:2:5: warning: supply: nothing is connected to its node a [nothing-attached]\nand 2 more; --most 0 prints all\n") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "tables"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{
		{"check", "none.yaml"}, {"check", "tables"}, {"import", "--from", "simbench", "tables"}, {"import", "--from", "pandapower", "grid.yaml"}, {"import", "--from", "csv", "grid.yaml"},
		{"import", "--from", "cim", "grid.yaml"},
	} {
		if out, errs, code := call(t, dir, "busbar", append([]string{"grid"}, arguments...)...); code != 2 || out != "" || errs == "" {
			t.Errorf("%v: exit code %d\n%s%s", arguments, code, out, errs)
		}
	}
	write(t, dir, "all.CSV", "kind,id,from,to\nline,L1,a,b\n")
	if out, errs, code := call(t, dir, "busbar", "grid", "import", "--from", "csv", "all.CSV"); code != 1 || !strings.Contains(out, "{id: L1, from: a, to: b}") || !strings.Contains(errs, "[no-source]") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	write(t, dir, "tables/lines.csv", "id,from,to\nL1,a,b\n")
	write(t, dir, "tables/sources.csv", "id,node\nS,a\n")
	write(t, dir, "tables/service_points.csv", "id,node\nP,b\n")
	if out, errs, code := call(t, dir, "busbar", "grid", "import", "--from", "csv", "tables", "--no-feeders"); code != 0 || !strings.Contains(out, "\nlines:\n  - {id: L1, from: a, to: b}\n") || !strings.Contains(errs, "0 errors, 0 warnings") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// The cloud is given a network, another one, and the first again, as an engineer does it.
func TestNetworkIsTheClouds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "cloud.yaml", "console: {listen: \"127.0.0.1:1\"}\nlog: {embedded: {path: log}}\nstore: {path: cloud.db}\n")
	const network = "name: North\nsources:\n  - {id: supply, node: a}\nlines:\n  - {id: L1, from: a, to: b}\nservice_points:\n  - {id: P1, node: b, customers: 3}\n"
	write(t, dir, "grid.yaml", network)
	write(t, dir, "longer.yaml", strings.Replace(network, "to: b", "to: b, length: 1 km", 1))
	write(t, dir, "more.yaml", network+"  - {id: P2, node: b}\n")
	write(t, dir, "wrong.yaml", strings.Replace(network, "node: b", "node: c", 1))
	for _, c := range []struct {
		args string
		code int
		want string // of what is printed, at its end
	}{
		{"show", 1, "no model of the network was imported yet\n"},
		{"import --dry-run grid.yaml", 0, "it would be version 1 (assets: 5 new, 0 changed, 0 gone)\n"},
		{"import grid.yaml --comment begin --by ana", 0, "0 errors, 0 warnings\nversion 1 is in use (assets: 5 new, 0 changed, 0 gone)\n"},
		{"import grid.yaml", 0, "it is version 1, which is in use\n"},
		{"import wrong.yaml", 1, "1 error, 1 warning\nnothing of it was taken\n"},
		{"import nothing.yaml", 2, "no such file or directory\n"},
		{"import --dry-run longer.yaml", 0, "it would be version 2 (lists of assets stay as they are)\n"},
		{"import more.yaml", 0, "version 2 is in use (assets: 1 new, 0 changed, 0 gone)\n"},
		{"return 1 --comment early --by ben", 0, "version 3 is in use (assets: 0 new, 0 changed, 1 gone)\n"},
		{"return 7", 1, "there is no such version of the network's model\n"},
		{"export", 0, "\nlines:\n  - {id: L1, from: a, to: b}\n\nservice_points:\n  - {id: P1, node: b, customers: 3}\n"},
		{"show", 0, "node           2       \nservice_point  1       3\nsource         1       \n"},
		{"findings", 0, "version 3: 0 findings\n  none\nassets that gateways name and the network hasn't got:\n  none\nassets that can be measured and aren't:\n  service_point P1\n"},
	} {
		verb, rest, _ := strings.Cut(c.args, " ")
		out, errs, code := call(t, dir, "busbar-cloud", append([]string{"grid", verb, "--config", "cloud.yaml"}, strings.Fields(rest)...)...)
		if code != c.code || !strings.HasSuffix(out+errs, c.want) {
			t.Errorf("%s: exit code %d\n%s%s", c.args, code, out, errs)
		}
	}
	out, _, _ := call(t, dir, "busbar-cloud", "grid", "versions", "--config", "cloud.yaml")
	if lines := strings.Split(out, "\n"); len(lines) != 5 || !strings.HasSuffix(lines[1], "kept   returned to 1: early") || !strings.HasSuffix(lines[3], "kept   begin") {
		t.Errorf("%s", out)
	}
}
