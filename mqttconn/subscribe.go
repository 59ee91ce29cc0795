package mqttconn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Received is a message that the broker has sent.
type Received struct {
	Topic string
	// Payload is nobody else's, and may be kept.
	Payload []byte
	At      time.Time // when it came
	QoS     byte      // 0 or 1
	// Retained says that the broker has kept it from before it was subscribed to.
	Retained bool
	// Duplicate says that the broker has sent it before, maybe to an earlier connection.
	Duplicate bool
	// LeftOut is how many bytes the payload had that isn't there, because it is too long.
	LeftOut int
	// ID is what the broker calls a message at QoS 1 until it is acknowledged, also if it
	// sends it again to a later connection.
	ID uint16
}

// Filter is what is subscribed to.
type Filter struct {
	Topic string // with wildcards, or shared as $share/GROUP/TOPIC
	QoS   byte   // 0 or 1
}

// Refused is what a broker grants instead of a QoS to who mayn't subscribe.
const Refused = 0x80

var (
	errSilent = errors.New("the broker doesn't answer in time")
	errClosed = errors.New("the connection is closed")
	// ErrRefused is that the broker doesn't give this client the right to do something.
	ErrRefused = errors.New("the broker refuses it")
)

// Subscribe subscribes to topics, and returns which QoS the broker has granted of each,
// or Refused. What comes is Received.
func (c *Conn) Subscribe(ctx context.Context, filters []Filter) (granted []byte, err error) {
	granted = make([]byte, 0, len(filters))
	for some := range slices.Chunk(filters, maxFilters) {
		asked := make(map[string]byte, len(some))
		for _, f := range some {
			asked[f.Topic] = max(asked[f.Topic], f.QoS)
		}
		codes, err := c.subscribe(ctx, asked)
		if err != nil {
			return nil, fmt.Errorf("mqtt: subscribe to %s: %w", some[0].Topic, err)
		}
		for _, f := range some {
			granted = append(granted, codes[f.Topic])
		}
	}
	return granted, nil
}

// SubscribeAll subscribes to topics, all of which the broker has to grant: it fails with
// ErrRefused if one isn't. The connection is as good as before then.
func (c *Conn) SubscribeAll(ctx context.Context, filters []Filter) error {
	granted, err := c.Subscribe(ctx, filters)
	if at := slices.Index(granted, Refused); err == nil && at >= 0 {
		err = fmt.Errorf("mqtt: subscribe to %s: %w", filters[at].Topic, ErrRefused)
	}
	return err
}

// subscribe asks for at most maxFilters topics.
func (c *Conn) subscribe(ctx context.Context, filters map[string]byte) (map[string]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, c.Abort)()
	c.guard.filters.Store(int32(len(filters)))
	token := c.client.SubscribeMultiple(maps.Clone(filters), nil)
	if err := c.answer(ctx, token); err != nil {
		if ctx.Err() != nil {
			err = errSilent
		}
		return nil, err
	}
	t, ok := token.(*paho.SubscribeToken)
	if !ok {
		return nil, fmt.Errorf("%w: another acknowledgement", errPacket)
	}
	codes := t.Result()
	for topic := range filters {
		switch code, answered := codes[topic]; {
		case !answered:
			return nil, fmt.Errorf("%w: another acknowledgement", errPacket)
		case code > 1 && code != Refused:
			return nil, fmt.Errorf("%w: a subscription that is granted as %#x", errPacket, code)
		}
	}
	return codes, nil
}

// Receive waits until messages have come, and returns all that wait, in the order in
// which they came; the slice is good until the next call. Who doesn't call it has the
// broker wait, after at most 10,000 messages, and stays connected. It fails when ctx
// ends, or the connection has: then of a session that the broker keeps, messages at QoS 1
// that haven't been received aren't any more, since they are sent again.
func (c *Conn) Receive(ctx context.Context) ([]Received, error) {
	for {
		messages := c.inbox.take()
		select {
		case <-c.inbox.closed:
			if c.session {
				messages = slices.DeleteFunc(messages, func(m Received) bool { return m.QoS > 0 })
			}
		default:
		}
		if len(messages) > 0 {
			return messages, nil
		}
		if err := c.inbox.wait(ctx); err != nil {
			if err == errClosed {
				err = c.why()
			}
			return nil, fmt.Errorf("mqtt: receive: %w", err)
		}
	}
}

// why is the cause of a connection that has ended.
func (c *Conn) why() error {
	select {
	case <-c.lost:
		return c.cause
	default:
		return errClosed
	}
}

// Acknowledge tells the broker that messages of this connection needn't be sent again.
// They are acknowledged in the order in which they came (clause 4.6).
func (c *Conn) Acknowledge(messages []Received) error {
	if err := c.guard.acknowledge(messages); err != nil {
		return fmt.Errorf("mqtt: acknowledge: %w", err)
	}
	return nil
}

// SessionPresent reports whether the broker has kept the session of an earlier
// connection, with its subscriptions.
func (c *Conn) SessionPresent() bool { return c.present }

// Retained asks for what the broker keeps, and calls take with the topic of each such
// message as it comes, in another goroutine, which mustn't wait. It goes on to the end of
// the connection, though the broker then sends back what is published there: some send
// what they keep whenever they have time, and nothing says which is the last. The
// connection is as good as before if the broker refuses, which is ErrRefused. Nothing is
// Received on such a connection.
func (c *Conn) Retained(ctx context.Context, filter string, take func(topic string)) error {
	if c.take.Load() == nil {
		only := func(m Received) {
			if m.Retained && len(m.Payload) > 0 {
				take(m.Topic)
			}
		}
		c.take.Store(&only)
	}
	return c.SubscribeAll(ctx, []Filter{{Topic: filter}})
}

// deliver is where the guard has messages go.
func (c *Conn) deliver(m Received) bool {
	if take := c.take.Load(); take != nil {
		(*take)(m)
		return true
	}
	return c.inbox.put(m)
}
