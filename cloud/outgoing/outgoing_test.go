package outgoing

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWaits(t *testing.T) {
	p := Ordinary
	for n, most := range map[int]time.Duration{0: time.Second, 3: 8 * time.Second, 8: 256 * time.Second, 9: 5 * time.Minute, 100: 5 * time.Minute} {
		if d := p.Wait(n, nil); d > most || d < most*3/4 {
			t.Errorf("before attempt %d: %v, want about %v", n, d, most)
		}
	}
	if d := p.Wait(0, &Failure{After: 7 * time.Minute}); d != 7*time.Minute {
		t.Errorf("%v", d)
	}
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "20": 20 * time.Second, "-1": 0, "x": 0, "99999999999": 0, "86400": time.Hour,
		"Mon, 01 Jun 2026 12:00:30 GMT": 30 * time.Second, "Mon, 01 Jun 2026 11:00:00 GMT": 0, "Tue, 02 Jun 2026 12:00:30 GMT": time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", text, got, want)
		}
	}
}

// An error says which server, and not what a query may hold.
func TestAnErrorDoesntTellTheQuery(t *testing.T) {
	s := Server{URL: "http://127.0.0.1:1/hook?token=s3cret"}
	client, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	err = s.Post(t.Context(), client, http.Header{}, nil)
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(s.Name(), "s3cret") {
		t.Errorf("%v of %s", err, s.Name())
	}
}

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		url      string
		insecure bool
		want     string
	}{
		{"https://desk.example/x?y=1", false, ""}, {"http://127.0.0.1:9093", false, ""}, {"http://[::1]/", false, ""}, {"http://localhost/", false, ""},
		{"http://10.0.0.1/", false, "in the clear"}, {"http://10.0.0.1/", true, ""}, {"http://localhost.example/", false, "in the clear"},
		{"https://ana:s3cret@desk.example/", false, "a password never"}, {"ftp://desk.example/", false, "no URL"}, {"desk.example", false, "no URL"}, {"https:///x", false, "no URL"}, {"https://d/#x", false, "fragment"},
	} {
		err := CheckURL(c.url, c.insecure)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v, want %q", c.url, err, c.want)
		}
	}
}
