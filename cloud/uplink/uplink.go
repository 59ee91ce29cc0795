// Package uplink lets gateways in that reach the cloud by outgoing HTTPS
// and no Kafka: it takes their signed records, writes them to the
// log, and says which of them every in-sync replica has. It also enrols new
// gateways by a one-time token. docs/uplink.md describes the interface.
package uplink

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry/record"
)

// Keys decides which messages may enter the log.
type Keys interface {
	// Admit returns the gateway that signed a message of a topic. The error says
	// why the message is refused: ErrRefused if it always will be.
	Admit(ctx context.Context, topic string, m record.Message) (gateway string, err error)
	// Request reports why a gateway's request isn't let in, ErrRefused if it never
	// will be.
	Request(ctx context.Context, gateway string, m record.Message) error
	// Enrol takes a gateway's key if the token is one that was given out for it
	// and hasn't been used; ErrRefused if not.
	Enrol(ctx context.Context, e record.Enrolment) error
}

// ErrRefused is what a request fails with that can't succeed.
var ErrRefused = errors.New("refused")

// Options are what the uplink works with.
type Options struct {
	Producer *kgo.Client // acknowledged by all in-sync replicas, idempotent; closed by whoever made it
	Topics   record.Topics
	Keys     Keys
	Commands *Commands // nil: gateways get none
	// MaxRate bounds what one gateway may send, in bytes a second; beyond it,
	// the gateway is asked to wait. 0 means DefaultMaxRate.
	MaxRate int
	Log     *slog.Logger
}

const (
	// DefaultMaxRate drains a backlog of a week at 5,000 values/s in less than an
	// hour.
	DefaultMaxRate = 4 << 20
	// maxRequest bounds the messages of one request, in bytes.
	maxRequest = 2 << 20
	// maxMessages bounds their number: a gateway sends some thousands at most.
	maxMessages = 10_000
	// maxRequests bounds the requests that are in memory at once, and maxOfAddress
	// those of one address, so that nobody keeps all others out.
	maxRequests  = 64
	maxOfAddress = 32
	// A request's body may take so long, and a second more for each minRate bytes of it.
	bodyGrace = 30 * time.Second
	minRate   = 1 << 10
)

// Uplink is the handler of the interface.
type Uplink struct {
	options Options
	mux     http.ServeMux
	grace   time.Duration // bodyGrace

	mu        sync.Mutex
	rates     map[string]*allowance
	requests  int // in memory
	addresses map[string]int
	told      telling

	stats counters
}

// New makes an uplink.
func New(o Options) *Uplink {
	if o.MaxRate == 0 {
		o.MaxRate = DefaultMaxRate
	}
	u := &Uplink{options: o, grace: bodyGrace, rates: map[string]*allowance{}, addresses: map[string]int{}}
	u.mux.HandleFunc("POST /uplink/v1/records/{lane}", u.records)
	u.mux.HandleFunc("POST /uplink/v1/enrolment", u.enrol)
	if o.Commands != nil {
		u.mux.HandleFunc("POST /uplink/v1/commands", u.commands)
	}
	u.mux.HandleFunc("GET /uplink/v1/health", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, record.UplinkAnswer{}) })
	return u
}

func (u *Uplink) ServeHTTP(w http.ResponseWriter, r *http.Request) { u.mux.ServeHTTP(w, r) }

func reply(w http.ResponseWriter, status int, a record.UplinkAnswer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(a)
}

func (u *Uplink) refuse(w http.ResponseWriter, status int, acknowledged int, err error) {
	u.stats.refused.Add(1)
	reply(w, status, record.UplinkAnswer{Acknowledged: acknowledged, Error: err.Error()})
}

// records takes the messages of one lane, in their order, and answers when all
// of them are in the log or one can't be: those before it are.
func (u *Uplink) records(w http.ResponseWriter, r *http.Request) {
	topic := u.options.Topics.Lane(r.PathValue("lane"))
	if topic == "" {
		u.refuse(w, http.StatusNotFound, 0, fmt.Errorf("there is no lane %q", r.PathValue("lane")))
		return
	}
	if !u.enter(w, r) {
		return
	}
	defer u.leave(r)
	messages, size, gateway, err := u.take(r.Context(), topic, u.body(w, r, maxRequest))
	switch {
	case errors.Is(err, errMalformed):
		u.refuse(w, http.StatusBadRequest, 0, err)
		return
	case errors.Is(err, ErrRefused):
		u.tell(r, "uplink: records refused", "gateway", gateway, "topic", topic, "error", err)
		u.refuse(w, http.StatusForbidden, 0, err)
		return
	case err != nil:
		u.options.Log.Error("uplink: records can't be checked", "gateway", gateway, "error", err)
		u.refuse(w, http.StatusServiceUnavailable, 0, errors.New("the records can't be checked"))
		return
	}
	if wait := u.throttle(gateway, size, time.Now()); wait > 0 {
		u.stats.throttled.Add(1)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		reply(w, http.StatusTooManyRequests, record.UplinkAnswer{Error: fmt.Sprintf("more than %d bytes a second", u.options.MaxRate)})
		return
	}
	acknowledged, err := u.produce(topic, messages)
	u.stats.records.Add(uint64(acknowledged))
	u.stats.bytes.Add(uint64(size))
	if err != nil {
		u.options.Log.Warn("uplink: the log refuses records", "gateway", gateway, "topic", topic, "error", err)
		u.refuse(w, http.StatusServiceUnavailable, acknowledged, errors.New("the log doesn't take the records"))
		return
	}
	reply(w, http.StatusOK, record.UplinkAnswer{Acknowledged: acknowledged})
}

// enter bounds what is in memory at once; without room it answers the request.
func (u *Uplink) enter(w http.ResponseWriter, r *http.Request) bool {
	from := addressOf(r)
	u.mu.Lock()
	full := u.requests >= maxRequests || u.addresses[from] >= maxOfAddress
	if !full {
		u.requests++
		u.addresses[from]++
	}
	u.mu.Unlock()
	if full {
		w.Header().Set("Retry-After", "1")
		u.refuse(w, http.StatusServiceUnavailable, 0, errors.New("too many gateways send at once"))
	}
	return !full
}

func (u *Uplink) leave(r *http.Request) {
	from := addressOf(r)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests--
	if u.addresses[from]--; u.addresses[from] == 0 {
		delete(u.addresses, from)
	}
}

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// body is a request's body of at most so many bytes. It fails if it comes so slowly
// that it would only keep others out.
func (u *Uplink) body(w http.ResponseWriter, r *http.Request, most int64) io.Reader {
	return &steady{http.MaxBytesReader(w, r.Body, most), http.NewResponseController(w), time.Now().Add(u.grace)}
}

type steady struct {
	io.Reader
	control *http.ResponseController
	until   time.Time
}

func (s *steady) Read(p []byte) (int, error) {
	s.control.SetReadDeadline(s.until) // what can't have one is no connection
	n, err := s.Reader.Read(p)
	s.until = s.until.Add(time.Duration(n) * time.Second / minRate)
	return n, err
}

// errMalformed is why a request can't be read.
var errMalformed = errors.New("malformed request")

// take reads and checks every message of a request, which is one gateway's, before any
// is written. It stops at the first that isn't let in: nothing that nobody has signed
// takes more than one message's memory.
func (u *Uplink) take(ctx context.Context, topic string, body io.Reader) (messages []record.Message, size int, gateway string, err error) {
	counted := &counting{bufio.NewReader(body), 0}
	for {
		m, err := record.ReadMessage(counted)
		switch {
		case errors.Is(err, io.EOF) && len(messages) > 0:
			return messages, counted.n, gateway, nil
		case errors.Is(err, io.EOF):
			err = errors.New("it has no messages")
		case err == nil && len(messages) == maxMessages:
			err = fmt.Errorf("it has more than %d messages", maxMessages)
		}
		if err != nil {
			return nil, 0, gateway, fmt.Errorf("%w: %w", errMalformed, err)
		}
		of, err := u.options.Keys.Admit(ctx, topic, m)
		if err == nil && len(messages) > 0 && of != gateway {
			err = fmt.Errorf("%w: messages of %s and of %s in one request", ErrRefused, gateway, of)
		}
		if err != nil {
			return nil, 0, gateway, fmt.Errorf("message %d: %w", len(messages), err)
		}
		gateway = of
		messages = append(messages, m)
	}
}

// counting counts what is read.
type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// telling bounds what is logged of requests that anybody can make.
type telling struct {
	from   time.Time
	n      int
	silent int
}

const (
	toldPer  = time.Minute
	mostTold = 30
)

// tell logs that a request was refused, unless it has logged many lately.
func (u *Uplink) tell(r *http.Request, what string, args ...any) {
	u.mu.Lock()
	t := &u.told
	silent := 0
	if now := time.Now(); now.Sub(t.from) >= toldPer {
		silent = t.silent
		*t = telling{from: now}
	}
	t.n++
	told := t.n <= mostTold
	if !told {
		t.silent++
	}
	u.mu.Unlock()
	if silent > 0 {
		u.options.Log.Warn("uplink: further requests were refused", "count", silent)
	}
	if told {
		u.options.Log.Warn(what, append(args, "from", r.RemoteAddr)...)
	}
}

// produce writes messages in their order and counts those, from the first on,
// that the log has. A record is never cancelled: the gateway asks again.
func (u *Uplink) produce(topic string, messages []record.Message) (acknowledged int, err error) {
	errs := make([]error, len(messages))
	var waiting sync.WaitGroup
	for i, m := range messages {
		r := &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value, Headers: make([]kgo.RecordHeader, len(m.Headers))}
		for j, h := range m.Headers {
			r.Headers[j] = kgo.RecordHeader(h)
		}
		waiting.Add(1)
		u.options.Producer.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			errs[i] = err
			waiting.Done()
		})
	}
	waiting.Wait()
	for _, err := range errs {
		if err != nil {
			return acknowledged, err
		}
		acknowledged++
	}
	return acknowledged, nil
}

// allowance is what a gateway may still send at once: at most a second's worth,
// and one request however large.
type allowance struct {
	bytes float64
	at    time.Time
}

// throttle takes size from the gateway's allowance, or says how long to wait.
func (u *Uplink) throttle(gateway string, size int, now time.Time) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	rate := float64(u.options.MaxRate)
	a := u.rates[gateway]
	if a == nil {
		a = &allowance{bytes: rate, at: now}
		u.rates[gateway] = a
	}
	a.bytes = min(rate, a.bytes+rate*max(0, now.Sub(a.at).Seconds()))
	a.at = now
	if a.bytes <= 0 {
		return time.Duration((1 - a.bytes) / rate * float64(time.Second))
	}
	a.bytes -= float64(size)
	return 0
}

func (u *Uplink) enrol(w http.ResponseWriter, r *http.Request) {
	if !u.enter(w, r) {
		return
	}
	defer u.leave(r)
	var e record.Enrolment
	if err := json.NewDecoder(u.body(w, r, maxCommandRequest)).Decode(&e); err != nil {
		u.refuse(w, http.StatusBadRequest, 0, fmt.Errorf("no enrolment: %w", err))
		return
	}
	err := u.options.Keys.Enrol(r.Context(), e)
	switch {
	case errors.Is(err, ErrRefused):
		u.tell(r, "uplink: enrolment refused", "gateway", e.Gateway, "error", err)
		u.refuse(w, http.StatusForbidden, 0, errors.New("the enrolment is refused; the cloud's log says why"))
	case err != nil:
		u.options.Log.Error("uplink: enrolment", "gateway", e.Gateway, "error", err)
		u.refuse(w, http.StatusServiceUnavailable, 0, errors.New("the enrolment can't be kept"))
	default:
		u.options.Log.Info("uplink: gateway enrolled", "gateway", e.Gateway, "from", r.RemoteAddr)
		reply(w, http.StatusOK, record.UplinkAnswer{})
	}
}
