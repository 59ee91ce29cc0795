// Package uplink lets gateways in that reach the cloud by outgoing HTTPS
// and no Kafka: it takes their signed records, writes them to the
// log, and says which of them every in-sync replica has. It also enrols new
// gateways by a one-time token. docs/uplink.md describes the interface.
package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
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
	// maxRequests bounds the requests that are in memory at once.
	maxRequests = 64
)

// Uplink is the handler of the interface.
type Uplink struct {
	options Options
	mux     http.ServeMux
	slots   chan struct{}

	mu    sync.Mutex
	rates map[string]*allowance

	stats counters
}

// New makes an uplink.
func New(o Options) *Uplink {
	if o.MaxRate == 0 {
		o.MaxRate = DefaultMaxRate
	}
	u := &Uplink{options: o, slots: make(chan struct{}, maxRequests), rates: map[string]*allowance{}}
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
	if !u.enter(w) {
		return
	}
	defer u.leave()
	messages, size, err := read(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		u.refuse(w, http.StatusBadRequest, 0, err)
		return
	}
	gateway, err := u.admit(r.Context(), topic, messages)
	switch {
	case errors.Is(err, ErrRefused):
		u.options.Log.Warn("uplink: records refused", "gateway", gateway, "topic", topic, "from", r.RemoteAddr, "error", err)
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
func (u *Uplink) enter(w http.ResponseWriter) bool {
	select {
	case u.slots <- struct{}{}:
		return true
	default:
		w.Header().Set("Retry-After", "1")
		u.refuse(w, http.StatusServiceUnavailable, 0, errors.New("too many gateways send at once"))
		return false
	}
}

func (u *Uplink) leave() { <-u.slots }

func read(body io.Reader) (messages []record.Message, size int, err error) {
	all, err := io.ReadAll(body)
	if err != nil {
		return nil, 0, fmt.Errorf("read the request: %w", err)
	}
	for source := bytes.NewReader(all); ; {
		m, err := record.ReadMessage(source)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return nil, 0, errors.New("the request has no messages")
	}
	return messages, len(all), nil
}

// admit checks every message before any is written: a request is one gateway's.
func (u *Uplink) admit(ctx context.Context, topic string, messages []record.Message) (gateway string, err error) {
	for i, m := range messages {
		of, err := u.options.Keys.Admit(ctx, topic, m)
		if err == nil && i > 0 && of != gateway {
			err = fmt.Errorf("%w: messages of %s and of %s in one request", ErrRefused, gateway, of)
		}
		if err != nil {
			return gateway, fmt.Errorf("message %d: %w", i, err)
		}
		gateway = of
	}
	return gateway, nil
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
	var e record.Enrolment
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&e); err != nil {
		u.refuse(w, http.StatusBadRequest, 0, fmt.Errorf("no enrolment: %w", err))
		return
	}
	err := u.options.Keys.Enrol(r.Context(), e)
	switch {
	case errors.Is(err, ErrRefused):
		u.options.Log.Warn("uplink: enrolment refused", "gateway", e.Gateway, "from", r.RemoteAddr, "error", err)
		u.refuse(w, http.StatusForbidden, 0, errors.New("the enrolment is refused; the cloud's log says why"))
	case err != nil:
		u.options.Log.Error("uplink: enrolment", "gateway", e.Gateway, "error", err)
		u.refuse(w, http.StatusServiceUnavailable, 0, errors.New("the enrolment can't be kept"))
	default:
		u.options.Log.Info("uplink: gateway enrolled", "gateway", e.Gateway, "from", r.RemoteAddr)
		reply(w, http.StatusOK, record.UplinkAnswer{})
	}
}
