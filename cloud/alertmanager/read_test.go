package alertmanager

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
)

func TestMatchers(t *testing.T) {
	l := Labels{"alertname": "low-voltage", "site": "north"}
	for text, want := range map[string]bool{
		`alertname="low-voltage"`: true, `alertname=low-voltage`: true, `alertname="low"`: false, `alertname=~"low.*"`: true, `alertname=~"voltage"`: false,
		`site!="south"`: true, `site!~"n.*|s.*"`: false, `device=""`: true, `device!=""`: false, `device!=x`: true, ` site = "north" `: true,
		`alertname="low.voltage"`: false, `site=~"n|north"`: true,
	} {
		if m, err := matcherOf(text); err != nil || m.fits(l) != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"", "alertname", `="x"`, `a="x`, `a=~"("`, "0a=b", `a==~"("`} {
		if m, err := matcherOf(text); err == nil && text != `a==~"("` {
			t.Errorf("%q is taken: %+v", text, m)
		}
	}
}

func FuzzMatcher(f *testing.F) {
	f.Add(`alertname=~"low.*"`, "low-voltage")
	f.Fuzz(func(t *testing.T, text, value string) {
		if m, err := matcherOf(text); err == nil {
			m.fits(Labels{m.name: value})
		}
	})
}

// The fingerprint is what Prometheus gives the same labels (common/model, fingerprinting).
func TestFingerprint(t *testing.T) {
	if got := (Labels{}).fingerprint(); got != "cbf29ce484222325" {
		t.Errorf("of no labels: %s", got)
	}
}

func TestReader(t *testing.T) {
	s := storetest.Open(t)
	err := alarm.TakeAlerts(t.Context(), s, "alertmanager", []alarm.Alert{
		{Fingerprint: "1", Rule: "A", Asset: "x", Priority: telemetry.High, Began: 1_000_000},
		{Fingerprint: "2", Rule: "A", Asset: "y", Priority: telemetry.Low, Began: 2_000_000},
		{Fingerprint: "3", Rule: "B", Priority: telemetry.Low, Began: 3_000_000},
		{Fingerprint: "4", Rule: "B", Priority: telemetry.Low, Began: 3_000_000, Ended: 4_000_000},
	}, 5)
	if err != nil {
		t.Fatal(err)
	}
	h := Reader{Store: s, Version: "1", Console: "https://busbar.example/", Logger: slog.New(slog.DiscardHandler)}.Handler()
	get := func(path string, query url.Values, want int, into any) {
		t.Helper()
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest("GET", "/api/v2/"+path+"?"+query.Encode(), nil))
		if answer.Code != want {
			t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
		}
		if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	var list []alert
	for query, want := range map[string]int{
		"": 3, "active=true": 3, "active=false": 0, "filter=alertname%3D%22A%22": 2, "filter=alertname%3DA&filter=asset%3Dx": 1,
		"receiver=bus.*": 3, "receiver=bus": 0, "filter=kind%3Dexternal": 3, "silenced=false&inhibited=false": 3,
	} {
		values, _ := url.ParseQuery(query)
		get("alerts", values, http.StatusOK, &list)
		if len(list) != want {
			t.Errorf("%s: %d alerts, want %d", query, len(list), want)
		}
	}
	get("alerts", url.Values{"filter": {"alertname=A", "asset=x"}}, http.StatusOK, &list)
	if a := list[0]; a.Labels["severity"] != "high" || a.StartsAt.Unix() != 1 || !a.EndsAt.After(a.UpdatedAt) || a.Status.State != "active" ||
		a.GeneratorURL != "https://busbar.example/alarms/"+a.Annotations["alarm"] {
		t.Errorf("%+v", a)
	}
	var groups []group
	get("alerts/groups", nil, http.StatusOK, &groups)
	if len(groups) != 2 || groups[0].Labels["alertname"] != "A" || len(groups[0].Alerts) != 2 {
		t.Errorf("%+v", groups)
	}
	var message string
	for _, query := range []url.Values{{"filter": {"x"}}, {"active": {"perhaps"}}, {"receiver": {"("}}, {"filter": make([]string, mostMatchers+1)}} {
		get("alerts", query, http.StatusBadRequest, &message)
	}
	var silences []any
	get("silences", nil, http.StatusOK, &silences)
	if silences == nil || len(silences) != 0 {
		t.Errorf("silences %v", silences)
	}
	get("alerts", url.Values{"filter": {"alertname=A", "asset=x"}}, http.StatusOK, &list)
	shelved := list[0].Annotations["alarm"]
	if _, err := alarm.Shelve(t.Context(), s, shelved, time.Minute, alarm.DefaultLimits, alarm.Deed{At: 5, By: "Ana", Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"": 3, "silenced=false": 2, "active=false": 1, "inhibited=false": 3} {
		values, _ := url.ParseQuery(query)
		get("alerts", values, http.StatusOK, &list)
		if len(list) != want {
			t.Errorf("with one shelved, %s: %d alerts, want %d", query, len(list), want)
		}
	}
	get("alerts", url.Values{"filter": {"alertname=A", "asset=x"}}, http.StatusOK, &list)
	if of := list[0].Status; of.State != "suppressed" || len(of.SilencedBy) != 1 || of.SilencedBy[0] != "shelved-"+shelved {
		t.Errorf("%+v", of)
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(store.InZones(t.Context(), []string{"north"}), "GET", "/api/v2/alerts", nil))
	if text := strings.TrimSpace(answer.Body.String()); text != "[]" {
		t.Errorf("in another zone: %s", text)
	}
}
