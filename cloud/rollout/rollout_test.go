package rollout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/test/await"
)

func TestAVersionIsPausedWhenTooManyGoBackFromIt(t *testing.T) {
	var counted store.Rollout
	var failing error
	h := Handler(Options{
		Files: fstest.MapFS{
			"stable.json": {Data: []byte(`{"version":"2.0"}`)}, "stable.json.minisig": {Data: []byte("signature")}, "2.bundle": {Data: []byte("0123456789")},
			"broken.json": {Data: []byte("{")}, "secret.key": {Data: []byte("key")},
		},
		Limits: Limits{RolledBack: 2, Percent: 5}, Log: slog.New(slog.DiscardHandler),
		Count: func(_ context.Context, version string) (store.Rollout, error) {
			if version != "2.0" {
				t.Errorf("version %q is counted", version)
			}
			return counted, failing
		},
	})
	get := func(file, span string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/updates/"+file, nil)
		if span != "" {
			r.Header.Set("Range", span)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	check := func(file, span string, code int, says string) {
		t.Helper()
		if got, body := get(file, span); got != code || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", file, got, body)
		}
	}
	counted = store.Rollout{Tried: 41, Confirmed: 40, RolledBack: 1}
	check("stable.json", "", 200, `{"version":"2.0"}`)
	check("stable.json.minisig", "", 200, "signature")
	check("2.bundle", "bytes=4-", 206, "456789")
	check("none.json", "", 404, "")
	check("broken.json", "", 503, "can't be read")
	check("secret.key", "", 404, "")
	check("..%2fstable.json", "", 400, "")
	counted = store.Rollout{Tried: 1, RolledBack: 1}
	check("stable.json", "", 200, "") // all, and too few to say anything
	counted = store.Rollout{Tried: 41, Confirmed: 39, RolledBack: 2}
	check("stable.json", "", 200, "") // enough, and less than 5 of 100
	counted = store.Rollout{Tried: 40, Confirmed: 38, RolledBack: 2}
	check("stable.json", "", 409, "version 2.0 is paused: of 40 gateways that tried it, 2 went back")
	check("stable.json.minisig", "", 409, "paused")
	check("2.bundle", "", 200, "0123456789") // who began may end
	failing = errors.New("no database")
	check("stable.json", "", 503, "can't be read")
}

// Who takes its bundle slowly keeps its place for a while when others wait, and goes on later
// where it was.
func TestSlowReadersMakeRoom(t *testing.T) {
	content := bytes.Repeat([]byte("bundle "), 4<<20)
	server := httptest.NewServer(Handler(Options{
		Files: fstest.MapFS{"2.bundle": {Data: content}}, Log: slog.New(slog.DiscardHandler), places: &places{most: 2, turn: 50 * time.Millisecond},
	}))
	defer server.Close()
	ask := func(from int) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/updates/2.bundle", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		answer, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	slow, slower := ask(0), ask(0)
	defer slow.Body.Close()
	defer slower.Body.Close()
	if answer := ask(0); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Fatalf("a third one is answered %s at once", answer.Status)
	}
	await.True(t, "a third one has its turn", func() bool {
		answer := ask(0)
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusPartialContent {
			return false
		}
		got, err := io.ReadAll(answer.Body)
		return err == nil && bytes.Equal(got, content)
	})
	part, err := io.ReadAll(slow.Body)
	if err == nil || len(part) == 0 || len(part) >= len(content) {
		t.Fatalf("the first one got %d bytes, %v", len(part), err)
	}
	await.True(t, "it goes on", func() bool {
		answer := ask(len(part))
		defer answer.Body.Close()
		rest, err := io.ReadAll(answer.Body)
		return answer.StatusCode == http.StatusPartialContent && err == nil && bytes.Equal(append(part, rest...), content)
	})
}

// A place that was freed is for who was refused, also if who was cut off is back before.
func TestAFreedPlaceIsKeptForWhoWaits(t *testing.T) {
	p := &places{most: 1, turn: time.Hour}
	leave := map[string]func(){}
	ask := func(who string) bool {
		r := httptest.NewRequest(http.MethodGet, "/updates/2.bundle", nil)
		r.RemoteAddr = net.JoinHostPort(who, "1234")
		w, left := p.take(httptest.NewRecorder(), r)
		leave[who] = left
		return w != nil
	}
	long := func() { p.taken[0].since = time.Now().Add(-2 * p.turn) }
	gets := func(who string, want bool) {
		t.Helper()
		if ask(who) != want {
			t.Fatalf("%s gets a place: %v; %d taken, %v wait, %v rest", who, !want, len(p.taken), p.waiting, p.resting)
		}
	}
	const slow, second, third = "10.0.0.1", "10.0.0.2", "fe80::1"
	gets(slow, true)
	gets(second, false)
	if p.taken[0].cut {
		t.Fatal("it is cut off before its turn is over")
	}
	long()
	gets(second, false)
	if !p.taken[0].cut {
		t.Fatal("it isn't cut off")
	}
	leave[slow]()
	gets(slow, false)
	gets(third, false)
	gets(second, true)
	leave[second]()
	gets(slow, false) // the third one waits
	gets(third, true)
	long()
	gets(second, false)
	leave[third]()
	p.resting[slow] = time.Now() // its rest is over, and it waits like others
	gets(slow, false)
	gets(slow, true)
	leave[slow]()
	p.waiting[second] = time.Now() // who doesn't come is waited for no longer
	gets(third, true)
}

func TestZonesThatNoGatewayHas(t *testing.T) {
	files := fstest.MapFS{
		"beta.json":   {Data: []byte(`{"version":"2.0"}`)},
		"stable.json": {Data: []byte(`{"version":"2.0","zones":{"nroth":{"percent":5},"north":{"percent":5}}}`)},
		"2.bundle":    {Data: []byte("no channel")},
	}
	got, err := Unknown(files, []string{"", "north", "south"})
	if want := `stable.json names zone "nroth", which no gateway has`; err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%q, %v", got, err)
	}
	files["broken.json"] = &fstest.MapFile{Data: []byte("{")}
	if _, err := Unknown(files, nil); err == nil || !strings.HasPrefix(err.Error(), "broken.json: ") {
		t.Errorf("one that can't be read: %v", err)
	}
}
