package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/ntp"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/chrony"
)

// memory keeps a clock's notes for as long as the test.
type memory struct{ notes []byte }

func (m *memory) ClockNotes() ([]byte, error)       { return m.notes, nil }
func (m *memory) SaveClockNotes(notes []byte) error { m.notes = notes; return nil }

// machine is a kernel whose wall clock the test sets. It goes as fast as the real
// one.
type machine struct {
	booted time.Time

	mu           sync.Mutex
	id           record.Boot
	atBoot       telemetry.Micros // what the wall clock would have said, as it is set now
	synchronised bool
}

func (m *machine) Boot() record.Boot { return m.id }

func (m *machine) Now() clock.Instant {
	m.mu.Lock()
	defer m.mu.Unlock()
	up := telemetry.Micros(time.Since(m.booted).Microseconds())
	return clock.Instant{Wall: m.atBoot + up, SinceBoot: up}
}

func (m *machine) Discipline() clock.Discipline {
	m.mu.Lock()
	defer m.mu.Unlock()
	return clock.Discipline{Synchronised: m.synchronised, MaxError: 20 * time.Millisecond}
}

// set sets the wall clock to what makes its boot have been at atBoot.
func (m *machine) set(atBoot telemetry.Micros, synchronised bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.atBoot, m.synchronised = atBoot, synchronised
}

const (
	second = telemetry.Micros(1_000_000)
	hour   = 3600 * second
	day    = 24 * hour
)

var noon = telemetry.MicrosOf(time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC))

// newest is the time of the newest sample.
func (l log) newest() (t telemetry.Micros) {
	for _, s := range l.points {
		t = max(t, s.Time)
	}
	return t
}

// A gateway boots in 1970. Its alarm is sent at once and says which clock gave
// its time; its samples are sent when the clock has been set, with the right
// times; the clock is set back by an hour and forward by a day, and only the
// times follow.
func TestAGatewayThatBootsIn1970(t *testing.T) {
	b := newBench(t)
	b.meter.set(0)
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}
	b.kernel = m
	stop := b.run()
	started := m.Now().SinceBoot

	l := b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 })
	alarm := l.of(telemetry.AlarmRaised)[0]
	if c := alarm.Clock; c == nil || c.State != telemetry.ClockUnset || c.Boot != m.id.String() ||
		telemetry.Micros(c.SinceBoot) != alarm.Decided-clock.Minimum || telemetry.Micros(c.SinceBoot) > m.Now().SinceBoot {
		t.Errorf("decided at %v by %+v", alarm.Decided.Time(), c)
	}
	if q := alarm.Alarm.Inputs[0].Quality; !strings.HasSuffix(q, "unsynchronised clock)") {
		t.Errorf("the alarm's input is %s", q)
	}
	for _, at := range l.stamped {
		if off := telemetry.MicrosOf(at) - clock.Minimum; off < 0 || off > hour {
			t.Errorf("the log has a record of %v", at)
		}
	}
	if l.samples != 0 {
		t.Errorf("%d samples were sent before the time was known", l.samples)
	}

	m.set(noon, true)
	l = b.read(func(l log) bool { return l.newest() > noon+m.Now().SinceBoot-second })
	first := l.points[0].Time
	for _, s := range l.points {
		first = min(first, s.Time)
		if s.Quality != 0 && s.Quality != telemetry.ClockJumped {
			t.Fatalf("a sample is %v", s.Quality)
		}
	}
	if first < noon || first > noon+started+second {
		t.Errorf("the first sample is of %v, the gateway started %v after the boot at %v", first.Time(), started, noon.Time())
	}

	step := func(to telemetry.Micros) log {
		had := l.samples
		m.set(to, true)
		return b.read(func(l log) bool {
			if l.samples <= had {
				return false
			}
			after := l.points[len(l.points)-1].Time - to
			return after > 0 && after < hour/2
		})
	}
	l = step(noon - hour)
	if n := len(l.of(telemetry.AlarmCleared)); n != 0 {
		t.Errorf("%d alarms were cleared by setting the clock", n)
	}
	// Rules go on in the new time: the voltage that comes back clears the alarm.
	b.meter.set(230)
	l = b.read(func(l log) bool { return len(l.of(telemetry.AlarmCleared)) == 1 })
	step(noon + day)
	b.awaitSent()
	committed := samplesOf(stop())

	l = b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 && l.samples >= committed })
	if raised, cleared := l.of(telemetry.AlarmRaised), l.of(telemetry.AlarmCleared); len(raised) != 1 || len(cleared) != 1 || cleared[0].Clock != nil {
		t.Errorf("raised %+v, cleared %+v", raised, cleared)
	}
	if committed != l.samples {
		t.Errorf("%d samples committed, %d in the log", committed, l.samples)
	}
	var steps []telemetry.Micros
	for _, e := range l.of(telemetry.ClockChanged) {
		steps = append(steps, telemetry.Micros(e.Step.Step))
		if e.Step.State != telemetry.ClockSynchronised || e.Step.Boot != m.id.String() {
			t.Errorf("%+v", e.Step)
		}
	}
	if len(steps) != 3 || steps[1] != -hour || steps[2] != day+hour {
		t.Errorf("the steps were %v", steps)
	}
	for _, e := range l.events {
		checkTimes(t, e)
	}
	for _, s := range l.points {
		if s.Time < clock.Minimum {
			t.Errorf("a sample is of %v", s.Time.Time())
		}
	}
}

// checkTimes fails the test if anything in an event is a time before the floor.
func checkTimes(t *testing.T, e telemetry.Event) {
	t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range instants.FindAllStringSubmatch(string(raw), -1) {
		if durations[m[1]] {
			continue
		}
		if at, err := strconv.ParseInt(m[2], 10, 64); err != nil || telemetry.Micros(at) < clock.Minimum {
			t.Errorf("%s of %s is %s in %s", m[1], e.Kind, m[2], raw)
		}
	}
}

// The members of an event that end with _us are instants, but for these.
var (
	instants  = regexp.MustCompile(`"(\w+_us)":(-?\d+)`)
	durations = map[string]bool{"since_boot_us": true, "step_us": true, "lasted_us": true, "every_us": true}
)

// Certificates are checked in gateway time: this one is valid when the unset
// clock starts, and not by the clock of the machine that runs the test.
func TestAlarmsAreSentOverTLSBeforeTheTimeIsKnown(t *testing.T) {
	b := newBench(t)
	b.overTLS(clock.Minimum.Time().Add(-24 * time.Hour))
	b.kernel = &machine{booted: time.Now(), atBoot: day}
	stop := b.run()
	defer stop()
	b.read(func(l log) bool { return len(l.events) > 0 })
}

// A machine boots in 1970, may not set its clock, and the log's certificate is of
// this hour: a time server gives the time first, and with it the connection.
func TestTheTimeComesFromAServer(t *testing.T) {
	b := newBench(t)
	b.overTLS(time.Now().Add(-time.Hour))
	b.config.Time.NTP = []string{chrony.Start(t, "local stratum 8")}
	m := &machine{booted: time.Now(), id: record.Boot{7}, atBoot: day}
	b.kernel = m
	// The server may need longer to start than the gateway takes to ask.
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		got := make(chan struct{}, 1)
		c := ntp.New(ntp.Options{Servers: b.config.Time.NTP, SinceBoot: func() telemetry.Micros { return m.Now().SinceBoot }, Log: quiet,
			Offer: func(ntp.Measurement, int) { got <- struct{}{} }})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		c.Run(ctx)
		cancel()
		if len(got) > 0 {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the time server doesn't answer")
		}
	}
	started := telemetry.MicrosOf(time.Now())
	stop := b.run()
	l := b.read(func(l log) bool { return l.samples > 60 && len(l.of(telemetry.ClockChanged)) > 0 })
	stop()
	now := telemetry.MicrosOf(time.Now())
	for _, s := range l.points {
		if s.Quality.TimeQuality() != telemetry.GatewayTime || s.Time < started-second || s.Time > now+second {
			t.Fatalf("a sample is %v, of %v", s.Quality, s.Time.Time())
		}
	}
	if c := l.of(telemetry.ClockChanged)[0].Step; c.Was != telemetry.ClockUnset || c.State != telemetry.ClockSynchronised {
		t.Errorf("%+v", c)
	}
	for _, e := range l.events {
		checkTimes(t, e)
	}
}

// overTLS gives the bench a log whose certificate is valid from then on, for two
// days.
func (b *bench) overTLS(from time.Time) {
	b.t.Helper()
	certificate, trusted := selfSigned(b.t, from, from.Add(48*time.Hour))
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "busbar.telemetry", "busbar.backfill", "busbar.events", "busbar.births"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cluster.Close)
	ca := filepath.Join(b.t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, trusted, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.config.Forward.Kafka.Brokers = cluster.ListenAddrs()
	b.config.Forward.Kafka.TLS = &kafkaconn.TLS{CA: configfile.Path(ca)}
	b.cluster, b.dial = cluster, &tls.Config{InsecureSkipVerify: true}
}

func selfSigned(t testing.TB, from, to time.Time) (_ tls.Certificate, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Samples of counters wait for a synchronised clock, across a restart of the
// gateway; the others don't wait.
func TestCountersWaitForASynchronisedClock(t *testing.T) {
	b := newBench(t)
	b.config.Time.RequireSync = true
	b.config.Devices[0].Signals[2].Kind = telemetry.Counter
	m := &machine{booted: time.Now(), atBoot: noon}
	b.kernel = m
	stop := b.run()
	counter := func(l log) (id telemetry.SignalID, samples int) {
		for _, s := range l.births[0].Signals {
			if s.Kind == telemetry.Counter {
				id = s.ID
			}
		}
		for _, s := range l.points {
			if s.Signal == id {
				samples++
			}
		}
		return id, samples
	}
	b.awaitHeld()
	stop()
	stop = b.run()
	l := b.read(func(l log) bool { return len(l.births) > 0 })
	if _, n := counter(l); n != 0 {
		t.Errorf("%d samples of the counter were sent", n)
	}
	m.set(noon+hour, true)
	l = b.read(func(l log) bool {
		if len(l.births) == 0 {
			return false
		}
		_, n := counter(l)
		return n > 20
	})
	stop()
	id, _ := counter(l)
	for _, s := range l.points {
		if s.Signal == id && s.Time < noon+hour {
			t.Fatalf("a sample of the counter is of %v", s.Time.Time())
		}
	}
}

// awaitHeld waits until samples are on disk whose time isn't known.
func (b *bench) awaitHeld() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	reader := b.buffer.Telemetry.Reader()
	defer reader.Close()
	for after := b.buffer.Telemetry.Released(); ; {
		if err := b.buffer.Telemetry.Wait(ctx, after); err != nil {
			b.t.Fatal("nothing is held")
		}
		entries, err := reader.Read(after, buffer.Newest, 1<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range entries {
			if e.Record.Format == record.FormatHeld {
				return
			}
			after = e.Position
		}
	}
}

// samplesOf counts the samples among what was committed.
func samplesOf(committed []telemetry.Committed) (n uint64) {
	for _, c := range committed {
		if c.Stream == string(record.Telemetry) {
			n += c.Count
		}
	}
	return n
}

// awaitSent waits until everything that was committed before has been sent.
func (b *bench) awaitSent() {
	b.t.Helper()
	end := b.buffer.Telemetry.End()
	for deadline := time.Now().Add(20 * time.Second); b.buffer.Telemetry.Released() < end; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("sent is %d, committed %d", b.buffer.Telemetry.Released(), end)
		}
	}
}

func TestTheLongestWaitIsConfigured(t *testing.T) {
	b := newBench(t)
	b.config.Time.MaxHold = configfile.Duration(500 * time.Millisecond)
	b.kernel = &machine{booted: time.Now(), atBoot: day}
	stop := b.run()
	l := b.read(func(l log) bool { return l.newest() > clock.Minimum+second })
	stop()
	for _, s := range l.points {
		if s.Quality.TimeQuality() != telemetry.UnsynchronisedTime || s.Quality.Validity() == telemetry.Good {
			t.Fatalf("a sample is %v", s.Quality)
		}
		if s.Time < clock.Minimum {
			t.Fatalf("a sample is of %v", s.Time.Time())
		}
	}
}

func TestAnUnknownTimeIsAProblem(t *testing.T) {
	for _, c := range []struct {
		stats   clock.Stats
		servers ntp.Stats
		want    string
	}{
		{clock.Stats{State: telemetry.ClockSynchronised}, ntp.Stats{}, ""},
		{clock.Stats{State: telemetry.ClockFreeRunning}, ntp.Stats{}, ""},
		{clock.Stats{State: telemetry.ClockUnset, Holding: clock.Everything, Waiting: time.Minute}, ntp.Stats{Silent: time.Minute, Cause: "none"}, ""},
		{clock.Stats{State: telemetry.ClockUnset, Waiting: time.Hour}, ntp.Stats{}, "unknown for 1h0m0s"},
		{clock.Stats{State: telemetry.ClockFreeRunning, Holding: clock.Counters, Waiting: 6 * time.Minute}, ntp.Stats{}, "waited 6m0s"},
		{clock.Stats{State: telemetry.ClockUnset}, ntp.Stats{Silent: 6 * time.Minute, Cause: "none answers", Unused: []string{"a: no answer", "b: no route"}}, "none answers for 6m0s (a: no answer; b: no route)"},
		{clock.Stats{State: telemetry.ClockSynchronised}, ntp.Stats{Silent: 6 * time.Minute, Cause: "none answers"}, ""},
		{clock.Stats{State: telemetry.ClockSynchronised}, ntp.Stats{Silent: time.Hour, Cause: "none answers"}, "none answers for 1h0m0s"},
		{clock.Stats{State: telemetry.ClockSynchronised}, ntp.Stats{Wrong: []string{"a"}}, "time server a contradicts"},
		{clock.Stats{State: telemetry.ClockSynchronised, Source: "NTP", Contradiction: time.Second}, ntp.Stats{}, "off by -1s; gateway time is that of NTP"},
	} {
		if got := strings.Join(clockProblems(c.stats, c.servers), "; "); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", c.stats, got, c.want)
		}
	}
}

// A machine of the gateway's own, which boots in 1970, has its clock set when a time server
// has said what time it is, once.
func TestAMachinesClockIsSet(t *testing.T) {
	m := &machine{booted: time.Now().Add(-time.Minute)}
	c := newClock(&memory{}, gatewayconfig.Time{}, m, nil, quiet)
	var sets []time.Duration
	set := func(by time.Duration) error {
		sets = append(sets, by)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.atBoot += telemetry.Micros(by.Microseconds())
		return nil
	}
	setWall(c, set, quiet)
	began := telemetry.MicrosOf(time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC))
	if err := c.Offer(clock.Fix{Source: "NTP", Began: began, At: c.SinceBoot(), MaxError: time.Millisecond, Agreeing: 2}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.Observe()
		setWall(c, set, quiet)
		setWall(c, nil, quiet)
	}
	if wall := m.Now().Wall; len(sets) != 1 || distance(wall, c.Now()) > 50_000 {
		t.Errorf("set by %v: the machine has %v, and the gateway %v", sets, wall.Time(), c.Now().Time())
	}
}

func distance(a, b telemetry.Micros) telemetry.Micros { return max(a-b, b-a) }
