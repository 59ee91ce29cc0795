package gateway

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/status"
)

// What a start finds beside the buffer counts if it is whole, about the file as it is,
// and about a configuration that can still be run with.
func TestAStartTakesWhatHasHeld(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yaml")
	const tried = `gateway: {id: gw}
forward: {kafka: {brokers: [localhost:9092]}}
buffer: {path: buffer}
devices: [{id: m, modbus: {endpoint: "tcp://10.0.0.2"}, profile: own.yaml}]
`
	const profile = "product: P\nsource: s\nsignals: [{name: V, input: 0, type: uint16, unit: V}]\nexamples: []\n"
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "buffer"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := Source{Text: []byte(strings.Replace(tried, "10.0.0.2", "10.0.0.1", 1)), Profiles: map[string][]byte{filepath.Join(dir, "own.yaml"): []byte(profile)}}
	put("gateway.yaml", tried)
	put("own.yaml", strings.Replace(profile, "input: 0", "input: 7", 1))
	_, now, err := readSource(file)
	if err != nil {
		t.Fatal(err)
	}
	whole := func(m mark) string {
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := mark{Refused: now.fingerprint(), Cause: "it was dark", At: time.Unix(1_790_000_000, 0), Running: before}
	elsewhere, otherFile, otherProfile, gone := good, good, good, good
	elsewhere.Running.Text = []byte(strings.Replace(string(before.Text), "path: buffer", "path: data", 1))
	otherFile.Refused = Source{Text: before.Text, Profiles: now.Profiles}.fingerprint()
	otherProfile.Refused = Source{Text: now.Text, Profiles: before.Profiles}.fingerprint()
	gone.Running.Profiles = nil
	for what, c := range map[string]struct {
		mark string
		held bool
	}{
		"as it should be":       {whole(good), true},
		"half of it":            {whole(good)[:100], false},
		"about another file":    {whole(otherFile), false},
		"about another profile": {whole(otherProfile), false},
		"about another buffer":  {whole(elsewhere), false},
		"without a profile":     {whole(gone), false},
		"nothing":               {"", false},
		"what isn't a mark":     {"[]", false},
		"no configuration":      {whole(mark{Refused: good.Refused}), false},
	} {
		put("buffer/"+markName, c.mark)
		o := Options{Log: quiet}
		config, err := Load(file, &o)
		if err != nil {
			t.Fatal(err)
		}
		d := config.Devices[0]
		if held := d.Modbus.Endpoint == "tcp://10.0.0.1" && *d.Signals[0].Input == 0; held != c.held || held != (o.Refused != "") || o.File != file || o.Dir != dir {
			t.Errorf("%s: %s, register %d, %q", what, d.Modbus.Endpoint, *d.Signals[0].Input, o.Refused)
		}
		if c.held && (string(o.Source.Text) != string(before.Text) || !strings.Contains(o.Refused, "it was dark")) {
			t.Errorf("%s: %+v", what, o)
		}
	}
	put("gateway.yaml", "gateway: 7\n")
	if _, err := Load(file, &Options{Log: quiet}); err == nil || !strings.Contains(err.Error(), "gateway.yaml:1:10") {
		t.Errorf("%v", err)
	}
}

// What is put in the place of the file is what was tried, whatever somebody else has
// put beside it meanwhile, and nobody removes what is another's.
func TestTwoWhoApply(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	expect := func(name, want string) {
		t.Helper()
		if text, err := os.ReadFile(name); string(text) != want || want == "" && !os.IsNotExist(err) {
			t.Errorf("%s holds %q, expected %q: %v", filepath.Base(name), text, want, err)
		}
	}
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	ana, err := Propose(file, []byte("tried"))
	if err != nil {
		t.Fatal(err)
	}
	ben, err := Propose(file, []byte("never tried"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ana.Put(); err != nil {
		t.Fatal(err)
	}
	expect(file, "tried")
	expect(PreviousFile(file), "old")
	expect(NewFile(file), "never tried")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if err := ben.Withdraw(); err != nil {
		t.Error(err)
	}
	expect(NewFile(file), "")
	if err := ben.Withdraw(); err != nil {
		t.Errorf("it isn't there: %v", err)
	}
}

// Who doesn't know what lies beside the file isn't told, and can't have it tried.
func TestOnlyWhoKnowsTheFileHasItTried(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if _, err := Propose(file, nil); err == nil {
		t.Error("there is no such file to replace")
	}
	if err := os.WriteFile(file, []byte(b.source), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Propose(file, []byte(b.source+"\n")); err != nil {
		t.Fatal(err)
	}
	s := source{Gateway: &Gateway{options: Options{File: file}}}
	_, err := s.TryNew(status.Trial{SHA256: "x"})
	if err == nil || strings.Contains(err.Error(), hashOf([]byte(b.source+"\n"))) || !strings.Contains(err.Error(), "isn't the file that is meant") {
		t.Errorf("%v", err)
	}
}

// What couldn't be tried is still refused if it was before.
func TestARefusalOutlivesWhatCouldntBeTried(t *testing.T) {
	b := newBench(t)
	b.config.Buffer.Path = configfile.Path(t.TempDir())
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(b.source, "site: north", "site: south", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	g, stop := b.runs()
	g.options.File = file
	b.read(func(l log) bool { return l.samples > 0 })
	for _, before := range []string{"", `{"refused":"this one"}`} {
		if before != "" {
			if err := os.WriteFile(g.markPath(), []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Reload("Ana", time.Second); err == nil || !strings.Contains(err.Error(), "needs a restart") {
			t.Errorf("%v", err)
		}
		if now, err := os.ReadFile(g.markPath()); string(now) != before || (before == "") != os.IsNotExist(err) {
			t.Errorf("%q, expected %q: %v", now, before, err)
		}
	}
	stop()
}

// What lasts is what was tried, the profiles of one's own included.
func TestAProfileThatChangesWhileItIsTriedIsntKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yaml")
	const text = `gateway: {id: gw}
forward: {kafka: {brokers: [localhost:9092]}}
buffer: {path: buffer}
devices: [{id: m, modbus: {endpoint: "tcp://10.0.0.2"}, profile: own.yaml}]
`
	const profile = "product: P\nsource: s\nsignals: [{name: V, input: 0, type: uint16, unit: V}]\nexamples: []\n"
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("gateway.yaml", text)
	put("gateway.yaml.new", text+"# tried\n")
	put("own.yaml", profile)
	_, tried, err := readSource(NewFile(file))
	if err != nil {
		t.Fatal(err)
	}
	g := &Gateway{options: Options{File: file}}
	p := &pending{to: setting{source: tried}}
	if err := g.inFile(p); err == nil || !strings.Contains(err.Error(), "doesn't hold it") {
		t.Errorf("the one before: %v", err)
	}
	put("gateway.yaml", text+"# tried\n")
	if err := g.inFile(p); err != nil {
		t.Error(err)
	}
	put("own.yaml", strings.Replace(profile, "input: 0", "input: 7", 1))
	if err := g.inFile(p); err == nil || !strings.Contains(err.Error(), "a profile of") {
		t.Errorf("another profile: %v", err)
	}
}
