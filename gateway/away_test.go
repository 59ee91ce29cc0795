package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/discovery"
	"github.com/busbar/busbar/gateway/journal"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/rules"
)

// reachable starts the bench's gateway with a status page that other machines reach, and
// returns what they need for it.
func (b *bench) reachable() (address string, access status.Access, stop func()) {
	b.t.Helper()
	b.withStatus()
	_, port, _ := net.SplitHostPort(b.config.Status.Listen)
	b.source = strings.Replace(b.source, "127.0.0.1:0", "0.0.0.0:"+port, 1)
	file := filepath.Join(b.t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(b.source), 0o600); err != nil {
		b.t.Fatal(err)
	}
	shown := make(chan status.Access, 1)
	kept, log := journal.New(slog.New(slog.NewTextHandler(io.Discard, nil)))
	o := Options{Version: "test", Log: log, Journal: kept, Show: func(_ string, a status.Access) { shown <- a }}
	config, err := Load(file, &o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.config = config
	g, err := New(config, o)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	return "127.0.0.1:" + port, <-shown, func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

func trust(want string) func(string) error {
	return func(fingerprint string) error {
		if fingerprint != want {
			return errors.New("another certificate")
		}
		return nil
	}
}

func TestAGatewayIsWorkedWithFromAnotherMachine(t *testing.T) {
	b := newBench(t)
	address, access, stop := b.reachable()
	defer stop()
	ctx := t.Context()
	door := Away(address, access.Password, trust(access.Fingerprint()))
	readings, err := door.Read(ctx, "meter")
	if err != nil || len(readings) != 3 || readings[0].Value != "230" {
		t.Errorf("read: %+v, %v", readings, err)
	}
	if _, err := door.Read(ctx, "other"); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("read another: %v", err)
	}
	found, err := door.Scan(ctx, discovery.Request{Endpoint: b.config.Devices[0].Modbus.Endpoint, Units: "1-2", Timeout: 1e9}, func(discovery.Progress) {})
	if err != nil || len(found.Units) != 1 || found.Through != "gw" {
		t.Errorf("scan: %+v, %v", found, err)
	}
	if list, err := door.Explain(ctx, rules.Question{}); err != nil || len(list) != 1 {
		t.Errorf("explain: %+v, %v", list, err)
	}
	if text, err := door.Configuration(ctx); err != nil || string(text) != b.source {
		t.Errorf("configuration: %q, %v", text, err)
	}
	var logs bytes.Buffer
	if err := door.Logs(ctx, false, &logs); err != nil || !strings.Contains(logs.String(), `msg="gateway started"`) {
		t.Errorf("logs: %s, %v", &logs, err)
	}
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		files, err := door.Inspect(ctx, true)
		var exported bytes.Buffer
		damage, err2 := door.Export(ctx, "telemetry", "csv", "", "", "meter", &exported)
		if err != nil || err2 != nil || damage != "" {
			t.Fatalf("buffer: %v, %v, %s", err, err2, damage)
		}
		if samples := strings.Count(exported.String(), ",meter,PhV.phsA,V,230,good"); samples > 0 && len(files) > 1 {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("%+v\n%s", files, &exported)
		}
	}
	if _, err := door.Export(ctx, "telemetry", "csv", "yesterday", "", "", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "from: ") {
		t.Errorf("a time that is none: %v", err)
	}

	changed := strings.Replace(b.source, "feeder-1", "feeder-2", 1)
	outcome, err := door.Replace(ctx, []byte(changed), "Ana", time.Minute)
	if err != nil || !outcome.Held {
		t.Errorf("replace: %+v, %v", outcome, err)
	}
	if text, err := door.Configuration(ctx); err != nil || string(text) != changed {
		t.Errorf("configuration: %q, %v", text, err)
	}
	if _, err := door.Replace(ctx, []byte("gateway: {id: gw}\n"), "Ana", time.Minute); err == nil || !strings.Contains(err.Error(), "gateway.yaml:1:1: forward: the key is missing") {
		t.Errorf("replace by what is wrong: %v", err)
	}
	// What is on the machine still asks without a password.
	if list, err := ExplainRules(ctx, b.config, "", rules.Question{}); err != nil || len(list) != 1 {
		t.Errorf("on the machine: %+v, %v", list, err)
	}
}

func TestWhoReachesAGateway(t *testing.T) {
	b := newBench(t)
	address, access, stop := b.reachable()
	defer stop()
	ctx := t.Context()
	for name, door := range map[string]Door{
		"401|password":        Away(address, "wrong", trust(access.Fingerprint())),
		"another certificate": Away(address, access.Password, trust("00:11")),
	} {
		_, err := door.Read(ctx, "meter")
		want := name[strings.Index(name, "|")+1:]
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	ask := func(method, path, password string, headers ...string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(ctx, method, "https://"+address+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			request.SetBasicAuth("x", password)
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	json := []string{"Content-Type", "application/json"}
	for _, c := range []struct {
		method, path, password string
		headers                []string
		code                   int
	}{
		{"GET", "/", "", nil, 401},
		{"GET", "/metrics", "", nil, 401},
		{"GET", "/healthz", "", nil, 401},
		{"GET", "/configuration", "", nil, 401},
		{"GET", "/", access.Password, nil, 200},
		{"GET", "/metrics", access.Password, nil, 200},
		{"POST", "/devices/meter/signals/SetW/operate", access.Password, json, 404}, // on the machine only
		{"POST", "/configuration/keep", access.Password, json, 404},
		{"POST", "/devices/meter/read", access.Password, append(json, "Origin", "https://evil.example"), 403},
		{"POST", "/configuration", access.Password, nil, 415},
	} {
		if code := ask(c.method, c.path, c.password, c.headers...); code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, code, c.code)
		}
	}
	if answer, err := http.Get("http://" + address + "/metrics"); err == nil && answer.StatusCode == 200 {
		t.Error("it is told without TLS")
	}
	codes := map[int]int{}
	for range 8 {
		codes[ask("GET", "/", "wrong")]++
	}
	if codes[401] < 3 || codes[429] < 1 {
		t.Errorf("one who guesses: %v", codes)
	}
	info, err := os.Stat(filepath.Join(string(b.config.Buffer.Path), socketFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	for _, name := range []string{accessFile, passwordFile} {
		if info, err := os.Stat(filepath.Join(string(b.config.Buffer.Path), name)); err != nil || info.Mode() != fs.FileMode(0o600) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestThePasswordAndTheCertificateStay(t *testing.T) {
	b := newBench(t)
	b.config.Status.Listen = "0.0.0.0:0"
	if err := os.MkdirAll(string(b.config.Buffer.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	one, err := OpenAccess(b.config, "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenAccess(b.config, "")
	if err != nil || other.Password != one.Password || len(one.Password) != 19 || other.Fingerprint() != one.Fingerprint() || len(one.Fingerprint()) != 95 {
		t.Errorf("%q and %q, %s, %v", one.Password, other.Password, other.Fingerprint(), err)
	}
	dir := t.TempDir()
	b.config.Status.PasswordFile = "given"
	for text, fits := range map[string]bool{"correct horse\n": true, "short": false, strings.Repeat("x", 101): false} {
		if err := os.WriteFile(filepath.Join(dir, "given"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := OpenAccess(b.config, dir); (err == nil) != fits || fits && a.Password != "correct horse" {
			t.Errorf("%q: %+v, %v", text, a.Password, err)
		}
	}
}
