package mqtt

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

func plugs() Device {
	number := Selector{Type: Number, Scale: 1}
	return Device{
		Available: []Availability{
			{Topic: "plug/+/there", Online: "yes", Offline: "no"},
			{Topic: "hub", JSON: "$.state", Online: "on", Offline: "off"},
		},
		Follow: []Follow{
			{Topic: "plug/+/there", Name: "{1}.There", Sources: 1, Selector: Selector{Type: Bool, Scale: 1}, Kind: telemetry.State, StaleAfter: time.Hour},
			{Topic: "plug/+/+/power", Name: "{1}.{2}.W", Sources: 1, Selector: number, Kind: telemetry.Gauge, StaleAfter: time.Hour},
			{Topic: "plug/#", Name: "{1}", Selector: Selector{Type: Text, Scale: 1}, Kind: telemetry.State},
		},
	}
}

// decoded is what messages come to, in words.
func decoded(d Device, messages ...string) string {
	var list []Message
	for _, m := range messages {
		topic, payload, _ := strings.Cut(m, " ")
		list = append(list, Message{topic, payload})
	}
	values := d.Decode(list)
	var words []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		words = append(words, strings.TrimSuffix(strings.TrimSpace(name+" "+v.Sample.Value.String()+" "+v.Unit)+" "+v.Sample.Quality.String(), " good"))
	}
	return strings.Join(words, "; ")
}

// Each of many sources says for itself whether it is there, and what is behind it for all.
func TestSources(t *testing.T) {
	d := plugs()
	d.Follow = d.Follow[:2]
	for _, c := range []struct{ messages, want string }{
		{"plug/a/there yes\nplug/a/0/power 1\nplug/b/0/power 2", "a.There true; a.n0.W 1; b.n0.W 2"},
		{"plug/a/0/power 1\nplug/b/0/power 2\nplug/a/there no", "a.There false; a.n0.W – bad (not connected); b.n0.W 2"},
		{"plug/a/0/power 1\nplug/a/there no\nplug/a/there yes", "a.There true; a.n0.W 1"},
		{"plug/a/0/power 1\nplug/b/there yes\nhub {\"state\":\"off\"}", "a.n0.W – bad (not connected); b.There true"},
		{"plug/a/0/power 1\nplug/a/there no\nhub {\"state\":\"off\"}\nhub {\"state\":\"on\"}", "a.There false; a.n0.W – bad (not connected)"},
		{"plug/a/there perhaps\nplug/a/0/power 1", "a.n0.W 1"},
	} {
		if got := decoded(d, strings.Split(c.messages, "\n")...); got != c.want {
			t.Errorf("%q: %s, expected %s", c.messages, got, c.want)
		}
	}
}

// Where a source says whether it is there, nothing else is found unless it is meant.
func TestWhereSourcesSayIsNothingElse(t *testing.T) {
	if got := decoded(plugs(), "plug/a/there yes", "plug/a/name x"); got != "a.There true; a.name x" {
		t.Error(got)
	}
}

// What the broker has kept of a source that has gone isn't current, whichever comes first,
// but its last word is.
func TestRetainedOfWhoHasGone(t *testing.T) {
	for _, order := range [][]string{{"plug/a/there no", "plug/a/0/power 1"}, {"plug/a/0/power 1", "plug/a/there no"}} {
		r := newReader(plugs())
		for _, m := range order {
			topic, payload, _ := strings.Cut(m, " ")
			r.take(mqttconn.Received{Topic: topic, Payload: []byte(payload), Retained: true, At: now})
		}
		gone, _ := r.takeTurned()
		if len(gone) != 1 || !r.away(r.names["a.n0.W"]) || !slices.Contains(gone, r.names["a.n0.W"].source) {
			t.Errorf("%v: %d", order, len(gone))
		}
		if q := r.names["a.There"].last.Quality; q.Validity() != telemetry.Good {
			t.Errorf("%v: %v", order, q)
		}
		last := r.names["a.n0.W"].last
		if first := order[0] == "plug/a/there no"; first != (last.Value.Kind() == telemetry.None) {
			t.Errorf("%v: %v %v", order, last.Value, last.Quality)
		}
		if r.names["a.There"].staleAfter != 0 || r.names["a.n0.W"].staleAfter == 0 {
			t.Error("what a source has said of itself holds until it says something else")
		}
	}
}

func homie(convention Convention) Device {
	topic := "homie/+/+/+"
	if convention == Homie5 {
		topic = "homie/5/+/+/+"
	}
	return Device{Follow: []Follow{{Topic: topic, Name: "{1}.{2}.{3}", Sources: 1, Described: convention, Selector: Selector{Scale: 1}}}}
}

// Values are read as they are described, whatever comes first.
func TestDescribed(t *testing.T) {
	const (
		value    = "homie/d/n/p 21.5"
		float    = "homie/d/n/p/$datatype float"
		unit     = "homie/d/n/p/$unit °C"
		document = `homie/5/d/$description {"homie":"5.0","nodes":{"n":{"properties":{"p":{"datatype":"float","unit":"°C"},"q":{"datatype":"boolean"}}}}}`
	)
	for _, c := range []struct {
		by       Convention
		messages []string
		want     string
	}{
		{Homie4, []string{value, float, unit}, "d.n.p 21.5 Cel"},
		{Homie4, []string{unit, float, value}, "d.n.p 21.5 Cel"},
		{Homie4, []string{float, value, unit}, "d.n.p 21.5 Cel"},
		{Homie4, []string{float, value, "homie/d/n/p 22"}, "d.n.p 22"},
		{Homie4, []string{value, unit}, ""},
		{Homie4, []string{float, value, "homie/d/n/p/$datatype string", "homie/d/n/p warm"}, "d.n.p warm"},
		{Homie4, []string{float, "homie/d/n/p warm", "homie/d/n/p 21"}, "d.n.p 21"},
		{Homie4, []string{"homie/d/n/p/$datatype enum", "homie/d/n/p auto"}, "d.n.p auto"},
		{Homie4, []string{"homie/d/$fw/p/$datatype string", "homie/d/$fw/p x", "homie/d/n/$name N", "homie/d/n/$name/$datatype string"}, ""},
		{Homie5, []string{"homie/5/d/n/p 21.5", document, "homie/5/d/n/q true", "homie/5/d/n/r 1"}, "d.n.p 21.5 Cel; d.n.q true"},
		{Homie5, []string{"homie/5/d/$description {", "homie/5/d/n/p 21.5"}, ""},
		{Homie5, []string{document, "homie/5/d/n/p 21.5", strings.Replace(document, "°C", "°F", 1), "homie/5/d/n/p 70"}, "d.n.p 70 [degF]"},
	} {
		if got := decoded(homie(c.by), c.messages...); got != c.want {
			t.Errorf("%q: %s, expected %s", c.messages, got, c.want)
		}
	}
	got := strings.Join(append(topics(homie(Homie4).filters()), topics(homie(Homie5).filters())...), " ")
	if got != "homie/+/+/+ homie/+/+/+/$datatype homie/+/+/+/$unit homie/5/+/+/+ homie/5/+/$description" {
		t.Error(got)
	}
}

// A unit that has come after its signal was registered makes another one of it.
func TestADescriptionThatChanges(t *testing.T) {
	r := newReader(homie(Homie4))
	send := func(topic, payload string) {
		r.take(mqttconn.Received{Topic: topic, Payload: []byte(payload), At: now})
	}
	send("homie/d/n/p/$datatype", "integer")
	send("homie/d/n/p", "1")
	r.register([]telemetry.SignalID{7})
	r.delivered()
	send("homie/d/n/p/$unit", "kWh")
	send("homie/d/n/p", "2")
	if f := r.toRegister(); len(f) != 1 || f[0].Name != "d.n.p" || f[0].Unit != "kW.h" || f[0].Kind != telemetry.Gauge || len(r.points) != 1 {
		t.Fatalf("%+v, %d points", f, len(r.points))
	}
	r.register([]telemetry.SignalID{8})
	if got := words(r.batch); got != "8 int64 2" {
		t.Error(got)
	}
	r.delivered()
	send("homie/d/n/p/$unit", "kWh")
	send("homie/d/n/p", "3")
	if got := words(r.batch); len(r.fresh) > 0 || got != "8 int64 3 +1us" {
		t.Error(got)
	}
}

// A source that is back is as the broker has kept it, since it needn't say anew what
// hasn't changed.
func TestWhatWasKeptOfWhoIsBack(t *testing.T) {
	r := newReader(plugs())
	take := func(topic, payload string, retained bool) {
		r.take(mqttconn.Received{Topic: topic, Payload: []byte(payload), Retained: retained, At: now})
	}
	take("plug/a/0/power", "1", false)
	take("plug/b/0/power", "1", false)
	take("plug/a/there", "no", false)
	take("plug/b/there", "no", false)
	ids := make([]telemetry.SignalID, len(r.fresh))
	for i := range ids {
		ids[i] = telemetry.SignalID(i + 1)
	}
	r.register(ids)
	for _, p := range r.points {
		if p.name != "a.There" && p.name != "b.There" {
			p.lack(now, session.Bad(telemetry.NotConnected))
		}
	}
	take("plug/a/0/power", "2", true)
	take("plug/b/0/power", "2", true)
	take("plug/a/there", "yes", true)
	if _, back := r.takeTurned(); !slices.Contains(back, r.names["a.n0.W"].source) || slices.Contains(back, r.names["b.n0.W"].source) {
		t.Fatalf("%v are back", back)
	}
	restored := r.restore(now)
	if len(restored) != 1 || restored[0].Signal != r.names["a.n0.W"].signal || restored[0].Quality != unknownAge || restored[0].Value.String() != "2" {
		t.Errorf("%+v", restored)
	}
	take("plug/b/0/power", "3", false)
	take("plug/b/there", "yes", false)
	if late := r.restore(now); len(late) != 0 {
		t.Errorf("it has told something since: %+v", late)
	}
}

// A last word that stands among the signals holds until the next one, as one that is
// followed does.
func TestALastWordAmongTheSignals(t *testing.T) {
	d := Device{
		Available: []Availability{{Topic: "k/LWT", Offline: "Offline"}},
		Points: []Point{
			{Name: "Online", Topic: "k/LWT", Selector: Selector{States: map[string]int64{"Offline": 0, "Online": 1}}, StaleAfter: time.Minute, Signal: 1},
			{Name: "W", Topic: "k/STATE", Selector: Selector{JSON: "$.W"}, StaleAfter: time.Minute, Signal: 2},
		},
	}
	r := newReader(d)
	if p := r.names["Online"]; p.source != nil || p.staleAfter != 0 {
		t.Errorf("%+v", p)
	}
	if p := r.names["W"]; p.source != r.whole || p.staleAfter != time.Minute {
		t.Errorf("%+v", p)
	}
	for _, word := range []string{"Offline", "anything else"} {
		r.take(mqttconn.Received{Topic: "k/LWT", Payload: []byte(word), At: now})
		if r.whole.gone() != (word == "Offline") {
			t.Errorf("%s: gone %v", word, r.whole.gone())
		}
	}
}
