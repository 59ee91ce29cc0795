package mqtt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// now is when the messages of these tests come.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// words are samples as a test says them: the signal, what it is, and when, unless it is
// the time of receipt; with its quality, unless it is good.
func words(samples []telemetry.Sample) string {
	var list []string
	for _, s := range samples {
		text := fmt.Sprintf("%d %s %s", s.Signal, s.Value.Kind(), s.Value)
		if s.Quality.TimeQuality() == telemetry.DeviceTime {
			text += " at " + s.Time.Time().UTC().Format("2006-01-02T15:04:05.999999")
		} else if d := s.Time - telemetry.MicrosOf(now); d != 0 {
			text += fmt.Sprintf(" +%dus", d)
		}
		if q := s.Quality.WithTime(telemetry.GatewayTime); q != 0 {
			text += " " + q.String()
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

// read is what messages to the topic t say to a device whose signals are on it.
func read(selectors []Selector, payloads ...string) string {
	d := Device{}
	for i, s := range selectors {
		if s.Scale == 0 {
			s.Scale = 1
		}
		d.Points = append(d.Points, Point{Name: fmt.Sprint(i), Topic: "t", Selector: s, Signal: telemetry.SignalID(i + 1)})
	}
	r := newReader(d)
	for _, p := range payloads {
		r.take(mqttconn.Received{Topic: "t", Payload: []byte(p), At: now})
	}
	return words(r.batch)
}

func TestPayloads(t *testing.T) {
	num := func(path string) Selector { return Selector{JSON: path, Type: Number} }
	timed := func(path, time string, unit TimeUnit) Selector {
		return Selector{JSON: path, Type: Number, Time: time, TimeUnit: unit}
	}
	influx := func(m, field string) Selector {
		return Selector{Format: Influx, Measurement: m, Field: field, Type: Number, TimeUnit: Nanoseconds}
	}
	list := func(s ...Selector) []Selector { return s }
	for what, c := range map[string]struct {
		selectors []Selector
		payload   string
		want      string
	}{
		"a member":                  {list(num("$.power")), `{"power": 230.5}`, "1 float64 230.5"},
		"members of members":        {list(num("$.a['b c'].d"), num("$['a'].e")), `{"x":{"a":1},"a":{"b c":{"d":-3},"e":4}}`, "1 int64 -3; 2 int64 4"},
		"an element":                {list(num("$.a[2]"), num("$[1]")), `{"a":[1,[2],3,4]}`, "1 int64 3"},
		"the payload itself":        {list(num("$")), ` 7 `, "1 int64 7"},
		"one place, two signals":    {list(num("$.a"), Selector{JSON: "$.a", Type: Number, Scale: 10, Offset: -1}), `{"a":2}`, "1 int64 2; 2 float64 19"},
		"a member that isn't there": {list(num("$.power"), num("$.a.b")), `{"other": 1, "a": 5}`, ""},
		"the last of two":           {list(num("$.a")), `{"a":1,"a":2}`, "1 int64 2"},
		"an escaped name":           {list(num("$.größe")), `{"gr\u00f6\u00dfe": 1}`, "1 int64 1"},
		"null":                      {list(num("$.a")), `{"a":null}`, "1 none – bad (not implemented)"},
		"an object for a number":    {list(num("$.a")), `{"a":{}}`, "1 none – bad (malformed answer)"},
		"a bool for a number":       {list(num("$.a")), `{"a":true}`, "1 none – bad (malformed answer)"},
		"a number in quotes":        {list(num("$.a")), `{"a":"230.5"}`, "1 float64 230.5"},
		"a word for a number":       {list(num("$.a")), `{"a":"high"}`, "1 none – bad (malformed answer)"},
		"NaN":                       {list(num("$.a")), `{"a":"NaN"}`, "1 none – bad (not a number)"},
		"beyond float64":            {list(num("$.a")), `{"a":1e999}`, "1 none – bad (not a number)"},
		"the largest integers":      {list(num("$.a"), num("$.b"), num("$.c")), `{"a":18446744073709551615,"b":-9223372036854775808,"c":18446744073709551616}`, "1 uint64 18446744073709551615; 2 int64 -9223372036854775808; 3 float64 1.8446744073709552e+19"},
		"a float without a point":   {list(num("$.a")), `{"a":1e3}`, "1 float64 1000"},
		"not JSON":                  {list(num("$.a"), Selector{Type: Number}), `{"a":1`, "2 none – bad (malformed answer); 1 none – bad (malformed answer)"},
		"behind the end":            {list(num("$.a")), `{"a":1} {}`, "1 none – bad (malformed answer)"},
		"too deep":                  {list(num("$.a")), strings.Repeat("[", 100000), "1 none – bad (malformed answer)"},
		"nothing":                   {list(num("$.a"), Selector{Type: Number}), ``, ""},

		"bools":              {list(Selector{JSON: "$.a", Type: Bool}, Selector{JSON: "$.b", Type: Bool}, Selector{JSON: "$.c", Type: Bool}, Selector{JSON: "$.d", Type: Bool}), `{"a":true,"b":"OFF","c":1,"d":"open"}`, "1 bool true; 2 bool false; 3 bool true; 4 none – bad (malformed answer)"},
		"texts":              {list(Selector{JSON: "$.a", Type: Text}, Selector{JSON: "$.b", Type: Text}, Selector{JSON: "$.c", Type: Text}), `{"a":"h\u00e9\n\ud83d\ude00","b":7,"c":"` + strings.Repeat("x", 257) + `"}`, "1 text hé\n😀; 2 text 7; 3 none – bad (malformed answer)"},
		"states":             {list(Selector{JSON: "$.a", States: map[string]int64{"ON": 1}}, Selector{JSON: "$.b", States: map[string]int64{"ON": 1}}, Selector{JSON: "$.c"}, Selector{JSON: "$.d"}), `{"a":"ON","b":3,"c":"on","d":"far"}`, "1 int64 1; 2 int64 3; 3 bool true; 4 none – bad (malformed answer)"},
		"a plain number":     {list(Selector{Type: Number}), " 21.5\n", "1 float64 21.5"},
		"a plain integer":    {list(Selector{Type: Number}), "007", "1 int64 7"},
		"a plain state":      {list(Selector{}), "ON", "1 bool true"},
		"a plain text":       {list(Selector{Type: Text}), `"closed"`, "1 text closed"},
		"what Go could read": {list(Selector{Type: Number}), "0x1p4", "1 none – bad (malformed answer)"},
		"a plain null":       {list(Selector{Type: Number}), "null", "1 none – bad (not implemented)"},

		"RFC 3339":               {list(timed("$.v", "$.t", RFC3339)), `{"v":1,"t":"2026-03-01T12:30:00.25+01:00"}`, "1 int64 1 at 2026-03-01T11:30:00.25"},
		"without an offset":      {list(timed("$.v", "$.t", RFC3339)), `{"v":1,"t":"2026-03-01T12:30:00"}`, "1 int64 1"},
		"seconds":                {list(timed("$.v", "$.t", Seconds)), `{"t":1772366399.1234567,"v":1}`, "1 int64 1 at 2026-03-01T11:59:59.123456"},
		"milliseconds":           {list(timed("$.v", "$.t", Milliseconds)), `{"t":"1772366399123","v":1}`, "1 int64 1 at 2026-03-01T11:59:59.123"},
		"nanoseconds":            {list(timed("$.v", "$.t", Nanoseconds)), `{"t":1772366399123456789,"v":1}`, "1 int64 1 at 2026-03-01T11:59:59.123456"},
		"1970":                   {list(timed("$.v", "$.t", Seconds)), `{"t":12,"v":1}`, "1 int64 1"},
		"a day ahead":            {list(timed("$.v", "$.t", Seconds)), `{"t":1772539200,"v":1}`, "1 int64 1"},
		"no time":                {list(timed("$.v", "$.t", Seconds)), `{"v":1}`, "1 int64 1"},
		"a time with no value":   {list(timed("$.v", "$.t", Seconds)), `{"v":null,"t":1772366399}`, "1 none – at 2026-03-01T11:59:59 bad (not implemented)"},
		"a list":                 {list(timed("$.h[*].v", "$.h[*].t", Seconds)), `{"h":[{"t":1772366390,"v":1},{"v":2},{"t":1772366392},{"t":1772366393,"v":4}]}`, "1 int64 1 at 2026-03-01T11:59:50; 1 int64 2; 1 int64 4 at 2026-03-01T11:59:53"},
		"a list and one time":    {list(timed("$.v[*]", "$.t", Seconds)), `{"v":[1,2],"t":1772366390}`, "1 int64 1 at 2026-03-01T11:59:50; 1 int64 2 at 2026-03-01T11:59:50"},
		"a list without times":   {list(num("$[*]")), `[1,2,2]`, "1 int64 1; 1 int64 2 +1us; 1 int64 2 +2us"},
		"a list and its first":   {list(num("$[*].a"), num("$[0].a")), `[{"a":1},{"a":2}]`, "1 int64 1; 1 int64 2 +1us; 2 int64 1"},
		"a list with two values": {list(num("$[*].a"), num("$[*].b")), `[{"a":1,"b":2},{"b":3}]`, "1 int64 1; 2 int64 2; 2 int64 3 +1us"},

		"an Influx line":           {list(influx("", "value"), influx("m", "n")), "m,host=a value=1.5,n=3i 1772366399123456789\n", "1 float64 1.5 at 2026-03-01T11:59:59.123456; 2 int64 3 at 2026-03-01T11:59:59.123456"},
		"without a time":           {list(influx("", "value")), "m value=1u", "1 int64 1"},
		"Influx lines":             {list(influx("b", "v")), "a v=1 1772366390000000000\n# no\n\r\nb v=2 1772366391000000000\r\nb v=3 1772366392000000000", "1 int64 2 at 2026-03-01T11:59:51; 1 int64 3 at 2026-03-01T11:59:52"},
		"escapes":                  {list(influx("a b,c", "d=e")), `a\ b\,c,t\ 1=x\=y d\=e=5`, "1 int64 5"},
		"tags":                     {list(Selector{Format: Influx, Field: "v", Tags: map[string]string{"h": "2"}, Type: Number}), "m,h=1 v=1\nm,g=2 v=2\nm,g=1,h=2 v=3", "1 int64 3"},
		"a text of Influx":         {list(Selector{Format: Influx, Field: "v", Type: Text}), `m v="a \"b\", \u c\\"`, `1 text a "b", \u c\`},
		"bools of Influx":          {list(Selector{Format: Influx, Field: "v", Type: Bool}, Selector{Format: Influx, Field: "w", Type: Bool}), `m v=t,w=FALSE`, `1 bool true; 2 bool false`},
		"a bad line behind a good": {list(influx("", "v")), "m v=1\nm v", "1 int64 1; 1 none – +1us bad (malformed answer)"},
		"an Influx NaN":            {list(influx("", "v")), "m v=NaN", "1 none – bad (not a number)"},
	} {
		if got := read(c.selectors, c.payload); got != c.want {
			t.Errorf("%s: %s, expected %s", what, got, c.want)
		}
	}
}

// Two values of one moment of receipt are two: the second is placed behind the first.
func TestTwoAtOnce(t *testing.T) {
	if got := read([]Selector{{Type: Number}}, "1", "1", "2"); got != "1 int64 1; 1 int64 1 +1us; 1 int64 2 +2us" {
		t.Error(got)
	}
}

// What is told later than what came after it is of the past.
func TestPast(t *testing.T) {
	d := Device{Points: []Point{{Name: "A", Topic: "a", Selector: Selector{JSON: "$[*].v", Time: "$[*].t", TimeUnit: Seconds, Type: Number, Scale: 1}, Signal: 1}}}
	r := newReader(d)
	r.take(mqttconn.Received{Topic: "a", Payload: []byte(`[{"v":3,"t":1772366393},{"v":1,"t":1772366391},{"v":2,"t":1772366392},{"v":4,"t":1772366394}]`), At: now})
	if got := words(r.batch); got != "1 int64 3 at 2026-03-01T11:59:53; 1 int64 4 at 2026-03-01T11:59:54" {
		t.Error(got)
	}
	if got := words(r.past); got != "1 int64 1 at 2026-03-01T11:59:51; 1 int64 2 at 2026-03-01T11:59:52" {
		t.Error(got)
	}
	if r.points[0].last.Value != telemetry.IntValue(4) {
		t.Error(r.points[0].last.Value)
	}
}

// A source whose clock is set back is believed again after a few messages, and one whose
// clock was ahead at once.
func TestAClockThatIsSetBack(t *testing.T) {
	d := Device{Points: []Point{{Name: "A", Topic: "a", Selector: Selector{JSON: "$.v", Time: "$.t", TimeUnit: Seconds, Type: Number, Scale: 1}, Signal: 1}}}
	r := newReader(d)
	at := now
	send := func(ago time.Duration, value int) {
		at = at.Add(time.Second)
		r.take(mqttconn.Received{Topic: "a", Payload: fmt.Appendf(nil, `{"v":%d,"t":%d}`, value, at.Add(-ago).Unix()), At: at})
	}
	values := func(samples []telemetry.Sample) (list string) {
		for _, s := range samples {
			list += s.Value.String()
		}
		return list
	}
	send(-time.Hour, 1)
	send(0, 2)
	for value := 3; value < 9; value++ {
		send(time.Hour, value)
	}
	if got, past := values(r.batch), values(r.past); got != "12678" || past != "345" {
		t.Errorf("%s, and of the past %s", got, past)
	}
}

// What a broker sends again, however much of it, doesn't say that a clock was set back.
func TestSentAgain(t *testing.T) {
	d := Device{Points: []Point{{Name: "A", Topic: "a", Selector: Selector{JSON: "$.v", Time: "$.t", TimeUnit: Seconds, Type: Number, Scale: 1}, Signal: 1}}}
	r := newReader(d)
	send := func(value int, again bool) {
		r.take(mqttconn.Received{Topic: "a", Payload: fmt.Appendf(nil, `{"v":%d,"t":%d}`, value, now.Unix()-100+int64(value)), At: now.Add(time.Duration(value)), Duplicate: again})
	}
	for value := range 10 {
		send(value, false)
	}
	for value := range 9 {
		send(value, true)
	}
	if len(r.batch) != 10 || len(r.past) != 9 {
		t.Errorf("%d are current and %d of the past", len(r.batch), len(r.past))
	}
}

// A gateway whose clock was never set believes its sources.
func TestAClockThatWasNeverSet(t *testing.T) {
	at, ok := moment(token{kind: number, text: []byte("1772366390")}, Seconds, telemetry.MicrosOf(time.Unix(100, 0)))
	if !ok || at != 1772366390_000_000 {
		t.Errorf("%d, %v", at, ok)
	}
}

// Topics that nothing reads take bounded memory, and don't keep others out.
func TestTopicsThatNothingReads(t *testing.T) {
	r := newReader(Device{Follow: []Follow{{Topic: "m/+", Name: "{1}.V", Selector: Selector{Type: Number, Scale: 1}}}})
	for n := range mostTopics + 10 {
		r.of(fmt.Sprint("other/", n))
	}
	if long := "m/" + strings.Repeat("x", longestTopic); r.of(long) != nil || r.leftOut != long[:longestTopic] {
		t.Errorf("%.20s", r.leftOut)
	}
	if r.of("m/7") == nil || len(r.topics) != 11 || r.unread != 10 {
		t.Errorf("%d topics, %d of which nothing reads", len(r.topics), r.unread)
	}
	// Nor do those that are read push out the others, which would be sought again and again.
	for n := range mostTopics - 2 {
		r.of(fmt.Sprint("m/", 10+n))
	}
	for n := range 10 {
		r.of(fmt.Sprint("third/", n))
	}
	if r.unread != 20 || r.of("m/1") == nil || r.of("m/2") != nil || r.leftOut != "m/2" {
		t.Errorf("%d topics, %d of which nothing reads, %s is left out", len(r.topics), r.unread, r.leftOut)
	}
}

// What the broker has kept is no news, unless it says when it was said: of unknown age
// the first time, and left out if it has come before.
func TestRetained(t *testing.T) {
	d := Device{Points: []Point{
		{Name: "A", Topic: "a", Selector: Selector{Type: Number, Scale: 1}, Signal: 1},
		{Name: "B", Topic: "b", Selector: Selector{JSON: "$.v", Time: "$.t", TimeUnit: Seconds, Type: Number, Scale: 1}, Signal: 2},
	}}
	r := newReader(d)
	for _, step := range []struct {
		topic, payload string
		retained       bool
		want           string
	}{
		{"a", "5", true, "1 int64 5 uncertain (stale)"},
		{"a", "5", true, ""},
		{"a", "5", false, "1 int64 5 +1us"},
		{"a", "5", true, ""},
		{"a", "6", true, "1 int64 6 +2us uncertain (stale)"},
		{"b", `{"v":1,"t":1772366390}`, true, "2 int64 1 at 2026-03-01T11:59:50"},
		{"b", `{"v":1,"t":1772366390}`, true, ""},
		{"b", `{"v":2,"t":1772366391}`, false, "2 int64 2 at 2026-03-01T11:59:51"},
		{"b", `{"v":2,"t":1772366391}`, true, ""},
		{"b", `nonsense`, true, ""},
	} {
		r.delivered()
		r.take(mqttconn.Received{Topic: step.topic, Payload: []byte(step.payload), Retained: step.retained, At: now})
		if got := words(r.batch); got != step.want {
			t.Errorf("%+v: %s", step, got)
		}
	}
	// After a gap it is of unknown age again.
	r.points[0].lack(now, telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.NotConnected))
	r.delivered()
	r.take(mqttconn.Received{Topic: "a", Payload: []byte("6"), Retained: true, At: now.Add(time.Minute)})
	if len(r.batch) != 1 || !r.batch[0].Quality.Has(telemetry.Stale) {
		t.Error(words(r.batch))
	}
}

// What is followed has a signal for each topic that has a value, with a name that a
// signal can have; a name that is taken isn't given again.
func TestFollow(t *testing.T) {
	d := Device{
		Points:    []Point{{Name: "inv1.TotW", Topic: "other", Selector: Selector{Type: Number, Scale: 1}, Signal: 9}},
		Available: []Availability{{Topic: "sw/x/status", Online: "ON", Offline: "OFF"}},
		Follow: []Follow{
			{Topic: "pv/+/ac", Name: "{1}.TotW", Selector: Selector{JSON: "$.power", Type: Number, Scale: 1}, Kind: telemetry.Gauge},
			{Topic: "sw/+/+/#", Name: "{1}.{2}.{3}", Selector: Selector{Type: Bool, Scale: 1}, Kind: telemetry.State},
		},
	}
	r := newReader(d)
	send := func(topic, payload string) {
		r.take(mqttconn.Received{Topic: topic, Payload: []byte(payload), At: now})
	}
	send("pv/inv1/ac", `{"power":1}`)     // the name is that of a signal that is written down
	send("pv/2-b/ac", `{"power":2}`)      // 2-b can't begin a name
	send("pv/2+b/ac", `{"power":3}`)      // which would be the same
	send("pv/inv3/ac", `{"voltage":230}`) // says nothing of it
	send("sw/x/door/front/left", `ON`)
	send("sw/y/door", `who knows`) // nor can a signal begin
	send("sw/x/status", `OFF`)
	send("elsewhere", `1`)
	var names []string
	for _, f := range r.toRegister() {
		names = append(names, fmt.Sprint(f.Name, " ", f.Follow, " ", f.Kind))
	}
	if got := strings.Join(names, "; "); got != "n2_b.TotW 0 gauge; x.door.front.left 1 state" {
		t.Errorf("%s", got)
	}
	if r.leftOut != "pv/2+b/ac" {
		t.Errorf("%v", r.leftOut)
	}
	r.register([]telemetry.SignalID{21, 0}) // the second isn't to be delivered
	if got := words(r.batch); got != "21 int64 2" {
		t.Errorf("%s", got)
	}
	r.delivered()
	send("pv/2-b/ac", `{"power":4}`)
	send("sw/x/door/front/left", `OFF`)
	if got := words(r.batch); got != "21 int64 4 +1us" || len(r.fresh) > 0 {
		t.Errorf("%s", got)
	}
}

func TestTopics(t *testing.T) {
	for _, c := range []struct{ filter, topic, want string }{
		{"a/b", "a/b", "yes"}, {"a/b", "a/c", ""}, {"a/b", "a", ""}, {"a", "a/b", ""},
		{"a/+/c", "a/b/c", "yes b"}, {"a/+", "a/", "yes "}, {"a/+", "a", ""}, {"+/+", "/a", "yes  a"},
		{"a/#", "a/b/c", "yes b/c"}, {"a/#", "a", "yes "}, {"#", "a/b", "yes a/b"}, {"+/#", "a", "yes a "},
		{"#", "$SYS/x", ""}, {"+/x", "$SYS/x", ""}, {"$SYS/#", "$SYS/x", "yes x"},
	} {
		wildcards, ok := matches(c.filter, c.topic)
		got := ""
		if ok {
			got = strings.Join(append([]string{"yes"}, wildcards...), " ")
		}
		if got != c.want {
			t.Errorf("%s %s: %q, expected %q", c.filter, c.topic, got, c.want)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"#", "a/+", true}, {"a/#", "a", true}, {"a/#", "a/b/#", true}, {"a/+", "a/b", true}, {"a/+", "a/#", false}, {"a/+", "a/b/c", false},
		{"a/b", "a/+", false}, {"+/b", "a/+", false}, {"#", "$SYS/x", false}, {"a/+/c", "a/+/c", true},
	} {
		if covers(c.a, c.b) != c.want {
			t.Errorf("%s covers %s: %v", c.a, c.b, !c.want)
		}
	}
	d := Device{QoS: 1, SharedGroup: "g", Available: []Availability{{Topic: "pv/lwt"}}, Follow: []Follow{{Topic: "pv/+/ac"}}}
	for _, topic := range []string{"pv/1/ac", "x", "pv/1/dc", "x"} {
		d.Points = append(d.Points, Point{Topic: topic})
	}
	if got := strings.Join(topics(d.filters()), " "); got != "$share/g/x $share/g/pv/1/dc $share/g/pv/+/ac pv/lwt" {
		t.Error(got)
	}
	d.Follow[0].Topic = "#"
	if got := strings.Join(topics(d.Apart().filters()), " "); got != "#" {
		t.Error(got)
	}
}

func TestChecks(t *testing.T) {
	for path, ok := range map[string]bool{
		"$": true, "$.a": true, "$.a-b_c": true, "$['a.b']": true, `$["a"]`: true, "$[0][12].x": true, "$[*].x": true,
		"": false, "a": false, "$a": false, "$.": false, "$..a": false, "$.a.": false, "$.*": false, "$[-1]": false, "$[01]": false, "$[*][*]": false,
		"$[?(@.x)]": false, "$['a": false, "$[1:2]": false, "$.a b": false, "$[10000]": false, "$" + strings.Repeat("[0]", 33): false,
	} {
		if err := CheckPath(path); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
	for filter, ok := range map[string]bool{"a/+/b": true, "#": true, "+": true, "/": true, "a+": false, "a/#/b": false, "": false, "a\x00": false, "a/b#": false, strings.Repeat("a", 1025): false} {
		if err := CheckFilter(filter); (err == nil) != ok {
			t.Errorf("%q: %v", filter, err)
		}
	}
	for name, ok := range map[string]bool{"{1}.{2}": true, "{2}{1}": true, "{1}": false, "": false, "{3}{1}{2}": false, "{1}{2}}": false, "{1}{2}{": false, "{x}": false} {
		if err := CheckName(name, "a/+/#"); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
