package mqttconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/busbar/busbar/kafkaconn"
)

const (
	// connectTimeout bounds everything until the broker has accepted the connection.
	connectTimeout = 10 * time.Second
	// answerTimeout is how long a broker may take to acknowledge.
	answerTimeout = 10 * time.Second
	// keepAlive is after how long without anything sent the broker is asked whether it
	// is there. It gives up after half as much again.
	keepAlive = 30 * time.Second
	// lossTold is how long paho may take to say why a connection was lost.
	lossTold = 100 * time.Millisecond
	// maxPayload is Options.MaxPayload's default.
	maxPayload = 256 << 10
	// quiesce is how long a connection that is closed has to say so, in ms.
	quiesce = 250
)

// Message is what is published.
type Message struct {
	Topic   string
	Payload []byte
	Retain  bool // the broker keeps it; without a payload, it keeps none any more
	// AtMostOnce is QoS 0 rather than 1: nobody acknowledges it.
	AtMostOnce bool
}

func (m Message) qos() byte {
	if m.AtMostOnce {
		return 0
	}
	return 1
}

// Options are what a connection needs beside its configuration.
type Options struct {
	Dir  string           // that file names are relative to
	Now  func() time.Time // that certificates have to be valid at; nil: the machine's clock
	Will Message          // what the broker publishes when the connection is lost; without a topic, nothing
	// Session has the broker keep the session of the client id while nobody is connected:
	// what is subscribed to, and what came at QoS 1 and wasn't acknowledged. Close doesn't
	// end it. Without it, a session that the broker keeps is ended.
	Session bool
	// MaxPayload is how long a message may be that is received, in bytes; of a longer one
	// nothing but the topic is. 0: 256 KiB.
	MaxPayload int
	// KeepAlive is after how long without anything sent the broker is asked whether it is
	// there; after half as much again it is taken not to be. Whole seconds. 0: 30s.
	KeepAlive time.Duration
}

// Conn is one connection. It isn't mended: once anything has failed it is closed and
// another one is made, so that nothing of its state outlives it. Its methods are called
// by one goroutine; Receive may be by another one, and Acknowledge, Lost, Cause and
// Abort by any.
type Conn struct {
	client  paho.Client
	guard   *guard
	inbox   *inbox
	session bool // kept by the broker
	present bool
	take    atomic.Pointer[func(Received)] // of who asks for what is retained
	lost    chan struct{}
	once    sync.Once
	cause   error // why it was lost
}

// Dial connects, and returns when the broker has accepted it.
func Dial(ctx context.Context, config Config, o Options) (*Conn, error) {
	host, address, encrypted, ok := config.address()
	if !ok {
		return nil, fmt.Errorf("mqtt: %q is no broker", config.Broker)
	}
	fail := func(err error) (*Conn, error) { return nil, fmt.Errorf("mqtt: %s: %w", config.Broker, err) }
	if !encrypted && !config.Insecure && !kafkaconn.ThisMachine(host) {
		return fail(errors.New("plaintext to a broker that isn't on this machine is refused; use tls://, or insecure: true"))
	}
	asks := cmp.Or(o.KeepAlive, keepAlive)
	options := paho.NewClientOptions().SetClientID(config.ClientID).SetProtocolVersion(4).SetCleanSession(!o.Session).
		SetAutoReconnect(false).SetConnectRetry(false).SetKeepAlive(asks).SetPingTimeout(asks / 2).
		SetConnectTimeout(connectTimeout).SetWriteTimeout(answerTimeout)
	if o.Will.Topic != "" {
		options.SetBinaryWill(o.Will.Topic, o.Will.Payload, o.Will.qos(), o.Will.Retain)
	}
	if config.Username != "" {
		password, err := kafkaconn.ReadPassword(config.PasswordFile.In(o.Dir))
		if err != nil {
			return fail(err)
		}
		options.SetUsername(config.Username).SetPassword(password)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	socket, err := config.dial(ctx, host, address, encrypted, o)
	if err != nil {
		return fail(err)
	}
	c := &Conn{inbox: newInbox(), session: o.Session, lost: make(chan struct{})}
	c.guard = newGuard(socket, cmp.Or(o.MaxPayload, maxPayload), c.deliver, c.inbox.room, c.inbox.closed)
	options.AddBroker(config.Broker)
	options.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return c.guard, nil })
	options.SetConnectionLostHandler(func(_ paho.Client, err error) { c.lose(err) })
	c.client = paho.NewClient(options)
	token := c.client.Connect()
	if err := await(ctx, token); err != nil {
		c.Abort()
		return fail(err)
	}
	if t, ok := token.(*paho.ConnectToken); ok {
		c.present = t.SessionPresent()
	}
	return c, nil
}

func (c Config) dial(ctx context.Context, host, address string, encrypted bool, o Options) (net.Conn, error) {
	dialer := &net.Dialer{KeepAliveConfig: kafkaconn.KeepAlive}
	if !encrypted {
		return dialer.DialContext(ctx, "tcp", address)
	}
	files := c.TLS
	if files == nil {
		files = &kafkaconn.TLS{}
	}
	config, err := files.Config(o.Dir)
	if err != nil {
		return nil, err
	}
	config.Time = o.Now
	if config.ServerName == "" {
		config.ServerName = host
	}
	return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", address)
}

func (c *Conn) lose(err error) {
	c.once.Do(func() {
		c.cause = err
		close(c.lost)
		c.inbox.close()
	})
}

// Lost is closed when the connection was lost.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Cause is why it was, once it is.
func (c *Conn) Cause() error { return c.cause }

// Publish sends messages in this order, and returns how many of them, from the first
// one on, the broker has acknowledged, or have been sent if nobody acknowledges them; with
// an error if that isn't all. If ctx ends before, the connection is broken off.
func (c *Conn) Publish(ctx context.Context, messages []Message) (acknowledged int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, c.Abort)() // paho would go on waiting for a broker that reads nothing
	tokens := make([]paho.Token, len(messages))
	for i, m := range messages {
		tokens[i] = c.client.Publish(m.Topic, m.qos(), m.Retain, m.Payload)
	}
	for i, token := range tokens {
		if err := c.answer(ctx, token); err != nil {
			if ctx.Err() != nil {
				err = errSilent // rather than what breaking off has brought about
			}
			return i, fmt.Errorf("mqtt: publish %s: %w", messages[i].Topic, err)
		}
	}
	return len(messages), nil
}

// answer waits for the broker. paho doesn't end every token when a connection ends.
func (c *Conn) answer(ctx context.Context, token paho.Token) error {
	select {
	case <-c.lost:
		return c.cause
	default:
	}
	select {
	case <-token.Done():
		return c.lossOr(token.Error())
	case <-c.lost:
		return c.cause
	case <-ctx.Done():
		return errSilent
	}
}

// lossOr is why the connection was lost rather than that it was, which tokens say first.
func (c *Conn) lossOr(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-c.lost:
		return c.cause
	case <-time.After(lossTold):
		return err
	}
}

func await(ctx context.Context, token paho.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close says goodbye, so that the broker doesn't publish the will, and frees everything
// even if the broker doesn't answer.
func (c *Conn) Close() {
	c.client.Disconnect(quiesce)
	c.Abort()
}

// Abort breaks the connection off, so that the broker publishes the will.
func (c *Conn) Abort() {
	c.guard.Close()
	c.inbox.close()
}
