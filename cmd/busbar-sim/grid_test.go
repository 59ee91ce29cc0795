package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/busbar/busbar/grid/gridfile"
)

// What is written, as YAML and as tables, is a network with nothing wrong.
func TestGrid(t *testing.T) {
	dir := t.TempDir()
	for _, out := range []string{filepath.Join(dir, "grid.yaml"), filepath.Join(dir, "tables") + "/"} {
		if said, err := exec.Command(binary, "grid", "--points", "200", "--seed", "5", "--overhead", "0", "--telemetry", "0", "--out", out).CombinedOutput(); err != nil || len(said) > 0 {
			t.Fatalf("%s: %v\n%s", out, err, said)
		}
		m, findings, err := gridfile.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		if findings = append(findings, m.Check(0)...); len(findings) > 0 || len(m.ServicePoints) != 200 {
			t.Errorf("%s: %d service points, %v", out, len(m.ServicePoints), findings)
		}
	}
}
