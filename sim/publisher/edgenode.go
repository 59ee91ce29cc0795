package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/edge"
	"github.com/busbar/busbar/adapters/sparkplug/edge/session"
	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// edgeNode is one of them.
type edgeNode struct {
	name       string
	connection mqttconn.Config
	meters     Meters
	misbehave  []Misbehaviour
	truth      *truthLog
	log        *slog.Logger
	wake       chan struct{}
	bdSeq      uint64

	mu     sync.Mutex
	edge   *edge.Edge
	names  map[uint64]string // of metrics by alias, as births have them
	due    map[Kind]bool     // what is to be done wrong next
	held   *edge.Message     // that comes after the next one
	unborn bool              // its births are kept back
}

const (
	// mostWaiting bounds the values that wait while nobody hears of them.
	mostWaiting = 100_000
	// together is how many messages of what had to wait are published at once.
	together = 16
	// reconnect is after how long it is tried again to connect.
	reconnect = time.Second
)

func newEdgeNode(c EdgeNodes, i int, truth *truthLog, log *slog.Logger) *edgeNode {
	n := &edgeNode{
		name: c.node(i).Name, connection: c.Connection, meters: c.node(i).Meters, misbehave: c.Misbehave, truth: truth,
		wake: make(chan struct{}, 1), names: map[uint64]string{}, due: map[Kind]bool{},
	}
	n.log = log.With("node", n.name)
	n.connection.ClientID += "-" + n.name
	n.edge = edge.New(edge.Config{Group: c.Group, Node: n.name, Own: n.name, PrimaryHost: c.PrimaryHost, MostWaiting: mostWaiting})
	var signals []telemetry.Signal
	define := func(device, name, unit string, kind telemetry.Kind) {
		signals = append(signals, telemetry.Signal{ID: telemetry.SignalID(len(signals) + 1), Device: device, Name: name, Unit: unit, Kind: kind})
	}
	define(n.name, "Supply", "V", telemetry.Gauge) // in take's order
	for m := range n.meters.Count {
		device := n.meters.name(m)
		define(device, "TotW", "W", telemetry.Gauge)
		define(device, "DmdWh", "W.h", telemetry.Counter)
		define(device, "PhV", "V", telemetry.Gauge)
		define(device, telemetry.ChannelLive, "1", telemetry.State)
	}
	n.edge.Define(signals)
	return n
}

// does is how it does something wrong; ok is false if it doesn't.
func (n *edgeNode) does(k Kind) (m Misbehaviour, ok bool) {
	i := slices.IndexFunc(n.misbehave, func(m Misbehaviour) bool { return m.Kind == k })
	if i < 0 {
		return m, false
	}
	return n.misbehave[i], true
}

// now is by its own clock.
func (n *edgeNode) now() time.Time {
	off, _ := n.does(Clock)
	return time.Now().Add(off.Time)
}

// away is that the connection is broken off for so long.
type away time.Duration

func (a away) Error() string { return fmt.Sprintf("away for %v", time.Duration(a)) }

// run plays it until ctx ends.
func (n *edgeNode) run(ctx context.Context) {
	var measuring sync.WaitGroup
	measuring.Go(func() { n.measure(ctx) })
	defer measuring.Wait()
	for ; ctx.Err() == nil; n.bdSeq = (n.bdSeq + 1) % 256 {
		err := session.Run(ctx, n.connection, mqttconn.Options{}, n, n.wake)
		n.mu.Lock()
		n.edge.Lost(time.Now())
		n.mu.Unlock()
		if a, is := errors.AsType[away](err); is {
			wait(ctx, time.Duration(a))
			continue
		}
		if ctx.Err() == nil {
			n.log.Warn("nobody hears of it", "broker", n.connection.Broker, "error", err)
		}
		wait(ctx, reconnect)
	}
}

// measure has the meters be read, whether anybody hears of it or not.
func (n *edgeNode) measure(ctx context.Context) {
	began := time.Now()
	due := time.NewTicker(n.meters.Every)
	defer due.Stop()
	for reading := 0; ctx.Err() == nil; reading++ {
		n.take(reading, n.meters.read(time.Since(began)))
		select {
		case <-due.C:
		case <-ctx.Done():
		}
	}
}

func (n *edgeNode) take(reading int, readings []Reading) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := telemetry.MicrosOf(n.now())
	var samples []telemetry.Sample
	id := telemetry.SignalID(1)
	add := func(v telemetry.Value) {
		samples = append(samples, telemetry.Sample{Time: at, Signal: id, Value: v})
		id++
	}
	add(telemetry.FloatValue(24 + math.Mod(float64(reading), 10)/100))
	for _, r := range readings {
		if !r.Silent {
			add(telemetry.FloatValue(r.Power))
			add(telemetry.UintValue(r.Energy))
			add(telemetry.FloatValue(r.Voltage))
		} else {
			id += 3
		}
		add(telemetry.BoolValue(!r.Silent))
	}
	n.edge.Take(at, samples, false)
	for _, m := range n.misbehave { // what is missed while nobody hears of it isn't made up for
		if m.Every > 0 && n.edge.Online() && reading > 0 && reading%m.Every == 0 {
			n.due[m.Kind] = true
		}
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Will implements session.Node.
func (n *edgeNode) Will() (edge.Message, bool) {
	_, unwilled := n.does(Unwilled)
	return n.edge.Will(n.bdSeq, n.now()), !unwilled
}

// Filters implements session.Node.
func (n *edgeNode) Filters() []string { return n.edge.Filters() }

// Begin implements session.Node.
func (n *edgeNode) Begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.edge.Connected(n.bdSeq)
	n.held = nil
}

// Next implements session.Node, as far as the node behaves.
func (n *edgeNode) Next() ([]edge.Message, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.breaks(); err != nil {
		return nil, err
	}
	for {
		list := n.edge.Next(n.now(), time.Now(), together)
		if len(list) == 0 {
			return nil, nil
		}
		if list = n.spoil(list); len(list) > 0 {
			return list, nil
		}
	}
}

// Published implements session.Node.
func (n *edgeNode) Published() {}

// Receive implements session.Node.
func (n *edgeNode) Receive(name string, payload []byte) (leave bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t, ok := topic.Parse(name); ok && t.Kind == topic.NCmd {
		n.unborn = false
	}
	return n.edge.Receive(name, payload)
}

// Death implements session.Node.
func (n *edgeNode) Death() (edge.Message, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	death, born := n.edge.Death(n.now())
	_, unwilled := n.does(Unwilled)
	return death, born && !unwilled
}

// spoil is what becomes of messages that are to be published.
func (n *edgeNode) spoil(list []edge.Message) (out []edge.Message) {
	for _, m := range list {
		t, _ := topic.Parse(m.Topic)
		data := t.Kind == topic.NData || t.Kind == topic.DData
		birth := t.Kind == topic.NBirth || t.Kind == topic.DBirth
		var how Kind
		switch {
		case data && n.happens(Gap):
			n.tell(t.Device, m.Payload, Gap)
			continue
		case n.unborn:
			how = Unborn
		case data && n.held == nil && n.happens(Swap):
			n.held = &m
			continue
		}
		n.tell(t.Device, m.Payload, how)
		held := n.held
		n.held = nil
		if held != nil && birth { // before it everything else is told
			out = append(out, n.release(held))
			held = nil
		}
		if how != Unborn || !birth {
			out = append(out, m)
		}
		if held != nil {
			out = append(out, n.release(held))
		}
	}
	return out
}

// release is a message that was held back.
func (n *edgeNode) release(m *edge.Message) edge.Message {
	t, _ := topic.Parse(m.Topic)
	n.tell(t.Device, m.Payload, "")
	return *m
}

// happens reports whether something is to be done wrong now, and notes that it is.
func (n *edgeNode) happens(k Kind) bool {
	if !n.due[k] {
		return false
	}
	delete(n.due, k)
	n.truth.write(Published{TimeUS: time.Now().UnixMicro(), Node: n.name, How: k})
	return true
}

// breaks says for how long the connection is to break off now; nil: it isn't.
func (n *edgeNode) breaks() error {
	for _, k := range []Kind{Cut, Unwilled, Unborn} {
		if n.happens(k) {
			n.unborn = k == Unborn
			m, _ := n.does(k)
			return away(m.Time)
		}
	}
	return nil
}

// tell writes down what is published of the node, or of one of its devices.
func (n *edgeNode) tell(device string, p payload.Payload, how Kind) {
	for _, m := range p.Metrics {
		if len(m.Name) > 0 && m.HasAlias {
			n.names[m.Alias] = string(m.Name)
		}
		v, err := m.Value.Scalar(m.Value.Natural())
		if err != nil || m.Null || !m.HasAlias { // what has none isn't measured
			continue
		}
		n.truth.write(Published{
			TimeUS: time.Now().UnixMicro(), Node: n.name, Device: device, Metric: n.names[m.Alias],
			AtMS: m.Timestamp, Value: json.Number(v.String()), Past: m.Historical, How: how,
		})
	}
}
