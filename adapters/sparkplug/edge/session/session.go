// Package session is a Sparkplug B edge node's session at an MQTT broker: it carries what
// the node has to say, and what it is told.
package session

import (
	"context"
	"errors"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/edge"
	"github.com/busbar/busbar/mqttconn"
)

// Node is an edge node. Its methods are called by one goroutine, and don't wait for the
// broker.
type Node interface {
	// Filters are what is subscribed to, at QoS 1.
	Filters() []string
	// Will is what the broker publishes when the session is lost; ok is false if nothing is.
	Will() (m edge.Message, ok bool)
	// Begin says that the session has begun.
	Begin()
	// Next is what is to be published now, in this order; then it is asked again, until there
	// is nothing. With an error, the connection is broken off.
	Next() ([]edge.Message, error)
	// Published says that another message of these was.
	Published()
	// Receive takes a message that came, and reports whether the session is to end.
	Receive(topic string, payload []byte) (leave bool)
	// Death is what is published before a session ends on purpose; ok is false if nothing is.
	Death() (m edge.Message, ok bool)
}

const (
	// keepAlive is after how long a silent broker is asked whether it is there.
	keepAlive = 10 * time.Second
	// farewell is how long a session that ends goes on with what waits, and then how long it
	// tries to say that it ends.
	farewell = 2 * time.Second
)

// ErrHostAway is that the primary host has gone.
var ErrHostAway = errors.New("the primary host is away")

// always is ready.
var always = make(chan struct{})

func init() { close(always) }

// Run connects, and publishes until the connection fails or is broken off, the primary host
// goes, or ctx ends, and then for a moment what still waits. wake says that Next may have
// something. The options' will and keep-alive are Run's own.
func Run(ctx context.Context, config mqttconn.Config, o mqttconn.Options, node Node, wake <-chan struct{}) error {
	if will, ok := node.Will(); ok {
		o.Will = encoded(will)
	}
	o.KeepAlive = keepAlive
	conn, err := mqttconn.Dial(ctx, config, o)
	if err != nil {
		return err
	}
	defer conn.Abort()
	var filters []mqttconn.Filter
	for _, f := range node.Filters() {
		filters = append(filters, mqttconn.Filter{Topic: f, QoS: 1})
	}
	if err := conn.SubscribeAll(ctx, filters); err != nil {
		return err
	}
	node.Begin()
	return (&session{node: node, conn: conn}).run(ctx, wake)
}

// encoded is a message for the broker, at QoS 1.
func encoded(m edge.Message) mqttconn.Message {
	return mqttconn.Message{Topic: m.Topic, Payload: m.Payload.Append(nil)}
}

type session struct {
	node Node
	conn *mqttconn.Conn
	list []edge.Message // is being published
}

func (s *session) run(ctx context.Context, wake <-chan struct{}) error {
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	arrivals := s.conn.Arrivals(receiving)
	sending, broken := context.WithCancel(context.WithoutCancel(ctx))
	defer broken()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(2*farewell, broken) })()
	again := time.NewTicker(edge.RebirthPause)
	defer again.Stop()
	for ctx.Err() == nil {
		more, err := s.send(sending)
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
			leaves := s.receive(messages)
			if err := s.conn.Acknowledge(messages); err != nil {
				return err
			}
			arrivals.Next()
			if leaves {
				s.list = nil // is told when the host is back
				return s.leave(sending, ErrHostAway)
			}
		case <-wake:
		case <-again.C:
		case <-now:
		}
	}
	return s.leave(sending, ctx.Err())
}

// send publishes one message of what there is now: over a slow link each has its own time,
// and what comes or ends meanwhile is heard between two. It reports whether there may be
// more.
func (s *session) send(ctx context.Context) (more bool, err error) {
	if len(s.list) == 0 {
		if s.list, err = s.node.Next(); err != nil || len(s.list) == 0 {
			return false, err
		}
	}
	m := encoded(s.list[0])
	m.AtMostOnce = true
	s.list = s.list[1:]
	if _, err := s.conn.Publish(ctx, []mqttconn.Message{m}); err != nil {
		return false, err
	}
	s.node.Published()
	return true, nil
}

// receive reports whether the session is to end.
func (s *session) receive(messages []mqttconn.Received) (leaves bool) {
	for _, m := range messages {
		leaves = s.node.Receive(m.Topic, m.Payload) || leaves
	}
	return leaves
}

// leave ends the session on purpose, for a reason.
func (s *session) leave(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*farewell)
	defer cancel()
	var err error
	for more, until := true, time.Now().Add(farewell); more && err == nil && time.Now().Before(until); {
		more, err = s.send(ctx)
	}
	death, ok := s.node.Death()
	if err == nil && ok {
		_, err = s.conn.Publish(ctx, []mqttconn.Message{encoded(death)})
	}
	if err == nil {
		s.conn.Close()
	}
	return why
}
