package cloud

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func TestNotificationsAreChecked(t *testing.T) {
	const hook = "notify: {webhooks: [{name: desk, url: 'https://desk.example/x', secret_file: desk.secret}]}"
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{"desk.secret}", "desk.secret, match: {priority: [high, critical], kind: [external], gateway: ['north-*']}, changes: [raised]}", ""},
		{"name: desk", "name: ''", `notify.webhooks[0].name: "", expected 1 to 60`},
		{"desk.secret}", "desk.secret}, {name: desk, url: 'https://d.example', secret_file: x}", `notify.webhooks[1].name: "desk" is webhooks[0] already`},
		{"https://desk", "http://desk", "notify.webhooks[0].url: sends in the clear"},
		{"desk.secret}", "desk.secret, insecure: true}", ""},
		{"https://desk.example", "https://me:s3cret@desk.example", "notify.webhooks[0].url: a password never stands"},
		{", secret_file: desk.secret", "", "notify.webhooks[0].secret_file: the key is missing"},
		{"desk.secret}", "desk.secret, match: {priority: [urgent]}}", `notify.webhooks[0].match.priority[0]: "urgent", expected one of [low`},
		{"desk.secret}", "desk.secret, match: {kind: [x]}}", `notify.webhooks[0].match.kind[0]: "x"`},
		{"desk.secret}", "desk.secret, match: {site: ['']}}", `notify.webhooks[0].match.site[0]: ""`},
		{"desk.secret}", "desk.secret, changes: [lit]}", `notify.webhooks[0].changes[0]: "lit"`},
		{hook, "notify: {console_url: busbar, alertmanagers: [{url: 'http://10.0.0.1:9093'}]}", "notify.console_url: no URL"},
		{hook, "notify: {alertmanagers: [{url: 'http://10.0.0.1:9093'}]}", "notify.alertmanagers[0].url: sends in the clear"},
		{hook, "notify: {alertmanagers: [{url: 'http://127.0.0.1:9093'}, {url: 'http://127.0.0.1:9093'}]}", "notify.alertmanagers[1].url: "},
		{hook, "notify: {alertmanagers: [{url: 'http://127.0.0.1:9093/?x=1'}]}", "notify.alertmanagers[0].url: has a query"},
		{hook, "receive: {alertmanager: {token_file: alertmanager.token}}", ""},
		{hook, "remote_write: [{url: 'http://127.0.0.1:9090/api/v1/write', signals: [{name: ['PhV.*']}]}]", ""},
		{hook, "remote_write: [{url: 'http://10.0.0.1/'}]", "remote_write[0].url: sends in the clear"},
		{hook, "remote_write: [{url: 'https://a', signals: [{name: ['']}]}, {url: 'https://a'}]", "remote_write[0].signals[0].name[0]: "},
		{hook, "remote_write: [{url: 'https://a'}, {url: 'https://a?x=1'}]", `remote_write[1].url: "https://a" is remote_write[0] already`},
		{hook, "receive: {alertmanager: {token: s3cret}}", "receive.alertmanager.token: unknown key"},
	} {
		text := "log: {embedded: {path: log}}\nstore: {path: cloud.db}\n" + strings.Replace(hook, c.old, c.new, 1)
		_, err := ParseConfig("cloud.yaml", []byte(text))
		switch {
		case err != nil && strings.Contains(strings.Split(err.Error(), "\n")[0], "s3cret"):
			t.Errorf("%s: the error tells it: %v", c.new, err)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.new, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.new, err, c.want)
		}
	}
}

// The addresses of the configuration are served, and what needs a token asks for it.
func TestAlertsAreServed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"am.token": "a-token-of-24-characters", "desk.secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := embedded(t)
	config.Receive.Alertmanager = &ReceiveAlertmanager{TokenFile: "am.token"}
	config.Notify.Webhooks = []Webhook{{Name: "desk", URL: "http://127.0.0.1:1", SecretFile: "desk.secret"}}
	c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	handler := c.handler(time.Now())
	ask := func(method, path, token string) (int, string) {
		request := httptest.NewRequest(method, path, strings.NewReader(`{"version":"4"}`))
		request.Host = "localhost"
		request.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer.Code, answer.Body.String()
	}
	const webhook = "/api/v1/alertmanager/webhook"
	for _, q := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/api/v2/status", "", http.StatusOK}, {"GET", "/api/v2/alerts", "", http.StatusOK}, {"GET", "/api/v1/alarms", "", http.StatusOK},
		{"POST", webhook, "another", http.StatusUnauthorized}, {"POST", webhook, "a-token-of-24-characters", http.StatusNoContent},
	} {
		if code, body := ask(q.method, q.path, q.token); code != q.want {
			t.Errorf("%s %s: %d %s, want %d", q.method, q.path, code, body, q.want)
		}
	}
	if _, text := ask("GET", "/metrics", ""); !strings.Contains(text, `busbar_cloud_notify_failing_seconds{kind="webhook",target="desk"} 0`) {
		t.Error("the metrics don't tell of the target")
	}
	c.close()
	for _, name := range []string{"am.token", "desk.secret"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "away")); err != nil {
			t.Fatal(err)
		}
		if c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
			if err == nil {
				c.close()
			}
		}
		if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// What an Alertmanager tells a cloud that runs goes on to its webhooks, and values that are
// stored to whom they are written.
func TestWhatComesInGoesOut(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"am.token": "a-token-of-24-characters", "desk.secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told, written := make(chan string, 10), make(chan string, 10)
	desk := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/write" {
			written <- r.Header.Get("Content-Encoding")
		} else {
			told <- string(body)
		}
	}))
	t.Cleanup(desk.Close)
	config := embedded(t)
	config.Receive.Alertmanager = &ReceiveAlertmanager{TokenFile: "am.token"}
	config.Notify.Webhooks = []Webhook{{Name: "desk", URL: desk.URL, SecretFile: "desk.secret", Match: Match{Rule: []string{"Disk*"}}}}
	config.RemoteWrite = []RemoteWrite{{URL: desk.URL + "/write", Signals: []SignalChoice{{Name: []string{"PhV"}}}}}
	c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	// As it would be once it has run.
	if _, err := c.store.NotifyTarget(t.Context(), "desk"); err != nil {
		t.Fatal(err)
	}
	birth := record.Birth{Gateway: "gw", Table: "1", Parts: 1, Signals: []telemetry.Signal{{ID: 1, Device: "meter", Name: "PhV", Unit: "V", Kind: telemetry.Gauge}}}
	if err := c.store.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveBirth(birth) }); err != nil {
		t.Fatal(err)
	}
	series, err := c.store.Signals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	body := `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"Other"},"startsAt":"2026-11-26T16:00:00Z"},` +
		`{"status":"firing","labels":{"alertname":"DiskFull"},"startsAt":"2026-11-26T16:00:00Z"}]}`
	request, err := http.NewRequest("POST", "http://"+config.Console.Listen+"/api/v1/alertmanager/webhook", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer a-token-of-24-characters")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for !c.publishing.Load() {
		time.Sleep(time.Millisecond)
	}
	c.pass([]telemetry.Sample{{Signal: series[0].ID, Time: telemetry.MicrosOf(time.Now()), Value: telemetry.FloatValue(230)}})
	for what, of := range map[string]chan string{`"rule":"DiskFull"`: told, "snappy": written} {
		select {
		case got := <-of:
			if !strings.Contains(got, what) {
				t.Errorf("%s, want %s", got, what)
			}
		case <-time.After(time.Minute):
			t.Errorf("nothing came of %s", what)
		}
	}
}
