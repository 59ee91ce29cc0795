package iec104

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/iec104peer"
)

// collector is a sink that keeps the last sample of each signal.
type collector struct {
	mu   sync.Mutex
	last map[telemetry.SignalID]telemetry.Sample
}

func (c *collector) Deliver(ctx context.Context, b adapters.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range b.Samples {
		if !b.Past {
			c.last[s.Signal] = s
		}
	}
	return ctx.Err()
}

func (c *collector) of(id telemetry.SignalID) telemetry.Sample {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[id]
}

const (
	pos telemetry.SignalID = iota + 1
	lamp
	level
	scaled
	total
	nowhere
	live
)

func device(addresses ...string) Device {
	return Device{
		ID: "bay", Addresses: addresses, T0: 5 * time.Second, Link: link.Default, Params: asdu.IEC104, Interrogate: time.Hour, Counters: time.Hour,
		Zone: "UTC", Timeout: time.Second, Live: live,
		Points: []Point{
			{Name: "Pos", Station: 1, Object: 1001, Scale: 1, Bool: true, Signal: pos},
			{Name: "Lamp", Station: 1, Object: 1002, Scale: 1, Bool: true, Signal: lamp},
			{Name: "Level", Station: 1, Object: 1003, Scale: 10, Offset: 1, Signal: level},
			{Name: "Scaled", Station: 1, Object: 1004, Scale: 1, Signal: scaled},
			{Name: "Total", Station: 1, Object: 1005, Scale: 1, Counter: true, Signal: total},
			{Name: "Nowhere", Station: 1, Object: 9999, Scale: 1, Signal: nowhere},
		},
		Controls: []Control{
			{Point: "Pos", Station: 1, Object: 2001, Type: asdu.DoubleCommand, Select: true, Settle: 5 * time.Second},
			{Point: "Lamp", Station: 1, Object: 2004, Type: asdu.SingleCommand, Settle: 5 * time.Second},
			{Point: "Level", Station: 1, Object: 2003, Type: asdu.SetShortFloat, Settle: 200 * time.Millisecond},
		},
	}
}

func run(t *testing.T, d Device) (*Adapter, *collector) {
	t.Helper()
	a := New([]Device{d}, slog.New(slog.DiscardHandler))
	c := &collector{last: map[telemetry.SignalID]telemetry.Sample{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx, c)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return a, c
}

// A device is read, commanded, lost and found again, of whichever make it is.
func TestDevice(t *testing.T) {
	for _, kind := range iec104peer.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := iec104peer.Start(t, kind, nil)
			lifeOfDevice(t, device(s.Address()), s, telemetry.NotConnected)
		})
	}
}

// station is one that does what it is told.
type station interface {
	Do(format string, args ...any)
	Said() string
	Kill()
	Restart()
}

func lifeOfDevice(t *testing.T, d Device, s station, gone telemetry.Reason) {
	a, c := run(t, d)
	values := map[telemetry.SignalID]telemetry.Value{
		pos: telemetry.BoolValue(false), lamp: telemetry.BoolValue(true), level: telemetry.FloatValue(106), scaled: telemetry.IntValue(-321), total: telemetry.IntValue(4711),
	}
	await.True(t, "all is told", func() bool {
		return c.of(total).Value == values[total] && c.of(nowhere).Quality.Reason() == telemetry.NotImplemented && c.of(live).Value == telemetry.BoolValue(true)
	})
	for id, want := range values {
		if got := c.of(id); got.Value != want || got.Quality.Validity() != telemetry.Good {
			t.Errorf("signal %d: %v (%v), expected %v", id, got.Value, got.Quality, want)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	samples, err := a.ReadOnce(ctx, "bay")
	if err != nil || len(samples) != len(d.Points) || samples[2].Value != values[level] {
		t.Errorf("%v, %v", samples, err)
	}

	s.Do("set 1001 2")
	await.True(t, "the breaker is on", func() bool { return c.of(pos).Value == telemetry.BoolValue(true) })
	if q := c.of(pos).Quality; q.TimeQuality() != telemetry.DeviceTime {
		t.Errorf("the time is %v", q)
	}
	command(t, a, s)
	s.Do("invalid 1004")
	await.True(t, "it has no value", func() bool { return c.of(scaled).Quality.Reason() == telemetry.SensorFailure })

	s.Kill()
	await.True(t, "it is lost", func() bool {
		return c.of(live).Value == telemetry.BoolValue(false) && c.of(pos).Quality.Reason() == gone
	})
	if out, err := a.Operate(ctx, adapters.Control{Device: "bay", Signal: pos, Value: telemetry.BoolValue(true)}); err == nil || out.Outcome != telemetry.ControlFailed {
		t.Errorf("%+v, %v", out, err)
	}
	s.Restart()
	await.True(t, "it is back", func() bool {
		return c.of(pos).Value == telemetry.BoolValue(false) && c.of(live).Value == telemetry.BoolValue(true)
	})
}

func command(t *testing.T, a *Adapter, s station) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	off := adapters.Control{Device: "bay", Signal: pos, Value: telemetry.BoolValue(false)}
	if out, err := a.Select(ctx, off); err != nil || out.Outcome != telemetry.ControlDone || out.Old != telemetry.BoolValue(true) {
		t.Errorf("select: %+v, %v", out, err)
	}
	if out, err := a.Operate(ctx, off); err != nil || out.Outcome != telemetry.ControlDone || out.ReadBack != telemetry.BoolValue(false) {
		t.Errorf("operate: %+v, %v", out, err)
	}
	if n := strings.Count(s.Said(), "command 2001"); n != 1 {
		t.Errorf("it was executed %d times", n)
	}
	out, err := a.Operate(ctx, adapters.Control{Device: "bay", Signal: lamp, Value: telemetry.BoolValue(false)})
	if err == nil || out.Outcome != telemetry.ControlFailed {
		t.Errorf("what the station refuses: %+v, %v", out, err)
	}
	out, err = a.Operate(ctx, adapters.Control{Device: "bay", Signal: level, Value: telemetry.FloatValue(51)})
	if err != nil || out.Outcome != telemetry.ControlDone || out.ReadBack != telemetry.FloatValue(51) {
		t.Errorf("what is never terminated: %+v, %v", out, err)
	}
	if out, err := a.Operate(ctx, adapters.Control{Device: "bay", Signal: scaled, Value: telemetry.IntValue(1)}); err == nil || out.Outcome != telemetry.ControlFailed {
		t.Errorf("what isn't listed: %+v, %v", out, err)
	}
}

// Who isn't trusted reads nothing, and says so; who is reads.
func TestEncrypted(t *testing.T) {
	keys := iec104peer.NewKeys(t)
	s := iec104peer.Start(t, iec104peer.C104, keys)
	d := device(s.Address())
	for name, pair := range map[string]iec104peer.Pair{"ours": keys.Client, "foreign": keys.Foreign} {
		d.TLS = &kafkaconn.TLS{CA: configfile.Path(keys.CA), Cert: configfile.Path(pair.Cert), Key: configfile.Path(pair.Key)}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		samples, err := New([]Device{d}, slog.New(slog.DiscardHandler)).ReadOnce(ctx, "bay")
		if good := slices.ContainsFunc(samples, func(s telemetry.Sample) bool { return s.Value == telemetry.FloatValue(106) }); good != (name == "ours") || (err == nil) != good || ctx.Err() != nil {
			t.Errorf("%s: %v, %v", name, samples, err)
		}
	}
}

// When a link of two fails, the other one goes on, and no signal loses its value.
func TestTwoLinks(t *testing.T) {
	first, second := iec104peer.Start(t, iec104peer.C104, nil), iec104peer.Start(t, iec104peer.C104, nil)
	second.Do("set 1003 99")
	_, c := run(t, device(first.Address(), second.Address()))
	await.True(t, "it is told by either", func() bool {
		return c.of(level).Quality.Validity() == telemetry.Good && c.of(level).Value.Kind() != telemetry.None
	})
	killed, other := first, telemetry.FloatValue(991)
	if c.of(level).Value == other {
		killed, other = second, telemetry.FloatValue(106)
	}
	killed.Kill()
	await.True(t, "it is told by the other", func() bool { return c.of(level).Value == other })
}
