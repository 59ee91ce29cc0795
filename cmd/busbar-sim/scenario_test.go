package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/sim/score"
	"github.com/busbar/busbar/sim/truth"
)

// simulate runs the program.
func simulate(t *testing.T, code int, args ...string) string {
	t.Helper()
	command := exec.Command(binary, args...)
	out, err := command.CombinedOutput()
	if got := exitCode(err); got != code {
		t.Fatalf("%v: exit code %d, want %d\n%s", args, got, code, out)
	}
	return string(out)
}

func TestScenarioCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := simulate(t, 0, "scenario", "list")
	if lines := strings.Count(list, "\n"); lines != len(scenario.Library()) {
		t.Errorf("%d lines for %d scenarios\n%s", lines, len(scenario.Library()), list)
	}
	// What show prints is where one's own begins.
	if err := os.Mkdir(filepath.Join(dir, "grids"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("grids/town.yaml", simulate(t, 0, "scenario", "show", "grids/town.yaml"))
	mine := write("mine.yaml", simulate(t, 0, "scenario", "show", "nested"))
	if out := simulate(t, 0, "scenario", "check", mine, "storm"); strings.Count(out, "no errors") != 2 {
		t.Error(out)
	}
	if out := simulate(t, 0, "scenario", "test", mine, "service"); strings.Count(out, "passed") != 2 {
		t.Error(out)
	}
	wrong := write("wrong.yaml", "description: x\nlasts: 1h\ngrid: {file: grids/town.yaml}\nexpect: [{at: 1m, out: [mill-1]}]\n")
	if out := simulate(t, 1, "scenario", "test", wrong); !strings.Contains(out, "expect[0]: at 1m mill-1 is not out") {
		t.Error(out)
	}
	bad := write("bad.yaml", "description: x\nlasts: 1h\ngrid: {service_points: 10}\nfaults: [{id: a, at: 1m, asset: b}]\n")
	for _, args := range [][]string{{"check", mine, bad}, {"run", bad}, {"test", bad}} {
		if out := simulate(t, 2, append([]string{"scenario"}, args...)...); !strings.Contains(out, bad+":4:10: faults[0]: the grid has no") {
			t.Error(out)
		}
	}
	for _, word := range []string{"check", "test"} { // one doesn't stop the others
		out := simulate(t, 2, "scenario", word, "nowhere", bad, "service")
		for _, want := range []string{`no scenario "nowhere"`, bad + ":4:10: faults[0]", "service"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", word, want, out)
			}
		}
	}
	out, err := exec.Command(binary, "scenario", "run", "service", "--truth", "-").Output()
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(out)) { // and no summary
		if !json.Valid([]byte(line)) {
			t.Errorf("standard output has %q", line)
		}
	}
	same := filepath.Join(dir, "same")
	if out := simulate(t, 2, "scenario", "run", "service", "--truth", same, "--evidence", filepath.Join(dir, ".", "same")); !strings.Contains(out, "two outputs") {
		t.Error(out)
	}
	simulate(t, 2, "scenario", "run", "nowhere")
	simulate(t, 2, "scenario", "show", "nowhere")
	if out := simulate(t, 2, "scenario", "run", "service", "--readings", filepath.Join(dir, "r.csv")); !strings.Contains(out, "has no loads") {
		t.Error(out)
	}
	simulate(t, 1, "scenario", "run", "service", "--truth", filepath.Join(dir, "no", "truth.jsonl"))
}

// Two processes with different numbers of processors write the same files, and
// whoever tells the truth scores all of it.
func TestScenarioFilesAndTheirScore(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(file(name))
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %d bytes, %v", name, len(b), err)
		}
		return b
	}
	for _, processors := range []string{"1", "7"} {
		t.Setenv("GOMAXPROCS", processors)
		simulate(t, 0, "scenario", "run", "storm", "--truth", file("truth"+processors), "--evidence", file("evidence"+processors), "--model", file("model"+processors+".yaml"))
		simulate(t, 0, "scenario", "run", "transformer-overload", "--readings", file("readings"+processors))
	}
	for _, name := range []string{"truth", "evidence", "readings"} {
		if !bytes.Equal(read(name+"1"), read(name+"7")) {
			t.Errorf("the two wrote other %s", name)
		}
	}
	if _, findings, err := gridfile.Open(file("model1.yaml")); err != nil || len(findings) > 0 {
		t.Errorf("the known model: %v, %v", findings, err)
	}
	if rows := strings.SplitN(string(read("readings1")), "\n", 3); rows[0] != "time_us,meter,import_wh,export_wh,arrival_us" || strings.Count(rows[1], ",") != 4 {
		t.Errorf("readings %q", rows[:2])
	}

	// The truth's own outages, told as a result of 30 s delay each.
	var result bytes.Buffer
	told := map[int]*truth.Finding{}
	lines := json.NewEncoder(&result)
	tell := func(f *truth.Finding) {
		if err := lines.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := truth.Read(bytes.NewReader(read("truth1")), func(r truth.Record) error {
		switch r.What {
		case truth.Outage:
			told[r.Outage] = &truth.Finding{What: truth.Outage, Detected: r.At + 30e6, Device: r.Device, Start: r.At, Points: r.Points}
		case truth.Restored:
			f := told[r.Outage]
			f.Restored = append(f.Restored, truth.Step{At: r.At, Points: r.Points})
		case truth.OutageEnd:
			if f := told[r.Outage]; r.At-f.Start >= truth.Sustained {
				f.End = r.At
				tell(f)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("result"), result.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := simulate(t, 0, "score", "--truth", file("truth1"), "--result", file("result"), "--json", file("score.json")); !strings.Contains(out, "100.0 %, 100.0 %") || !strings.Contains(out, "0.0 missed, 0.0 in excess") {
		t.Errorf("score:\n%s", out)
	}
	var s score.Score
	if err := json.Unmarshal(read("score.json"), &s); err != nil || s.Outages.True < 3 || s.Outages.Exact != s.Outages.True || *s.Outages.DetectP90 != 30 {
		t.Errorf("%+v, %v", s, err)
	}
	if out := simulate(t, 2, "score", "--truth", file("result"), "--result", file("result")); !strings.Contains(out, "is it the truth of a scenario?") {
		t.Errorf("score of the wrong file: %s", out)
	}
}
