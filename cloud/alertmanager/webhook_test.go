package alertmanager

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
)

// firing is what Alertmanager 0.25 sends, shortened.
const firing = `{"receiver":"busbar","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"DiskFull","instance":"db:9100","severity":"critical"},
	"annotations":{"summary":"The disk of db is full"},"startsAt":"2026-11-26T16:00:00.5Z","endsAt":"0001-01-01T00:00:00Z",
	"generatorURL":"http://prometheus/graph","fingerprint":"e25963d69425c836"}],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},
	"externalURL":"http://alertmanager:9093","version":"4","groupKey":"{}:{}","truncatedAlerts":0}`

var resolved = strings.Replace(strings.ReplaceAll(firing, `"firing"`, `"resolved"`), "0001-01-01T00:00:00Z", "2026-11-26T16:05:00Z", 1)

func TestParse(t *testing.T) {
	alerts, left, err := Parse([]byte(firing))
	want := alarm.Alert{Fingerprint: "e25963d69425c836", Rule: "DiskFull", Asset: "db:9100", Device: "db:9100", Priority: telemetry.Critical,
		Summary: "The disk of db is full", Began: 1795708800_500000}
	if err != nil || left != (Left{}) || len(alerts) != 1 || alerts[0] != want {
		t.Errorf("%+v, %+v, %v", alerts, left, err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"no JSON":       {firing, "alert!", "no webhook of Alertmanager"},
		"version":       {`"version":"4"`, `"version":"5"`, `version "5"`},
		"too many":      {`"alerts":[`, `"alerts":[` + strings.Repeat("{},", mostAlerts), "10001 alerts"},
		"alerts a text": {`"alerts":[`, `"alerts":"","x":[`, "no webhook of Alertmanager"},
	} {
		if _, _, err := Parse([]byte(strings.Replace(firing, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// An alert that can't be doesn't take those along that it came with.
func TestOneAlertTakesNoOtherAlong(t *testing.T) {
	const alert = `{"status":"firing","labels":{"alertname":"a\u0000b"},"startsAt":"2026-11-26T16:00:00Z","endsAt":"0001-01-01T00:00:00Z"}`
	for name, c := range map[string]struct{ old, new, want string }{
		"status":        {"firing", "x", `status is "x"`},
		"no status":     {`"status":"firing",`, "", `status is ""`},
		"no start":      {"2026-11-26T16:00:00Z", "0001-01-01T00:00:00Z", "startsAt is 0001"},
		"no time":       {"2026-11-26T16:00:00Z", "yesterday", "yesterday"},
		"no end":        {"firing", "resolved", "endsAt is 0001"},
		"labels a list": {`{"alertname":"a\u0000b"}`, `["a"]`, "cannot unmarshal array"},
		"a number":      {alert, "7", "cannot unmarshal number"},
	} {
		body := `{"version":"4","alerts":[` + alert + `,` + strings.Replace(alert, c.old, c.new, 1) + `,` + alert + `]}`
		alerts, left, err := Parse([]byte(body))
		if err != nil || len(alerts) != 2 || left.Impossible != 1 || left.Cause == nil || !strings.HasPrefix(left.Cause.Error(), "alerts[1]: ") || !strings.Contains(left.Cause.Error(), c.want) {
			t.Errorf("%s: %+v, %+v, %v, want %s", name, alerts, left, err, c.want)
		}
	}
	alerts, left, err := Parse([]byte(`{"version":"4","alerts":[` + strings.Replace(alert, `"alertname":"a\u0000b"`, `"job":"db"`, 1) + `,` + alert + `]}`))
	if err != nil || left != (Left{}) || len(alerts) != 2 || alerts[0].Rule != "unnamed" || alerts[0].Summary != "unnamed" || alerts[1].Rule != "a\uFFFDb" {
		t.Errorf("%+v, %+v, %v", alerts, left, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(firing))
	f.Add([]byte(resolved))
	f.Fuzz(func(t *testing.T, body []byte) {
		alerts, left, err := Parse(body)
		if err != nil && alerts != nil || left.Truncated < 0 || (left.Impossible > 0) != (left.Cause != nil) {
			t.Fatal("an error and alerts")
		}
		for _, a := range alerts {
			if a.Fingerprint == "" || a.Rule == "" || len(a.Rule) > longestName || len(a.Summary) > longestText || a.Began <= 0 || a.Ended < 0 || !utf8.ValidString(a.Summary) {
				t.Fatalf("%+v", a)
			}
		}
	})
}

func TestReceiver(t *testing.T) {
	const token = "a-token-of-24-characters"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Receiver{Store: storetest.Open(t), TokenFile: file, Logger: slog.New(slog.DiscardHandler)}
	post := func(authorization, body string) int {
		request := httptest.NewRequest("POST", "/", strings.NewReader(body))
		request.Header.Set("Authorization", authorization)
		answer := httptest.NewRecorder()
		r.ServeHTTP(answer, request)
		if strings.Contains(answer.Body.String(), token) {
			t.Error("an answer tells the token")
		}
		return answer.Code
	}
	active := func() (n int) {
		list, err := alarm.Firing(t.Context(), r.Store)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for _, authorization := range []string{"", "Bearer ", "Bearer a-token-of-24-character", "Basic " + token, token} {
		if code := post(authorization, firing); code != http.StatusUnauthorized || active() != 0 {
			t.Errorf("with %q: %d", authorization, code)
		}
	}
	for _, c := range []struct {
		body         string
		code, active int
	}{
		{"{", http.StatusBadRequest, 0},
		{strings.Repeat(" ", mostBytes) + firing, http.StatusRequestEntityTooLarge, 0},
		{firing, http.StatusNoContent, 1},
		{firing, http.StatusNoContent, 1},
		{resolved, http.StatusNoContent, 0},
		{strings.Replace(firing, `"alerts":[`, `"alerts":[{},`, 1), http.StatusNoContent, 1},
		{resolved, http.StatusNoContent, 0},
	} {
		if code := post("Bearer "+token, c.body); code != c.code || active() != c.active {
			t.Errorf("%.20s: %d and %d alarms, want %d and %d", c.body, code, active(), c.code, c.active)
		}
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := post("Bearer short", firing); code != http.StatusServiceUnavailable || r.CheckToken() == nil {
		t.Errorf("a short token: %d", code)
	}
	r.Store.Close()
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := post("Bearer "+token, firing); code != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d", code)
	}
}
