package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alertmanager"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// startAlertmanager runs one that sends all that it has to a webhook, at once.
func startAlertmanager(t *testing.T, webhook, tokenFile string) (url string) {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf(`
route: {receiver: busbar, group_by: [alertname], group_wait: 10ms, group_interval: 100ms}
receivers:
  - name: busbar
    webhook_configs:
      - {url: %q, send_resolved: true, http_config: {authorization: {credentials_file: %q}}}
`, webhook, tokenFile)
	file := filepath.Join(dir, "alertmanager.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := peer.Address(t)
	peer.Run(t, peer.Program(t, "prometheus-alertmanager", "prometheus-alertmanager"), "--config.file="+file, "--storage.path="+dir, "--cluster.listen-address=",
		"--web.listen-address="+address)
	return "http://" + address
}

// alertsOf are the alerts that a server's API v2 has, by their names.
func alertsOf(t *testing.T, url string) map[string]alertmanager.Posted {
	answer, err := http.Get(url + "/api/v2/alerts")
	if err != nil {
		return nil // it starts
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	var list []alertmanager.Posted
	if answer.StatusCode != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return nil
	}
	by := map[string]alertmanager.Posted{}
	for _, a := range list {
		by[a.Labels["alertname"]] = a
	}
	return by
}

// A real Alertmanager is told of what a gateway has raised, and until when.
func TestAlertmanagerIsTold(t *testing.T) {
	s := storetest.Open(t)
	nobody := httptest.NewServer(status(200))
	t.Cleanup(nobody.Close)
	down := httptest.NewServer(status(503))
	t.Cleanup(down.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := startAlertmanager(t, nobody.URL, token)
	raised := alarm.Alarm{ID: "a1", Gateway: "gw", Rule: "low-voltage", Asset: "feeder-1", Device: "meter", Priority: telemetry.High,
		Summary: "low", Active: true, Raised: telemetry.MicrosOf(time.Now().Add(-time.Hour)), Inputs: []alarm.Input{}}
	put(t, s, raised)
	raise(t, s, "elsewhere", telemetry.High, false)
	r, _ := run(t, Config{Store: s, Console: "https://busbar.example", Alertmanagers: []Alertmanager{{Server: outgoing.Server{URL: down.URL}}, {Server: outgoing.Server{URL: url + "/", TokenFile: token}}}})
	var got alertmanager.Posted
	await.True(t, "the alert", func() (ok bool) { got, ok = alertsOf(t, url)["low-voltage"]; return ok })
	want := alertmanager.PostedOf(raised, "https://busbar.example")
	want.Labels["site"] = "north"
	if got.Labels.Key() != want.Labels.Key() || got.Annotations["summary"] != "low" || got.Annotations["alarm"] != "a1" || got.GeneratorURL != "https://busbar.example/alarms/a1" ||
		got.StartsAt.UnixMilli() != want.StartsAt.UnixMilli() || time.Until(got.EndsAt) < time.Minute {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(alertsOf(t, url)) != 1 {
		t.Error("what comes from elsewhere goes back there")
	}
	end := got.EndsAt
	await.True(t, "that it is sent again", func() bool { return alertsOf(t, url)["low-voltage"].EndsAt.After(end) })
	raised.Active = false
	put(t, s, raised)
	await.True(t, "that it is resolved", func() bool { return len(alertsOf(t, url)) == 0 })
	if st := r.Stats(); st[0].Delivered != 0 || st[0].Failed == 0 || st[0].Failing.IsZero() || st[1].Delivered < 2 || !st[1].Failing.IsZero() {
		t.Errorf("%+v", st)
	}
}

// put makes an alarm of a gateway what it is, as the runner of alarms does.
func put(t *testing.T, s *store.Store, a alarm.Alarm) {
	t.Helper()
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO gateway (id, site) VALUES (?, 'north') ON CONFLICT DO NOTHING`, a.Gateway); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO alarm (id, gateway, rule, asset, device, priority, summary, active, acknowledged, raised, confirmed, decided, acknowledged_by, comment)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, FALSE, ?, 0, 1, '', '') ON CONFLICT (id) DO UPDATE SET active = excluded.active`,
			a.ID, a.Gateway, a.Rule, a.Asset, a.Device, string(a.Priority), a.Summary, a.Active, int64(a.Raised))
		if err == nil {
			_, err = tx.AddFact(alarm.FactKind, a.Raised, a)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What Prometheus tells a real Alertmanager comes by its webhook, and amtool reads it here.
func TestAlertmanagerTells(t *testing.T) {
	s := storetest.Open(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a-token-of-24-characters"), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/alertmanager/webhook", alertmanager.Receiver{Store: s, TokenFile: token, Logger: quiet})
	mux.Handle("/api/v2/", alertmanager.Reader{Store: s, Version: "1.0", Started: time.Now(), Logger: quiet}.Handler())
	cloud := httptest.NewServer(mux)
	t.Cleanup(cloud.Close)
	url := startAlertmanager(t, cloud.URL+"/api/v1/alertmanager/webhook", token)
	began := time.Now().Add(-time.Minute).UTC()
	send := func(end time.Time) {
		body, err := json.Marshal([]alertmanager.Posted{{Labels: alertmanager.Labels{"alertname": "DiskFull", "instance": "db:9100", "severity": "critical"},
			Annotations: alertmanager.Labels{"summary": "The disk is full"}, StartsAt: began, EndsAt: end}})
		if err != nil {
			t.Fatal(err)
		}
		await.True(t, "that Alertmanager takes it", func() bool {
			answer, err := http.Post(url+"/api/v2/alerts", "application/json", strings.NewReader(string(body)))
			if err != nil {
				return false // it starts
			}
			defer answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		})
	}
	send(time.Now().Add(time.Hour))
	var list []alarm.Alarm
	await.True(t, "the alarm", func() bool {
		_, list, _ = alarm.List(t.Context(), s, true, store.Page[alarm.Place]{Limit: 10})
		return len(list) == 1
	})
	if a := list[0]; a.Rule != "DiskFull" || a.Priority != telemetry.Critical || a.Kind != alarm.OfExternal || a.Summary != "The disk is full" || a.Asset != "db:9100" || a.Raised.Time().UnixMilli() != began.UnixMilli() {
		t.Errorf("%+v", a)
	}
	put(t, s, alarm.Alarm{ID: "a1", Gateway: "gw", Rule: "low-voltage", Asset: "feeder-1", Priority: telemetry.High, Summary: "low", Active: true, Raised: 1_000_000})
	amtool := func(want string, args ...string) string {
		t.Helper()
		out, err := exec.Command(peer.Program(t, "amtool", "prometheus-alertmanager"), append([]string{"--alertmanager.url=" + cloud.URL, "--no-version-check"}, args...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("amtool %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	amtool("DiskFull", "alert", "query")
	amtool("low-voltage", "--output=extended", "alert", "query")
	if out := amtool("feeder-1", "--output=json", "alert", "query", `severity=~"high|low"`, "site=north"); strings.Contains(out, "DiskFull") {
		t.Error(out)
	}
	if out := amtool("", "alert", "query", "alertname=nothing"); strings.Contains(out, "DiskFull") {
		t.Error(out)
	}
	amtool("", "silence", "query")
	amtool("receiver: busbar", "config", "show")
	send(time.Now())
	await.True(t, "that it has cleared", func() bool {
		_, list, _ = alarm.List(t.Context(), s, true, store.Page[alarm.Place]{Limit: 10})
		for _, a := range list {
			if a.Rule == "DiskFull" && !a.Active {
				return true
			}
		}
		return false
	})
}
