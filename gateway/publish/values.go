package publish

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// ValuesOptions are what Values need, beside those of the alarms. Its Config's client id
// is another one.
type ValuesOptions struct {
	Options
	QoS    byte // 0 or 1
	Retain bool
}

// Values publishes the current value of each signal when it has changed. While the broker
// is away or slow, of each signal the latest waits, and those before it aren't published:
// the history is in the log. It is safe for concurrent use.
type Values struct {
	o    ValuesOptions
	wake chan struct{}

	mu      sync.Mutex
	signals map[telemetry.SignalID]*current
	waiting []*current // oldest first
	stats   ValueStats
	told    bool // that there is no connection
}

// ValueStats is how it stands.
type ValueStats struct {
	Connected bool
	Cause     string // why it isn't
	Published uint64 // values, since the start
	Replaced  uint64 // values that weren't, since a later one came before
}

// current is a signal and its value.
type current struct {
	topic   string
	signal  telemetry.Signal
	sample  telemetry.Sample
	known   bool // it has one
	waiting bool
}

// valuesTogether is how many values are sent before the first is acknowledged.
const valuesTogether = 256

// NewValues makes Values, which connect when they run.
func NewValues(o ValuesOptions) *Values {
	return &Values{o: o, wake: make(chan struct{}, 1), signals: map[telemetry.SignalID]*current{}, stats: ValueStats{Cause: "not tried yet"}}
}

// Describe says which signals there are from now on. Of those that are as before, the
// value is known.
func (v *Values) Describe(signals []telemetry.Signal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := make(map[telemetry.SignalID]*current, len(signals))
	for _, s := range signals {
		c := v.signals[s.ID]
		if c == nil {
			c = &current{}
		}
		c.signal, c.topic = s, strings.Join([]string{v.o.Prefix, v.o.Gateway, "values", s.Device, s.Name}, "/")
		next[s.ID] = c
	}
	v.signals = next
}

// Note takes up what has been measured, on the gateway's time. It never waits for the
// broker.
func (v *Values) Note(samples []telemetry.Sample) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range samples {
		s := &samples[i]
		c := v.signals[s.Signal]
		if c == nil || c.known && c.sample.Value == s.Value && c.sample.Quality == s.Quality {
			continue
		}
		if c.waiting {
			v.stats.Replaced++
		}
		c.sample, c.known = *s, true
		v.wait(c)
	}
	if len(v.waiting) > 0 {
		v.notify()
	}
}

func (v *Values) wait(c *current) {
	if !c.waiting {
		c.waiting = true
		v.waiting = append(v.waiting, c)
	}
}

func (v *Values) notify() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Stats may be called at any time.
func (v *Values) Stats() ValueStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stats
}

// Run publishes until ctx ends, whatever becomes of the broker meanwhile.
func (v *Values) Run(ctx context.Context) {
	for pause := soonest; ctx.Err() == nil; pause = min(2*pause, latest) {
		err := v.connected(ctx, func() { pause = soonest })
		if ctx.Err() != nil {
			return
		}
		v.lose(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (v *Values) lose(err error) {
	v.mu.Lock()
	v.stats.Connected, v.stats.Cause = false, err.Error()
	tell := !v.told
	v.told = true
	v.mu.Unlock()
	if tell { // the rules wait for the lock, and mustn't for the log
		v.o.Log.Warn("values can't be published", "broker", v.o.Config.Broker, "cause", err)
	}
}

// connected connects and publishes what is known, and then what changes. made is called
// when there is a connection.
func (v *Values) connected(ctx context.Context, made func()) error {
	conn, err := mqttconn.Dial(ctx, v.o.Config, mqttconn.Options{Dir: v.o.Dir, Now: v.o.Now})
	if err != nil {
		return err
	}
	defer conn.Close()
	v.begin()
	made()
	for {
		for batch := v.take(); len(batch) > 0; batch = v.take() {
			if err := v.send(ctx, conn, batch); err != nil {
				return err
			}
		}
		select {
		case <-v.wake:
		case <-conn.Lost():
			return conn.Cause()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin has everything published that is known: the broker may have forgotten it.
func (v *Values) begin() {
	v.mu.Lock()
	v.stats.Connected, v.stats.Cause, v.told = true, "", false
	for _, c := range v.signals {
		if c.known {
			v.wait(c)
		}
	}
	v.mu.Unlock()
	v.o.Log.Info("values are published", "broker", v.o.Config.Broker)
}

// pending is a value that is being sent.
type pending struct {
	topic  string
	signal telemetry.Signal
	sample telemetry.Sample
}

func (v *Values) take() (batch []pending) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := min(len(v.waiting), valuesTogether)
	for _, c := range v.waiting[:n] {
		c.waiting = false
		batch = append(batch, pending{c.topic, c.signal, c.sample})
	}
	v.waiting = v.waiting[n:]
	return batch
}

// send publishes values. What the broker hasn't taken is published with the next
// connection, as everything is.
func (v *Values) send(ctx context.Context, conn *mqttconn.Conn, batch []pending) error {
	messages := make([]mqttconn.Message, len(batch))
	for i, p := range batch {
		messages[i] = mqttconn.Message{Topic: p.topic, Payload: payload(p.signal, p.sample), Retain: v.o.Retain, AtMostOnce: v.o.QoS == 0}
	}
	acknowledged, err := conn.Publish(ctx, messages)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stats.Published += uint64(acknowledged)
	return err
}

// published is a value as it is written: docs/mqtt.md says how.
type published struct {
	Time    string `json:"time"`
	Value   any    `json:"value"`
	Text    string `json:"text,omitempty"`
	Unit    string `json:"unit"`
	Quality string `json:"quality"`
	Reason  string `json:"reason,omitempty"`
}

// payload is a value as JSON. Integers are exact; what has no value, or one that is no
// number, is null.
func payload(signal telemetry.Signal, s telemetry.Sample) []byte {
	p := published{
		Time: s.Time.Time().UTC().Format("2006-01-02T15:04:05.000000Z07:00"), Unit: signal.Unit, Text: signal.InWords(s.Value),
		Quality: s.Quality.Validity().String(), Reason: s.Quality.Why(),
	}
	switch v := s.Value; v.Kind() {
	case telemetry.Float64:
		if f, _ := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			p.Value = f
		}
	case telemetry.Int64:
		p.Value = int64(v.Bits())
	case telemetry.Uint64:
		p.Value = v.Bits()
	case telemetry.Bool:
		p.Value = v.Bits() != 0
	case telemetry.Text:
		p.Value = v.Text()
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // it is texts, bools and finite numbers
	}
	return text
}
