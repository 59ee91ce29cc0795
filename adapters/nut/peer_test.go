package nut

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// upsd is Network UPS Tools' own server with its dummy-ups driver, whose variables
// are those in a file. Both run as who runs the test, from files of their own.
type upsd struct {
	t      *testing.T
	dir    string
	port   string
	env    []string
	server *exec.Cmd
	driver *exec.Cmd
}

// Where Debian has them. What it calls upsd runs one for this machine, if it is to.
const (
	serverPath = "/lib/nut/upsd"
	driverPath = "/lib/nut/dummy-ups"
)

func startUPSD(t *testing.T) *upsd {
	t.Helper()
	for _, program := range []string{serverPath, driverPath} {
		if _, err := os.Stat(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip("nut-server isn't installed")
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	// Paths of sockets are short.
	dir, err := os.MkdirTemp("", "nut")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u := &upsd{t: t, dir: dir, port: port, env: append(os.Environ(), "NUT_CONFPATH="+dir, "NUT_STATEPATH="+dir, "NUT_ALTPIDPATH="+dir, "NUT_PIDPATH="+dir)}
	user := "root"
	if os.Getuid() != 0 {
		user = os.Getenv("USER")
	}
	u.write("ups.conf", fmt.Sprintf("user = %s\n[ups]\n  driver = dummy-ups\n  port = ups.dev\n  mode = dummy-loop\n  pollinterval = 1\n[gone]\n  driver = dummy-ups\n  port = gone.dev\n", user))
	u.write("upsd.conf", fmt.Sprintf("LISTEN 127.0.0.1 %s\nSTATEPATH %s\nMAXAGE 2\n", port, dir))
	u.write("upsd.users", "[monitor]\n  password = \"s3 \\\"cret\"\n")
	u.write("gone.dev", "ups.status: OL\n")
	u.supply("OL")
	u.driver = u.start(driverPath, "-a", "ups", "-FF", "-u", user)
	u.server = u.start(serverPath, "-FF", "-u", user)
	u.await()
	return u
}

func (u *upsd) write(name, text string) {
	u.t.Helper()
	temporary := filepath.Join(u.dir, "new")
	if err := os.WriteFile(temporary, []byte(text), 0o640); err != nil {
		u.t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(u.dir, name)); err != nil {
		u.t.Fatal(err)
	}
}

// supply has the UPS say how it is supplied.
func (u *upsd) supply(status string) {
	u.t.Helper()
	u.write("ups.dev", "ups.status: "+status+"\nbattery.charge: 97.5\nbattery.runtime: 1234\nups.model: \"Smart \\\"700\\\"\"\ninput.voltage: none\nTIMER 1\n")
}

func (u *upsd) start(program string, args ...string) *exec.Cmd {
	u.t.Helper()
	log, err := os.Create(filepath.Join(u.dir, filepath.Base(program)+".log"))
	if err != nil {
		u.t.Fatal(err)
	}
	c := exec.Command(program, args...)
	c.Env, c.Stdout, c.Stderr, c.Dir = u.env, log, log, u.dir
	if err := c.Start(); err != nil {
		u.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	u.t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		log.Close()
		if u.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			u.t.Logf("%s: %s", program, text)
		}
	})
	return c
}

// await returns when the UPS can be read.
func (u *upsd) await() {
	u.t.Helper()
	d := u.device()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r := d.Read(u.t.Context())
		if r.Cause == nil && r.Samples[2].Quality.Validity() == telemetry.Good { // its driver has read the file
			return
		}
		if time.Now().After(end) {
			u.t.Fatal(r.Cause, r.Samples)
		}
	}
}

func (u *upsd) device() Device {
	return Device{
		ID: "ups", Endpoint: "tcp://127.0.0.1:" + u.port, UPS: "ups", PollEvery: 100 * time.Millisecond, Timeout: time.Second, Live: 9,
		Points: []Point{
			{Name: "OnLine", Status: "OL", Scale: 1, Signal: 1},
			{Name: "OnBattery", Status: "OB", Scale: 1, Signal: 2},
			{Name: "Charge", Variable: "battery.charge", Scale: 1, Signal: 3},
			{Name: "Runtime", Variable: "battery.runtime", Scale: 0.5, Offset: 3, Signal: 4},
			{Name: "Model", Variable: "ups.model", Text: true, Signal: 5},
			{Name: "Voltage", Variable: "input.voltage", Scale: 1, Signal: 6},
			{Name: "Frequency", Variable: "input.frequency", Scale: 1, Signal: 7},
		},
	}
}

// sink keeps the last sample of each signal.
type sink struct {
	mu      sync.Mutex
	last    map[telemetry.SignalID]telemetry.Sample
	batches []adapters.Batch
}

func (s *sink) Deliver(ctx context.Context, b adapters.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range b.Samples {
		s.last[v.Signal] = v
	}
	b.Samples = nil
	s.batches = append(s.batches, b)
	return ctx.Err()
}

func (s *sink) of(id telemetry.SignalID) telemetry.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[id]
}

// run has an adapter read devices until the test ends.
func run(t *testing.T, devices ...Device) (*Adapter, *sink) {
	t.Helper()
	a, s := New(devices, nil), &sink{last: map[telemetry.SignalID]telemetry.Sample{}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, s) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a, s
}

func TestReadsRealUPS(t *testing.T) {
	u := startUPSD(t)
	for _, known := range []bool{false, true} {
		d := u.device()
		if known {
			d.Username, d.PasswordFile = "monitor", filepath.Join(u.dir, "password")
			u.write("password", "s3 \"cret\n")
		}
		r := d.Read(t.Context())
		var got []string
		for _, s := range r.Samples {
			got = append(got, s.Value.String()+" "+s.Quality.String())
		}
		want := []string{"true good", "false good", "97.5 good", "620 good", `Smart "700" good`, "– bad (not a number)", "– bad (not implemented)"}
		if r.Cause != nil || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%v, %q, expected %q", r.Cause, got, want)
		}
	}
	for reason, d := range map[telemetry.Reason]Device{
		telemetry.Refused:      {UPS: "none", Endpoint: u.device().Endpoint},
		telemetry.NotConnected: {UPS: "gone", Endpoint: u.device().Endpoint}, // upsd has no driver of it
	} {
		d.Timeout, d.Points = time.Second, u.device().Points
		if r := d.Read(t.Context()); r.Cause == nil || r.Samples[0].Quality.Reason() != reason || len(r.Samples) != len(d.Points) {
			t.Errorf("%s: %v, %v", d.UPS, r.Cause, r.Samples)
		}
	}
}

// The mains fail, come back, the driver falls silent, upsd is gone, and each is seen.
func TestMainsFailureOfARealUPS(t *testing.T) {
	u := startUPSD(t)
	a, s := run(t, u.device())
	is := func(id telemetry.SignalID, value bool) func() bool {
		return func() bool {
			v := s.of(id)
			b, known := v.Value.Float()
			return known && (b != 0) == value && v.Quality.Validity() == telemetry.Good
		}
	}
	await.True(t, "a first reading", is(1, true))
	await.True(t, "the live signal", is(9, true))
	u.supply("OB DISCHRG")
	await.True(t, "the failure of the mains", is(2, true))
	if !is(1, false)() {
		t.Error("it is on line power and on battery")
	}
	u.supply("OL CHRG")
	await.True(t, "their return", is(1, true))
	if samples, err := a.ReadOnce(t.Context(), "ups"); err != nil || len(samples) != 7 || samples[0].Value != telemetry.BoolValue(true) {
		t.Errorf("%v, %v", samples, err)
	}
	u.driver.Process.Kill()
	bad := func(reason ...telemetry.Reason) func() bool {
		return func() bool {
			q := s.of(1).Quality
			return q.Validity() == telemetry.Bad && (q.Reason() == reason[0] || q.Reason() == reason[len(reason)-1])
		}
	}
	await.True(t, "that the driver is gone", bad(telemetry.NotConnected, telemetry.Timeout))
	await.True(t, "that the device doesn't live", is(9, false))
	u.server.Process.Kill()
	await.True(t, "that upsd is gone", bad(telemetry.NotConnected))
	if _, err := a.ReadOnce(t.Context(), "ups"); err == nil {
		t.Error("it is read all the same")
	}
	if last := a.Last(t.Context(), "ups"); last.Cause == nil || !last.Polled {
		t.Errorf("%+v", last)
	}
}
