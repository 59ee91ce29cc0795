package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/cloud/store"
)

// What a gateway has sent is backed up beside the cloud that runs, restored elsewhere, and
// replayed from the log: it is the same each time, until somebody changes it.
func TestBackUpRestoreAndReplay(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.cloud(t)
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitStored(t, 500)
	gateway.stop()
	want := s.awaitComplete(t).Stored
	cloud := func(wanted int, args ...string) (string, string) {
		t.Helper()
		out, errs, code := call(t, s.dir, "busbar-cloud", args...)
		if code != wanted {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, wanted, out, errs)
		}
		return out, errs
	}

	made, _ := cloud(0, "backup", "--config", "cloud.yaml", "all.busbar")
	if verified, _ := cloud(0, "backup", "--verify", "all.busbar"); !strings.HasSuffix(verified, made) || !strings.Contains(verified, "from SQLite") {
		t.Errorf("made was\n%s\nand verified\n%s", made, verified)
	}
	if _, errs := cloud(2, "backup", "--config", "cloud.yaml", "all.busbar"); !strings.Contains(errs, "exists already") {
		t.Error(errs)
	}
	cloud(0, "backup", "--config", "cloud.yaml", "--force", "all.busbar")
	if left, _ := filepath.Glob(filepath.Join(s.dir, "all.busbar.*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	file, err := os.ReadFile(filepath.Join(s.dir, "all.busbar"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "part.busbar", string(file[:len(file)/2]))
	if _, errs := cloud(1, "backup", "--verify", "part.busbar"); !strings.Contains(errs, "ends early") {
		t.Error(errs)
	}

	text, err := os.ReadFile(filepath.Join(s.dir, "cloud.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "other.yaml", strings.Replace(string(text), "cloud.db", "other.db", 1))
	cloud(1, "restore", "--config", "other.yaml", "part.busbar")
	if restored, _ := cloud(0, "restore", "--config", "other.yaml", "all.busbar"); restored != made {
		t.Errorf("made was\n%s\nand restored\n%s", made, restored)
	}
	if _, errs := cloud(1, "restore", "--config", "other.yaml", "all.busbar"); !strings.Contains(errs, "--force") {
		t.Error(errs)
	}
	cloud(1, "restore", "--config", "cloud.yaml", "--force", "all.busbar") // a cloud runs on it
	cloud(0, "restore", "--config", "other.yaml", "--force", "all.busbar")
	other, err := store.Open(t.Context(), store.Config{Path: filepath.Join(s.dir, "other.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if n, err := other.CountSamples(t.Context()); err != nil || n["north-gw1"] != want {
		t.Errorf("%v samples were restored of %d, %v", n, want, err)
	}

	if out, _ := cloud(0, "replay", "--config", "cloud.yaml", "--into", "shadow.db"); !strings.HasSuffix(out, "\nthe same\n") {
		t.Error(out)
	}
	cloud(0, "replay", "--config", "other.yaml", "--into", "shadow-2.db", "--only", "ingest")
	if _, errs := cloud(2, "replay", "--config", "cloud.yaml", "--into", "shadow.db"); !strings.Contains(errs, "exists already") {
		t.Error(errs)
	}
	cloud(2, "replay", "--config", "cloud.yaml", "--into", "shadow-3.db", "--from", "yesterday")
	err = other.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE sequence SET expected = expected + 1 WHERE stream = 'telemetry'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out, _ := cloud(1, "replay", "--config", "other.yaml", "--into", "shadow-3.db", "--json")
	var report struct {
		Count       int
		Differences []struct{ What, Kind string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Count != 1 || report.Differences[0].What != "expected" || report.Differences[0].Kind != "differs" {
		t.Errorf("%+v, %v: %s", report, err, out)
	}
}
