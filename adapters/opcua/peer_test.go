package opcua

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// collector is a sink and a registrar that keeps everything.
type collector struct {
	mu      sync.Mutex
	batches []adapters.Batch
	found   []adapters.Found
	ids     map[string]telemetry.SignalID
	changed chan struct{}                                      // closed and made anew with each batch
	refuses func([]adapters.Found, []telemetry.SignalID) error // nil: all that is found gets its id
}

func newCollector() *collector {
	return &collector{changed: make(chan struct{}), ids: map[string]telemetry.SignalID{}}
}

func (c *collector) Deliver(ctx context.Context, b adapters.Batch) error {
	b.Samples = slices.Clone(b.Samples)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches = append(c.batches, b)
	close(c.changed)
	c.changed = make(chan struct{})
	return ctx.Err()
}

func (c *collector) Register(ctx context.Context, _ string, found []adapters.Found) ([]telemetry.SignalID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]telemetry.SignalID, len(found))
	for i, f := range found {
		if c.ids[f.Name] == 0 {
			c.ids[f.Name] = telemetry.SignalID(1000 + len(c.ids))
			c.found = append(c.found, f)
		}
		ids[i] = c.ids[f.Name]
	}
	if c.refuses != nil {
		return ids, c.refuses(found, ids)
	}
	return ids, ctx.Err()
}

// Known implements adapters.Registrar.
func (c *collector) Known(ctx context.Context, _ string) ([]adapters.Found, []telemetry.SignalID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]telemetry.SignalID, len(c.found))
	for i, f := range c.found {
		ids[i] = c.ids[f.Name]
	}
	return slices.Clone(c.found), ids, ctx.Err()
}

// of is what was delivered of a signal, with what is of the past apart.
func (c *collector) of(id telemetry.SignalID) (now, past []telemetry.Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.batches {
		for _, s := range b.Samples {
			switch {
			case s.Signal != id:
			case b.Past:
				past = append(past, s)
			default:
				now = append(now, s)
			}
		}
	}
	return now, past
}

// last is the newest sample of a signal.
func (c *collector) last(id telemetry.SignalID) telemetry.Sample {
	now, _ := c.of(id)
	if len(now) == 0 {
		return telemetry.Sample{}
	}
	return now[len(now)-1]
}

func (c *collector) named(name string) telemetry.SignalID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids[name]
}

// await waits until something is so.
func (c *collector) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if is() {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("not in time: %s", what)
		}
	}
}

const live telemetry.SignalID = 999

// plant is a device that reads a peer, with the signals of the names.
func plant(t *testing.T, p *opcuapeer.Server, names ...string) Device {
	d := Device{
		ID: "plant", Server: opcuaconn.Config{Endpoint: p.Endpoint(), Security: opcuaconn.Security{Policy: opcuaconn.PolicyNone}}, Keep: t.TempDir(),
		PublishEvery: 100 * time.Millisecond, SampleEvery: 50 * time.Millisecond, KeepAlive: time.Second, Queue: 10, History: true, Timeout: 10 * time.Second, Live: live, FollowEvery: time.Hour,
	}
	for i, name := range names {
		name, element, _ := strings.Cut(name, "/")
		d.Points = append(d.Points, Point{Name: name, Node: plantNode(name), Element: Element(element), Scale: 1, Signal: telemetry.SignalID(i + 1)})
	}
	return d
}

func plantNode(name string) Node {
	n, err := ParseNode("nsu=" + opcuapeer.Namespace + ";s=T1." + name)
	if err != nil {
		panic(err)
	}
	return n
}

// begin runs a device until the test ends.
func begin(t *testing.T, d Device) (*collector, *Adapter) {
	t.Helper()
	c := newCollector()
	return c, beginWith(t, d, c)
}

func beginWith(t *testing.T, d Device, c *collector) *Adapter {
	t.Helper()
	a := New([]Device{d}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx, c)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return a
}

func good(s telemetry.Sample) bool { return s.Signal != 0 && s.Quality.Validity() == telemetry.Good }

// each runs a test against each of the servers.
func each(t *testing.T, test func(t *testing.T, kind opcuapeer.Kind)) {
	kinds := []opcuapeer.Kind{opcuapeer.Node, opcuapeer.Asyncua, opcuapeer.Milo}
	if testing.Short() {
		kinds = kinds[:1]
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

func TestValues(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		names := []string{"TopOil", "Alarm", "Name", "Energy", "Bad", "Harmonics/[2]", "Range/High", "Nothing", "Harmonics/[9]", "Harmonics", "Counter"}
		c, a := begin(t, plant(t, p, names...))
		for i := range names {
			c.await(t, names[i], func() bool { now, _ := c.of(telemetry.SignalID(i + 1)); return len(now) > 0 })
		}
		want := map[string]string{
			"Alarm": "true good", "Name": "Transformer 1 good", "Energy": "9007199254740993 good", "Bad": "– bad (sensor failure)", "Harmonics/[2]": "0.05 good",
			"Range/High": "140 good", "Nothing": "– bad (not implemented)", "Harmonics/[9]": "– bad (not implemented)", "Harmonics": "– bad (malformed answer)",
		}
		for i, name := range names {
			s := c.last(telemetry.SignalID(i + 1))
			if got := fmt.Sprintf("%v %v", s.Value, s.Quality); want[name] != "" && got != want[name] {
				t.Errorf("%s: %s, expected %s", name, got, want[name])
			}
			if name == "TopOil" && (s.Quality.TimeQuality() != telemetry.DeviceTime || time.Since(s.Time.Time()) > time.Minute) {
				t.Errorf("%s: %+v", name, s)
			}
		}
		c.await(t, "changes", func() bool { now, _ := c.of(11); return len(now) > 5 })
		if s := c.last(live); s.Value != telemetry.BoolValue(true) {
			t.Errorf("live: %+v", s)
		}
		samples, err := a.ReadOnce(t.Context(), "plant")
		if err != nil || len(samples) != len(names) || samples[3].Value != telemetry.IntValue(1<<53+1) {
			t.Errorf("%v, %v", samples, err)
		}
	})
}
