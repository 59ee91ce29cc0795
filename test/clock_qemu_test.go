package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/machine"
)

// A real machine boots in 1970 with the real programs; its clock is set to the
// present, then back by an hour, then forward by a day. What the log has is of
// those times and of no other.
func TestMachineThatBootsIn1970(t *testing.T) {
	t.Parallel()
	guest := runGuest(t)

	type span struct{ from, to telemetry.Micros }
	var spans []span // of samples that were taken between two settings of the clock
	start, stop := guest.marks["start"][0], guest.marks["stop"][0]
	before, after := guest.marks["before"], guest.marks["after"]
	if len(before) != 3 || len(after) != 3 {
		t.Fatalf("the clock was set %d times", len(after))
	}
	noon := telemetry.MicrosOf(time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC))
	// Everything before the first setting is placed by it.
	spans = append(spans, span{after[0].wall - (after[0].boot - start.boot), before[1].wall})
	spans = append(spans, span{after[1].wall, before[2].wall}, span{after[2].wall, stop.wall})
	if spans[0].from > noon || spans[1].from > noon || spans[2].from < noon+23*3600*1_000_000 {
		t.Fatalf("the clock was set otherwise: %v", spans)
	}
	const slack = 50_000 // a poll that was under way while the clock was set
	counts, at, early := make([]int, len(spans)), 0, 0
	first, last := guest.samples[0].Time, telemetry.Micros(0)
	for _, s := range guest.samples {
		for at < len(spans)-1 && (s.Time < spans[at].from-slack || s.Time > spans[at].to+slack) {
			at++
		}
		if s.Time < spans[at].from-slack || s.Time > spans[at].to+slack {
			t.Fatalf("a sample is of %v, in none of %v", s.Time.Time(), spans)
		}
		counts[at]++
		// One may be taken after the clock was set and before that was confirmed.
		if s.Quality.TimeQuality() != telemetry.GatewayTime && !s.Quality.Has(telemetry.ClockJumped) {
			t.Fatalf("a sample is %v", s.Quality)
		}
		if at == 0 {
			last = max(last, s.Time)
			if s.Time < noon {
				early++
			}
		}
	}
	// It was read in 1970 too, and five times a second.
	if early < 2 || counts[0] < 3*int(last-first)/1_000_000 {
		t.Errorf("%d samples from %v to %v, %d of before the clock was set", counts[0], first.Time(), last.Time(), early)
	}
	t.Logf("samples in each span: %v; the gateway ran for %v before the clock was set", counts, (after[0].boot - start.boot).Sub(0))

	kinds := map[telemetry.EventKind]int{}
	for _, e := range guest.events {
		kinds[e.Kind]++
		if e.Time < clock.Minimum || e.Decided < clock.Minimum {
			t.Errorf("%s is of %v", e.Kind, e.Time.Time())
		}
		switch e.Kind {
		case telemetry.AlarmRaised:
			since := telemetry.Micros(0)
			if e.Clock != nil {
				since = telemetry.Micros(e.Clock.SinceBoot)
			}
			if since < start.boot || since > before[0].boot || e.Clock.State != telemetry.ClockUnset || e.Decided != clock.Minimum+since {
				t.Errorf("the alarm was decided at %v, %+v", e.Decided.Time(), e.Clock)
			}
		case telemetry.ClockChanged:
			t.Logf("clock: %+v", *e.Step)
		}
	}
	if kinds[telemetry.AlarmRaised] != 1 || kinds[telemetry.AlarmCleared] != 0 || kinds[telemetry.ClockChanged] < 3 {
		t.Errorf("events %v", kinds)
	}
}

// guest is what the virtual machine reported.
type guest struct {
	marks   map[string][]moment
	samples []telemetry.Sample
	events  []telemetry.Event
}

// moment is what the guest's clocks said, in µs.
type moment struct{ boot, wall telemetry.Micros }

// runGuest boots a virtual machine with the programs and returns when it is off.
func runGuest(t *testing.T) (g guest) {
	t.Helper()
	m := machine.Demand(t)
	dir := t.TempDir()
	if err := machine.Build(dir, "./guest", "../cmd/busbar-gateway", "../cmd/busbar-sim"); err != nil {
		t.Fatal(err)
	}
	initrd, console := filepath.Join(dir, "initrd.gz"), filepath.Join(dir, "console")
	files := []machine.File{{Path: "init", From: filepath.Join(dir, "guest")}}
	for _, name := range []string{"busbar-gateway", "busbar-sim"} {
		files = append(files, machine.File{Path: name, From: filepath.Join(dir, name)})
	}
	if err := machine.WriteInitrd(initrd, files...); err != nil {
		t.Fatal(err)
	}
	cmd := m.Command(initrd, console, "", "-accel", "tcg", "-cpu", "max", "-m", "640", "-rtc", "base=1970-01-02T00:00:00,clock=vm")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	ended := cmd.Wait()
	text, err := os.ReadFile(console)
	if err != nil {
		t.Fatalf("%v, %v: %s", ended, err, errs.String())
	}
	g = guest{marks: map[string][]moment{}}
	done := false
	for line := range strings.Lines(string(text)) {
		var word, encoded string
		if n, _ := fmt.Sscanf(line, "guest %s %s", &word, &encoded); n == 0 {
			continue
		}
		said, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatalf("the guest's line %q: %v", line, err)
		}
		switch word {
		case "done":
			done = true
		case "record":
			g.take(t, said)
		case "failed", "log":
			t.Errorf("guest: %s", said)
		default:
			var m moment
			if _, err := fmt.Sscan(string(said), &m.boot, &m.wall); err != nil {
				t.Fatal(err)
			}
			g.marks[word] = append(g.marks[word], m)
		}
	}
	if !done {
		t.Fatalf("the guest didn't end well: %v, %s\n%s", ended, errs.String(), tail(console))
	}
	return g
}

func (g *guest) take(t *testing.T, said []byte) {
	t.Helper()
	format, rest, _ := bytes.Cut(said, []byte(" "))
	stamp, payload, _ := bytes.Cut(rest, []byte(" "))
	if at, err := strconv.ParseInt(string(stamp), 10, 64); err != nil || telemetry.Micros(at) < clock.Minimum {
		t.Errorf("the log says of a record that it was written at %s µs", stamp)
	}
	switch string(format) {
	case record.FormatEvent:
		var e telemetry.Event
		if err := json.Unmarshal(payload, &e); err != nil {
			t.Fatal(err)
		}
		g.events = append(g.events, e)
	case record.FormatBlock:
		_, samples, err := new(telemetry.Decoder).Block(payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Of one signal, they are in the order in which they were taken.
		for _, s := range samples {
			if s.Signal == samples[0].Signal {
				g.samples = append(g.samples, s)
			}
		}
	default:
		t.Errorf("the log has a %s", format)
	}
}
