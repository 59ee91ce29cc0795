package uplink

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry/record"
)

// far is an uplink that keeps what it gets and answers as it is told.
type far struct {
	*httptest.Server
	ca string

	mu     sync.Mutex
	got    []string
	answer func(w http.ResponseWriter, messages int) (take int, done bool)
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.EnableHTTP2 = true
	f.StartTLS()
	t.Cleanup(f.Close)
	f.ca = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(f.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *far) serve(w http.ResponseWriter, r *http.Request) {
	var messages []record.Message
	for {
		m, err := record.ReadMessage(r.Body)
		if err != nil {
			break
		}
		messages = append(messages, m)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	take := len(messages)
	if f.answer != nil {
		n, done := f.answer(w, take)
		for _, m := range messages[:n] {
			f.got = append(f.got, string(m.Value))
		}
		if done {
			return
		}
		take = n
	} else {
		for _, m := range messages {
			f.got = append(f.got, string(m.Value))
		}
	}
	json.NewEncoder(w).Encode(record.UplinkAnswer{Acknowledged: take})
}

func (f *far) connect(t *testing.T) *Connection {
	t.Helper()
	c, err := New(Options{URL: f.URL, CAFile: f.ca, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// produce sends numbered messages and returns what became of each.
func produce(t *testing.T, c *Client, from, to int) []error {
	t.Helper()
	errs := make([]error, to-from)
	var waiting sync.WaitGroup
	for i := range errs {
		waiting.Add(1)
		c.Produce(record.Message{Key: []byte("gw"), Value: []byte(strconv.Itoa(from + i))}, func(err error) {
			errs[i] = err
			waiting.Done()
		})
	}
	waiting.Wait()
	return errs
}

func TestMessagesArriveInOrder(t *testing.T) {
	f := newFar(t)
	c := f.connect(t).NewClient("telemetry", nil)
	defer c.Close()
	for i, err := range produce(t, c, 0, 200) {
		if err != nil || f.got[i] != strconv.Itoa(i) {
			t.Fatalf("message %d: %q, %v", i, f.got[i], err)
		}
	}
}

// What was acknowledged before a failure is done, what comes behind it fails,
// and what is sent after that arrives.
func TestAFailureHoldsBackWhatComesBehindIt(t *testing.T) {
	f := newFar(t)
	c := f.connect(t).NewClient("telemetry", nil)
	defer c.Close()
	const all = 20
	failed, before := false, 0
	f.answer = func(w http.ResponseWriter, messages int) (int, bool) {
		if failed || messages < 3 {
			before += messages
			return messages, false
		}
		failed = true
		for waiting := 0; before+messages+waiting < all; time.Sleep(time.Millisecond) {
			c.mu.Lock()
			waiting = len(c.queue)
			c.mu.Unlock()
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		json.NewEncoder(w).Encode(record.UplinkAnswer{Acknowledged: 2, Error: "no log"})
		return 2, true
	}
	errs := produce(t, c, 0, all)
	first := -1
	for i, err := range errs {
		if err != nil && first < 0 {
			first = i
		}
		if first >= 0 && err == nil {
			t.Errorf("message %d was acknowledged behind message %d, which wasn't", i, first)
		}
	}
	var refusal *StatusError
	if first < 0 || !errors.As(errs[first], &refusal) || refusal.Text != "no log" {
		t.Fatalf("%v", errs)
	}
	produce(t, c, first, all)
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Join(f.got, " ") != "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19" {
		t.Errorf("%v arrived", f.got)
	}
}

func TestAThrottledClientWaitsAndSaysSo(t *testing.T) {
	f := newFar(t)
	var waits []time.Duration
	c := f.connect(t).NewClient("backfill", func(d time.Duration) { waits = append(waits, d) })
	defer c.Close()
	asked := false
	f.answer = func(w http.ResponseWriter, messages int) (int, bool) {
		if asked {
			return messages, false
		}
		asked = true
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		json.NewEncoder(w).Encode(record.UplinkAnswer{Error: "too much"})
		return 0, true
	}
	if errs := produce(t, c, 0, 1); errs[0] != nil {
		t.Error(errs[0])
	}
	if len(waits) != 1 || waits[0] != time.Second {
		t.Errorf("told to wait %v, want once 1s", waits)
	}
}

func TestClosingFailsWhatIsUnderWay(t *testing.T) {
	f := newFar(t)
	c := f.connect(t).NewClient("telemetry", nil)
	hold := make(chan struct{})
	asked := make(chan struct{})
	f.answer = func(w http.ResponseWriter, messages int) (int, bool) {
		close(asked)
		<-hold
		return messages, false
	}
	defer close(hold)
	failed := make(chan error, 1)
	c.Produce(record.Message{Value: []byte("0")}, func(err error) { failed <- err })
	<-asked
	c.Close()
	if err := <-failed; err == nil {
		t.Error("a message that nobody acknowledged succeeded")
	}
	c.Produce(record.Message{}, func(err error) { failed <- err })
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Errorf("%v after Close, want ErrClosed", err)
	}
}

func TestCausesAreNamed(t *testing.T) {
	f := newFar(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	elsewhere := httptest.NewUnstartedServer(http.NotFoundHandler())
	elsewhere.Config.ErrorLog = log.New(io.Discard, "", 0)
	elsewhere.StartTLS()
	defer elsewhere.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(f.URL, "https://"))
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"right":       {Options{URL: f.URL, CAFile: f.ca}, ""},
		"other CA":    {Options{URL: f.URL}, "another CA"},
		"other name":  {Options{URL: "https://localhost:" + port, CAFile: f.ca}, "another name"},
		"plaintext":   {Options{URL: strings.Replace(plain.URL, "http:", "https:", 1), CAFile: f.ca}, "doesn't speak TLS"},
		"nobody":      {Options{URL: "https://" + nobody, CAFile: f.ca}, "nothing listens"},
		"mute":        {Options{URL: "https://" + mute.Addr().String(), CAFile: f.ca}, "doesn't answer in time"},
		"other site":  {Options{URL: elsewhere.URL, CAFile: f.ca}, "no uplink of Busbar"},
		"dead proxy":  {Options{URL: f.URL, CAFile: f.ca, Proxy: &url.URL{Scheme: "http", Host: nobody}}, "the proxy gives no connection"},
		"proxy is no": {Options{URL: f.URL, CAFile: f.ca, Proxy: &url.URL{Scheme: "http", Host: strings.TrimPrefix(plain.URL, "http://")}}, "uplink: "},
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := New(c.options)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err = connection.Check(ctx)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestOnlyHTTPS(t *testing.T) {
	for _, address := range []string{"http://uplink.example", "uplink.example", "https://", ""} {
		if _, err := New(Options{URL: address}); err == nil {
			t.Errorf("%q was accepted", address)
		}
	}
}

// What one lane has under way doesn't stand before another's on one connection.
func TestLanesHaveConnectionsOfTheirOwn(t *testing.T) {
	f := newFar(t)
	var mu sync.Mutex
	from := map[string]bool{}
	serve := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr] = true
		mu.Unlock()
		serve.ServeHTTP(w, r)
	})
	connection := f.connect(t)
	for _, lane := range []string{"events", "telemetry", "backfill"} {
		c := connection.NewClient(lane, nil)
		defer c.Close()
		c.Warm(t.Context())
		for range 2 {
			for _, err := range produce(t, c, 0, 1) {
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
	if len(from) != 3 {
		t.Errorf("%d connections for three lanes", len(from))
	}
}

func TestCertificatesAreCheckedAtTheGivenTime(t *testing.T) {
	f := newFar(t)
	expired := f.Certificate().NotAfter.Add(time.Hour)
	for now, valid := range map[time.Time]bool{time.Now(): true, expired: false} {
		c, err := New(Options{URL: f.URL, CAFile: f.ca, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context()); (err == nil) != valid {
			t.Errorf("at %v: %v", now, err)
		}
		c.Close()
	}
}

// What is for the uplink goes to nobody whom it, or whoever has taken its place, names.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	f := newFar(t)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	err := f.connect(t).Enrol(t.Context(), record.NewEnrolment(key, "gw", "secret"))
	var answer *StatusError
	if !errors.As(err, &answer) || answer.Status != http.StatusTemporaryRedirect || elsewhere != 0 {
		t.Errorf("%v, %d requests elsewhere", err, elsewhere)
	}
}
