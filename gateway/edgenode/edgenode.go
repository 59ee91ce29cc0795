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
	"github.com/busbar/busbar/adapters/sparkplug/edge/session"
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
	// soonest and latest bound how long it waits until it connects again.
	soonest, latest = time.Second, 30 * time.Second
)

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
		if err := configfile.Replace(n.o.File, fmt.Appendln(nil, bdSeq), 0o600); err != nil {
			n.o.Log.Error("the number of the Sparkplug session can't be written down; the next process may use it again", "file", n.o.File, "error", err)
		}
		c := &connection{Node: n, bdSeq: bdSeq}
		n.lose(session.Run(ctx, n.o.Config, mqttconn.Options{Dir: n.o.Dir, Now: n.o.Now}, c, n.wake))
		if c.made {
			pause = soonest
		}
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

// connection is one session of a Node's.
type connection struct {
	*Node
	bdSeq uint64
	made  bool // it has begun
}

// Will implements session.Node.
func (c *connection) Will() (edge.Message, bool) { return c.edge.Will(c.bdSeq, c.o.Now()), true }

// Filters implements session.Node.
func (c *connection) Filters() []string { return c.edge.Filters() }

// Begin implements session.Node.
func (c *connection) Begin() {
	n := c.Node
	n.mu.Lock()
	defer n.mu.Unlock()
	n.edge.Connected(c.bdSeq)
	c.made, n.shedding, n.retyping = true, false, false
	n.stats.Connected, n.stats.Since, n.stats.Cause = true, time.Now(), ""
	about := []any{"broker", n.o.Config.Broker, "group", n.o.Edge.Group, "node", n.o.Edge.Node, "waiting", n.edge.Waiting(), "dropped", n.edge.Dropped()}
	if n.o.Edge.PrimaryHost != "" {
		about = append(about, "primary_host", n.o.Edge.PrimaryHost)
	}
	n.o.Log.Info("what is measured is published by Sparkplug", about...)
}

// Next implements session.Node.
func (c *connection) Next() ([]edge.Message, error) {
	n := c.Node
	n.mu.Lock()
	defer n.mu.Unlock()
	retyped := n.edge.Retyped()
	list := n.edge.Next(n.o.Now(), time.Now(), together)
	if n.edge.Retyped() > retyped && !n.retyping {
		n.retyping = true
		n.o.Log.Warn("values that waited aren't published, as their signals have become something else", "broker", n.o.Config.Broker)
	}
	return list, nil
}

// Published implements session.Node.
func (c *connection) Published() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Published++
}

// Receive implements session.Node.
func (c *connection) Receive(topic string, payload []byte) (leave bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edge.Receive(topic, payload)
}

// Death implements session.Node.
func (c *connection) Death() (edge.Message, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edge.Death(c.o.Now())
}
