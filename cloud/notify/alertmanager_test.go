package notify

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alertmanager"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// One alert that is refused doesn't keep the others back.
func TestAnAlertThatIsRefusedIsAlone(t *testing.T) {
	s := storetest.Open(t)
	var mu sync.Mutex
	taken := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var list []alertmanager.Posted
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Error(err)
		}
		for _, a := range list {
			if strings.HasPrefix(a.Labels["alertname"], "bad") {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
		}
		for _, a := range list {
			taken[a.Labels["alertname"]]++
			if !a.EndsAt.After(a.StartsAt) {
				t.Errorf("%+v ends before it starts", a)
			}
		}
	}))
	t.Cleanup(server.Close)
	for rule, at := range map[string]telemetry.Micros{"a": math.MaxInt64, "bad": 1, "c": math.MinInt64} {
		put(t, s, alarm.Alarm{ID: rule, Gateway: "gw", Rule: rule, Priority: telemetry.Low, Active: true, Raised: at})
	}
	r, _ := run(t, Config{Store: s, Alertmanagers: []Alertmanager{{Server: outgoing.Server{URL: server.URL}}}})
	await.True(t, "the others", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return taken["a"] > 1 && taken["c"] > 1 && taken["bad"] == 0
	})
	if st := r.Stats()[0]; st.Refused == 0 || st.Failed != 0 || !st.Failing.IsZero() {
		t.Errorf("%+v", st)
	}
}

// Two alarms with the same labels are one alert, which goes on until both are over.
func TestAlarmsOfTheSameLabelsAreOneAlert(t *testing.T) {
	s := storetest.Open(t)
	var mu sync.Mutex
	var last []alertmanager.Posted
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		last = nil
		if err := json.NewDecoder(r.Body).Decode(&last); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	one := alarm.Alarm{ID: "1", Gateway: "gw", Rule: "hot", Priority: telemetry.Low, Active: true, Raised: 1_000_000}
	two := one
	two.ID, two.Raised = "2", 2_000_000
	put(t, s, one)
	put(t, s, two)
	run(t, Config{Store: s, Alertmanagers: []Alertmanager{{Server: outgoing.Server{URL: server.URL}}}})
	sent := func(n int, began int64) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(last) == n && (n == 0 || last[0].StartsAt.Unix() == began)
		}
	}
	await.True(t, "one alert", sent(1, 1))
	one.Active = false
	put(t, s, one)
	await.True(t, "the alert of the other", sent(1, 2))
	two.Active = false
	put(t, s, two)
	await.True(t, "nothing", sent(0, 0))
}
