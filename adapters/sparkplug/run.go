package sparkplug

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/adapters/sparkplug/host"
	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
	"github.com/busbar/busbar/mqttconn"
)

const (
	// soonest and latest bound how long it waits until it connects again.
	soonest, latest = time.Second, 30 * time.Second
	// longestMessage bounds what is taken of a message, in bytes.
	longestMessage = 2 << 20
	// farewell is how long a host application that ends tries to say so.
	farewell = 2 * time.Second
	// keepAlive is after how long a silent broker is asked whether it is there.
	keepAlive = 10 * time.Second
	// maxTogether bounds the readings that are delivered together.
	maxTogether = 5000
)

// running is a host application that runs.
type running struct {
	Device
	session *session.Session
	host    *host.Host
	found   *found
	since   int64 // the timestamp of the last state, in ms
	warned  map[string]time.Time
	result  session.Result // whose samples are used again
}

// Run implements session.Device.
func (d Device) Run(ctx context.Context, s *session.Session) {
	r := &running{
		Device: d, session: s, host: host.New(host.Config{ID: d.HostID, ReorderTimeout: d.ReorderTimeout, Own: d.Own}),
		found: newFound(d), warned: map[string]time.Time{},
	}
	alive := time.NewTicker(adapters.LiveEvery / 4)
	defer alive.Stop()
	for pause := soonest; ctx.Err() == nil; pause = min(2*pause, latest) {
		err := r.connected(ctx, alive.C, func() { pause = soonest })
		if ctx.Err() != nil {
			return
		}
		r.host.Lost(time.Now())
		if r.flush(ctx, nil, err) != nil || r.session.Deliver(ctx, session.Result{Received: time.Now(), Cause: err}) != nil {
			return
		}
		for wait := time.After(pause); wait != nil; {
			select {
			case <-ctx.Done():
				return
			case <-wait:
				wait = nil
			case a := <-s.Asked():
				a.Answer(session.Result{Received: time.Now(), Cause: err})
			}
		}
	}
}

// state is what is published of this host application.
func (r *running) state(online bool) mqttconn.Message {
	return mqttconn.Message{Topic: topic.OfHost(r.HostID), Payload: topic.State{Online: online, Timestamp: r.since}.Payload(), Retain: true}
}

// stamp takes the time for the next state. They are ordered by it, also if the clock was
// set back.
func (r *running) stamp() { r.since = max(time.Now().UnixMilli(), r.since+1) }

// errBehind is that the broker has kept a later state than the one of this connection.
var errBehind = errors.New("the clock is behind the last state that was published of this host application")

// connected connects, and takes what comes until the connection fails or ctx ends, of which
// the broker is told. made is called when there is a connection.
func (r *running) connected(ctx context.Context, alive <-chan time.Time, made func()) error {
	r.stamp()
	conn, err := mqttconn.Dial(ctx, r.Broker, mqttconn.Options{Dir: r.Dir, Will: r.state(false), MaxPayload: longestMessage, KeepAlive: keepAlive})
	if err != nil {
		return err
	}
	defer conn.Abort()
	err = r.receive(ctx, conn, alive, made)
	if ctx.Err() != nil { // whatever it was doing
		r.leave(conn)
	}
	return err
}

func (r *running) receive(ctx context.Context, conn *mqttconn.Conn, alive <-chan time.Time, made func()) error {
	if err := conn.SubscribeAll(ctx, r.filters()); err != nil {
		return err
	}
	if err := publish(ctx, conn, r.state(true)); err != nil {
		return err
	}
	made()
	now := time.Now()
	r.host.Connected(now)
	if err := r.flush(ctx, conn, nil); err != nil {
		return err
	}
	if err := r.session.Deliver(ctx, session.Result{Received: now}); err != nil {
		return err
	}
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	arrivals := conn.Arrivals(receiving)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(r.untilDue())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a := <-r.session.Asked():
			a.Answer(r.found.latest(time.Now()))
			continue
		case now := <-alive:
			if r.session.LiveDue(now) {
				if err := r.session.Deliver(ctx, session.Result{Received: now}); err != nil {
					return err
				}
			}
			continue
		case now := <-timer.C:
			r.host.Tick(now)
			if r.found.due(now) {
				if err := r.found.register(ctx, r.session); err != nil {
					return err
				}
			}
		case messages, ok := <-arrivals.Messages:
			if !ok {
				return arrivals.Err()
			}
			if err := r.take(ctx, conn, messages); err != nil {
				return err
			}
			arrivals.Next()
		}
		if err := r.flush(ctx, conn, nil); err != nil {
			return err
		}
	}
}

func (r *running) take(ctx context.Context, conn *mqttconn.Conn, messages []mqttconn.Received) error {
	now := time.Now()
	for _, m := range messages {
		if m.LeftOut > 0 {
			r.warn("a message of an edge node is too long", "topic", m.Topic, "bytes", m.LeftOut)
			continue
		}
		r.host.Receive(now, m.Topic, m.Payload, m.Retained)
		if e := r.host.Effects(); len(e.Readings)+len(e.Past) >= maxTogether {
			if err := r.flush(ctx, conn, nil); err != nil {
				return err
			}
		}
	}
	return conn.Acknowledge(messages)
}

func (r *running) untilDue() time.Duration {
	wait := time.Hour
	for _, due := range []time.Time{r.host.Due(), r.found.registerAt} {
		if !due.IsZero() {
			wait = min(wait, time.Until(due))
		}
	}
	return max(0, wait)
}

// flush sees to what has come of what was received. conn is nil if there is no connection
// any more, for a cause.
func (r *running) flush(ctx context.Context, conn *mqttconn.Conn, cause error) error {
	e := r.host.Effects()
	defer r.host.Clear()
	for _, n := range e.Notes {
		r.log(n)
	}
	now := time.Now()
	for _, i := range e.Found {
		r.found.add(now, i, r.host.Series(i))
	}
	if r.found.crowded() {
		if err := r.found.register(ctx, r.session); err != nil {
			return err
		}
	}
	r.found.take(e.Readings, e.Past)
	if err := r.deliver(ctx, now, cause); err != nil || conn == nil {
		return err
	}
	var messages []mqttconn.Message
	if e.Republish {
		r.session.Log().Warn("somebody has said that this host application is away; it says that it is there", "host_id", r.HostID)
		messages = append(messages, r.state(true))
	}
	for _, n := range e.Rebirths {
		r.session.Log().Info("edge node is asked for its births", "group", n.Group, "node", n.Name)
		messages = append(messages, rebirth(n, now))
	}
	if len(messages) > 0 {
		if err := publish(ctx, conn, messages...); err != nil {
			return err
		}
	}
	if e.Since > r.since { // nobody would believe a state that is older than the one before
		r.since = e.Since
		return errBehind
	}
	return nil
}

// deliver hands over the readings whose signals are registered.
func (r *running) deliver(ctx context.Context, now time.Time, cause error) error {
	for _, list := range []struct {
		readings *[]host.Reading
		past     bool
	}{{&r.found.present, false}, {&r.found.past, true}} {
		r.result.Samples = r.result.Samples[:0]
		for _, one := range *list.readings {
			if one.Signal != 0 {
				r.result.Samples = append(r.result.Samples, one.Sample)
			}
		}
		*list.readings = (*list.readings)[:0]
		if len(r.result.Samples) == 0 {
			continue
		}
		one := session.Result{Samples: r.result.Samples, Received: now, Cause: cause, Past: list.past}
		if err := r.session.Deliver(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// rebirth is the command by which a node is asked for its births (5.13).
func rebirth(n host.Node, now time.Time) mqttconn.Message {
	ms := uint64(now.UnixMilli())
	command := payload.Payload{Timestamp: ms, HasTimestamp: true, Metrics: []payload.Metric{{
		Name: []byte(payload.Rebirth), Timestamp: ms, HasTimestamp: true, Type: payload.Boolean, Value: payload.BooleanValue(true),
	}}}
	to := topic.Topic{Kind: topic.NCmd, Group: n.Group, Node: n.Name}
	return mqttconn.Message{Topic: to.String(), Payload: command.Append(nil), AtMostOnce: true}
}

// warnEvery bounds how often the same is warned of.
const warnEvery = time.Minute

func (r *running) log(n host.Note) {
	about := []any{"group", n.Node.Group, "node", n.Node.Name}
	if n.Device != "" {
		about = append(about, "edge_device", n.Device)
	}
	if n.Err == nil {
		r.session.Log().Info(n.Text, about...)
		return
	}
	r.warn(n.Text, append(about, "error", n.Err)...)
}

// warn says the same of the same only now and then.
func (r *running) warn(text string, about ...any) {
	key := text + fmt.Sprint(about[:min(len(about), 6)]...)
	now := time.Now()
	if at, said := r.warned[key]; said && now.Sub(at) < warnEvery {
		return
	}
	if len(r.warned) > 1000 {
		clear(r.warned)
	}
	r.warned[key] = now
	r.session.Log().Warn(text, about...)
}

// publish has time for a farewell when ctx ends: a connection that is broken off in the
// middle can't be taken leave of.
func publish(ctx context.Context, conn *mqttconn.Conn, messages ...mqttconn.Message) error {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(farewell, cancel) })()
	_, err := conn.Publish(lasting, messages)
	return err
}

// leave says that the host application isn't there any more.
func (r *running) leave(conn *mqttconn.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	r.stamp()
	if _, err := conn.Publish(ctx, []mqttconn.Message{r.state(false)}); err == nil {
		conn.Close()
	}
}
