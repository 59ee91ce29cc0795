package notify

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

var quiet = slog.New(slog.DiscardHandler)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// The vector is that of Standard Webhooks' reference libraries.
func TestSignature(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	other := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	if err := os.WriteFile(file, []byte(secret+"\n\n"+other+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := secrets(file)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)))
	if len(got) != 2 || got[0] != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || got[1] == got[0] {
		t.Errorf("%v", got)
	}
	for _, text := range []string{"", "\n", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_?", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65))} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secrets(file); err == nil || len(text) > 10 && strings.Contains(err.Error(), text[6:]) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A restored database gives a number to another change of the same alarm.
func TestMessagesAreToldApart(t *testing.T) {
	ids := map[string]bool{}
	for _, action := range []alarm.Action{alarm.Raised, alarm.Cleared} {
		for _, at := range []telemetry.Micros{1, 2} {
			id := messageID(alarm.Told{Entry: alarm.Entry{Seq: 7, Action: action, At: at}, Alarm: alarm.Alarm{ID: "a"}})
			if ids[id] || strings.Contains(id, ".") {
				t.Errorf("%q of another message, or with a dot", id)
			}
			ids[id] = true
		}
	}
}

// desk is a server of webhooks that answers as a test wants, at first, and then well.
type desk struct {
	*testing.T
	url     string
	mu      sync.Mutex
	answers []http.HandlerFunc
	got     []Message
	ids     []string
	asked   int
}

func newDesk(t *testing.T, answers ...http.HandlerFunc) *desk {
	d := &desk{T: t, answers: answers}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	if r.Header.Get("webhook-signature") != sign([][]byte{key}, id, at, body) || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		d.Errorf("%s %v", r.Method, r.Header)
	}
	if len(d.answers) > 0 {
		answer := d.answers[0]
		d.answers = d.answers[1:]
		answer(w, r)
		return
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		d.Error(err)
	}
	d.got, d.ids = append(d.got, m), append(d.ids, id)
}

// await waits until n messages have been taken, and returns them as type and alarm.
func (d *desk) await(n int) (list []string) {
	d.Helper()
	await.True(d.T, fmt.Sprint(n, " messages"), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		list = nil
		for _, m := range d.got {
			list = append(list, m.Type+" "+m.Data.Alarm.Rule)
		}
		return len(list) >= n
	})
	return list
}

// raise raises an alarm of a rule from elsewhere, or clears it.
func raise(t *testing.T, s *store.Store, rule string, priority telemetry.Priority, over bool) {
	t.Helper()
	a := alarm.Alert{Fingerprint: rule, Rule: rule, Priority: priority, Summary: rule, Began: 1_000_000}
	if over {
		a.Ended = 2_000_000
	}
	if err := alarm.TakeAlerts(t.Context(), s, "alertmanager", []alarm.Alert{a}, 3_000_000); err != nil {
		t.Fatal(err)
	}
}

func webhook(t *testing.T, name, url string) Webhook {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return Webhook{Name: name, Server: outgoing.Server{URL: url}, SecretFile: file}
}

// run starts a Runner that waits for little, and returns what ends it. It is at work when
// run returns.
func run(t *testing.T, c Config) (r *Runner, stop func()) {
	t.Helper()
	c.Logger = quiet
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.pace = pace{outgoing.Backoff{First: time.Millisecond, Most: 20 * time.Millisecond}, time.Hour, 100 * time.Millisecond}
	for _, w := range c.Webhooks {
		if _, err := c.Store.NotifyTarget(t.Context(), w.Name); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return r, stop
}

func TestEachChangeIsToldInOrder(t *testing.T) {
	s := storetest.Open(t)
	raise(t, s, "before", telemetry.High, false)
	all, high := newDesk(t), newDesk(t)
	important := webhook(t, "high", high.url)
	important.Match, important.Changes = Match{Priority: []telemetry.Priority{telemetry.High}, Rule: []string{"a*"}}, []alarm.Action{alarm.Raised}
	run(t, Config{Store: s, Webhooks: []Webhook{webhook(t, "all", all.url), important}})
	raise(t, s, "a", telemetry.High, false)
	raise(t, s, "ab", telemetry.Low, false)
	raise(t, s, "b", telemetry.High, false)
	raise(t, s, "a", telemetry.High, true)
	firing, err := alarm.Firing(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alarm.Acknowledge(t.Context(), s, firing[0].ID, "Ana", "seen", 5_000_000); err != nil {
		t.Fatal(err)
	}
	raise(t, s, "ac", telemetry.High, false)
	want := []string{"alarm.raised a", "alarm.raised ab", "alarm.raised b", "alarm.cleared a", "alarm.acknowledged " + firing[0].Rule, "alarm.raised ac"}
	if got := all.await(6); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := high.await(2); fmt.Sprint(got) != "[alarm.raised a alarm.raised ac]" {
		t.Errorf("%q", got)
	}
	last := all.got[4]
	if last.Version != 1 || last.Data.By != "Ana" || last.Data.Comment != "seen" || last.Timestamp.Unix() != 5 || last.Data.At != 5_000_000 || !last.Data.Alarm.Acknowledged || last.Data.Alarm.Kind != alarm.OfExternal {
		t.Errorf("%+v", last)
	}
}

// Whatever a gateway's clock says, what comes after it is told.
func TestATimeThatCantBeWrittenStopsNothing(t *testing.T) {
	s, d := storetest.Open(t), newDesk(t)
	run(t, Config{Store: s, Webhooks: []Webhook{webhook(t, "desk", d.url)}})
	for i, at := range []telemetry.Micros{math.MaxInt64, math.MinInt64, 7} {
		put(t, s, alarm.Alarm{ID: fmt.Sprint(i), Gateway: "gw", Rule: "r", Priority: telemetry.Low, Active: true, Raised: at})
	}
	d.await(3)
	if at := d.got[0].Data.At; at != math.MaxInt64 || d.got[0].Timestamp.Year() != 9999 || d.got[0].Type != "alarm.updated" {
		t.Errorf("%+v", d.got[0])
	}
}

// A target that is down stops no other one, and is told everything once it is back, also
// by the next process.
func TestWhatATargetMissesComesLater(t *testing.T) {
	s := storetest.Open(t)
	down := httptest.NewServer(status(http.StatusServiceUnavailable))
	well := newDesk(t)
	targets := []Webhook{webhook(t, "down", down.URL), webhook(t, "well", well.url)}
	r, stop := run(t, Config{Store: s, Webhooks: targets})
	for _, rule := range []string{"a", "b", "c"} {
		raise(t, s, rule, telemetry.High, false)
	}
	well.await(3)
	await.True(t, "attempts at what is down", func() bool { return r.Stats()[0].Failed > 2 })
	since := r.Stats()[0].Failing
	if since.IsZero() || r.Stats()[0].Delivered != 0 || !r.Stats()[1].Failing.IsZero() {
		t.Errorf("%+v", r.Stats())
	}
	stop()
	down.Close()
	raise(t, s, "d", telemetry.High, false)
	r, stop = run(t, Config{Store: s, Webhooks: targets})
	await.True(t, "what is known from before", func() bool { return r.Stats()[0].Failing.Equal(since) })
	well.await(4)
	await.True(t, "that its answer is read", func() bool { return r.Stats()[1].Delivered == 1 })
	stop()
	back := newDesk(t)
	targets[0].URL = back.url
	r, _ = run(t, Config{Store: s, Webhooks: targets})
	if got := back.await(4); fmt.Sprint(got) != "[alarm.raised a alarm.raised b alarm.raised c alarm.raised d]" {
		t.Errorf("%q", got)
	}
	await.True(t, "that it is well", func() bool { return r.Stats()[0].Failing.IsZero() && r.Stats()[0].Delivered == 4 })
	if len(well.got) != 4 {
		t.Errorf("%d messages, want 4", len(well.got))
	}
}

// One that is far behind is told of once for each span of that length.
func TestATargetThatIsFarBehindIsToldOf(t *testing.T) {
	s, text := storetest.Open(t), &strings.Builder{}
	d := newDesk(t, status(503), status(503), status(503))
	c := Config{Store: s, Logger: slog.New(slog.NewTextHandler(text, nil)), Webhooks: []Webhook{webhook(t, "desk", d.url)}}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.pace.Backoff, r.pace.late = outgoing.Backoff{First: time.Millisecond, Most: time.Millisecond}, time.Hour
	long := telemetry.MicrosOf(time.Now().Add(-2 * time.Hour))
	at, err := s.NotifyTarget(t.Context(), "desk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.NotifyTarget(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	to := at
	to.Failing = long
	if err := s.MoveNotifyTarget(t.Context(), at, to); err != nil {
		t.Fatal(err)
	}
	raise(t, s, "a", telemetry.High, false)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	d.await(1)
	cancel()
	running.Wait()
	if n := strings.Count(text.String(), "far behind"); n != 1 {
		t.Errorf("told of %d times:\n%s", n, text)
	}
	if !strings.Contains(text.String(), "target=gone behind=1\n") {
		t.Errorf("that another is forgotten isn't told:\n%s", text)
	}
}

func TestWhatIsRefusedIsWrittenDown(t *testing.T) {
	s := storetest.Open(t)
	elsewhere := newDesk(t)
	moved := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.url, http.StatusTemporaryRedirect)
	}
	broken := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	// Only what isn't worth trying again is given up: the second one.
	d := newDesk(t, status(500), status(408), status(429), moved, broken, status(200), func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, "no such desk")
	})
	r, _ := run(t, Config{Store: s, Webhooks: []Webhook{webhook(t, "desk", d.url)}})
	for _, rule := range []string{"a", "b", "c"} {
		raise(t, s, rule, telemetry.High, false)
	}
	if got := d.await(1); fmt.Sprint(got) != "[alarm.raised c]" || elsewhere.asked != 0 || d.asked != 8 {
		t.Errorf("%q after %d requests, %d elsewhere", got, d.asked, elsewhere.asked)
	}
	var refused int
	var cause string
	if err := s.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT COUNT(*), MAX(cause) FROM notify_refusal WHERE target = 'desk'`, nil, &refused, &cause)
	}); err != nil || refused != 1 || !strings.Contains(cause, `422 Unprocessable Entity "no such desk"`) {
		t.Errorf("%d: %s, %v", refused, cause, err)
	}
	if st := r.Stats()[0]; st.Refused != 1 || st.Failed != 5 {
		t.Errorf("%+v", st)
	}
}

func TestATargetByTLSMustBeTheOne(t *testing.T) {
	s := storetest.Open(t)
	d := &desk{T: t}
	server := httptest.NewUnstartedServer(d)
	server.Config.ErrorLog = slog.NewLogLogger(quiet.Handler(), slog.LevelInfo)
	server.StartTLS()
	t.Cleanup(server.Close)
	w := webhook(t, "desk", server.URL)
	r, stop := run(t, Config{Store: s, Webhooks: []Webhook{w}})
	raise(t, s, "a", telemetry.High, false)
	await.True(t, "attempts", func() bool { return r.Stats()[0].Failed > 1 })
	if d.asked != 0 {
		t.Error("a server of an unknown authority is told of an alarm")
	}
	stop()
	w.CA = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(w.CA, pemOf(server.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, Config{Store: s, Webhooks: []Webhook{w}})
	d.await(1)
}
