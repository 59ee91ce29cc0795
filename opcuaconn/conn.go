package opcuaconn

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/kafkaconn"
)

const (
	// connectTimeout bounds everything until the session is activated.
	connectTimeout = 20 * time.Second
	// sessionTimeout is for how long the server is asked to keep a session without a
	// request.
	sessionTimeout = 2 * time.Minute
	productURI     = "urn:busbar"
)

// Options are what a connection needs beside its configuration.
type Options struct {
	Dir string // that file names are relative to

	// The directory in which the own certificate and key are made and kept, unless the
	// configuration names them. In it are trusted, the directory of the servers'
	// certificates that count unless the configuration says otherwise, and rejected, into
	// which those go that don't.
	Keep string

	Now func() time.Time // that certificates have to be valid at; nil: the machine's clock
	Log *slog.Logger     // nil: nothing is told

	ApplicationName string        // by which the server knows us; "": Busbar
	SessionTimeout  time.Duration // without a request that is asked for; 0: 2 minutes

	renew time.Duration // of the channel's keys; 0: as long as they are good for
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ApplicationName == "" {
		o.ApplicationName = "Busbar"
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = sessionTimeout
	}
	return o
}

// Conn is an activated session over a secure channel. It isn't mended: once it is lost
// another one is made, so that nothing of its state outlives it. Its methods may be
// called by several goroutines; requests of several are under way at the same time.
//
// A session lives as long as something is asked of it: a server ends one that hasn't
// been used for SessionTimeout. Nothing here notices a server that is silent, beyond
// requests that aren't answered in time.
type Conn struct {
	Limits         Limits        // what the server takes in one request
	Namespaces     []string      // the server's namespaces, by index
	SessionTimeout time.Duration // without a request, after which the server ends the session

	channel *channel
	session session
}

// Dial connects to a server, and returns when the session is activated. It takes 20 s at
// most, and the first time as long as it takes to make a certificate.
func Dial(ctx context.Context, config Config, o Options) (*Conn, error) {
	c, err := config.connect(ctx, o.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("opcua: connect to %s: %w", config.Endpoint, err)
	}
	return c, nil
}

func (c Config) connect(ctx context.Context, o Options) (*Conn, error) {
	address, err := c.address()
	if err != nil {
		return nil, errors.New("it is no endpoint")
	}
	security := c.Security.withDefaults()
	if security.Policy == PolicyNone && !c.Insecure && !kafkaconn.ThisMachine(address.Hostname()) {
		return nil, errors.New("the policy None with a server that isn't on this machine is refused; use Basic256Sha256, or insecure: true")
	}
	p := protection{policy: security.Policy, mode: security.Mode}
	if p.policy != PolicyNone {
		if p.own, err = c.own(o); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	e, err := c.discover(ctx, address)
	if err != nil {
		return nil, err
	}
	if p.policy != PolicyNone {
		certificate, err := c.check(e, address.Hostname(), o)
		if err != nil {
			return nil, err
		}
		p.server, p.serverKey = certificate.Raw, certificate.PublicKey.(*rsa.PublicKey)
	}
	conn, most, err := dial(ctx, e.address)
	if err != nil {
		return nil, err
	}
	stop := breakOff(ctx, conn)
	defer stop()
	ch, err := newChannel(ctx, conn, p, most, o.renew)
	if err != nil {
		return nil, p.hint(err)
	}
	opened := &Conn{channel: ch}
	if opened.session, err = c.begin(ctx, ch, e, o, p.own.uri(o)); err == nil {
		opened.SessionTimeout = opened.session.timeout
		err = opened.learn(ctx)
	}
	if err != nil {
		ch.close()
		if ctx.Err() != nil {
			err = late(ctx) // rather than what breaking off has brought about
		}
		return nil, p.hint(err)
	}
	return opened, nil
}

// hint adds what to do if an error is one by which servers say that they don't trust our
// certificate. Many say no more than that they won't.
func (p protection) hint(err error) error {
	if p.policy == PolicyNone {
		return err
	}
	for _, sign := range []error{errHungUp, ua.StatusBadSecurityChecksFailed, ua.StatusBadCertificateUntrusted, ua.StatusBadCertificateInvalid,
		ua.StatusBadCertificateChainIncomplete, ua.StatusBadCertificateUseNotAllowed} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w; it may not trust our certificate yet, %s", err, p.own.path)
		}
	}
	return err
}

// dial connects and shakes hands.
func dial(ctx context.Context, address *url.URL) (net.Conn, bounds, error) {
	dialer := &net.Dialer{KeepAliveConfig: kafkaconn.KeepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", address.Host)
	if err != nil {
		return nil, bounds{}, err
	}
	stop := breakOff(ctx, conn)
	most, err := shake(conn, address.String())
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = late(ctx)
		}
		return nil, bounds{}, err
	}
	return conn, most, nil
}

// breakOff closes a connection when ctx ends before stop is called.
func breakOff(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.Close() })
}

// Lost is closed when the connection is no good any more.
func (c *Conn) Lost() <-chan struct{} { return c.channel.lost }

// Cause is why, once it is.
func (c *Conn) Cause() error {
	if c.channel.ended() {
		return c.channel.cause
	}
	return nil
}

// Close ends the session with its subscriptions, and frees everything even if the server
// doesn't answer before ctx ends.
func (c *Conn) Close(ctx context.Context) {
	if c.Cause() == nil {
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		defer context.AfterFunc(ctx, c.Abort)() // who is writing to a server that reads nothing would be waited for
		c.channel.send(ctx, &ua.CloseSessionRequest{DeleteSubscriptions: true}, c.session.authentication)
	}
	c.channel.close()
}

// Abort breaks the connection off. The server keeps the session and its subscriptions
// until they time out, so that another session can take them over.
func (c *Conn) Abort() { c.channel.fail(errClosed) }

// Send sends a request and gives its response to take. The response's service result is
// good; a bad one is an error that errors.Is finds by its ua.StatusCode, as is a request
// that is too large for the server. Without a deadline in ctx the server has 10 s to
// answer.
func (c *Conn) Send(ctx context.Context, request ua.Request, take func(ua.Response) error) error {
	response, err := c.channel.send(ctx, request, c.session.authentication)
	if err != nil {
		if sessionGone(err) {
			c.channel.fail(fmt.Errorf("the server has ended the session: %w", err))
		}
		return err
	}
	return take(response)
}

// sessionGone is whether an answer means that no other request will do better.
func sessionGone(err error) bool {
	for _, status := range []ua.StatusCode{ua.StatusBadSessionIDInvalid, ua.StatusBadSessionClosed, ua.StatusBadSessionNotActivated,
		ua.StatusBadSecureChannelIDInvalid, ua.StatusBadSecureChannelClosed} {
		if errors.Is(err, status) {
			return true
		}
	}
	return false
}

// Request sends a request and returns its response, as Send does: the type of the
// response is given, Request[*ua.PublishResponse](ctx, conn, request).
func Request[R ua.Response](ctx context.Context, c *Conn, request ua.Request) (response R, err error) {
	err = c.Send(ctx, request, func(r ua.Response) error {
		var ok bool
		if response, ok = r.(R); !ok {
			return fmt.Errorf("%w: %T as the answer to %T", errWire, r, request)
		}
		return nil
	})
	return response, err
}
