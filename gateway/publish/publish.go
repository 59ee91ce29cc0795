// Package publish publishes a gateway's alarms to an MQTT broker of its site, beside
// what is sent to the log and whether or not that can be reached. The broker keeps
// what is active, so that whoever connects later sees it.
package publish

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// Options are what a Publisher needs.
type Options struct {
	Config  mqttconn.Config
	Dir     string           // that its file names are relative to
	Now     func() time.Time // that certificates have to be valid at
	Gateway string
	Prefix  string // of the topics
	Log     *slog.Logger
}

// Publisher publishes alarms in the order in which they are added. It is safe for
// concurrent use.
type Publisher struct {
	o    Options
	wake chan struct{}

	mu          sync.Mutex
	queue       queue
	underway    int    // transitions that are being sent
	connections uint64 // counts them
	stats       Stats
	shedding    bool // since the last connection was made, and it was said
}

// Stats is how it stands.
type Stats struct {
	Broker    string
	Connected bool
	Since     time.Time // that it is, or isn't
	Cause     string    // why it isn't
	Published uint64    // transitions that the broker has acknowledged, since the start
	Waiting   int       // transitions
	Dropped   uint64    // transitions that were given up, since the start
	// Blind says that the broker doesn't show the gateway its own topics: it may keep an
	// alarm that ended while the gateway didn't run.
	Blind bool
}

const (
	// online says that the broker shows what is active, and nothing else.
	online, offline = "online", "offline"

	// together is how many transitions are sent before the first is acknowledged.
	together = 16
	// soonest and latest bound how long it waits until it connects again.
	soonest, latest = time.Second, 30 * time.Second
	// farewell is how long a Publisher that ends goes on with what waits.
	farewell = 2 * time.Second
)

// New makes a Publisher, which connects when it runs.
func New(o Options) *Publisher {
	p := &Publisher{o: o, wake: make(chan struct{}, 1)}
	p.stats = Stats{Broker: o.Config.Broker, Since: time.Now(), Cause: "not tried yet"}
	return p
}

func (p *Publisher) topic(rest ...string) string {
	return strings.Join(append([]string{p.o.Prefix, p.o.Gateway}, rest...), "/")
}

func (p *Publisher) topicOf(a *telemetry.AlarmChange) string {
	if a.Device != "" {
		return p.topic("alarms", a.Rule, a.Device)
	}
	return p.topic("alarms", a.Rule, a.Asset)
}

// Restore takes up an alarm that is active as the gateway starts. payload is what is
// published of it. It is called before Add.
func (p *Publisher) Restore(e telemetry.Event, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.restore(e, p.topicOf(e.Alarm), payload)
}

// Add has the raising or clearing of an alarm published; payload is the event as it is
// written to the log. It never waits. While the broker is away or slow, 4,096 wait in
// memory; then the oldest of an alarm that has cleared again are given up.
func (p *Publisher) Add(e telemetry.Event, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dropped := p.queue.dropped
	p.queue.add(transition{alarm: e.Alarm.ID, topic: p.topicOf(e.Alarm), raised: e.Kind == telemetry.AlarmRaised, payload: payload})
	if p.queue.dropped > dropped && !p.shedding {
		p.shedding = true
		p.o.Log.Warn("too many alarms wait for the MQTT broker; the oldest that have cleared again aren't published", "broker", p.o.Config.Broker)
	}
	p.notify()
}

func (p *Publisher) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Stats may be called at any time.
func (p *Publisher) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Waiting, s.Dropped = len(p.queue.waiting)+p.underway, p.queue.dropped
	return s
}

// Run publishes until ctx ends, whatever becomes of the broker meanwhile, and then for
// a moment what still waits.
func (p *Publisher) Run(ctx context.Context) {
	for pause := soonest; ctx.Err() == nil; pause = min(2*pause, latest) {
		err := p.connected(ctx, func() { pause = soonest })
		if ctx.Err() != nil {
			return
		}
		p.lose(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// lose notes that there is no connection.
func (p *Publisher) lose(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.stats
	p.stats.Connected, p.stats.Cause = false, err.Error()
	if was.Connected {
		p.stats.Since = time.Now()
	}
	if was.Connected || was.Cause != p.stats.Cause {
		p.o.Log.Warn("alarms can't be published; they wait", "broker", p.o.Config.Broker, "cause", err)
	}
}

// connected connects, and publishes until the connection fails or ctx ends. made is
// called when there is a connection.
func (p *Publisher) connected(ctx context.Context, made func()) error {
	conn, err := mqttconn.Dial(ctx, p.o.Config, mqttconn.Options{
		Dir: p.o.Dir, Now: p.o.Now, Will: p.status(offline),
	})
	if err != nil {
		return err
	}
	defer conn.Abort()
	err = conn.Retained(ctx, p.topic("alarms", "#"), p.kept)
	blind := errors.Is(err, mqttconn.ErrRefused)
	if err != nil && !blind {
		return err
	}
	// What the broker keeps comes before it acknowledges this, as far as it sends that at
	// once.
	if _, err := conn.Publish(ctx, []mqttconn.Message{p.status(offline)}); err != nil {
		return err
	}
	number := p.begin(blind)
	made()
	for right := false; ; {
		err := p.send(ctx, conn, number)
		if err == nil && !right {
			_, err = conn.Publish(ctx, []mqttconn.Message{p.status(online)})
			right = err == nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-p.wake:
		case <-conn.Lost():
			return conn.Cause()
		case <-ctx.Done():
			p.leave(conn, number)
			return ctx.Err()
		}
	}
}

func (p *Publisher) status(state string) mqttconn.Message {
	return mqttconn.Message{Topic: p.topic("status"), Payload: []byte(state), Retain: true}
}

// kept is told of a message that the broker keeps.
func (p *Publisher) kept(topic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.forget(topic)
	p.notify()
}

func (p *Publisher) begin(blind bool) (number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connections++
	p.shedding = false
	p.stats.Connected, p.stats.Since, p.stats.Cause, p.stats.Blind = true, time.Now(), "", blind
	p.o.Log.Info("alarms are published", "broker", p.o.Config.Broker, "waiting", len(p.queue.waiting), "dropped", p.queue.dropped)
	return p.connections
}

// send publishes until nothing waits.
func (p *Publisher) send(ctx context.Context, conn *mqttconn.Conn, connection uint64) error {
	for {
		p.mu.Lock()
		before := len(p.queue.waiting)
		batch := p.queue.take(together, connection)
		p.underway = before - len(p.queue.waiting)
		p.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		messages := make([]mqttconn.Message, len(batch))
		for i, o := range batch {
			messages[i] = o.Message
		}
		acknowledged, err := conn.Publish(ctx, messages)
		p.mu.Lock()
		p.underway = 0
		p.stats.Published += p.queue.settle(batch, acknowledged, connection)
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// leave publishes what waits, and that the gateway isn't there any more.
func (p *Publisher) leave(conn *mqttconn.Conn, connection uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	err := p.send(ctx, conn, connection)
	if err == nil {
		_, err = conn.Publish(ctx, []mqttconn.Message{p.status(offline)})
	}
	if err != nil {
		p.o.Log.Warn("the last alarms weren't published", "broker", p.o.Config.Broker, "waiting", p.Stats().Waiting, "cause", err)
		return
	}
	conn.Close()
}
