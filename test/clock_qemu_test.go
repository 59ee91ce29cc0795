package test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/firmware-config/cpio"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/chrony"
	"github.com/busbar/busbar/test/machine"
)

// A real machine boots in 1970 with the real programs; its clock is set to the
// present, then back by an hour, then forward by a day. What the log has is of
// those times and of no other.
func TestMachineThatBootsIn1970(t *testing.T) {
	t.Parallel()
	guest := runGuest(t, "", "")

	type span struct{ from, to telemetry.Micros }
	var spans []span // of samples that were taken between two settings of the clock
	start, stop := guest.marks["start"][0], guest.marks["stop"][0]
	before, after := guest.marks["before"], guest.marks["after"]
	if len(before) != 3 || len(after) != 3 {
		t.Fatalf("the clock was set %d times", len(after))
	}
	noon := telemetry.MicrosOf(time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC))
	// The clock is set at some moment between two marks: how long these lie apart.
	var setting [3]telemetry.Micros
	for i := range setting {
		setting[i] = after[i].boot - before[i].boot
	}
	// Everything before the first setting is placed by it.
	spans = append(spans, span{after[0].wall - (after[0].boot - start.boot), before[1].wall + setting[1]})
	spans = append(spans, span{after[1].wall - setting[1], before[2].wall + setting[2]}, span{after[2].wall - setting[2], stop.wall})
	if spans[0].from > noon || spans[1].from > noon || spans[2].from < noon+23*3600*1_000_000 {
		t.Fatalf("the clock was set otherwise: %v", spans)
	}
	const slack = 50_000 // a poll that was under way while the clock was set
	counts, early, unconfirmed := make([]int, len(spans)), 0, 0
	first, last := spans[0].to, telemetry.Micros(0)
	for _, s := range guest.samples {
		// What waited for the time comes by another topic than what didn't.
		at := slices.IndexFunc(spans, func(in span) bool { return s.Time >= in.from-slack && s.Time <= in.to+slack })
		if at < 0 {
			t.Fatalf("a sample is of %v, in none of %v", s.Time.Time(), spans)
		}
		counts[at]++
		// A few may be taken after the clock was set and before that was confirmed.
		if s.Quality.TimeQuality() != telemetry.GatewayTime && !s.Quality.Has(telemetry.ClockJumped) {
			if unconfirmed++; unconfirmed > 10 {
				t.Fatalf("%d samples are %v", unconfirmed, s.Quality)
			}
		}
		if at == 0 {
			first, last = min(first, s.Time), max(last, s.Time)
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

// A machine boots in 1970 and stays there, since nobody may set its clock. The gateway
// asks a real time server, and everything that the log has is of the present.
func TestMachineInWhich1970Stays(t *testing.T) {
	t.Parallel()
	began := telemetry.MicrosOf(time.Now())
	guest := runGuest(t, "ntp", serveTime(t, chrony.Start(t, "local stratum 8")))
	ended := telemetry.MicrosOf(time.Now())
	start, stop := guest.marks["start"][0], guest.marks["stop"][0]
	if year := stop.wall.Time().Year(); year != 1970 {
		t.Errorf("the machine's clock was set: it is %d", year)
	}
	// The gateway knows the time to two seconds, or it wouldn't use it.
	const slack = 2_000_000
	for _, s := range guest.samples {
		if s.Time < began-slack || s.Time > ended+slack || s.Quality.TimeQuality() != telemetry.GatewayTime {
			t.Fatalf("a sample is of %v, %v", s.Time.Time(), s.Quality)
		}
	}
	byTime := func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) }
	first, last := slices.MinFunc(guest.samples, byTime).Time, slices.MaxFunc(guest.samples, byTime).Time
	if took := stop.boot - start.boot; last-first > took+slack {
		t.Errorf("samples from %v to %v, in %v of the machine", first.Time(), last.Time(), took.Sub(0))
	}
	changes := 0
	for _, e := range guest.events {
		if e.Time < clock.Minimum || e.Decided < clock.Minimum {
			t.Errorf("%s is of %v", e.Kind, e.Time.Time())
		}
		if e.Kind == telemetry.ClockChanged {
			changes++
			if e.Step.Was != telemetry.ClockUnset || e.Step.State != telemetry.ClockSynchronised {
				t.Errorf("clock: %+v", *e.Step)
			}
		}
	}
	if changes != 1 {
		t.Errorf("the clock changed %d times", changes)
	}
	t.Logf("%d samples of one signal, the first %v after the test began", len(guest.samples), first.Sub(began))
}

// serveTime carries packets between a time server and the serial line of a virtual
// machine, and returns the line's socket.
func serveTime(t *testing.T, server string) (line string) {
	t.Helper()
	line = filepath.Join(t.TempDir(), "line")
	l, err := net.Listen("unix", line)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		far, err := net.Dial("udp", server)
		if err != nil {
			return
		}
		defer far.Close()
		packet := make([]byte, 48)
		for {
			if _, err := io.ReadFull(conn, packet); err != nil {
				return
			}
			far.Write(packet)
			far.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := far.Read(packet); err == nil {
				conn.Write(packet)
			}
		}
	}()
	return line
}

// guest is what the virtual machine reported.
type guest struct {
	marks   map[string][]moment
	samples []telemetry.Sample
	events  []telemetry.Event
}

// moment is what the guest's clocks said, in µs.
type moment struct{ boot, wall telemetry.Micros }

// runGuest boots a virtual machine with the programs and returns when it is off. Its
// second serial line goes to the socket line, if there is one.
func runGuest(t *testing.T, argument, line string) (g guest) {
	t.Helper()
	m := machine.Demand(t, machine.PC)
	dir := t.TempDir()
	if err := m.Build(dir, "./guest", "../cmd/busbar-gateway", "../cmd/busbar-sim"); err != nil {
		t.Fatal(err)
	}
	initrd, console := filepath.Join(dir, "initrd.gz"), filepath.Join(dir, "console")
	files := []cpio.File{{Path: "init", From: filepath.Join(dir, "guest")}}
	for _, name := range []string{"busbar-gateway", "busbar-sim"} {
		files = append(files, cpio.File{Path: name, From: filepath.Join(dir, name)})
	}
	if err := cpio.WriteFile(initrd, files...); err != nil {
		t.Fatal(err)
	}
	args := []string{"-accel", "tcg", "-cpu", "max", "-m", "640", "-rtc", "base=1970-01-02T00:00:00,clock=vm"}
	if line != "" {
		args = append(args, "-serial", "unix:"+line)
	}
	cmd := m.Command(initrd, console, argument, args...)
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
		for _, s := range samples {
			if s.Signal == 1 { // of the meter, and not of the gateway itself
				g.samples = append(g.samples, s)
			}
		}
	default:
		t.Errorf("the log has a %s", format)
	}
}
