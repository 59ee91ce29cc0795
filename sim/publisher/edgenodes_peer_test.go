package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/sparkplug"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/sim/simbench"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/mosquitto"
)

// value is one of a metric at its time.
type value struct {
	signal string // as the host application names it
	at     telemetry.Micros
	text   string
}

// truths is a truth log that is read while it is written.
type truths struct {
	mu   sync.Mutex
	list []Published
}

// Write takes a line.
func (l *truths) Write(b []byte) (int, error) {
	var p Published
	if err := json.Unmarshal(b, &p); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, p)
	return len(b), nil
}

func (l *truths) lines() []Published {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.list)
}

// told are the values that a host application can know.
func (l *truths) told() map[value]bool {
	told := map[value]bool{}
	for _, p := range l.lines() {
		if p.Metric != "" && p.How == "" {
			told[valueOf(p)] = true
		}
	}
	return told
}

func valueOf(p Published) value {
	name := strings.Join(slices.DeleteFunc([]string{p.Node, p.Device, p.Metric}, func(s string) bool { return s == "" }), ".")
	return value{strings.NewReplacer("-", "_", " ", "_", "/", ".").Replace(name), telemetry.Micros(p.AtMS * 1000), string(p.Value)}
}

// plant is the gateway's host application, and what it delivers.
type plant struct {
	t      *testing.T
	broker *mosquitto.Broker
	truth  *truths

	mu      sync.Mutex
	signals []adapters.Found
	here    bool
	present map[value]int // how often each came as a current value
	past    map[value]int
	guessed int // values whose time isn't their source's
}

func newPlant(t *testing.T) *plant {
	p := &plant{t: t, broker: mosquitto.New(t, ""), truth: &truths{}, present: map[value]int{}, past: map[value]int{}}
	p.broker.Start()
	a := sparkplug.New([]sparkplug.Device{{
		ID: "plant", HostID: "busbar", Groups: []string{"sim"}, ReorderTimeout: 2 * time.Second, Live: 1,
		Broker: mqttconn.Config{Broker: "tcp://" + p.broker.Address, ClientID: "gw-plant"},
	}}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { a.Run(ctx, p); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	await.True(t, "the host application is there", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.here
	})
	return p
}

// Register implements adapters.Registrar.
func (p *plant) Register(_ context.Context, _ string, told []adapters.Found) ([]telemetry.SignalID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]telemetry.SignalID, len(told))
	for i, f := range told {
		at := slices.IndexFunc(p.signals, func(k adapters.Found) bool { return k.Name == f.Name && k.Encoding == f.Encoding })
		if at < 0 {
			at = len(p.signals)
			p.signals = append(p.signals, f)
		}
		ids[i] = telemetry.SignalID(at + 2)
	}
	return ids, nil
}

// Known implements adapters.Registrar: nothing is known of before.
func (p *plant) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	return nil, nil, nil
}

// Deliver implements adapters.Sink.
func (p *plant) Deliver(_ context.Context, b adapters.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range b.Samples {
		if s.Signal == 1 {
			p.here = s.Value.Bits() != 0
			continue
		}
		name := p.signals[s.Signal-2].Name
		if strings.HasSuffix(name, ".Live") || s.Quality.Validity() != telemetry.Good {
			continue
		}
		v := value{name, s.Time, s.Value.String()}
		switch {
		case s.Quality.TimeQuality() != telemetry.DeviceTime:
			p.guessed++
		case b.Past:
			p.past[v]++
		default:
			p.present[v]++
		}
	}
	return nil
}

// delivered are the values that have come, whenever they were.
func (p *plant) delivered() map[value]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[value]bool{}
	for v := range p.present {
		all[v] = true
	}
	for v := range p.past {
		all[v] = true
	}
	return all
}

// loaded is what meters measure.
func loaded(t *testing.T) simbench.Profile {
	t.Helper()
	load, err := simbench.Load("H0-A")
	if err != nil {
		t.Fatal(err)
	}
	return load
}

// plays has edge nodes publish until stop is called.
func (p *plant) plays(change func(*EdgeNodes)) (stop func()) {
	p.t.Helper()
	c := EdgeNodes{
		Connection: mqttconn.Config{Broker: "tcp://" + p.broker.Address, ClientID: "sim"}, Group: "sim", Nodes: 1, Truth: p.truth,
		Meters: Meters{Count: 2, Every: 50 * time.Millisecond, Load: loaded(p.t), RatedPower: 20_000, Speed: 600, Seed: 1},
	}
	change(&c)
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := c.Run(ctx, slog.New(slog.DiscardHandler)); err != context.Canceled {
			p.t.Errorf("%v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	p.t.Cleanup(stop)
	return stop
}

// agrees waits until all values that were told have come, and fails if others have.
func (p *plant) agrees() {
	p.t.Helper()
	told := p.truth.told()
	missing := func() (list []value) {
		delivered := p.delivered()
		for v := range told {
			if !delivered[v] {
				list = append(list, v)
			}
		}
		return list
	}
	defer func() {
		if list := missing(); len(list) > 0 {
			p.t.Errorf("%d of %d values haven't come, such as %v", len(list), len(told), list[0])
		}
	}()
	await.True(p.t, "every value comes", func() bool { return len(missing()) == 0 })
	for v := range p.delivered() {
		if !told[v] {
			p.t.Errorf("%v has come, and nobody told it", v)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for v, n := range p.present {
		if n > 1 {
			p.t.Errorf("%v has come %d times", v, n)
		}
	}
}

// Several nodes, each value of which comes once, at its time.
func TestEveryValueComesOnce(t *testing.T) {
	p := newPlant(t)
	stop := p.plays(func(c *EdgeNodes) { c.Nodes = 3 })
	await.True(t, "a thousand values", func() bool { return len(p.delivered()) > 1000 })
	stop()
	p.agrees()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.past) > 0 || p.guessed > 0 {
		t.Errorf("%d values are of the past, %d have no time of their own", len(p.past), p.guessed)
	}
	names := map[string]bool{}
	for v := range p.present {
		names[v.signal] = true
	}
	if !names["edge_1.Supply"] || !names["edge_3.meter_2.DmdWh"] || !names["edge_2.Node_Info.Values_Dropped"] || len(names) != 3*(2+2*3) {
		t.Errorf("%v", names)
	}
	for _, f := range p.signals {
		if strings.HasSuffix(f.Name, ".TotW") && f.Unit != "W" {
			t.Errorf("%+v", f)
		}
	}
}

// Whatever the nodes do wrong, the host application has all that it can know, and nothing
// else.
func TestMisbehaviours(t *testing.T) {
	for how, shows := range map[string]func(p *plant) bool{
		"gap,every=7":        func(p *plant) bool { return p.lost() > 5 },
		"swap,every=3":       func(p *plant) bool { return p.done(Swap) > 5 },
		"cut=300ms,every=20": func(p *plant) bool { return p.done(Cut) > 2 && len(p.past) > 20 },
		"unwilled=300ms,every=20": func(p *plant) bool {
			return p.done(Unwilled) > 2 && len(p.past) > 20
		},
		"unborn=100ms,every=60":                     func(p *plant) bool { return p.lost() > 0 && p.toldSince(Unborn) > 50 },
		"cut=100ms,every=20; unborn=100ms,every=20": func(p *plant) bool { return p.done(Cut) > 2 && p.done(Unborn) > 2 },
		"clock=-1h": func(p *plant) bool {
			for v := range p.present {
				if age := time.Since(v.at.Time()); age < time.Hour || age > 2*time.Hour {
					p.t.Errorf("%v is %v old", v, age)
				}
			}
			return len(p.present) > 100
		},
		"gap; swap,every=3; cut=200ms,every=30; clock=-5m": func(p *plant) bool { return p.lost() > 1 && p.done(Swap) > 5 && p.done(Cut) > 2 },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t)
			misbehave, err := ParseMisbehaviours(how)
			if err != nil {
				t.Fatal(err)
			}
			stop := p.plays(func(c *EdgeNodes) { c.Misbehave = misbehave })
			await.True(t, how, func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return shows(p)
			})
			stop()
			p.agrees()
		})
	}
}

// done is how often something was done wrong.
func (p *plant) done(k Kind) (n int) {
	for _, l := range p.truth.lines() {
		if l.Metric == "" && l.How == k {
			n++
		}
	}
	return n
}

// lost is how many values no host application can know.
func (p *plant) lost() (n int) {
	told := p.truth.told()
	for _, l := range p.truth.lines() {
		if l.Metric != "" && l.How != "" && !told[valueOf(l)] {
			n++
		}
	}
	return n
}

// toldSince is how many values were told well since something was first done wrong.
func (p *plant) toldSince(k Kind) (n int) {
	since := false
	for _, l := range p.truth.lines() {
		since = since || l.How == k
		if since && l.Metric != "" && l.How == "" {
			n++
		}
	}
	return n
}

// A clock that is ahead tells times that can't be; the values come all the same.
func TestAClockThatIsAhead(t *testing.T) {
	p := newPlant(t)
	p.plays(func(c *EdgeNodes) { c.Misbehave = []Misbehaviour{{Kind: Clock, Time: 5 * time.Hour}} })
	await.True(t, "values by the time at which they come", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.guessed > 100
	})
	if len(p.delivered()) > 0 {
		t.Error("times of the future are believed")
	}
}

// heard is how many messages of a node have come, by their kind.
func heard(w *mosquitto.Watcher) func(topic.Kind) int {
	return func(kind topic.Kind) (n int) {
		for _, m := range w.Messages() {
			if t, ok := topic.Parse(m.Topic); ok && t.Kind == kind && t.Node == "edge-1" {
				n++
			}
		}
		return n
	}
}

// Nobody is told of the death of a node without a last will, and of any other everybody is.
func TestWills(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	heard := heard(b.Watch(topic.Namespace))
	p := &plant{t: t, broker: b, truth: &truths{}}
	stop := p.plays(func(c *EdgeNodes) { c.Misbehave = []Misbehaviour{{Unwilled, 100 * time.Millisecond, 10}} })
	await.True(t, "several sessions", func() bool { return heard(topic.NBirth) > 3 })
	stop()
	if n := heard(topic.NDeath); n != 0 {
		t.Errorf("%d deaths without a will", n)
	}
	stop = p.plays(func(c *EdgeNodes) { c.Misbehave = []Misbehaviour{{Cut, 100 * time.Millisecond, 10}} })
	await.True(t, "a death each", func() bool { return heard(topic.NDeath) > 3 })
	stop()
}

// Without its primary host, a node publishes nothing.
func TestPrimaryHost(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	w := b.Watch(topic.Namespace + "/sim")
	heard := heard(w)
	p := &plant{t: t, broker: b, truth: &truths{}}
	state := func(online bool) {
		b.Publish(topic.OfHost("scada"), string(topic.State{Online: online, Timestamp: time.Now().UnixMilli()}.Payload()), "-r")
	}
	state(false)
	p.plays(func(c *EdgeNodes) { c.PrimaryHost = "scada" })
	state(true)
	await.True(t, "a birth", func() bool { return heard(topic.DData) > 0 })
	if first := w.Messages()[0].Topic; first != "spBv1.0/sim/NBIRTH/edge-1" {
		t.Errorf("first of all, %s", first)
	}
	state(false)
	await.True(t, "a death", func() bool { return heard(topic.NDeath) == 1 })
	if n := heard(topic.NBirth); n != 1 {
		t.Errorf("%d births", n)
	}
	state(true)
	await.True(t, "another birth", func() bool { return heard(topic.NBirth) == 2 })
}

// What can't be written down isn't published as if it were.
func TestTruthThatCantBeWritten(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	c := EdgeNodes{
		Connection: mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "sim"}, Group: "sim", Nodes: 2, Truth: full{},
		Meters: Meters{Count: 1, Every: time.Hour, Load: loaded(t), RatedPower: 1, Speed: 1},
	}
	if err := c.Run(t.Context(), slog.New(slog.DiscardHandler)); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
