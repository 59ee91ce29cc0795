package mqttconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
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
	// quiesce is how long a connection that is closed has to say so, in ms.
	quiesce = 250
)

// Message is what is published, at QoS 1.
type Message struct {
	Topic   string
	Payload []byte
	Retain  bool // the broker keeps it; without a payload, it keeps none any more
}

// Options are what a connection needs beside its configuration.
type Options struct {
	Dir  string           // that file names are relative to
	Now  func() time.Time // that certificates have to be valid at; nil: the machine's clock
	Will Message          // what the broker publishes when the connection is lost
}

// Conn is one connection. It isn't mended: once anything has failed it is closed and
// another one is made, so that nothing of its state outlives it. Its methods are called
// by one goroutine.
type Conn struct {
	client paho.Client
	socket net.Conn
	lost   chan struct{}
	once   sync.Once
	cause  error // why it was lost
}

// Dial connects, and returns when the broker has accepted it. The client keeps no
// session at the broker.
func Dial(ctx context.Context, config Config, o Options) (*Conn, error) {
	host, address, encrypted, ok := config.address()
	if !ok {
		return nil, fmt.Errorf("mqtt: %q is no broker", config.Broker)
	}
	fail := func(err error) (*Conn, error) { return nil, fmt.Errorf("mqtt: %s: %w", config.Broker, err) }
	if !encrypted && !config.Insecure && !kafkaconn.ThisMachine(host) {
		return fail(errors.New("plaintext to a broker that isn't on this machine is refused; use tls://, or insecure: true"))
	}
	options := paho.NewClientOptions().SetClientID(config.ClientID).SetProtocolVersion(4).SetCleanSession(true).
		SetAutoReconnect(false).SetConnectRetry(false).SetKeepAlive(keepAlive).SetPingTimeout(keepAlive/2).
		SetConnectTimeout(connectTimeout).SetWriteTimeout(answerTimeout).
		SetBinaryWill(o.Will.Topic, o.Will.Payload, 1, o.Will.Retain)
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
	c := &Conn{socket: socket, lost: make(chan struct{})}
	options.AddBroker(config.Broker)
	options.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return &guard{Conn: socket}, nil })
	options.SetConnectionLostHandler(func(_ paho.Client, err error) { c.lose(err) })
	c.client = paho.NewClient(options)
	if err := await(ctx, c.client.Connect()); err != nil {
		c.Abort()
		return fail(err)
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
	})
}

// Lost is closed when the connection was lost.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Cause is why it was, once it is.
func (c *Conn) Cause() error { return c.cause }

// Publish sends messages in this order, and returns how many of them, from the first
// one on, the broker has acknowledged; with an error if that isn't all. If ctx ends before,
// the connection is broken off.
func (c *Conn) Publish(ctx context.Context, messages []Message) (acknowledged int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, c.Abort)() // paho would go on waiting for a broker that reads nothing
	tokens := make([]paho.Token, len(messages))
	for i, m := range messages {
		tokens[i] = c.client.Publish(m.Topic, 1, m.Retain, m.Payload)
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

// Retained asks for what the broker keeps, and calls take with the topic of each such
// message as it comes, in another goroutine, which mustn't wait. It goes on to the end of
// the connection, though the broker then sends back what is published there: some send
// what they keep whenever they have time, and nothing says which is the last. The
// connection is as good as before if the broker refuses, which is ErrRefused.
func (c *Conn) Retained(ctx context.Context, filter string, take func(topic string)) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	token := c.client.Subscribe(filter, 0, func(_ paho.Client, m paho.Message) {
		if m.Retained() && len(m.Payload()) > 0 {
			take(m.Topic())
		}
	})
	if err := c.answer(ctx, token); err != nil {
		return fmt.Errorf("mqtt: subscribe to %s: %w", filter, err)
	}
	if t, ok := token.(*paho.SubscribeToken); ok {
		if code, granted := t.Result()[filter]; granted && code == 0 {
			return nil
		}
	}
	return fmt.Errorf("mqtt: subscribe to %s: %w", filter, ErrRefused)
}

var errSilent = errors.New("the broker doesn't answer in time")

// ErrRefused is that the broker doesn't give this client the right to do something.
var ErrRefused = errors.New("the broker refuses it")

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
	c.socket.Close()
}

// Abort breaks the connection off, so that the broker publishes the will.
func (c *Conn) Abort() { c.socket.Close() }
