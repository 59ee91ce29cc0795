package publish

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/mosquitto"
)

// A value is written exactly, and says what is wrong with it.
func TestValuePayload(t *testing.T) {
	at := telemetry.MicrosOf(time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC))
	for want, s := range map[string]telemetry.Sample{
		`"value":230.1,"unit":"V","quality":"good"}`:                                   {Value: telemetry.FloatValue(230.1)},
		`"value":18446744073709551615,"unit":"V","quality":"good"}`:                    {Value: telemetry.UintValue(math.MaxUint64)},
		`"value":2,"text":"running","unit":"V","quality":"good"}`:                      {Value: telemetry.IntValue(2)},
		`"value":true,"unit":"V","quality":"good"}`:                                    {Value: telemetry.BoolValue(true)},
		`"value":"a\"b","unit":"V","quality":"good"}`:                                  {Value: telemetry.TextValue(`a"b`)},
		`"value":null,"unit":"V","quality":"good"}`:                                    {Value: telemetry.FloatValue(math.NaN())},
		`"value":null,"unit":"V","quality":"bad","reason":"timeout, stale"}`:           {Quality: telemetry.MakeQuality(telemetry.Bad, 0, telemetry.Timeout) | telemetry.Stale},
		`"value":1.5,"unit":"V","quality":"good","reason":"unsynchronised clock"}`:     {Value: telemetry.FloatValue(1.5), Quality: telemetry.Quality(0).WithTime(telemetry.UnsynchronisedTime)},
		`"value":1e+300,"unit":"V","quality":"uncertain","reason":"stale, estimated"}`: {Value: telemetry.FloatValue(1e300), Quality: telemetry.MakeQuality(telemetry.Uncertain, 0, 0) | telemetry.Stale | telemetry.Estimated},
	} {
		s.Time = at
		got := string(payload(telemetry.Signal{Unit: "V", States: telemetry.States{2: "running"}}, s))
		if want = `{"time":"2026-03-01T12:00:00.250000Z",` + want; got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

// Values are published when they change; of those that come while the broker is away,
// the last one; and all again to a broker that has forgotten them.
func TestValuesReachTheBroker(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		b := mosquitto.New(t, "")
		b.Start()
		v := NewValues(ValuesOptions{Options: Options{Config: plain(b), Gateway: "gw", Prefix: "busbar", Log: slog.New(slog.DiscardHandler)}, QoS: qos, Retain: true})
		signals := []telemetry.Signal{{ID: 1, Device: "meter", Name: "PhV.phsA", Unit: "V"}, {ID: 2, Device: "meter", Name: "TotW", Unit: "W"}}
		v.Describe(signals)
		w := b.Watch("busbar")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { v.Run(ctx); close(ended) }()
		note := func(id telemetry.SignalID, value int64) {
			v.Note([]telemetry.Sample{{Signal: id, Value: telemetry.IntValue(value)}, {Signal: 77}})
		}
		values := func(messages []mosquitto.Message) (list []string) {
			for _, m := range messages {
				_, value, _ := strings.Cut(m.Payload, `"value":`)
				value, _, _ = strings.Cut(value, ",")
				list = append(list, strings.TrimPrefix(m.Topic, "busbar/gw/values/meter/")+" "+value)
			}
			return list
		}
		await.True(t, "a connection", func() bool { return v.Stats().Connected })
		published := func(want ...string) {
			t.Helper()
			await.True(t, strings.Join(want, "; "), func() bool { return slices.Equal(values(w.Messages()), want) })
		}
		note(1, 230)
		published("PhV.phsA 230")
		note(1, 230)
		note(2, 1)
		published("PhV.phsA 230", "TotW 1")
		// Who is described anew keeps its value.
		v.Describe(append(signals, telemetry.Signal{ID: 3, Device: "meter", Name: "Hz", Unit: "Hz"}))
		note(2, 1)
		note(3, 50)
		published("PhV.phsA 230", "TotW 1", "Hz 50")
		b.Kill()
		await.True(t, "the loss of the connection", func() bool { return !v.Stats().Connected })
		for i := range int64(10_000) {
			note(1, 231+i)
		}
		if s := v.Stats(); s.Replaced != 9_999 || v.queued() > 3 {
			t.Errorf("%+v, %d wait", s, v.queued())
		}
		b.Start()
		want := []string{"Hz 50", "PhV.phsA 10230", "TotW 1"}
		await.True(t, "what is current is kept again", func() bool {
			kept := b.Kept("busbar")
			var list []mosquitto.Message
			for topic, payload := range kept {
				list = append(list, mosquitto.Message{Topic: topic, Payload: payload})
			}
			got := values(list)
			slices.Sort(got)
			return slices.Equal(got, want)
		})
		if s := v.Stats(); s.Published < 6 {
			t.Errorf("%+v", s)
		}
		cancel()
		<-ended
	}
}

func (v *Values) queued() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.waiting)
}

// A broker that doesn't answer holds nobody up who has values.
func TestNotingNeverWaits(t *testing.T) {
	b := mosquitto.New(t, "")
	b.Start()
	v := NewValues(ValuesOptions{Options: Options{Config: plain(b), Gateway: "gw", Prefix: "busbar", Log: slog.New(slog.DiscardHandler)}, QoS: 1})
	signals := make([]telemetry.Signal, 1000)
	samples := make([]telemetry.Sample, len(signals))
	for i := range signals {
		signals[i] = telemetry.Signal{ID: telemetry.SignalID(i + 1), Device: "meter", Name: "V", Unit: "V"}
		samples[i].Signal = signals[i].ID
	}
	v.Describe(signals)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { v.Run(ctx); close(ended) }()
	await.True(t, "a connection", func() bool { return v.Stats().Connected })
	b.Freeze()
	for n := range int64(1000) {
		for i := range samples {
			samples[i].Value = telemetry.IntValue(n)
		}
		v.Note(samples)
	}
	if n := v.queued(); n > len(signals) {
		t.Errorf("%d wait", n)
	}
	b.Thaw()
	cancel()
	<-ended
}
