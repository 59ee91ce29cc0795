// Package uplink carries records to the cloud by outgoing HTTPS connections to one
// port, for gateways that reach no Kafka. docs/uplink.md describes the
// interface.
package uplink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
)

// Options say where the uplink is and how it is reached.
type Options struct {
	URL       string   // https://host[:port]
	CAFile    string   // certificate authorities in PEM; "": the operating system's
	Proxy     *url.URL // nil: none
	UserAgent string
	// Now is the time at which certificates are checked; nil: this machine's clock.
	Now func() time.Time
}

// Connection is the way to one uplink. The client of each lane has a connection of
// its own: on a shared one an event would wait behind the backfill that is written
// already, and for the retransmission of each segment of it that is lost.
type Connection struct {
	base      *url.URL
	agent     string
	transport *http.Transport
	http      *http.Client
}

const (
	// answerTimeout is how long a request may take: as long as the largest one
	// needs at 64 kbit/s.
	answerTimeout = 3 * time.Minute
	dialTimeout   = 10 * time.Second
)

// New prepares a connection; nothing is dialled yet.
func New(o Options) (*Connection, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("uplink: %q, expected https://host", o.URL)
	}
	transport, err := Transport(o)
	if err != nil {
		return nil, fmt.Errorf("uplink: %w", err)
	}
	c := Connection{base: base, agent: o.UserAgent, transport: transport}
	return c.another(), nil
}

// Transport is what requests to the outside go by.
func Transport(o Options) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, Time: o.Now}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", o.CAFile)
		}
	}
	return &http.Transport{
		Proxy: http.ProxyURL(o.Proxy), TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
		IdleConnTimeout: 5 * time.Minute,
		// Answers are short, and this machine's memory too.
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: (&net.Dialer{Timeout: dialTimeout, KeepAliveConfig: kafkaconn.KeepAlive}).DialContext,
		// A dead connection must be noticed by itself: a lane waits for its answer. Each
		// time costs 300 bytes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: time.Minute, PingTimeout: 15 * time.Second},
	}, nil
}

// OverHTTPS follows an answer to another place if that is reached by HTTPS too.
func OverHTTPS(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != "https" || len(via) > 5 {
		return http.ErrUseLastResponse
	}
	return nil
}

// another is a connection of its own to the same uplink.
func (c Connection) another() *Connection {
	c.transport = c.transport.Clone()
	c.http = &http.Client{Transport: c.transport, Timeout: answerTimeout,
		// Records and tokens are for the configured uplink and nobody that it names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &c
}

// Close ends idle connections.
func (c *Connection) Close() { c.http.CloseIdleConnections() }

// Check asks the uplink for an answer and says in plain words why there is none.
func (c *Connection) Check(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodGet, "/uplink/v1/health", nil)
	return err
}

// Enrol asks the cloud to take the gateway's key.
func (c *Connection) Enrol(ctx context.Context, e record.Enrolment) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	_, err = c.do(ctx, http.MethodPost, "/uplink/v1/enrolment", body)
	return err
}

// StatusError is an answer other than success.
type StatusError struct {
	Status       int
	Text         string // what the uplink says
	Acknowledged int    // of the request's messages, from the first on
	RetryAfter   time.Duration
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the uplink answers %d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
}

// do makes one request. The answer is that of a success.
func (c *Connection) do(ctx context.Context, method, path string, body []byte) (record.UplinkAnswer, error) {
	answer, err := c.exchange(ctx, method, path, body)
	if err != nil {
		return record.UplinkAnswer{}, err
	}
	return answer.decode()
}

// answer is what came back on a request.
type answer struct {
	status int
	header http.Header
	text   []byte
}

// maxAnswer bounds an answer: the commands of one gateway that are valid at once.
const maxAnswer = 512 << 10

func (c *Connection) exchange(ctx context.Context, method, path string, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("uplink: %w", err)
	}
	request.Header.Set("User-Agent", c.agent)
	response, err := c.http.Do(request)
	if err != nil {
		why := cause(err)
		if why == ErrNotYetValid.Error() {
			return answer{}, fmt.Errorf("uplink: %w: %w", ErrNotYetValid, err)
		}
		return answer{}, fmt.Errorf("uplink: %s: %w", why, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("uplink: read the answer: %w", err)
	}
	return answer{response.StatusCode, response.Header, text}, nil
}

func (a answer) decode() (record.UplinkAnswer, error) {
	var said record.UplinkAnswer
	if err := json.Unmarshal(a.text, &said); err != nil {
		said.Error = "it is no uplink of Busbar, or something stands between"
	}
	if a.status == http.StatusOK && said.Error == "" {
		return said, nil
	}
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
	return said, fmt.Errorf("uplink: %w", &StatusError{
		Status: a.status, Text: said.Error, Acknowledged: said.Acknowledged,
		RetryAfter: time.Duration(max(0, seconds)) * time.Second,
	})
}

// Client sends the messages of one lane, in their order.
type Client struct {
	connection *Connection
	lane       string
	throttled  func(time.Duration)

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	wake   chan struct{}

	mu     sync.Mutex
	queue  []sending
	closed bool
}

// sending is a message on its way.
type sending struct {
	message record.Message
	done    func(error)
}

// ErrClosed is what messages fail with that a closed client hasn't sent.
var ErrClosed = errors.New("uplink: the client is closed")

// NewClient makes the client of a lane: events, telemetry, backfill or births.
// Throttled is told when the uplink asks to wait, and for how long; nil: nobody.
func (c *Connection) NewClient(lane string, throttled func(time.Duration)) *Client {
	if throttled == nil {
		throttled = func(time.Duration) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	client := &Client{connection: c.another(), lane: lane, throttled: throttled, ctx: ctx, cancel: cancel, ended: make(chan struct{}), wake: make(chan struct{}, 1)}
	go client.run()
	return client
}

// Produce sends a message after all before it, and calls done when the log has
// it or it failed. After a failure what was produced behind it fails as well, so
// that the caller can send it again in order.
func (c *Client) Produce(m record.Message, done func(error)) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.queue = append(c.queue, sending{m, done})
	}
	c.mu.Unlock()
	if closed {
		done(ErrClosed)
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Warm uses the connection, so that neither end closes it.
func (c *Client) Warm(ctx context.Context) { c.Check(ctx) }

// Check is the connection's.
func (c *Client) Check(ctx context.Context) error { return c.connection.Check(ctx) }

// Close fails what is under way and returns when every message is done.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	<-c.ended
	c.connection.Close()
}

// gather is how long a client waits for messages that come together, so that the
// second doesn't wait for the answer to the first.
const gather = 2 * time.Millisecond

func (c *Client) run() {
	defer close(c.ended)
	for {
		select {
		case <-c.ctx.Done():
			c.fail(c.take(), ErrClosed)
			return
		case <-c.wake:
		}
		time.Sleep(gather)
		for batch := c.take(); len(batch) > 0; batch = c.take() {
			if rest, err := c.send(batch); err != nil {
				// Taken before anybody is told: who is told of all sends them again.
				c.fail(append(rest, c.take()...), err)
			}
		}
	}
}

func (c *Client) take() []sending {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.queue
	c.queue = nil
	return batch
}

func (c *Client) fail(batch []sending, err error) {
	for _, s := range batch {
		s.done(err)
	}
}

// requestBytes is how much goes into one request, unless it is one message.
const requestBytes = 512 << 10

// send sends a batch in as many requests as it needs. With an error it returns what
// of it isn't acknowledged.
func (c *Client) send(batch []sending) (rest []sending, err error) {
	for len(batch) > 0 {
		var body []byte
		n := 0
		for n < len(batch) && (n == 0 || len(body)+len(batch[n].message.Value) < requestBytes) {
			longer, err := batch[n].message.AppendBinary(body)
			if err != nil {
				return batch, err
			}
			body = longer
			n++
		}
		acknowledged, err := c.post(body, n)
		for _, s := range batch[:acknowledged] {
			s.done(nil)
		}
		batch = batch[acknowledged:]
		if err != nil {
			return batch, err
		}
	}
	return nil, nil
}

// post sends one request of n messages, and waits and repeats it while the
// uplink asks for patience.
func (c *Client) post(body []byte, n int) (acknowledged int, err error) {
	for {
		answer, err := c.connection.do(c.ctx, http.MethodPost, "/uplink/v1/records/"+c.lane, body)
		var refusal *StatusError
		switch {
		case err == nil && answer.Acknowledged == n:
			return n, nil
		case err == nil:
			return 0, fmt.Errorf("uplink: it acknowledges %d of %d messages and names no reason", answer.Acknowledged, n)
		case !errors.As(err, &refusal):
			return 0, err
		case refusal.Status != http.StatusTooManyRequests:
			return min(max(0, refusal.Acknowledged), n), err
		}
		wait := min(max(refusal.RetryAfter, 100*time.Millisecond), time.Minute)
		c.throttled(wait)
		select {
		case <-c.ctx.Done():
			return 0, ErrClosed
		case <-time.After(wait):
		}
	}
}
