package station

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/iec104peer"
	"github.com/busbar/busbar/test/peer"
)

// authoriser permits what it is asked for, but of the signal Locked, and shows what it was.
type authoriser struct {
	mu       sync.Mutex
	requests []string
}

func (a *authoriser) note(what string, r control.Request) control.Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, fmt.Sprintf("%s %s %v %s %s %s", what, r.Signal, r.Value, r.Origin, r.By, r.Selection))
	if r.Signal == "Locked" {
		return control.Answer{Outcome: telemetry.ControlRefused, Cause: control.Interlocked}
	}
	if r.Begun != nil {
		r.Begun()
	}
	return control.Answer{ID: "s1", Outcome: telemetry.ControlDone}
}

func (a *authoriser) Select(_ context.Context, r control.Request) control.Answer {
	return a.note("select", r)
}

func (a *authoriser) Operate(_ context.Context, r control.Request) control.Answer {
	return a.note("operate", r)
}

func (a *authoriser) Cancel(r control.Request) control.Answer { return a.note("cancel", r) }

func (a *authoriser) said() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.requests, "\n")
}

var signals = []telemetry.Signal{{ID: 1, Device: "rtu", Name: "Pos"}, {ID: 2, Device: "rtu", Name: "A"}, {ID: 3, Device: "rtu", Name: "Locked"}, {ID: 4, Device: "rtu", Name: "TotWh"}, {ID: 5, Device: "rtu", Name: "Single"}}

func options(t *testing.T) Options {
	point := func(name string, of asdu.Type, address uint32) Signal {
		return Signal{Device: "rtu", Name: name, Scale: 1, Point: controlled.Point{Station: 1, Address: address, Type: of, Quality: asdu.Invalid | asdu.NotTopical}}
	}
	o := Options{
		Config: controlled.Default, Listen: peer.Address(t), File: filepath.Join(t.TempDir(), "events.db"), Control: &authoriser{}, Log: slog.New(slog.DiscardHandler),
		Lost:    func(string, uint64) error { return nil },
		Damaged: func(telemetry.Damage) error { return nil },
		Signals: []Signal{point("Pos", asdu.DoublePoint, 1001), point("A", asdu.ShortFloat, 1003), point("Locked", asdu.ShortFloat, 1006), point("TotWh", asdu.Totals, 1005), point("Single", asdu.SinglePoint, 1002)},
	}
	o.Signals[0].Bool = true
	o.Signals[0].Control = &controlled.Control{Station: 1, Address: 2001, Type: asdu.DoubleCommand, Select: true}
	o.Signals[1].Point.Latest = true
	o.Signals[1].Scale = 0.001
	o.Signals[1].Control = &controlled.Control{Station: 1, Address: 2003, Type: asdu.SetShortFloat}
	o.Signals[2].Control = &controlled.Control{Station: 1, Address: 2002, Type: asdu.SingleCommand}
	o.Signals[3].Point.Quiet, o.Signals[3].Scale = true, 0.001
	return o
}

// run runs a station until it is stopped.
func run(t *testing.T, o Options) (s *Station, stop func()) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Define(signals)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	await.True(t, "it listens", func() bool { return s.Stats().Cause == nil })
	return s, stop
}

var at = telemetry.MicrosOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

func position(on bool) []telemetry.Sample {
	return []telemetry.Sample{{Signal: 1, Time: at, Value: telemetry.BoolValue(on)}}
}

// A control room that we didn't write is told everything with its quality and time, commands
// what it may by the gateway's control, and sets the clock; also by TLS.
func TestControlRoom(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %v", encrypted), func(t *testing.T) {
			t.Parallel()
			o := options(t)
			var keys *iec104peer.Keys
			if encrypted {
				keys = iec104peer.NewKeys(t)
				o.TLS = func() (*tls.Config, error) {
					own, err := tls.LoadX509KeyPair(keys.Server.Cert, keys.Server.Key)
					ca, caErr := os.ReadFile(keys.CA)
					pool := x509.NewCertPool()
					pool.AppendCertsFromPEM(ca)
					return &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}, errors.Join(err, caErr)
				}
			}
			clock := make(chan time.Time, 10)
			o.SetClock = func(at time.Time) error { clock <- at; return nil }
			s, _ := run(t, o)
			s.Take(position(false), false, false)
			s.Take([]telemetry.Sample{{Signal: 2, Time: at, Value: telemetry.FloatValue(10_500)}, {Signal: 4, Time: at, Value: telemetry.IntValue(4_711_000)}}, false, false)
			m := iec104peer.StartMaster(t, o.Listen, keys)
			m.Do("link")
			await.True(t, "it has started the transfer", func() bool {
				if m.State() == "OPEN_MUTED" {
					m.Ask("start")
				}
				return s.Stats().Groups[0].Started != ""
			})
			ask := func(what string, texts ...string) {
				t.Helper()
				before := len(m.Said())
				m.Ask(what)
				for _, text := range texts {
					await.True(t, text, func() bool { return strings.Contains(m.Said()[before:], text) })
				}
			}
			ask("gi", "told 1001 M_DP_NA_1 INTERROGATED_BY_STATION Double.OFF", "told 1003 M_ME_NC_1 INTERROGATED_BY_STATION 10.5", "told 1006 M_ME_NC_1 INTERROGATED_BY_STATION 0.0 Quality set: { NonTopical | Invalid }", "C_IC_NA_1 ACTIVATION_TERMINATION yes")
			ask("counters", "told 1005 M_IT_NA_1 REQUESTED_BY_GENERAL_COUNTER 4711")
			s.Take(position(true), false, false)
			m.Await("told 1001 M_DP_TB_1 SPONTANEOUS Double.ON Quality set: {}, is_good: True 2026-03-01 12:00:00")
			s.Take([]telemetry.Sample{{Signal: 1, Time: at, Quality: telemetry.MakeQuality(telemetry.Bad, 0, telemetry.NotConnected)}}, false, false)
			m.Await("told 1001 M_DP_TB_1 SPONTANEOUS Double.ON Quality set: { NonTopical | Invalid }")
			ask("clock", "C_CS_NA_1 ACTIVATION_CON yes")
			if d := time.Since(<-clock).Abs(); d > time.Minute {
				t.Errorf("the time is told %v off", d)
			}
			a := o.Control.(*authoriser)
			await.True(t, "a selected command is executed", func() bool { // whose confirmation c104 misses now and then
				m.Ask("command 2001 2")
				return strings.Contains(a.said(), "operate Pos true iec104-master master 127.0.0.1 s1")
			})
			ask("command 2003 12.25", "C_SE_NC_1 ACTIVATION_TERMINATION yes")
			ask("command 2002 1", "C_SC_NA_1 ACTIVATION_CON no")
			said := a.said()
			for _, text := range []string{"select Pos true iec104-master master 127.0.0.1", "operate A 12250 iec104-master", "operate Locked 1 iec104-master"} {
				if !strings.Contains(said, text) {
					t.Errorf("not asked for %s:\n%s", text, said)
				}
			}
		})
	}
}

// What waits outlives the process, and what isn't any more of interest is forgotten: events
// that every group has, and the groups that aren't configured any more. What changed while no
// process ran is an event, too.
func TestRestart(t *testing.T) {
	o := options(t)
	o.Config.Groups = []controlled.Group{{Name: "a"}, {Name: "b"}}
	next := func(change func(s *Station)) *Station {
		s, stop := run(t, o)
		change(s)
		stop()
		return s
	}
	waiting := func(s *Station) (n int) {
		for _, g := range s.Stats().Groups {
			n += g.Waiting
		}
		return n
	}
	told := make(chan bool, 1)
	s := next(func(s *Station) {
		for n := range 5 {
			s.Take(position(n%2 == 0), false, false) // the first one is no change
		}
		for _, wait := range s.Await([]func(bool){func(is bool) { told <- is }}) {
			wait(true)
		}
		if !<-told {
			t.Error("they aren't on disk")
		}
	})
	if n := waiting(s); n != 2*5 { // with the start
		t.Errorf("%d wait", n)
	}
	s = next(func(s *Station) { s.Take(position(true), false, false) }) // as it was
	if n := waiting(s); n != 2*5 {
		t.Errorf("%d wait after a restart", n)
	}
	s = next(func(s *Station) { s.Take(position(false), false, false) })
	if n := waiting(s); n != 2*6 {
		t.Errorf("%d wait after a change that nobody saw", n)
	}
	o.Config.Groups = o.Config.Groups[:1]
	o.Config.Events = 3
	var lost uint64
	o.Lost = func(_ string, n uint64) error { lost += n; return nil }
	s = next(func(s *Station) {
		s.Take(position(true), false, false)
		s.Take(position(false), false, false)
	})
	if st := s.Stats().Groups[0]; st.Waiting != 3 || st.Dropped != 5 || lost != 5 { // also what is dropped at the start
		t.Errorf("%+v, %d entered into the ledger", st, lost)
	}
	_, kept, err := openFile(o.File, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(kept.Events) != 3 || len(kept.Done) != 1 || kept.Lost["a"] != s.Stats().Groups[0].Dropped {
		t.Errorf("%d events, %v and %v are kept", len(kept.Events), kept.Done, kept.Lost)
	}
}

// An address that is taken is tried again.
func TestAddressTaken(t *testing.T) {
	t.Parallel()
	o := options(t)
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	await.True(t, "it says that it can't listen", func() bool { c := s.Stats().Cause; return c != nil && c != errStarting })
	l.Close()
	await.True(t, "it listens", func() bool { return s.Stats().Cause == nil })
	cancel()
	<-ended
}

// What a sample means is told as the type has it.
func TestChange(t *testing.T) {
	bad := telemetry.MakeQuality(telemetry.Bad, 0, telemetry.SensorFailure)
	for name, c := range map[string]struct {
		of      asdu.Type
		scale   float64
		is      telemetry.Value
		quality telemetry.Quality
		want    float64
		flags   asdu.Quality
	}{
		"single":          {asdu.SinglePoint, 1, telemetry.IntValue(7), 0, 1, 0},
		"double":          {asdu.DoublePoint, 1, telemetry.IntValue(3), 0, 3, 0},
		"no double":       {asdu.DoublePoint, 1, telemetry.IntValue(4), 0, 0, asdu.Invalid},
		"step":            {asdu.StepPosition, 1, telemetry.IntValue(-64), 0, -64, 0},
		"no step":         {asdu.StepPosition, 1, telemetry.FloatValue(1.5), 0, 0, asdu.Invalid},
		"bits":            {asdu.Bitstring, 1, telemetry.UintValue(1<<32 - 1), 0, 1<<32 - 1, 0},
		"normalized":      {asdu.Normalized, 0.01, telemetry.FloatValue(50), 0, 0.5, 0},
		"above":           {asdu.Normalized, 0.01, telemetry.FloatValue(100), 0, 1 - 1.0/32768, asdu.Overflow},
		"scaled":          {asdu.Scaled, 10, telemetry.FloatValue(1.26), 0, 13, 0},
		"below":           {asdu.Scaled, 1, telemetry.FloatValue(-40000), 0, -32768, asdu.Overflow},
		"total":           {asdu.Totals, 1, telemetry.UintValue(1<<31 + 5), 0, 5, 0},
		"no value":        {asdu.ShortFloat, 1, telemetry.Value{}, bad, 0, asdu.Invalid},
		"no answer":       {asdu.ShortFloat, 1, telemetry.Value{}, telemetry.MakeQuality(telemetry.Bad, 0, telemetry.Timeout), 0, asdu.Invalid | asdu.NotTopical},
		"a text":          {asdu.ShortFloat, 1, telemetry.TextValue("on"), 0, 0, asdu.Invalid},
		"stale":           {asdu.ShortFloat, 1, telemetry.FloatValue(1), telemetry.MakeQuality(telemetry.Uncertain, 0, 0) | telemetry.Stale, 1, asdu.NotTopical},
		"out of service":  {asdu.ShortFloat, 1, telemetry.FloatValue(1), telemetry.MakeQuality(telemetry.Uncertain, 0, telemetry.OutOfService) | telemetry.Stale, 1, asdu.Blocked},
		"substituted":     {asdu.ShortFloat, 1, telemetry.FloatValue(1), telemetry.Substituted, 1, asdu.Substituted},
		"beyond a device": {asdu.ShortFloat, 1, telemetry.FloatValue(1), telemetry.MakeQuality(telemetry.Uncertain, 0, 0) | telemetry.Overflow, 1, asdu.Overflow},
		"a test":          {asdu.ShortFloat, 1, telemetry.FloatValue(1), telemetry.Test, 0, asdu.Invalid},
	} {
		p := point{Signal: Signal{Scale: c.scale, Point: controlled.Point{Type: c.of}}}
		got := p.change(telemetry.Sample{Time: at, Value: c.is, Quality: c.quality}, false, false)
		if got.Value != c.want || got.Quality != c.flags || got.Doubted {
			t.Errorf("%s: %v %v, expected %v %v", name, got.Value, got.Quality, c.want, c.flags)
		}
	}
	p := point{Signal: Signal{Scale: 1, Point: controlled.Point{Type: asdu.ShortFloat}}}
	s := telemetry.Sample{Time: at, Value: telemetry.FloatValue(3)}
	if !p.change(s, true, false).Doubted {
		t.Error("a time that isn't known is told as right")
	}
	s.Quality = s.Quality.WithTime(telemetry.UnsynchronisedTime)
	if !p.change(s, false, false).Doubted {
		t.Error("the time of a clock that nothing confirms is told as right")
	}
	if c := p.change(telemetry.Sample{Time: at, Quality: bad}, false, false); c.Value != 3 {
		t.Errorf("without a value it is told as %v", c.Value)
	}
}

// A command is refused that was given long ago, or that there isn't.
func TestRefused(t *testing.T) {
	o := options(t)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]controlled.Command{
		"late":    {Control: *o.Signals[1].Control, Time: time.Now().Add(-time.Minute)},
		"early":   {Control: *o.Signals[1].Control, Time: time.Now().Add(time.Minute)},
		"between": {Control: *o.Signals[0].Control, Object: asdu.Object{Value: 0}},
	} {
		if s.owner.Select(t.Context(), c) == nil || s.owner.Execute(t.Context(), c, func() { t.Error("it is accepted") }) == nil {
			t.Errorf("%s: it is executed", name)
		}
	}
	if said := o.Control.(*authoriser).said(); said != "" {
		t.Error(said)
	}
	if s.owner.SetClock(1, time.Now()) == nil {
		t.Error("the time is taken")
	}
}
