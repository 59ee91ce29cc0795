package store

import (
	"fmt"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// What became of versions is counted by gateways, not by tries, in all and by zone; who sees
// a zone sees its own.
func TestRolloutsCountGateways(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		for gateway, zone := range map[string]string{"a": "north", "b": "north", "c": "south", "d": ""} {
			write(t, s, func(tx *Tx) error {
				return tx.SaveBirth(record.Birth{Gateway: gateway, Zone: zone, Table: "000000000000000a", Version: 1, Parts: 1})
			})
		}
		for n, u := range []struct {
			gateway, version string
			confirmed        bool
		}{
			{"a", "2.0", false}, {"a", "2.0", false}, {"a", "2.0", true}, {"b", "2.0", false}, {"c", "2.0", true}, {"d", "2.0", true},
			{"c", "2.1", true}, {"c", "1.9", true},
		} {
			write(t, s, func(tx *Tx) error {
				return tx.SaveUpdate(u.gateway, telemetry.Update{Version: u.version, From: "1.0", Epoch: 5}, u.confirmed, telemetry.Micros(1000+n))
			})
		}
		if r, err := s.Rollout(t.Context(), "2.0"); err != nil || r != (Rollout{Tried: 4, Confirmed: 3, RolledBack: 2}) {
			t.Errorf("%+v, %v", r, err)
		}
		if r, err := s.Rollout(t.Context(), "3.0"); err != nil || r != (Rollout{}) {
			t.Errorf("%+v, %v", r, err)
		}
		list, err := s.Rollouts(t.Context(), 2)
		const want = "[{1.9 5 1007 1007 {1 1 0} [{south {1 1 0}}]} {2.1 5 1006 1006 {1 1 0} [{south {1 1 0}}]}]"
		if got := fmt.Sprint(list); err != nil || got != want {
			t.Errorf("%s, %v", got, err)
		}
		list, err = s.Rollouts(t.Context(), 20)
		const all = "{2.0 5 1000 1005 {4 3 2} [{ {1 1 0}} {north {2 1 2}} {south {1 1 0}}]}"
		if err != nil || len(list) != 3 || fmt.Sprint(list[2]) != all {
			t.Errorf("%+v, %v", list, err)
		}
		list, err = s.Rollouts(InZones(t.Context(), []string{"north"}), 20)
		if got := fmt.Sprint(list); err != nil || got != "[{2.0 5 1000 1003 {2 1 2} [{north {2 1 2}}]}]" {
			t.Errorf("%s, %v", got, err)
		}
	})
}
