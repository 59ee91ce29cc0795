package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func ask(method, path string, header http.Header) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	page, err := io.ReadAll(ask("GET", "/", nil).Body)
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile(`/assets/app-[A-Z0-9]+\.js`).FindString(string(page))
	if script == "" {
		t.Fatalf("the page names no script:\n%s", page)
	}
	tests := []struct {
		method, path string
		status       int
		contentType  string
		cache        string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/signals", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/completeness", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/alarm-performance", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/alarms/9f86d081884c7d65", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", script, 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/assets/licenses.txt", 200, "text/plain; charset=utf-8", "no-cache"},
		{"GET", "/alarms", 404, "", ""},
		{"GET", "/alarms/a/b", 404, "", ""},
		{"GET", "/assets/", 404, "", ""},
		{"GET", "/assets/app.js", 404, "", ""},
		{"GET", "/index.html", 404, "", ""},
		{"POST", "/", 405, "", ""},
	}
	for _, tt := range tests {
		r := ask(tt.method, tt.path, nil)
		if r.StatusCode != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, r.StatusCode, tt.status)
		}
		if tt.status != 200 {
			continue
		}
		if got := r.Header.Get("Content-Type"); got != tt.contentType {
			t.Errorf("%s: content type %q, want %q", tt.path, got, tt.contentType)
		}
		if got := r.Header.Get("Cache-Control"); got != tt.cache {
			t.Errorf("%s: cache control %q, want %q", tt.path, got, tt.cache)
		}
		if got := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") || strings.Contains(got, "unsafe") {
			t.Errorf("%s: content security policy %q", tt.path, got)
		}
		if again := ask("GET", tt.path, http.Header{"If-None-Match": {r.Header.Get("ETag")}}); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: %d to its own ETag, want 304", tt.path, again.StatusCode)
		}
	}

	packed := ask("GET", script, http.Header{"Accept-Encoding": {"br, gzip"}})
	if packed.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("no gzip for a client that takes it")
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(ask("GET", script, http.Header{"Accept-Encoding": {"gzip;q=0"}}).Body)
	if err != nil {
		t.Fatal(err)
	}
	if string(unpacked) != string(plain) {
		t.Error("the packed script isn't the plain one")
	}
}
