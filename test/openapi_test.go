package test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/test/postgres"
)

// The API does what its description says, whatever it is asked: schemathesis makes
// questions of the description, right ones and wrong ones, and checks the answers.
func TestAPIIsAsDescribed(t *testing.T) {
	checkAPI(t, "", "--phases", "coverage,fuzzing", "--max-examples", "3")
}

func TestTortureAPIIsAsDescribed(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE=1")
	}
	t.Run("sqlite", func(t *testing.T) { checkAPI(t, "", "--max-examples", "100") })
	t.Run("postgres", func(t *testing.T) {
		url := postgres.Database(t, func(string) error { return nil })
		checkAPI(t, fmt.Sprintf("store: {postgres: {url: %q}}\n", url), "--max-examples", "100")
	})
}

// checkAPI asks a cloud that has data, in the given store or a file of its own.
func checkAPI(t *testing.T, store string, args ...string) {
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	need(t, "schemathesis: make peers, and BUSBAR_PYTHON=$PWD/.venv/bin/python", exec.Command(python, "-c", "import schemathesis").Run() == nil)
	config, err := filepath.Abs("peers/schemathesis.toml")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "", lastingOutage)
	if store != "" {
		s.edit(t, "cloud.yaml", "store: {path: cloud.db}\n", store)
		enrol(t, s.dir)
	}
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	await(t, "an alarm with what was measured around it", time.Minute, func() bool {
		var list struct{ Alarms []struct{ Captured bool } }
		return s.ask(t, "/api/v1/alarms", &list) && len(list.Alarms) > 0 && list.Alarms[0].Captured
	})
	gateway.stop()
	s.awaitComplete(t)
	network, err := filepath.Abs("../cmd/busbar/demo/files/grid.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, code := call(t, s.dir, "busbar-cloud", "grid", "import", "--config", "cloud.yaml", network); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}

	run := exec.Command(python, append([]string{"-m", "schemathesis.cli", "--no-color", "--config-file", config,
		"run", "http://" + s.console + "/openapi.json", "--request-timeout", "60", "--seed", "1", "--no-shrink", "--warnings", "off"}, args...)...)
	run.Dir = t.TempDir()
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No issues found") {
		t.Errorf("%v\n%s", err, out)
	}
}
