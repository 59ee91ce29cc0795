package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBufferCommands looks into the buffer of a gateway that runs, of one that
// was killed, and of one whose file was damaged.
func TestBufferCommands(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "") // no cloud: everything waits
	s.sim(t)
	gateway := s.gateway(t)
	s.awaitWaiting(t, 10)
	buffer := func(args ...string) (string, string, int) {
		return call(t, s.dir, "busbar", append([]string{"buffer"}, args...)...)
	}

	out, errs, code := buffer("inspect", "--json", "--signals", "buffer")
	var seen struct {
		Files []struct {
			Path, State string
			Samples     uint64
			Signals     []struct{ Device, Name string }
		}
		Waiting map[string]uint64 `json:"waiting_records"`
	}
	if err := json.Unmarshal([]byte(out), &seen); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if seen.Waiting["telemetry"] < 10 || len(seen.Files) != 3 || seen.Files[2].State != "being written" || len(seen.Files[2].Signals) != 11 {
		t.Errorf("a running gateway: %s", out)
	}
	if out, errs, code := buffer("verify", "buffer"); code != 0 || !strings.Contains(out, "are good") ||
		!strings.Contains(out, " 0 wrong, 0 by keys that aren't known, 0 records unsigned") || strings.Contains(out, "signatures: 0 good") {
		t.Errorf("verify beside a running gateway: exit code %d\n%s%s", code, out, errs)
	}
	gateway.kill()

	if out, errs, code := buffer("inspect", "buffer"); code != 0 || !strings.Contains(out, "telemetry: ") || !strings.Contains(out, "complete") {
		t.Errorf("inspect: exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := buffer("verify", "buffer"); code != 0 {
		t.Errorf("verify after a kill: exit code %d\n%s%s", code, out, errs)
	}
	printed, _, _ := call(t, s.dir, "busbar-gateway", "key", "--config", "gateway.yaml")
	write(t, s.dir, "gateway.pub", printed)
	if out, errs, code := buffer("verify", "--key", "gateway.pub", "buffer"); code != 0 || !strings.Contains(out, " 0 wrong, 0 by keys that aren't known") {
		t.Errorf("verify with a public key: exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := buffer("verify", "--key", "gateway.yaml", "buffer"); code != 2 || out != "" || !strings.Contains(errs, "gateway.yaml") {
		t.Errorf("verify with what is no key: exit code %d\n%s%s", code, out, errs)
	}
	whole, errs, code := buffer("export", "buffer")
	lines := strings.Split(whole, "\n")
	if code != 0 || errs != "" || lines[0] != "time,time_us,device,signal,unit,value,quality" || !strings.Contains(whole, ",feeder-1-head,PhV.phsA,V,2") {
		t.Fatalf("export: exit code %d\n%.500s%s", code, whole, errs)
	}
	if _, errs, code := buffer("export", "--device", "feeder-2-head", "--out", "two.csv", "buffer"); code != 0 || !strings.Contains(errs, "samples are in") {
		t.Errorf("export to a file: exit code %d\n%s", code, errs)
	}
	if text, _ := os.ReadFile(filepath.Join(s.dir, "two.csv")); strings.Contains(string(text), "feeder-1-head") || !strings.Contains(string(text), "feeder-2-head") {
		t.Errorf("one device: %.300s", text)
	}
	if _, errs, code := buffer("export", "--out", "two.csv", "buffer"); code != 2 || !strings.Contains(errs, "two.csv") {
		t.Errorf("a file that is there: exit code %d: %s", code, errs)
	}
	if out, errs, code := buffer("export", "--stream", "events", "buffer"); code != 0 || !strings.Contains(out, `"kind":"gateway-started"`) {
		t.Errorf("events: exit code %d\n%s%s", code, out, errs)
	}

	files, _ := filepath.Glob(filepath.Join(s.dir, "buffer", "telemetry", "*.db"))
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	clear(text[:2*4096])
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := buffer("verify", "buffer"); code != 1 || !strings.Contains(out, filepath.Base(files[0])+": head: ") || !strings.Contains(out, "1 of 3 files are damaged") {
		t.Errorf("verify a damaged file: exit code %d\n%s%s", code, out, errs)
	}
	if again, errs, code := buffer("export", "buffer"); code != 0 || again != whole || !strings.Contains(errs, "is damaged: 0 records were passed over") {
		t.Errorf("export of a damaged file: exit code %d, the same: %v\n%s", code, again == whole, errs)
	}
	// A gateway that starts sets it aside; it stays readable there.
	gateway = s.gateway(t)
	await(t, "the file is set aside", 20*time.Second, func() bool {
		aside, _ := filepath.Glob(files[0] + ".unreadable")
		return len(aside) == 1
	})
	s.awaitWaiting(t, 2)
	if out, errs, code := buffer("export", files[0]+".unreadable"); code != 0 || out != whole {
		t.Errorf("export of a file that was set aside: exit code %d, the same: %v\n%s", code, out == whole, errs)
	}
}

func TestBufferCommandsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"inspect none":                "none",
		"verify empty":                "empty holds no buffer",
		"export --from today empty":   "--from",
		"export --format xml empty":   "--format",
		"export --stream births none": "--stream",
	} {
		args := append([]string{"buffer"}, strings.Fields(line)...)
		if out, errs, code := call(t, dir, "busbar", args...); code != 2 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d\n%s%s", line, code, out, errs)
		}
	}
	for _, command := range []string{"inspect", "export", "verify"} {
		if help, _, code := call(t, dir, "busbar", "buffer", command, "--help"); code != 0 || !strings.Contains(help, "busbar buffer "+command+" /var/lib/busbar/buffer") {
			t.Errorf("%s --help has no example:\n%s", command, help)
		}
	}
}
