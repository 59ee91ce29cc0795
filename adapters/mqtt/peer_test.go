package mqtt

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/kafka"
	"github.com/busbar/busbar/test/mosquitto"
)

// sink is a gateway that keeps what it gets, as long as it is told to.
type sink struct {
	mu         sync.Mutex
	samples    []telemetry.Sample
	withhold   bool // nobody is told that anything is on disk
	refuse     bool // nothing ever is
	refused    int
	held       []func(bool) // who waits meanwhile
	registered [][]adapters.Found
	known      []adapters.Found // from earlier, with the ids from 500 on
}

func (s *sink) Deliver(ctx context.Context, b adapters.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse && b.Committed != nil {
		s.refused++
	} else {
		s.samples = append(s.samples, b.Samples...)
	}
	switch {
	case b.Committed != nil && s.withhold:
		s.held = append(s.held, b.Committed)
	case b.Committed != nil:
		b.Committed(!s.refuse)
	}
	return ctx.Err()
}

// Register implements adapters.Registrar.
func (s *sink) Register(_ context.Context, _ string, found []adapters.Found) ([]telemetry.SignalID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]telemetry.SignalID, len(found))
	for i := range ids {
		ids[i] = telemetry.SignalID(1000 + i)
		for _, before := range s.registered {
			ids[i] += telemetry.SignalID(len(before))
		}
	}
	s.registered = append(s.registered, found)
	return ids, nil
}

// Known implements adapters.Registrar.
func (s *sink) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	ids := make([]telemetry.SignalID, len(s.known))
	for i := range ids {
		ids[i] = telemetry.SignalID(500 + i)
	}
	return s.known, ids, nil
}

// of is what came of a signal, in words.
func (s *sink) of(id telemetry.SignalID) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.samples {
		if v.Signal == id {
			list = append(list, strings.TrimSuffix(v.Value.String()+" "+v.Quality.String(), " good"))
		}
	}
	return list
}

func (s *sink) set(withhold, refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withhold, s.refuse = withhold, refuse
}

// run listens until stop is called, or the test ends.
func run(t *testing.T, s *sink, d Device) (a *Adapter, stop func()) {
	t.Helper()
	a = New([]Device{d}, slog.New(slog.DiscardHandler))
	return a, running(t, a, s)
}

func running(t *testing.T, a *Adapter, s *sink) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { a.Run(ctx, s); close(ended) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

const live = telemetry.SignalID(99)

func device(b *mosquitto.Broker) Device {
	return Device{
		ID: "plant", Connection: mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "gw-plant"}, QoS: 1, Live: live,
		Points: []Point{
			{Name: "Power", Topic: "plant/power", Selector: Selector{Type: Number, Scale: 1}, Signal: 1},
			{Name: "Door", Topic: "plant/door", Selector: Selector{Type: Bool, Scale: 1}, Signal: 2},
			{Name: "Energy", Topic: "plant/energy", Selector: Selector{JSON: "$[*].v", Time: "$[*].t", TimeUnit: Seconds, Type: Number, Scale: 1}, Signal: 3},
		},
	}
}

func start(t *testing.T, directives string) *mosquitto.Broker {
	b := mosquitto.New(t, directives)
	b.Start()
	return b
}

func (s *sink) await(t *testing.T, id telemetry.SignalID, want ...string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		got := s.of(id)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("signal %d: %q, expected %q", id, got, want)
		}
	}
}

// A message is acknowledged when it is on disk: what wasn't comes again to the next who
// reads the device, and to the same one if it can't be kept.
func TestAcknowledgedWhenOnDisk(t *testing.T) {
	b, s := start(t, ""), &sink{}
	_, stop := run(t, s, device(b))
	s.await(t, live, "true")
	b.Publish("plant/power", "1")
	s.await(t, 1, "1")
	// Values of the past and of now have to be kept, both.
	b.Publish("plant/energy", `[{"v":2,"t":1772366392}]`)
	s.await(t, 3, "2")
	b.Publish("plant/energy", `[{"v":1,"t":1772366391},{"v":3,"t":1772366393}]`)
	s.await(t, 3, "2", "1", "3")
	s.set(true, false)
	b.Publish("plant/power", "2")
	s.await(t, 1, "1", "2")
	stop()
	b.Publish("plant/power", "3")
	next := &sink{refuse: true}
	run(t, next, device(b))
	await.True(t, "messages that can't be kept", func() bool { next.mu.Lock(); defer next.mu.Unlock(); return next.refused > 1 })
	next.set(false, false)
	// The broker has sent them before, and nobody knows when they were published.
	next.await(t, 1, "2 uncertain (stale)", "3 uncertain (stale)")
}

// What is on disk isn't taken again when it comes again, since the connection broke
// before it was acknowledged.
func TestNotTwiceAfterABreak(t *testing.T) {
	b, s := start(t, ""), &sink{}
	way := newWay(t, b)
	d := device(b)
	d.Connection.Broker = "tcp://" + way.Addr().String()
	run(t, s, d)
	s.await(t, live, "true")
	s.set(true, false)
	b.Publish("plant/power", "1")
	b.Publish("plant/power", "1")
	s.await(t, 1, "1", "1")
	way.open(false)
	s.await(t, live, "true", "false")
	s.mu.Lock()
	for _, committed := range s.held {
		committed(true)
	}
	s.withhold = false
	s.mu.Unlock()
	b.Publish("plant/power", "2")
	way.open(true)
	s.await(t, 1, "1", "1", "– bad (not connected)", "2")
}

// way is the way to a broker, which can be cut.
type way struct {
	net.Listener
	mu     sync.Mutex
	cut    bool
	passed []net.Conn
}

func newWay(t *testing.T, b *mosquitto.Broker) *way {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{Listener: l}
	t.Cleanup(func() { l.Close(); w.open(false) })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", b.Address)
			if err != nil {
				from.Close()
				continue
			}
			w.mu.Lock()
			w.passed = append(w.passed, from, to)
			if w.cut {
				from.Close()
				to.Close()
			}
			w.mu.Unlock()
			go func() { io.Copy(from, to); from.Close() }()
			go func() { io.Copy(to, from); to.Close() }()
		}
	}()
	return w
}

func (w *way) open(open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = !open
	for _, c := range w.passed {
		if w.cut {
			c.Close()
		}
	}
}

// A broker that is gone leaves no signal with a value; what it kept comes when it is
// back, of unknown age, and what is published then is current.
func TestTheBrokerGoes(t *testing.T) {
	dir := t.TempDir()
	b, s := start(t, "persistence true\npersistence_location "+dir+"/"), &sink{}
	a, _ := run(t, s, device(b))
	s.await(t, live, "true")
	b.Publish("plant/power", "5", "-r")
	s.await(t, 1, "5")
	b.Stop()
	s.await(t, live, "true", "false")
	s.await(t, 1, "5", "– bad (not connected)")
	s.await(t, 2, "– bad (not connected)")
	if samples, err := a.ReadOnce(t.Context(), "plant"); err != nil || len(samples) != 3 || samples[0].Quality.Reason() != telemetry.NotConnected {
		t.Errorf("%v, %v", samples, err)
	}
	b.Start()
	s.await(t, live, "true", "false", "true")
	s.await(t, 1, "5", "– bad (not connected)", "5 uncertain (stale)")
	b.Publish("plant/power", "6")
	s.await(t, 1, "5", "– bad (not connected)", "5 uncertain (stale)", "6")
}

// Connected, but no data: a signal that promises a period has no value when nothing
// comes, and a device doesn't live then; both come back.
func TestNothingComes(t *testing.T) {
	b, s := start(t, ""), &sink{}
	d := device(b)
	d.StaleAfter = 300 * time.Millisecond
	d.Points[0].StaleAfter = d.StaleAfter
	run(t, s, d)
	s.await(t, live, "true", "false")
	s.await(t, 1, "– bad (timeout, stale)")
	b.Publish("plant/door", "ON")
	s.await(t, 2, "true")
	await.True(t, "the device lives, and doesn't again", func() bool {
		got := s.of(live)
		return len(got) >= 4 && slices.Equal(got[:4], []string{"true", "false", "true", "false"})
	})
	b.Publish("plant/power", "1")
	await.True(t, "a value, and none again", func() bool {
		return slices.Equal(s.of(1), []string{"– bad (timeout, stale)", "1", "– bad (timeout, stale)"})
	})
}

// What was found before a restart and isn't there any more has no value: when the broker
// can't be reached, and when nothing comes for as long as was promised.
func TestFoundBeforeAndSilentSince(t *testing.T) {
	b, s := start(t, ""), &sink{known: []adapters.Found{{Name: "a", Follow: 0}, {Name: "b", Follow: 1}, {Name: "c", Follow: 0}, {Name: "d", Follow: 7}}}
	d := device(b)
	d.Follow = []Follow{
		{Topic: "found/+", Name: "{1}", StaleAfter: 400 * time.Millisecond, Selector: Selector{Scale: 1}},
		{Topic: "never/+", Name: "{1}", Selector: Selector{Scale: 1}},
	}
	_, stop := run(t, s, d)
	s.await(t, live, "true")
	b.Publish("found/c", "5")
	s.await(t, 500, "– bad (timeout, stale)")
	if came := append(s.of(501), s.of(503)...); len(came) > 0 {
		t.Errorf("%q of signals that promise nothing", came)
	}
	stop()

	b.Stop()
	s = &sink{known: s.known}
	run(t, s, d)
	for id := telemetry.SignalID(500); id < 504; id++ {
		s.await(t, id, "– bad (not connected, stale)")
	}
}

// A source that says that it is gone has no values, from its last will on.
func TestTheSourceGoes(t *testing.T) {
	b, s := start(t, ""), &sink{}
	d := device(b)
	d.Available = []Availability{{Topic: "plant/status", JSON: "$.state", Online: "online", Offline: "offline"}}
	b.Publish("plant/status", `{"state":"online"}`, "-r")
	source, err := mqttconn.Dial(t.Context(), mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "source"},
		mqttconn.Options{Will: mqttconn.Message{Topic: "plant/status", Payload: []byte(`{"state":"offline"}`), Retain: true}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, d)
	s.await(t, live, "true")
	b.Publish("plant/power", "1", "-r")
	s.await(t, 1, "1")
	source.Abort()
	s.await(t, live, "true", "false")
	s.await(t, 1, "1", "– bad (not connected)")
	b.Publish("plant/status", `{"state":"online"}`, "-r")
	s.await(t, live, "true", "false", "true")
}

// Many topics that are found at once are registered in a few goes, whether they were
// retained, of which the broker sends no more than 20 unacknowledged, or not.
func TestManyAreFound(t *testing.T) {
	b, s := start(t, "max_queued_messages 0"), &sink{}
	d := device(b)
	d.Follow = []Follow{{Topic: "meters/+/energy", Name: "{1}.TotWh", Selector: Selector{Type: Number, Scale: 1}, Kind: telemetry.Counter}}
	publisher, err := mqttconn.Dial(t.Context(), mqttconn.Config{Broker: "tcp://" + b.Address, ClientID: "meters"}, mqttconn.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	const meters = 2000
	publish := func(from, to int, retain bool) {
		var batch []mqttconn.Message
		for i := from; i < to; i++ {
			batch = append(batch, mqttconn.Message{Topic: fmt.Sprintf("meters/m%d/energy", i), Payload: []byte("7"), Retain: retain})
		}
		if _, err := publisher.Publish(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	publish(0, meters/2, true)
	run(t, s, d)
	found := func() (signals, goes int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range s.registered {
			signals += len(f)
		}
		return signals, len(s.registered)
	}
	await.True(t, "the retained ones are found", func() bool { n, _ := found(); return n == meters/2 })
	if _, goes := found(); goes > 20 {
		t.Errorf("%d goes for what was retained", goes)
	}
	publish(meters/2, meters, false)
	await.True(t, "the others are found", func() bool { n, _ := found(); return n == meters })
	await.True(t, "each has a value", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		ids := map[telemetry.SignalID]bool{}
		for _, v := range s.samples {
			if v.Signal >= 1000 {
				ids[v.Signal] = true
			}
		}
		return len(ids) == meters
	})
}

// Of a shared subscription each message goes to one of those who share it.
func TestSharing(t *testing.T) {
	b, one, two := start(t, ""), &sink{}, &sink{}
	first, second := device(b), device(b)
	first.SharedGroup, second.SharedGroup, second.Connection.ClientID = "gateways", "gateways", "gw-2"
	run(t, one, first)
	run(t, two, second)
	one.await(t, live, "true")
	two.await(t, live, "true")
	for i := range 20 {
		b.Publish("plant/power", fmt.Sprint(i))
	}
	await.True(t, "20 messages come", func() bool { return len(one.of(1))+len(two.of(1)) >= 20 })
	if a, b := len(one.of(1)), len(two.of(1)); a == 0 || b == 0 || a+b != 20 {
		t.Errorf("%d and %d", a, b)
	}
}

// Reading once needs no gateway, and leaves the session of one alone.
func TestReadOnce(t *testing.T) {
	b := start(t, "")
	b.Publish("plant/power", "5", "-r")
	a := New([]Device{device(b)}, slog.New(slog.DiscardHandler))
	samples, err := a.ReadOnce(t.Context(), "plant")
	if err != nil || len(samples) != 3 || samples[0].Value != telemetry.IntValue(5) || samples[1].Quality.Reason() != telemetry.Timeout {
		t.Errorf("%v, %v", samples, err)
	}
	b.Kill()
	if _, err := a.ReadOnce(t.Context(), "plant"); err == nil {
		t.Error("a broker that is gone is read")
	}
}

// By TLS with a certificate, and what is wrong with it is said.
func TestByCertificate(t *testing.T) {
	authority, err := kafka.OpenAuthority(filepath.Join(t.TempDir(), "ca"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(path string) configfile.Path { return configfile.Path(path) }
	pair := func(a *kafka.Authority, name string) (cert, key string) {
		cert, key, err := a.Client(name, pkix.Name{CommonName: name})
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	other, err := kafka.OpenAuthority(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	server, serverKey := pair(authority, "broker")
	own, ownKey := pair(authority, "gateway")
	strange, strangeKey := pair(other, "gateway")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := mosquitto.New(t, fmt.Sprintf("certfile %s\nkeyfile %s\ncafile %s\nrequire_certificate true", server, serverKey, authority.Cert()),
		"--cafile", authority.Cert(), "--cert", own, "--key", ownKey)
	b.Start()
	d := device(b)
	d.Connection.Broker = "tls://" + b.Address
	d.Connection.TLS = &kafkaconn.TLS{CA: file(authority.Cert()), Cert: file(own), Key: file(ownKey)}
	s := &sink{}
	a, _ := run(t, s, d)
	b.Publish("plant/power", "1", "-r")
	await.True(t, "a value", func() bool { return len(s.of(1)) == 1 })
	if last := a.Last(t.Context(), "plant"); last.Cause != nil {
		t.Error(last.Cause)
	}
	for what, tls := range map[string]*kafkaconn.TLS{
		"none":      {CA: file(authority.Cert())},
		"another's": {CA: file(authority.Cert()), Cert: file(strange), Key: file(strangeKey)},
	} {
		d.Connection.TLS = tls
		if r := d.Read(t.Context()); r.Cause == nil {
			t.Errorf("certificate %s is accepted", what)
		}
	}
}

// What was found of a source before a restart, which has gone since, isn't there.
func TestFoundOfASourceThatHasGoneSince(t *testing.T) {
	b, s := start(t, ""), &sink{known: []adapters.Found{{Name: "a.n0.W", Follow: 1}, {Name: "b.n0.W", Follow: 1}, {Name: "a.there", Follow: 2}}}
	b.Publish("plug/a/there", "no", "-r")
	b.Publish("plug/b/there", "yes", "-r")
	d := device(b)
	d.Available, d.Follow = plugs().Available, plugs().Follow
	run(t, s, d)
	s.await(t, 500, "– bad (not connected, stale)")
	if came := append(s.of(501), s.of(502)...); len(came) > 0 {
		t.Errorf("%q of what hasn't gone", came)
	}
}
