package demo

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/sim/scenario"
)

// output is what the demo prints; said runs with all of it after each line.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	said func(string)
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(b)
	if o.said != nil {
		o.said(o.text.String())
	}
	return n, err
}

// parts is a directory with programs that only wait, apart from those given.
func parts(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sim", "gateway", "cloud"} {
		script, ok := scripts[name]
		if !ok {
			script = "exec sleep 60"
		}
		// Whatever a program does when it runs, its key is there and is enrolled,
		// and the devices and the network are known.
		if name == "sim" {
			script = "echo gateway.yaml reads them; " + script
		}
		script = "case $1 in key) echo gateway: gw; echo public_key: key; exit;; gateway|command|grid) exit;; esac\n" + script
		if err := os.WriteFile(filepath.Join(dir, "busbar-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// left is what is in the directory of temporary files.
func left(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAPartThatRefusesItsConfigurationEndsTheDemo(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	programs := parts(t, map[string]string{"cloud": "echo cloud.yaml:1:1: nonsense >&2; echo x >> started; exit 2"})
	var out output
	_, err := Run(t.Context(), Options{Console: freeAddress(t), Grid: freeAddress(t), Programs: programs, Out: &out})
	if err == nil || !strings.Contains(err.Error(), "busbar-cloud") || !strings.Contains(err.Error(), "cloud.yaml:1:1: nonsense") {
		t.Errorf("%v", err)
	}
	kept := left(t, temporary)
	if len(kept) != 1 || !strings.Contains(out.text.String(), "kept in "+kept[0]+"\n") {
		t.Fatalf("%q is left, and was told\n%s", kept, out.text.String())
	}
	if started, _ := os.ReadFile(filepath.Join(kept[0], "started")); string(started) != "x\n" {
		t.Errorf("it was started %d times", len(started)/2)
	}
}

func TestAPartThatFailsIsStartedAgainAndSaysWhy(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := output{said: func(text string) {
		if strings.Count(text, "exit status 1: no disk; it is started again") == 2 {
			cancel()
		}
	}}
	programs := parts(t, map[string]string{"cloud": "echo no disk; exit 1"})
	if _, err := Run(ctx, Options{Console: freeAddress(t), Grid: freeAddress(t), Programs: programs, Out: &out}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v\n%s", err, out.text.String())
	}
}

func TestInterruptedWhileStarting(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	out := output{said: func(string) { cancel() }}
	_, err := Run(ctx, Options{For: time.Hour, Console: freeAddress(t), Grid: freeAddress(t), Programs: parts(t, nil), Out: &out})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if names := left(t, temporary); len(names) != 0 || !strings.HasSuffix(out.text.String(), "stopping\n") {
		t.Errorf("%q is left, and was told\n%s", names, out.text.String())
	}
}

func TestADirectoryInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cloud.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Options{Console: freeAddress(t), Grid: freeAddress(t), Dir: dir, Programs: parts(t, nil), Out: &output{}})
	if usage := (program.Usage{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), dir+" is not empty") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsToldOfTheField(t *testing.T) {
	for line, want := range map[string]string{
		`{"what":"fault-begin","fault":"x","asset":"cable-2a"}`:                   "cable-2a fails",
		`{"what":"outage","device":"feeder-2-breaker","points":["a","b"]}`:        "feeder-2-breaker opens; 2 service points are without supply",
		`{"what":"repaired","fault":"x","asset":"cable-2a"}`:                      "cable-2a is repaired",
		`{"what":"restored","outage":1,"points":["a","b"]}`:                       "2 service points have supply again",
		`{"what":"trip","device":"feeder-2-breaker","fault":"cable-1","trips":1}`: "",
		`{"what":`: "",
	} {
		var out output
		newStory(Options{Out: &out}, setup{}).tellFault([]byte(line))
		if got := out.text.String(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", line, got)
		}
	}
}

// The network is sound, and a scenario is played in it.
func TestTheNetworkIsThatOfTheScenario(t *testing.T) {
	dir := t.TempDir()
	if err := (setup{}).write(dir); err != nil {
		t.Fatal(err)
	}
	m, findings, err := gridfile.Open(filepath.Join(dir, "grid.yaml"))
	if findings = append(findings, m.Check(1)...); err != nil || len(findings) > 0 {
		t.Fatal(findings, err)
	}
	if len(m.ServicePoints) != points {
		t.Errorf("%d service points, %d are told of", len(m.ServicePoints), points)
	}
	if _, err := scenario.Open(filepath.Join(dir, "demo.yaml"), nil); err != nil {
		t.Error(err)
	}
	for _, id := range []string{cable, breaker} {
		if m.At(0).EdgeOf(id) == grid.None {
			t.Errorf("the network has no %s", id)
		}
	}
}

// However slowly it began, the feeder fails and comes back in what is left of the story.
func TestTheFaultIsToldInWhatIsLeft(t *testing.T) {
	dir := t.TempDir()
	programs := parts(t, map[string]string{"sim": "echo $@ >> calls; exit"})
	s := newStory(Options{For: time.Hour, Grid: "127.0.0.1:5080", Programs: programs, Out: &output{}}, setup{Dir: dir})
	s.began = time.Now().Add(300*time.Millisecond - time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), faultAfter) // sooner than at the usual time
	defer cancel()
	s.tellFaults(ctx)
	const want = "fault cable-2a --id cable-2a-1 --at 127.0.0.1:5080\nrepair cable-2a-1 --close --at 127.0.0.1:5080\n"
	if calls, err := os.ReadFile(filepath.Join(dir, "calls")); string(calls) != want {
		t.Errorf("%v\n%s", err, calls)
	}
}

func TestQuantileIsNearestRank(t *testing.T) {
	var upTo100 []time.Duration
	for n := range 100 {
		upTo100 = append(upTo100, time.Duration(100-n)*time.Millisecond)
	}
	for _, c := range []struct {
		of   []time.Duration
		q    float64
		want float64
	}{
		{nil, 0.5, 0},
		{[]time.Duration{7 * time.Millisecond}, 0.99, 7},
		{[]time.Duration{2 * time.Millisecond, time.Millisecond}, 0.5, 1},
		{[]time.Duration{3 * time.Millisecond, 2 * time.Millisecond, time.Millisecond}, 0.5, 2},
		{upTo100, 0.5, 50},
		{upTo100, 0.99, 99},
	} {
		if got := quantile(c.of, c.q); got != c.want {
			t.Errorf("quantile %v of %d: %v, want %v", c.q, len(c.of), got, c.want)
		}
	}
}
