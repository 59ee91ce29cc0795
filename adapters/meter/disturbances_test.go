package meter

import (
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

func TestDisturbancesThatAMeterHasCounted(t *testing.T) {
	t.Parallel()
	p := listen(t)
	_, s := run(t, Device{Protocol: P1, Endpoint: p.endpoint(), Zone: "UTC"})
	c := <-p.to
	// Of a meter whose clock is wrong as well: its counts have no times.
	c.Write([]byte(telegram(time.Now().Add(-time.Hour), "1-0:32.32.0(00002)", "1-0:52.32.0(00001)", "1-0:72.32.0(00000)", "1-0:32.36.0(00000)", "1-0:72.36.0(00003)",
		"1-1:32.32.0(00009)", "1-0:52.36.0(-1)", "1-0:12.32.0(00004)", "1-0:92.32.0(00004)", "1-0:32.32.1(00004)", "1-0:32.7.0(230.1*V)", "1-0:1.7.0(01.193*kW)")))
	want := []adapters.Disturbances{
		{Kind: telemetry.VoltageSag, Phase: "A", Count: 2}, {Kind: telemetry.VoltageSag, Phase: "B", Count: 1}, {Kind: telemetry.VoltageSag, Phase: "C"},
		{Kind: telemetry.VoltageSwell, Phase: "A"}, {Kind: telemetry.VoltageSwell, Phase: "C", Count: 3},
	}
	await.True(t, "the counts", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Equal(s.disturbances, want)
	})
}
