package control_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/live/control"
	"github.com/busbar/busbar/sim/scenario"
)

// quiet is a town in which nothing happens by itself.
func quiet(t *testing.T) *live.Live {
	t.Helper()
	s, err := scenario.Open("service", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Faults, s.Steps, s.Expect = nil, nil, nil
	s.Lasts = configfile.Duration(24 * time.Hour)
	l, err := live.New(s, scenario.Sinks{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestActsAreAskedFor(t *testing.T) {
	l := quiet(t)
	server := httptest.NewServer(control.Handler(l))
	defer server.Close()
	client, ctx := control.Client{Address: server.Listener.Addr().String()}, context.Background()

	f, err := client.Fault(ctx, control.FaultRequest{Asset: "NORTH", Kind: control.Temporary, Phases: "A"})
	if err != nil || f.ID != "hand-1" || f.Asset != "north-1" || f.Kind != control.Temporary || f.Phases != "A" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := client.Fault(ctx, control.FaultRequest{Asset: "lateral", ID: "tree"}); err != nil {
		t.Error(err)
	}
	if err := l.Advance(l.Now() + time.Minute.Microseconds()); err != nil {
		t.Fatal(err)
	}
	s, err := client.Status(ctx)
	if err != nil || s.Out != 9 || s.Points != 30 || len(s.Faults) != 1 || s.Faults[0].ID != "tree" || len(s.Open) != 1 ||
		s.Open[0] != (control.Off{ID: "lateral-fuse", Kind: "fuse", Position: "open", Tripped: true, LockedOut: false}) {
		t.Errorf("%+v, %v", s, err)
	}
	a, err := client.Asset(ctx, "church-1")
	if err != nil || a.Point == nil || !a.Point.Alive || a.Kind != "service point" {
		t.Errorf("%+v, %v", a, err)
	}
	if s, err := client.Switch(ctx, control.SwitchRequest{ID: "north-switch", To: "open"}); err != nil || s.Out <= 9 {
		t.Errorf("%+v, %v", s, err)
	}
	if done, err := client.Repair(ctx, control.RepairRequest{Fault: "tree"}); err != nil || len(done) != 1 || len(done[0].Opened) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := client.CutOff(ctx, control.CutOffRequest{Gateway: "gw-mill", For: 600}); err != nil {
		t.Error(err)
	}
	if s, err := client.Speed(ctx, 10); err != nil || s.Speed != 10 {
		t.Errorf("%+v, %v", s, err)
	}
	var no control.Refused
	for what, ask := range map[string]func() error{
		"asset": func() error { _, err := client.Fault(ctx, control.FaultRequest{Asset: "x"}); return err },
		"kind": func() error {
			_, err := client.Fault(ctx, control.FaultRequest{Asset: "north", Kind: "bad"})
			return err
		},
		"clears": func() error { _, err := client.Fault(ctx, control.FaultRequest{Asset: "north", Clears: 2}); return err },
		"phases": func() error {
			_, err := client.Fault(ctx, control.FaultRequest{Asset: "north", Phases: "Q"})
			return err
		},
		"twice": func() error {
			_, err := client.Fault(ctx, control.FaultRequest{Asset: "north", ID: "tree"})
			return err
		},
		"repair":  func() error { _, err := client.Repair(ctx, control.RepairRequest{Fault: "x"}); return err },
		"switch":  func() error { _, err := client.Switch(ctx, control.SwitchRequest{ID: "tie", To: "up"}); return err },
		"cut-off": func() error { _, err := client.CutOff(ctx, control.CutOffRequest{Gateway: "gw-mill"}); return err },
		"speed":   func() error { _, err := client.Speed(ctx, 1e9); return err },
		"unknown": func() error { _, err := client.Asset(ctx, "a/b c"); return err },
	} {
		if err := ask(); !errors.As(err, &no) || no.Reason == "" {
			t.Errorf("%s: %v, want a reason", what, err)
		}
	}
}

// A page of somebody else that a browser on this machine shows can't act.
func TestOtherSitesCannotAct(t *testing.T) {
	server := httptest.NewServer(control.Handler(quiet(t)))
	defer server.Close()
	for name, change := range map[string]func(*http.Request){
		"another origin": func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") },
		"another name":   func(r *http.Request) { r.Host = "elsewhere.example" },
		"a form":         func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"no JSON":        func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{")) },
		"unknown key":    func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"assets":"x"}`)) },
	} {
		r, err := http.NewRequest(http.MethodPost, server.URL+"/fault", strings.NewReader(`{"asset":"north"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = -1
		change(r)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode < 400 {
			t.Errorf("%s: %s", name, response.Status)
		}
	}
	if _, err := control.Listen("0.0.0.0:0"); err == nil {
		t.Error("listens to everybody")
	}
	if _, err := (control.Client{Address: "127.0.0.1:1"}).Status(context.Background()); err == nil || !strings.Contains(err.Error(), "busbar-sim live") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	port, err := control.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- control.Serve(ctx, port, quiet(t)) }()
	answered := make(chan error, 1)
	go func() { // waits for what doesn't happen
		_, err := http.Get("http://" + port.Addr().String() + "/state?since=99")
		answered <- err
	}()
	if _, err := (control.Client{Address: port.Addr().String()}).Status(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-answered
}
