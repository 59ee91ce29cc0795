// Package edgenode publishes what a gateway measures to an MQTT broker of its plant, as a
// Sparkplug B edge node whose devices are the gateway's. What reads and stores never waits
// for it.
package edgenode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/edge"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// Options are what a Node needs.
type Options struct {
	Config mqttconn.Config
	Dir    string           // that its file names are relative to
	Now    func() time.Time // that certificates have to be valid at, and messages are stamped with
	Edge   edge.Config
	File   string // keeps the number of the last session
	Log    *slog.Logger
}

// Node is an edge node. It is safe for concurrent use.
type Node struct {
	o    Options
	wake chan struct{}

	mu    sync.Mutex
	edge  *edge.Edge
	stats Stats
	// shedding and retyping are that it was said, since the last connection was made, that
	// values are given up.
	shedding, retyping bool

	list []edge.Message // is being published; Run's
}

// Stats is how it stands.
type Stats struct {
	Broker    string
	Connected bool
	Online    bool      // what is measured is published
	Since     time.Time // that it is connected, or isn't
	Cause     string    // why it isn't
	Published uint64    // messages, since the start
	Waiting   int       // values
	Dropped   uint64    // values that were given up, since the start
}

const (
	// MostWaiting bounds the values that wait in memory.
	MostWaiting = 100_000
	// together is how many messages of what had to wait are sent before what is fresh has
	// its turn again.
	together = 16
	// keepAlive is after how long a silent broker is asked whether it is there.
	keepAlive = 10 * time.Second
	// soonest and latest bound how long it waits until it connects again.
	soonest, latest = time.Second, 30 * time.Second
	// farewell is how long a Node that ends goes on with what waits, and then how long it
	// tries to say that it ends.
	farewell = 2 * time.Second
)

// always is ready.
var always = make(chan struct{})

func init() { close(always) }

// New is a Node that connects when it runs.
func New(o Options) *Node {
	n := &Node{o: o, wake: make(chan struct{}, 1), edge: edge.New(o.Edge)}
	n.stats = Stats{Broker: o.Config.Broker, Since: time.Now(), Cause: "not tried yet"}
	return n
}

// Define says which signals there are from now on.
func (n *Node) Define(signals []telemetry.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.edge.Define(signals)
	n.notify()
}

// Take takes samples, which came at that moment; past says that they are older than what
// is current. It never waits for the broker. While that is away, MostWaiting changes wait
// in memory; then the oldest are given up.
func (n *Node) Take(at telemetry.Micros, samples []telemetry.Sample, past bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dropped := n.edge.Dropped()
	if n.edge.Take(at, samples, past) {
		n.notify()
	}
	n.warn(n.edge.Dropped() > dropped)
}

// warn says once of each connection, and of the time after it, that values are given up.
func (n *Node) warn(shedding bool) {
	if shedding && !n.shedding {
		n.shedding = true
		n.o.Log.Warn("too many values wait for the Sparkplug broker; the oldest aren't published", "broker", n.o.Config.Broker, "waiting", n.edge.Waiting())
	}
}

func (n *Node) notify() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Stats may be called at any time.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.stats
	s.Waiting, s.Dropped, s.Online = n.edge.Waiting(), n.edge.Dropped()+n.edge.Retyped(), s.Connected && n.edge.Online()
	return s
}

// Run publishes until ctx ends, whatever becomes of the broker meanwhile, and then for a
// moment what still waits.
func (n *Node) Run(ctx context.Context) {
	bdSeq := n.lastSession()
	for pause := soonest; ctx.Err() == nil; pause = min(2*pause, latest) {
		bdSeq = (bdSeq + 1) % 256
		err := n.connected(ctx, bdSeq, func() { pause = soonest })
		n.lose(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// lastSession is the number of the last session; that before 0 if there was none.
func (n *Node) lastSession() uint64 {
	text, err := os.ReadFile(n.o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return 255
	}
	var last uint64
	if err == nil {
		last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 8)
	}
	if err != nil {
		n.o.Log.Error("the number of the last Sparkplug session can't be read; the next one has 0", "file", n.o.File, "error", err)
		return 255
	}
	return last
}

// lose notes that there is no connection.
func (n *Node) lose(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dropped := n.edge.Dropped()
	n.edge.Lost(time.Now())
	n.warn(n.edge.Dropped() > dropped)
	was := n.stats
	n.stats.Connected, n.stats.Cause = false, err.Error()
	if was.Connected {
		n.stats.Since = time.Now()
	}
	if !errors.Is(err, context.Canceled) && (was.Connected || was.Cause != n.stats.Cause) {
		n.o.Log.Warn("what is measured can't be published by Sparkplug; it waits", "broker", n.o.Config.Broker, "cause", err)
	}
}

// errAway is that the primary host has gone.
var errAway = errors.New("the primary host is away")

// connected connects with the session of that number, and publishes until the connection
// fails, the primary host goes, or ctx ends. made is called when there is a connection.
func (n *Node) connected(ctx context.Context, bdSeq uint64, made func()) error {
	if err := configfile.Replace(n.o.File, fmt.Appendln(nil, bdSeq), 0o600); err != nil {
		n.o.Log.Error("the number of the Sparkplug session can't be written down; the next process may use it again", "file", n.o.File, "error", err)
	}
	will := n.o.will(n.edge, bdSeq)
	conn, err := mqttconn.Dial(ctx, n.o.Config, mqttconn.Options{Dir: n.o.Dir, Now: n.o.Now, Will: will, KeepAlive: keepAlive})
	if err != nil {
		return err
	}
	defer conn.Abort()
	if err := n.subscribe(ctx, conn); err != nil {
		return err
	}
	made()
	n.begin(bdSeq)
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	arrivals := conn.Arrivals(receiving)
	sending, broken := context.WithCancel(context.WithoutCancel(ctx))
	defer broken()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(2*farewell, broken) })()
	again := time.NewTicker(edge.RebirthPause)
	defer again.Stop()
	for ctx.Err() == nil {
		more, err := n.send(sending, conn)
		if err != nil {
			return err
		}
		var now <-chan struct{}
		if more {
			now = always
		}
		select {
		case <-ctx.Done():
		case messages, ok := <-arrivals.Messages:
			if !ok {
				return arrivals.Err()
			}
			away := n.receive(messages)
			if err := conn.Acknowledge(messages); err != nil {
				return err
			}
			arrivals.Next()
			if away {
				n.list = nil // is told when it is back
				return n.leave(sending, conn, errAway)
			}
		case <-n.wake:
		case <-again.C:
		case <-now:
		}
	}
	return n.leave(sending, conn, ctx.Err())
}

// will is what the broker publishes when the connection is lost.
func (o Options) will(e *edge.Edge, bdSeq uint64) mqttconn.Message {
	m := e.Will(bdSeq, o.Now())
	return mqttconn.Message{Topic: m.Topic, Payload: m.Payload.Append(nil)}
}

func (n *Node) subscribe(ctx context.Context, conn *mqttconn.Conn) error {
	var filters []mqttconn.Filter
	for _, f := range n.edge.Filters() {
		filters = append(filters, mqttconn.Filter{Topic: f, QoS: 1})
	}
	granted, err := conn.Subscribe(ctx, filters)
	if err != nil {
		return err
	}
	for i, g := range granted {
		if g == mqttconn.Refused {
			return fmt.Errorf("mqtt: subscribe to %s: %w", filters[i].Topic, mqttconn.ErrRefused)
		}
	}
	return nil
}

func (n *Node) begin(bdSeq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.edge.Connected(bdSeq)
	n.list, n.shedding, n.retyping = nil, false, false
	n.stats.Connected, n.stats.Since, n.stats.Cause = true, time.Now(), ""
	about := []any{"broker", n.o.Config.Broker, "group", n.o.Edge.Group, "node", n.o.Edge.Node, "waiting", n.edge.Waiting(), "dropped", n.edge.Dropped()}
	if n.o.Edge.PrimaryHost != "" {
		about = append(about, "primary_host", n.o.Edge.PrimaryHost)
	}
	n.o.Log.Info("what is measured is published by Sparkplug", about...)
}

// send publishes one message of what there is now: over a slow link each has its own time,
// and what comes or ends meanwhile is heard between two. It reports whether there is more.
func (n *Node) send(ctx context.Context, conn *mqttconn.Conn) (more bool, err error) {
	n.mu.Lock()
	if len(n.list) == 0 {
		retyped := n.edge.Retyped()
		n.list = n.edge.Next(n.o.Now(), time.Now(), together)
		if n.edge.Retyped() > retyped && !n.retyping {
			n.retyping = true
			n.o.Log.Warn("values that waited aren't published, as their signals have become something else", "broker", n.o.Config.Broker)
		}
	}
	more = len(n.list) > 1 || n.edge.Backlog()
	n.mu.Unlock()
	if len(n.list) == 0 {
		return more, nil
	}
	m := n.list[0]
	n.list = n.list[1:]
	published, err := conn.Publish(ctx, []mqttconn.Message{{Topic: m.Topic, Payload: m.Payload.Append(nil), AtMostOnce: true}})
	n.mu.Lock()
	n.stats.Published += uint64(published)
	n.mu.Unlock()
	return more, err
}

// receive takes commands, and what the primary host says. It reports whether that has
// gone.
func (n *Node) receive(messages []mqttconn.Received) (away bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range messages {
		away = n.edge.Receive(m.Topic, m.Payload) || away
	}
	return away
}

// leave ends a session on purpose, for a reason.
func (n *Node) leave(ctx context.Context, conn *mqttconn.Conn, why error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*farewell)
	defer cancel()
	var err error
	for more, until := true, time.Now().Add(farewell); more && err == nil && time.Now().Before(until); {
		more, err = n.send(ctx, conn)
	}
	n.mu.Lock()
	death, born := n.edge.Death(n.o.Now())
	n.mu.Unlock()
	if err == nil && born {
		_, err = conn.Publish(ctx, []mqttconn.Message{{Topic: death.Topic, Payload: death.Payload.Append(nil)}})
	}
	if err == nil {
		conn.Close()
	}
	return why
}
