package test

import (
	"strings"
	"testing"
	"time"
)

// oneFeeder has the two meters of a site behind fuses of their own.
const oneFeeder = `
sources: [{id: source, node: bar}]
switches:
  - {id: breaker, from: bar, to: n0, type: breaker}
  - {id: fuse-1, from: n0, to: n1, type: fuse}
  - {id: fuse-2, from: n0, to: n2, type: fuse}
feeders: [{id: west, head: breaker}]
service_points:
  - {id: feeder-1, node: n1}
  - {id: feeder-2, node: n2}
`

// A gateway reads a meter when it is asked, and what that answers, or that it doesn't, is
// evidence of an outage.
func TestAMeterIsReadByCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", lastingOutage)
	s.obey(t)
	write(t, s.dir, "grid.yaml", oneFeeder)
	if _, errs, code := call(t, s.dir, "busbar-cloud", "grid", "import", "grid.yaml", "--config", "cloud.yaml"); code != 0 {
		t.Fatal(errs)
	}
	s.cloud(t)
	gateway := s.gateway(t)
	sim := s.sim(t)
	var list struct {
		Outages []struct{ ID, Device string }
	}
	await(t, "an outage of feeder-2", time.Minute, func() bool {
		s.ask(t, "/api/v1/outages", &list)
		return len(list.Outages) == 1 && list.Outages[0].Device != ""
	})
	if text, code := s.command(t, "read", "north-gw1", "feeder-2-head"); code != 0 || !strings.Contains(text, "north-gw1: read done in ") {
		t.Errorf("read: exit code %d: %s", code, text)
	}
	if text, code := s.command(t, "read", "north-gw1", "nothing"); code != 1 || !strings.Contains(text, "north-gw1 refuses read: unknown-device") {
		t.Errorf("read of no device: exit code %d: %s", code, text)
	}
	sim.stop()
	if text, code := s.command(t, "read", "north-gw1", "feeder-2-head"); code != 1 || !strings.Contains(text, "feeder-2-head doesn't answer north-gw1") {
		t.Errorf("read of a silent device: exit code %d: %s", code, text)
	}
	var evidence struct {
		Evidence []struct{ Kind, Device, Alarm, Gateway string }
	}
	await(t, "what the meter answered, and that it doesn't, is evidence", time.Minute, func() bool {
		s.ask(t, "/api/v1/outages/"+list.Outages[0].ID+"/evidence", &evidence)
		kinds := map[string]bool{}
		for _, e := range evidence.Evidence {
			if e.Device == "feeder-2-head" && e.Alarm == "" && e.Gateway == "north-gw1" {
				kinds[e.Kind] = true
			}
		}
		return kinds["voltage"] && kinds["ping-unanswered"]
	})
	gateway.stop()
}
