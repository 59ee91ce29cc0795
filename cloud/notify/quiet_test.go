package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alertmanager"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// Nobody is told of an alarm that was shelved when it was raised. Of one that was shelved
// later, whoever was told of it hears that, and how it ends.
func TestWhatIsShelvedIsntAnnounced(t *testing.T) {
	s, d := storetest.Open(t), newDesk(t)
	run(t, Config{Store: s, Webhooks: []Webhook{webhook(t, "desk", d.url)}})
	at := func(began, ended telemetry.Micros) {
		t.Helper()
		a := alarm.Alert{Fingerprint: "a", Rule: "a", Priority: telemetry.Low, Began: began, Ended: ended}
		if err := alarm.TakeAlerts(t.Context(), s, "alertmanager", []alarm.Alert{a}, 3_000_000); err != nil {
			t.Fatal(err)
		}
	}
	deed := alarm.Deed{At: telemetry.MicrosOf(time.Now()), By: "Ana", Reason: "r"}
	at(1, 0)
	firing, err := alarm.Firing(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alarm.Shelve(t.Context(), s, firing[0].ID, time.Hour, alarm.DefaultLimits, deed); err != nil {
		t.Fatal(err)
	}
	at(1, 2)
	at(3, 0) // again, while it is shelved
	at(3, 4)
	at(5, 0)
	raise(t, s, "b", telemetry.Low, false)
	if got := d.await(4); fmt.Sprint(got) != "[alarm.raised a alarm.shelved a alarm.cleared a alarm.raised b]" {
		t.Errorf("%q", got)
	}
	if firing, err = alarm.Firing(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, a := range firing {
		if a.Rule == "a" {
			if _, err := alarm.Unshelve(t.Context(), s, a.ID, deed); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Each that is open is unshelved; the one that is active asks for attention now.
	list := d.await(6)
	if fmt.Sprint(list[4:]) != "[alarm.unshelved a alarm.unshelved a]" || d.got[4].Data.Alarm.Active || !d.got[5].Data.Alarm.Active {
		t.Errorf("%q", list)
	}
}

func TestAlertmanagersArentToldOfWhatIsKeptQuiet(t *testing.T) {
	s := storetest.Open(t)
	var mu sync.Mutex
	var rules map[string]bool // by the last request: whether each goes on
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var list []alertmanager.Posted
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Error(err)
		}
		rules = map[string]bool{}
		for _, a := range list {
			rules[a.Labels["alertname"]] = a.EndsAt.After(time.Now())
		}
	}))
	t.Cleanup(server.Close)
	for _, rule := range []string{"a", "b"} {
		put(t, s, alarm.Alarm{ID: rule, Gateway: "gw", Rule: rule, Priority: telemetry.Low, Active: true, Raised: 1_000_000})
	}
	run(t, Config{Store: s, Alertmanagers: []Alertmanager{{Server: outgoing.Server{URL: server.URL}}}})
	told := func(want string) {
		t.Helper()
		await.True(t, want, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return fmt.Sprint(rules) == want
		})
	}
	told("map[a:true b:true]")
	deed := alarm.Deed{At: telemetry.MicrosOf(time.Now()), By: "Ana", Reason: "r"}
	if _, err := alarm.Shelve(t.Context(), s, "a", time.Hour, alarm.DefaultLimits, deed); err != nil {
		t.Fatal(err)
	}
	told("map[b:true]") // after it was resolved
	if _, err := alarm.Unshelve(t.Context(), s, "a", deed); err != nil {
		t.Fatal(err)
	}
	told("map[a:true b:true]")
}
