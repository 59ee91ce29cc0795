package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// withControl lets a register of the meter be written, which refuses that.
func (b *bench) withControl(lock gatewayconfig.Interlock) {
	register := uint16(8)
	meter := &b.config.Devices[0]
	meter.Signals = append(meter.Signals, gatewayconfig.Signal{Name: "SetW", Holding: &register, Type: modbus.Uint16, Scale: 1, Unit: "kW", Kind: telemetry.Gauge})
	c := gatewayconfig.Control{Signal: "SetW"}
	c.SetDefaults()
	least, most := 0.0, 100.0
	c.Min, c.Max, c.Mode, c.MinInterval, c.Interlock = &least, &most, gatewayconfig.ControlDirect, 0, []gatewayconfig.Interlock{lock}
	meter.Control = []gatewayconfig.Control{c}
	b.config.Gateway.Control = gatewayconfig.Enabled
}

// runs runs a gateway until the test ends or stop is called.
func (b *bench) runs() (g *Gateway, stop func()) {
	b.t.Helper()
	g, err := New(b.config, Options{Version: "test", Log: quiet})
	if err != nil {
		b.t.Fatal(err)
	}
	b.buffer, b.key = g.buffer, g.identity.PublicKey()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
	b.t.Cleanup(stop)
	return g, stop
}

// operates asks until the adapter runs.
func (b *bench) operates(g *Gateway) control.Answer {
	b.t.Helper()
	request := control.Request{Device: "meter", Signal: "SetW", Value: telemetry.IntValue(7), Origin: telemetry.ControlLocal, By: "Ana"}
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		a := g.control.Operate(b.t.Context(), request)
		if !strings.Contains(a.Detail, "stopped reading") || time.Now().After(limit) {
			return a
		}
	}
}

// What a device says decides, and each step is in the log.
func TestAnOperationIsInTheLog(t *testing.T) {
	b := newBench(t)
	b.withControl(gatewayconfig.Interlock{When: "ChLiv and PhV.phsA < 5"})
	g, stop := b.runs()
	if a := b.operates(g); a.Outcome != telemetry.ControlRefused || a.Cause != control.Interlocked || !strings.Contains(a.Detail, "ChLiv of meter is true, PhV.phsA of meter is 230") {
		t.Errorf("%+v", a)
	}
	b.meter.set(0)
	if a := b.operates(g); a.Outcome != telemetry.ControlFailed || a.Cause != control.DeviceFailed || !strings.Contains(a.Detail, "illegal function") || a.Old.String() != "0" {
		t.Errorf("%+v", a)
	}
	stop()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 })
	var steps []string
	for _, e := range l.of(telemetry.ControlAttempted) {
		steps = append(steps, string(e.Control.Outcome))
	}
	if n := len(steps); n < 3 || !slices.Equal(steps[n-2:], []string{"begun", "failed"}) || steps[0] != "refused" && steps[0] != "begun" {
		t.Errorf("%q", steps)
	}
	last := l.of(telemetry.ControlAttempted)
	if c := last[len(last)-1].Control; c.Asset != "feeder-1" || c.Unit != "kW" || c.Requested != "7" || c.Old != "0" || c.ReadBack != "" || c.By != "Ana" {
		t.Errorf("%+v", c)
	}
	// Nothing is asked of a gateway that has stopped.
	if a := b.operates(g); a.Outcome != telemetry.ControlRefused || a.Cause != control.Stopping {
		t.Errorf("%+v", a)
	}
}

// What can't be written down isn't done.
func TestNothingIsOperatedWithoutADisk(t *testing.T) {
	b := newBench(t)
	b.withControl(gatewayconfig.Interlock{When: "PhV.phsA > 5"})
	b.config.Gateway.Key = configfile.Path(filepath.Join(t.TempDir(), "gateway.key"))
	dir := string(b.config.Buffer.Path)
	if err := errors.Join(os.Remove(dir), os.Symlink(filepath.Base(dir), dir)); err != nil { // it leads to itself
		t.Fatal(err)
	}
	g, _ := b.runs()
	if a := b.operates(g); a.Outcome != telemetry.ControlRefused || a.Cause != control.NoAudit {
		t.Errorf("%+v", a)
	}
	s := source{g, time.Now()}
	if problems := strings.Join(s.Report().Problems, "\n"); !strings.Contains(problems, "token couldn't be written") {
		t.Errorf("%s", problems)
	}
	for _, token := range []string{"", "x"} {
		if _, err := s.Operate(t.Context(), "meter", "SetW", "operate", token, status.ControlRequest{Value: "7", By: "Ana"}); !errors.Is(err, status.ErrUnauthorised) {
			t.Errorf("token %q: %v", token, err)
		}
	}
	// The refusal is sent all the same.
	b.read(func(l log) bool {
		return slices.ContainsFunc(l.of(telemetry.ControlAttempted), func(e telemetry.Event) bool { return e.Control.Cause == string(control.NoAudit) })
	})
	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if a := b.operates(g); a.Outcome == telemetry.ControlFailed && strings.Contains(a.Detail, "illegal function") {
			break
		} else if time.Now().After(limit) {
			t.Fatalf("%+v", a)
		}
	}
}

// A token of an earlier process opens nothing, also if its file couldn't be removed.
func TestTheTokenIsOfOneProcess(t *testing.T) {
	b := newBench(t)
	b.withControl(gatewayconfig.Interlock{When: "PhV.phsA < 5"})
	path := controlTokenPath(b.config, "")
	read := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	_, stop := b.runs()
	first := read()
	stop()
	g, stop := b.runs()
	if second := read(); second == first || len(second) < 26 {
		t.Errorf("%q, %q", first, second)
	}
	s := source{g, time.Now()}
	ask := func(token string) error {
		_, err := s.Operate(t.Context(), "meter", "SetW", "operate", token, status.ControlRequest{Value: "7", By: "Ana"})
		return err
	}
	if err := ask(first); !errors.Is(err, status.ErrUnauthorised) {
		t.Errorf("the earlier token: %v", err)
	}
	if err := ask(read()); err != nil {
		t.Errorf("the token: %v", err)
	}
	if _, err := s.Operate(t.Context(), "meter", "SetW", "toggle", read(), status.ControlRequest{}); !errors.Is(err, status.ErrNoAction) {
		t.Errorf("%v", err)
	}
	stop()
	b.config.Gateway.Control = gatewayconfig.Disabled
	g, stop = b.runs()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("control is off, and there is a token: %v", err)
	}
	// And nobody is told anything about the points then.
	a, err := source{g, time.Now()}.Operate(t.Context(), "meter", "SetW", "operate", "", status.ControlRequest{Value: "nonsense", By: "Ana"})
	if err != nil || a.Cause != string(control.Disabled) {
		t.Errorf("%+v, %v", a, err)
	}
	stop()
}

// The tool asks the gateway of its configuration, and nobody else.
func TestTheToolAsksItsGateway(t *testing.T) {
	b := newBench(t)
	b.withControl(gatewayconfig.Interlock{When: "PhV.phsA < 5"})
	b.withStatus()
	ask := func(c gatewayconfig.Config) (ControlAnswer, error) {
		return Control(t.Context(), c, "", telemetry.ControlOperate, "meter", "SetW", ControlRequest{Value: "7", By: "Ana"})
	}
	if _, err := ask(b.config); err == nil || !strings.Contains(err.Error(), "no gateway runs here") {
		t.Errorf("%v", err)
	}
	_, stop := b.runs()
	var a ControlAnswer
	var err error
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if a, err = ask(b.config); err == nil || time.Now().After(limit) {
			break
		}
	}
	if err != nil || a.Outcome != telemetry.ControlRefused || a.Cause != string(control.Interlocked) || a.Unit != "kW" || a.Requested != "7" {
		t.Errorf("%+v, %v", a, err)
	}
	other := b.config
	other.Gateway.ID = "another"
	if _, err := ask(other); err == nil || !strings.Contains(err.Error(), `is gateway "gw", expected another`) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(controlTokenPath(b.config, ""), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(b.config); err == nil || !strings.Contains(err.Error(), "not authorised") {
		t.Errorf("%v", err)
	}
	stop()
	if _, err := ask(b.config); err == nil || !strings.Contains(err.Error(), "by a running gateway only") || errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v", err)
	}
}

// Whether something may have been done is said only if it may.
func TestTheToolSaysWhetherItMayHaveBeenDone(t *testing.T) {
	b := newBench(t)
	b.config.Gateway.Control = gatewayconfig.Enabled
	if err := os.WriteFile(controlTokenPath(b.config, ""), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, code int, text string) {
		w.Header().Set(status.GatewayHeader, b.config.Gateway.ID)
		w.WriteHeader(code)
		w.Write([]byte(text))
	}
	for what, c := range map[string]struct {
		do      http.HandlerFunc
		unknown bool
	}{
		"it hangs up":          {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"it breaks off":        {func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"outcome":"do`) }, true},
		"it isn't authorised":  {func(w http.ResponseWriter, _ *http.Request) { answer(w, 401, "not authorised") }, false},
		"there is no such way": {func(w http.ResponseWriter, _ *http.Request) { answer(w, 404, "no") }, false},
	} {
		server := httptest.NewServer(c.do)
		b.config.Status.Listen = server.Listener.Addr().String()
		_, err := Control(t.Context(), b.config, "", telemetry.ControlOperate, "meter", "SetW", ControlRequest{Value: "7", By: "Ana"})
		if err == nil || errors.Is(err, ErrNoAnswer) != c.unknown {
			t.Errorf("%s: %v", what, err)
		}
		server.Close()
	}
}
