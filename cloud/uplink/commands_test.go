package uplink

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// office is an uplink that passes commands on, and the log that they come by.
type office struct {
	world
	producer *kgo.Client
	stop     func()
}

func newOffice(t *testing.T) *office {
	t.Helper()
	w := newWorld(t, 0)
	o := &office{world: w, producer: w.uplink.options.Producer}
	if _, err := kadm.NewClient(o.producer).CreateTopic(t.Context(), 1, 1, nil, "busbar.commands"); err != nil {
		t.Fatal(err)
	}
	options := w.uplink.options
	options.Commands = NewCommands([]kgo.Opt{kgo.SeedBrokers(w.cluster.ListenAddrs()...)}, options.Topics, options.Log)
	o.uplink = New(options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- options.Commands.Run(ctx) }()
	o.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(o.stop)
	return o
}

// send writes a command to the log and returns its id.
func (o *office) send(gateway string, life time.Duration) string {
	o.Helper()
	now := telemetry.MicrosOf(time.Now())
	c := record.Command{ID: record.NewCommandID(), Gateway: gateway, Epoch: "000000000000001f", Kind: record.Ping, By: "Ana",
		Issued: now - 60_000_000, Expires: now - 60_000_000 + telemetry.Micros((time.Minute + life).Microseconds())}
	m, err := c.Message(o.private)
	if err != nil {
		o.Fatal(err)
	}
	r := &kgo.Record{Topic: "busbar.commands", Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if err := o.producer.ProduceSync(o.Context(), r).FirstErr(); err != nil {
		o.Fatal(err)
	}
	return c.ID
}

func (o *office) request(gateway string, at time.Time, key ed25519.PrivateKey, seen ...string) []byte {
	o.Helper()
	m, err := record.CommandRequest{Gateway: gateway, Time: telemetry.MicrosOf(at), Seen: seen}.
		Message(func(logKey, value []byte) record.Seal { return record.SignCommandRequest(key, logKey, value) })
	if err != nil {
		o.Fatal(err)
	}
	body, err := m.AppendBinary(nil)
	if err != nil {
		o.Fatal(err)
	}
	return body
}

// fetch asks as a gateway does and returns the ids of the commands.
func (o *office) fetch(ctx context.Context, gateway string, seen ...string) (ids []string) {
	o.Helper()
	recorder := httptest.NewRecorder()
	o.uplink.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodPost, "/uplink/v1/commands", bytes.NewReader(o.request(gateway, time.Now(), o.private, seen...))))
	if recorder.Code != http.StatusOK {
		o.Fatalf("%d: %s", recorder.Code, recorder.Body)
	}
	for {
		m, err := record.ReadMessage(recorder.Body)
		if errors.Is(err, io.EOF) {
			return ids
		}
		if err != nil {
			o.Fatal(err)
		}
		seal, err := record.ParseSeal(m.Headers)
		c, parseErr := record.ParseCommand(m.Value)
		if err != nil || parseErr != nil || string(m.Key) != gateway || !seal.VerifyCommand(o.keys["gw"], m.Key, m.Value) {
			o.Errorf("%s gets %+v: %v, %v", gateway, c, err, parseErr)
		}
		ids = append(ids, c.ID)
	}
}

// A request waits for a command, gets those of its gateway that are valid and
// that it doesn't have, and nobody else's.
func TestAGatewayFetchesItsCommands(t *testing.T) {
	o := newOffice(t)
	o.send("gw", -time.Second) // expired
	fetched := make(chan []string)
	go func() { fetched <- o.fetch(t.Context(), "gw") }()
	o.send("gx", time.Minute)
	first := o.send("gw", time.Minute)
	if ids := <-fetched; len(ids) != 1 || ids[0] != first {
		t.Fatalf("%q, want %s", ids, first)
	}
	second := o.send("gw", time.Minute)
	if ids := o.fetch(t.Context(), "gw", first); len(ids) != 1 || ids[0] != second {
		t.Errorf("%q, want %s", ids, second)
	}
	if ids := o.fetch(t.Context(), "gw"); len(ids) != 2 {
		t.Errorf("from a gateway that has seen none: %q", ids)
	}

	// What begins to read later has those that are valid.
	later := NewCommands([]kgo.Opt{kgo.SeedBrokers(o.cluster.ListenAddrs()...)}, o.uplink.options.Topics, o.uplink.options.Log)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go later.Run(ctx)
	var messages []record.Message
	for len(messages) < 2 {
		messages = later.wait(t.Context(), record.CommandRequest{Gateway: "gw"})
	}
}

// A gateway has one request that waits: a newer one, the end of the uplink or of
// the connection ends it.
func TestARequestThatWaitsEnds(t *testing.T) {
	o := newOffice(t)
	commands := o.uplink.options.Commands
	waits := func(ctx context.Context) (ended chan []string, mine chan struct{}) {
		t.Helper()
		before := commands.waitingOf("gw")
		ended = make(chan []string, 1)
		go func() { ended <- o.fetch(ctx, "gw") }()
		for mine = before; mine == nil || mine == before; mine = commands.waitingOf("gw") {
			time.Sleep(time.Millisecond)
		}
		return ended, mine
	}
	first, _ := waits(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	second, _ := waits(ctx)
	if ids := <-first; len(ids) != 0 {
		t.Errorf("%q", ids)
	}
	cancel()
	<-second
	third, _ := waits(t.Context())
	o.stop()
	if ids := <-third; len(ids) != 0 {
		t.Errorf("%q", ids)
	}
	if commands.waitingOf("gw") != nil {
		t.Error("a request is remembered that has ended")
	}
}

func (c *Commands) waitingOf(gateway string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting[gateway]
}

func TestRequestsForCommandsThatArentLetIn(t *testing.T) {
	o := newOffice(t)
	o.send("gw", time.Minute)
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := o.request("gw", now, o.private)
	for name, c := range map[string]struct {
		body []byte
		code int
		text string
	}{
		"nothing":              {nil, http.StatusBadRequest, "isn't one message"},
		"two":                  {append(bytes.Clone(good), good...), http.StatusBadRequest, "one message"},
		"no request":           {o.body("gw", 0, 1), http.StatusBadRequest, "request for commands"},
		"too large":            {make([]byte, maxCommandRequest+1), http.StatusBadRequest, "cut short"},
		"another key":          {o.request("gw", now, other), http.StatusForbidden, "not signed by gw"},
		"nobody's":             {o.request("unknown", now, o.private), http.StatusForbidden, "not signed by unknown"},
		"of long ago":          {o.request("gw", now.Add(-2*time.Minute), o.private), http.StatusForbidden, "time is off by 2m"},
		"of the future":        {o.request("gw", now.Add(2*time.Minute), o.private), http.StatusForbidden, "time is off by"},
		"the database is away": {o.request("broken", now, o.private), http.StatusServiceUnavailable, "can't be checked"},
	} {
		code, answer, _ := o.post("/uplink/v1/commands", c.body)
		if code != c.code || !strings.Contains(answer.Error, c.text) {
			t.Errorf("%s: %d %+v, want %d and %q", name, code, answer, c.code, c.text)
		}
	}
}

// However many commands are written, memory holds few.
func TestCommandsInMemoryAreBounded(t *testing.T) {
	w := newWorld(t, 0)
	c := NewCommands(nil, w.uplink.options.Topics, w.uplink.options.Log)
	now := telemetry.MicrosOf(time.Now())
	add := func(gateway string, at telemetry.Micros) {
		t.Helper()
		m, err := record.Command{ID: record.NewCommandID(), Gateway: gateway, Epoch: "000000000000001f", Kind: record.Ping, By: "Ana", Issued: at, Expires: at + 1000}.Message(w.private)
		if err != nil {
			t.Fatal(err)
		}
		c.add(&kgo.Record{Key: m.Key, Value: m.Value}, at)
	}
	for range record.MaxCommandsSeen + 7 {
		add("gw", now)
	}
	if list, _ := c.unseen("gw", nil, now); len(list) != record.MaxCommandsSeen || c.count != len(list) {
		t.Errorf("%d commands of one gateway, %d counted", len(list), c.count)
	}
	c.add(&kgo.Record{Key: []byte("gw"), Value: []byte("nonsense")}, now)
	c.count = mostCommands
	add("gx", now)
	if len(c.valid["gx"]) != 0 {
		t.Error("there are more than may be in memory")
	}
	c.count = record.MaxCommandsSeen
	add("gx", now+1000)
	if c.count != 1 || len(c.valid) != 1 || len(c.valid["gx"]) != 1 {
		t.Errorf("when the others have expired: %d commands of %d gateways", c.count, len(c.valid))
	}
}
