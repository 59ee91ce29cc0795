package mqtt

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// FuzzJSON: what Go's own decoder takes for JSON is taken for it, and nothing else; what
// is at a place is what that finds there.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":[1,2.5e3]}}`, `{"a":{"b":["x\u00e9\ud83d\ude00"]}}`, `{"a":{"b":[true]}} `, `[`, `{"a":1,}`, `-0`, `01`, `"\x"`, `{"\u0061":{"b":[null]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		tr := &tree{}
		steps, err := parsePath("$.a.b[0]")
		if err != nil {
			t.Fatal(err)
		}
		slot, _ := tr.add(steps)
		var w walker
		err = w.walk(tr, payload)
		if errors.Is(err, errDeep) {
			return
		}
		if (err == nil) != json.Valid(payload) {
			t.Fatalf("%v for %q", err, payload)
		}
		if err != nil || !bytes.Equal(payload, bytes.ToValidUTF8(payload, nil)) {
			return
		}
		var value any
		decoder := json.NewDecoder(bytes.NewReader(payload))
		decoder.UseNumber()
		if decoder.Decode(&value) != nil {
			return
		}
		a, _ := value.(map[string]any)
		b, _ := a["a"].(map[string]any)
		list, _ := b["b"].([]any)
		got := w.slots[slot]
		if len(list) == 0 {
			return // another of the same name may have had it
		}
		switch want := list[0].(type) {
		case json.Number:
			if got.kind != number || string(got.text) != want.String() {
				t.Fatalf("%+v, expected %s", got, want)
			}
		case string:
			if plain := string(unescape(nil, got.text)); got.kind != text || plain != want {
				t.Fatalf("%q, expected %q", plain, want)
			}
		case bool:
			if got.kind != boolean {
				t.Fatalf("%+v", got)
			}
		case nil:
			if got.kind != null {
				t.Fatalf("%+v", got)
			}
		}
	})
}

// everything is a device that reads what there is in all ways.
func everything() Device {
	point := func(name string, s Selector) Point {
		s.Scale = 1
		return Point{Name: name, Topic: "t", Selector: s, Signal: 1}
	}
	return Device{
		Available: []Availability{{Topic: "t", JSON: "$.state", Online: "online", Offline: "offline"}, {Topic: "+/lwt", Online: "online", Offline: "offline"}},
		Points: []Point{
			point("a", Selector{JSON: "$.a", Type: Number, Time: "$.t"}), point("b", Selector{JSON: "$.b[*].v", Time: "$.b[*].t", TimeUnit: Seconds}),
			point("c", Selector{JSON: "$.b[0]", Type: Text}), point("d", Selector{Type: Bool}), point("e", Selector{States: map[string]int64{"ON": 1}}),
			point("f", Selector{Format: Influx, Field: "v", Tags: map[string]string{"h": "1"}, TimeUnit: Nanoseconds}),
			point("g", Selector{Format: Influx, Measurement: "m x", Field: "v", Type: Text, TimeUnit: Milliseconds}),
		},
		Follow: []Follow{
			{Topic: "homie/5/+/+/+", Name: "{1}.{2}.{3}", Sources: 1, Described: Homie5, Selector: Selector{Scale: 1}},
			{Topic: "homie/+/+/+", Name: "{1}.{2}.{3}", Sources: 1, Described: Homie4, Selector: Selector{Scale: 1}},
			{Topic: "+/lwt", Name: "{1}.There", Sources: 1, Selector: Selector{Type: Bool, Scale: 1}, Kind: telemetry.State},
			{Topic: "#", Name: "{1}", Selector: Selector{Type: Number, Scale: 2}, Kind: telemetry.Gauge},
		},
	}
}

// FuzzPayload: whatever a message is, it makes samples that can be stored, and no more
// than it has room to say.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[{"v":2,"t":1772366390}],"t":"2026-03-01T12:00:00Z"}`, "ON", "21.5", `m,h=1 v=2i 1772366390000000000`, `m\ x v="a\"b" 1`, "null", `{"state":"offline"}`, "a,b=c d=\"\n\""} {
		f.Add("t", []byte(seed))
	}
	f.Add("a/+\xff/b", []byte("1"))
	f.Add("a/lwt", []byte("offline"))
	f.Add("homie/5/d/$description", []byte(`{"nodes":{"n":{"properties":{"p":{"datatype":"float","unit":"°C"}}}}}`))
	f.Add("homie/d/n/p/$datatype", []byte("float"))
	d := everything()
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		r := newReader(d)
		for _, waits := range []string{"homie/d/n/p", "homie/5/d/n/p"} {
			r.take(mqttconn.Received{Topic: waits, Payload: []byte("21.5"), Retained: true, At: now})
		}
		r.delivered()
		r.take(mqttconn.Received{Topic: topic, Payload: bytes.Clone(payload), At: now})
		if len(r.batch) > len(payload)+2*len(d.Points) {
			t.Fatalf("%d samples of %d bytes", len(r.batch), len(payload))
		}
		for _, s := range append(r.batch, r.past...) {
			bad := s.Quality.Validity() == telemetry.Bad
			if bad != (s.Value.Kind() == telemetry.None) || bad != (s.Quality.Reason() != telemetry.NoReason) {
				t.Fatalf("%v %v", s.Value, s.Quality)
			}
			if v, ok := s.Value.Float(); ok && (math.IsNaN(v) || math.IsInf(v, 0)) {
				t.Fatalf("%v", s.Value)
			}
			if len(s.Value.Text()) > telemetry.MaxTextBytes || s.Time < earliest {
				t.Fatalf("%v at %v", s.Value, s.Time)
			}
		}
	})
}

// FuzzInflux: a line is either refused or whole, and what is behind it is shorter.
func FuzzInflux(f *testing.F) {
	for _, seed := range []string{"m,a=b c=1 2\nm c=2", `m\ ,a=b\,c "d"="e\"" `, "m a=\"\n\"", "#x\n\nm a=t", "m a=", "m,a b=1", "m a=1,"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var l line
		for rest := payload; ; {
			next, ok, err := l.nextLine(rest)
			if !ok || err != nil {
				return
			}
			if len(next) >= len(rest) || len(l.measurement) == 0 || len(l.fields) == 0 {
				t.Fatalf("%q of %q", next, rest)
			}
			for _, p := range l.fields {
				if len(p.name) == 0 || len(p.value) == 0 {
					t.Fatalf("%q", payload)
				}
				fieldToken(p.value)
			}
			rest = next
		}
	})
}

// FuzzTopic: a filter that covers another one matches what that matches, and the names of
// what is followed are names.
func FuzzTopic(f *testing.F) {
	f.Add("a/+", "a/b", "a/b")
	f.Add("#", "+/#", "a/b")
	f.Add("a/#", "a", "a")
	f.Fuzz(func(t *testing.T, filter, other, topic string) {
		if CheckFilter(filter) != nil || CheckFilter(other) != nil || CheckTopic(topic) != nil {
			return
		}
		wildcards, is := matches(filter, topic)
		if _, too := matches(other, topic); too && !is && covers(filter, other) {
			t.Fatalf("%s covers %s, but doesn't match %s", filter, other, topic)
		}
		if n := strings.Count("/"+filter, "/+") + strings.Count("/"+filter, "/#"); is && len(wildcards) != n {
			t.Fatalf("%q of %s", wildcards, filter)
		}
		if got := expand("{1}", append(wildcards, "x")); got != "" && (len(got) > longestName || strings.Trim(got, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != "" || strings.Contains(got, "..")) {
			t.Fatalf("%q", got)
		}
	})
}

// FuzzMoment: whatever a time is, it is one that a clock can show.
func FuzzMoment(f *testing.F) {
	f.Add([]byte("2026-03-01T12:00:00Z"), true)
	f.Add([]byte("1772366390.5"), false)
	f.Add([]byte("99999999999999999999999"), false)
	f.Fuzz(func(t *testing.T, written []byte, quoted bool) {
		for _, unit := range []TimeUnit{RFC3339, Seconds, Milliseconds, Microseconds, Nanoseconds} {
			k := number
			if quoted {
				k = text
			}
			at, ok := moment(token{kind: k, text: written}, unit, telemetry.MicrosOf(now))
			if ok && (at < earliest || at > telemetry.MicrosOf(now.Add(24*time.Hour))) {
				t.Fatalf("%s as %s: %v", written, unit, at)
			}
		}
	})
}
