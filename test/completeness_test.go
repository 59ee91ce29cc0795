package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// The cloud's numbers of a quarter-hour agree with the gateway's accounts: a
// gateway that was killed while it read has nothing on the way once it is back,
// and what was expected is there or has a reason.
func TestLedgerAgreesWithTheGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "")
	s.cloud(t)
	s.sim(t)
	begin := telemetry.QuarterOf(telemetry.MicrosOf(time.Now()))
	stored := uint64(0)
	for range 2 {
		gateway := s.gateway(t)
		await(t, "some is stored", 60*time.Second, func() bool {
			g, ok := s.state(t)
			return ok && g.Stored > stored+20
		})
		gateway.kill()
		if g, ok := s.state(t); ok {
			stored = g.Stored
		}
	}
	gateway := s.gateway(t)
	await(t, "the gateway reads", 30*time.Second, func() bool { return reachable(s.status) })
	s.awaitSent(t, time.Minute)
	gateway.stop()
	type answer struct {
		Summary struct {
			Expected, Received, Suppressed, Lost, Stored uint64
			NotAcquired                                  uint64 `json:"not_acquired"`
			OnTheWay                                     uint64 `json:"on_the_way"`
			Quarters                                     string
			Reasons                                      []struct {
				Reason string
				Count  uint64
			}
		}
		Devices []struct{ Device string }
	}
	var got answer
	ask := func() bool {
		end := telemetry.QuarterOf(telemetry.MicrosOf(time.Now())) + telemetry.Quarter
		got = answer{}
		return s.ask(t, fmt.Sprintf("/api/v1/completeness?from_us=%d&to_us=%d", begin, end), &got) &&
			len(got.Devices) >= len(s.meters) && got.Summary.Expected > 0
	}
	await(t, "all that was delivered is stored", 60*time.Second, func() bool { return ask() && got.Summary.OnTheWay == 0 })
	sum := got.Summary
	if sum.Expected != sum.Received+sum.Suppressed+sum.NotAcquired+sum.Lost || sum.Lost != 0 || sum.Received == 0 || sum.Stored < sum.Received {
		t.Errorf("%+v", got)
	}
	t.Logf("%+v", got)
}
