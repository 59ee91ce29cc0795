package reported

import (
	"fmt"
	"os"
	"testing"

	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const minute = telemetry.Micros(60e6)

// noon is 2026-03-17.
const noon = telemetry.Micros(1_773_748_800_000_000)

func listed(t *testing.T, s *store.Store, f Filter, now telemetry.Micros) []ReportedOutage {
	t.Helper()
	list, err := List(t.Context(), s, f, now, store.Page[Place]{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestReports(t *testing.T) {
	s := storetest.Open(t)
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO outage (id, state, zone, feeder, device, alarm, found, over, told, data) VALUES ('ours', 'probable', '', 'f1', 'b1', '', 1, 0, 0, '{}')`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	customers := int64(40)
	now := noon
	take := func(want Taken, made telemetry.Micros, complete bool, outages ...cim.Outage) {
		t.Helper()
		now += minute
		// As it comes: in the form that other systems are told in.
		text, err := cim.Write(cim.Document{Made: made, Outages: outages})
		if err != nil {
			t.Fatal(err)
		}
		d, err := cim.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		want.System = "west"
		got, err := Take(t.Context(), s, Report{System: "west", Document: d, Complete: complete, By: "ana", At: now})
		if err != nil || got != want {
			t.Errorf("%+v, %v, expected %+v", got, err, want)
		}
	}
	first := cim.Outage{ID: "w-1", Name: "Mill", Status: "confirmed", Began: noon, Customers: &customers, CustomersOut: &customers, Equipment: "b1", Feeder: "f1"}
	works := cim.Outage{ID: "w-2", Planned: true, Cause: "works", ExpectedStart: noon + 10*minute, ExpectedEnd: noon + 100*minute}
	take(Taken{Added: 2, Own: 1}, noon+1, false, first, works, cim.Outage{ID: "ours", Equipment: "b1"})
	take(Taken{Unchanged: 2}, noon+1, false, first, works)
	take(Taken{Unchanged: 1}, noon+2, false, first)
	later := first
	later.Status = "repaired"
	take(Taken{Changed: 1}, noon+4, false, later)
	take(Taken{Older: 1, Gone: 1}, noon+3, true, first)

	list := listed(t, s, Filter{Open: true}, now)
	if len(list) != 1 || list[0].ID != "w-1" || list[0].System != "west" || list[0].Status != "repaired" || fmt.Sprint(list[0].Ours) != "[ours]" || *list[0].CustomersOut != 40 || list[0].Received != noon+minute {
		t.Errorf("%+v", list)
	}
	take(Taken{Changed: 1, Gone: 1}, noon+5, true, works) // it has come back
	if list := listed(t, s, Filter{Open: true}, now); len(list) != 1 || list[0].ID != "w-2" || list[0].Gone {
		t.Errorf("%+v", list)
	}
	if list := listed(t, s, Filter{Open: true}, noon+101*minute); len(list) != 0 {
		t.Errorf("%+v goes on, though it is planned until before", list)
	}
	if list := listed(t, s, Filter{System: "west"}, now); len(list) != 2 || list[1].ID != "w-1" || !list[1].Gone {
		t.Errorf("%+v", list)
	}
	if list := listed(t, s, Filter{System: "east"}, now); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	var states int
	if err := s.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT COUNT(*) FROM outage WHERE id = 'ours' AND state = 'probable' AND data = '{}'`, nil, &states)
	}); err != nil || states != 1 {
		t.Errorf("ours has changed: %v", err)
	}
}
