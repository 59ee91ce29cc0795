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

	mu      sync.Mutex
	edge    *edge.Edge
	signals []telemetry.Signal // by alias, from 1 on
	names   map[uint64]string  // of metrics by alias, as births have them
	due     map[Kind]bool      // what is to be done wrong next
	held    *edge.Message      // that comes after the next one
	unborn  bool               // its births are kept back
}

const (
	// mostWaiting bounds the values that wait while nobody hears of them.
	mostWaiting = 100_000
	// together is how many messages of what had to wait are published at once.
	together = 16
	// keepAlive is after how long a silent broker is asked whether it is there.
	keepAlive = 10 * time.Second
	// reconnect is after how long it is tried again to connect.
	reconnect = time.Second
	// farewell is how long a node that ends goes on with what waits.
	farewell = 2 * time.Second
)

// ready is closed, for who needn't wait.
var ready = make(chan struct{})

func init() { close(ready) }

func newEdgeNode(c EdgeNodes, i int, truth *truthLog, log *slog.Logger) *edgeNode {
	n := &edgeNode{
		name: fmt.Sprintf("edge-%d", i+1), connection: c.Connection, meters: c.Meters, misbehave: c.Misbehave, truth: truth,
		wake: make(chan struct{}, 1), names: map[uint64]string{}, due: map[Kind]bool{},
	}
	n.log = log.With("node", n.name)
	n.connection.ClientID += "-" + n.name
	n.meters.others = i * c.Count
	n.edge = edge.New(edge.Config{Group: c.Group, Node: n.name, Own: n.name, PrimaryHost: c.PrimaryHost, MostWaiting: mostWaiting})
	n.define(n.name, telemetry.Signal{Name: "Supply", Unit: "V", Kind: telemetry.Gauge})
	for m := range n.meters.Count {
		device := fmt.Sprintf("meter-%d", m+1)
		n.define(device, telemetry.Signal{Name: "TotW", Unit: "W", Kind: telemetry.Gauge})
		n.define(device, telemetry.Signal{Name: "DmdWh", Unit: "W.h", Kind: telemetry.Counter})
		n.define(device, telemetry.Signal{Name: "PhV", Unit: "V", Kind: telemetry.Gauge})
		n.define(device, telemetry.Signal{Name: telemetry.ChannelLive, Unit: "1", Kind: telemetry.State})
	}
	n.edge.Define(n.signals)
	return n
}

func (n *edgeNode) define(device string, s telemetry.Signal) {
	s.ID, s.Device = telemetry.SignalID(len(n.signals)+1), device
	n.signals = append(n.signals, s)
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
		err := n.session(ctx)
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
	add := func(v telemetry.Value) {
		samples = append(samples, telemetry.Sample{Time: at, Signal: telemetry.SignalID(len(samples) + 1), Value: v})
	}
	add(telemetry.FloatValue(24 + math.Mod(float64(reading), 10)/100))
	for _, r := range readings {
		add(telemetry.FloatValue(r.Power))
		add(telemetry.UintValue(r.Energy))
		add(telemetry.FloatValue(r.Voltage))
		add(telemetry.BoolValue(true))
	}
	n.edge.Take(at, samples, false)
	for _, m := range n.misbehave {
		if m.Every > 0 && reading > 0 && reading%m.Every == 0 {
			n.due[m.Kind] = true
		}
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// session connects, and publishes until the connection fails or is broken off, the primary
// host goes, or ctx ends.
func (n *edgeNode) session(ctx context.Context) error {
	o := mqttconn.Options{KeepAlive: keepAlive}
	if _, unwilled := n.does(Unwilled); !unwilled {
		will := n.edge.Will(n.bdSeq, n.now())
		o.Will = mqttconn.Message{Topic: will.Topic, Payload: will.Payload.Append(nil)}
	}
	conn, err := mqttconn.Dial(ctx, n.connection, o)
	if err != nil {
		return err
	}
	defer conn.Abort()
	if err := n.subscribe(ctx, conn); err != nil {
		return err
	}
	n.begin()
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	arrivals := conn.Arrivals(receiving)
	sending := context.WithoutCancel(ctx)
	again := time.NewTicker(edge.RebirthPause)
	defer again.Stop()
	for ctx.Err() == nil {
		more, err := n.send(sending, conn)
		if err != nil {
			return err
		}
		if err := n.breaks(); err != nil {
			return err
		}
		var now <-chan struct{}
		if more {
			now = ready
		}
		select {
		case <-ctx.Done():
		case messages, ok := <-arrivals.Messages:
			if !ok {
				return arrivals.Err()
			}
			leaves := n.receive(messages)
			if err := conn.Acknowledge(messages); err != nil {
				return err
			}
			arrivals.Next()
			if leaves {
				return n.leave(sending, conn, errors.New("the primary host is away"))
			}
		case <-n.wake:
		case <-again.C:
		case <-now:
		}
	}
	return n.leave(sending, conn, ctx.Err())
}

func (n *edgeNode) subscribe(ctx context.Context, conn *mqttconn.Conn) error {
	var filters []mqttconn.Filter
	for _, f := range n.edge.Filters() {
		filters = append(filters, mqttconn.Filter{Topic: f, QoS: 1})
	}
	granted, err := conn.Subscribe(ctx, filters)
	if err == nil && slices.Contains(granted, mqttconn.Refused) {
		err = fmt.Errorf("mqtt: subscribe to %s: %w", filters[slices.Index(granted, mqttconn.Refused)].Topic, mqttconn.ErrRefused)
	}
	return err
}

func (n *edgeNode) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.edge.Connected(n.bdSeq)
	n.held = nil
	clear(n.due)
}

// send publishes what there is now, as far as the node behaves. It reports whether there is
// more.
func (n *edgeNode) send(ctx context.Context, conn *mqttconn.Conn) (more bool, err error) {
	n.mu.Lock()
	list := n.spoil(n.edge.Next(n.now(), time.Now(), together))
	more = n.edge.Backlog()
	n.mu.Unlock()
	if len(list) == 0 {
		return more, nil
	}
	messages := make([]mqttconn.Message, len(list))
	for i, m := range list {
		messages[i] = mqttconn.Message{Topic: m.Topic, Payload: m.Payload.Append(nil), AtMostOnce: true}
	}
	_, err = conn.Publish(ctx, messages)
	return more, err
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
	n.mu.Lock()
	defer n.mu.Unlock()
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

// receive takes commands, and what the primary host says. It reports whether that has gone.
func (n *edgeNode) receive(messages []mqttconn.Received) (leaves bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range messages {
		leaves = n.edge.Receive(m.Topic, m.Payload) || leaves
		if t, ok := topic.Parse(m.Topic); ok && t.Kind == topic.NCmd {
			n.unborn = false
		}
	}
	return leaves
}

// leave ends a session on purpose, for a reason.
func (n *edgeNode) leave(ctx context.Context, conn *mqttconn.Conn, why error) error {
	var err error
	for more, until := true, time.Now().Add(farewell); more && err == nil && time.Now().Before(until); {
		more, err = n.send(ctx, conn)
	}
	n.mu.Lock()
	death, born := n.edge.Death(n.now())
	n.mu.Unlock()
	if _, unwilled := n.does(Unwilled); err == nil && born && !unwilled {
		_, err = conn.Publish(ctx, []mqttconn.Message{{Topic: death.Topic, Payload: death.Payload.Append(nil)}})
	}
	if err == nil {
		conn.Close()
	}
	return why
}
