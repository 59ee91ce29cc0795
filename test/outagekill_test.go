package test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The cloud is killed when it has just found an outage, again when people have been told of it, and
// once more when it goes on: it is the same outage, with one alarm, of which people are told
// once.
func TestAnOutageOutlivesTheClouds(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "faults:\n  - {at: 1s, feeder: feeder-2, kind: outage, for: 20000h}\n")
	write(t, s.dir, "grid.yaml", oneFeeder)
	if _, errs, code := call(t, s.dir, "busbar-cloud", "grid", "import", "grid.yaml", "--config", "cloud.yaml"); code != 0 {
		t.Fatal(errs)
	}
	cloud := s.cloud(t)
	s.gateway(t)
	s.sim(t)
	type outage struct {
		ID, Alarm string
		Found     int64  `json:"found_us"`
		Announced *int64 `json:"announced_us"`
	}
	one := func(what string, is func(outage) bool) (o outage) {
		t.Helper()
		await(t, what, 2*time.Minute, func() bool {
			var list struct{ Outages []outage }
			s.ask(t, "/api/v1/outages?state=all", &list)
			if len(list.Outages) > 1 {
				t.Fatalf("%+v", list.Outages)
			}
			if len(list.Outages) == 1 {
				o = list.Outages[0]
			}
			return len(list.Outages) == 1 && is(o)
		})
		return o
	}
	first := one("an outage", func(outage) bool { return true })
	cloud.kill()
	cloud = s.cloud(t)
	told := one("people are told of it", func(o outage) bool { return o.Announced != nil && o.Alarm != "" })
	for range 2 {
		cloud.kill()
		cloud = s.cloud(t)
		if now := one("it is there", func(outage) bool { return true }); now.ID != first.ID || now.Found != first.Found || now.Alarm != told.Alarm || now.Announced == nil || *now.Announced != *told.Announced {
			t.Errorf("%+v, was %+v", now, told)
		}
	}
	var work struct {
		Annunciated int
		Top         []struct{ Rule string }
	}
	now := time.Now().UnixMicro()
	s.ask(t, fmt.Sprintf("/api/v1/alarm-performance?from_us=%d&to_us=%d", now-3600e6, now), &work)
	rules := make([]string, len(work.Top))
	for i, of := range work.Top {
		rules[i] = of.Rule
	}
	if work.Annunciated != 1 || strings.Join(rules, " ") != "outage" {
		t.Errorf("people were told %d times, of %v", work.Annunciated, rules)
	}
}
