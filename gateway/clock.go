package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/ntp"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// newClock makes the gateway's clock. kernel is nil for this machine's. sign signs
// records whose payload the clock has changed.
func newClock(notes clock.Notes, config gatewayconfig.Time, kernel clock.Kernel, sign func(*record.Record) error, log *slog.Logger) *clock.Clock {
	if kernel == nil {
		kernel = clock.Glance(clock.System())
	}
	return clock.New(clock.Options{
		Kernel: kernel, Notes: notes, Sign: sign, Log: log,
		Assume:      config.Source == gatewayconfig.SourceAssumed,
		RequireSync: config.RequireSync, MaxHold: time.Duration(config.MaxHold),
	})
}

// newNTP makes the client of the configured time servers, nil if there are none.
func newNTP(servers []string, c *clock.Clock, log *slog.Logger) *ntp.Client {
	if len(servers) == 0 {
		return nil
	}
	return ntp.New(ntp.Options{
		Servers: servers, SinceBoot: c.SinceBoot, Log: log,
		Offer: func(m ntp.Measurement, agreeing int) {
			err := c.Offer(clock.Fix{Source: "NTP", Began: m.Began, At: m.At, MaxError: m.MaxError, Agreeing: agreeing})
			if err != nil {
				log.Warn("what the time servers say isn't used", "server", m.Server, "error", err)
			}
		},
	})
}

// watchClock looks at the clock every second until ctx ends, and then once more,
// and reports what has changed. started is when the gateway began to read.
func (g *Gateway) watchClock(ctx context.Context, started time.Time) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var changes []clock.Change
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-ticker.C:
		}
		g.clock.Observe()
		setWall(g.clock, g.options.SetClock, g.log)
		g.tellAccounts(started)
		changes = append(changes, g.clock.Changes()...)
		for len(changes) > 0 && g.reportClock(changes[0]) == nil {
			changes = changes[1:]
		}
	}
}

// setWall brings the machine's wall clock to gateway time, if that is the better one and
// somebody may set it. What fails is tried again in a second.
func setWall(c *clock.Clock, set func(by time.Duration) error, log *slog.Logger) {
	if set == nil {
		return
	}
	by := -time.Duration(c.Amiss()) * time.Microsecond
	if by == 0 {
		return
	}
	if err := set(by); err != nil {
		log.Error("the machine's clock can't be set", "by", by, "error", err)
		return
	}
	log.Info("the machine's clock is set", "by", by)
}

// tellAccounts says to the accounts what the clock knows by now: from when on
// devices are read, and when the samples were taken that counted from the boot.
// More may be discarded after others were placed, so it is said again.
func (g *Gateway) tellAccounts(started time.Time) {
	g.accounts.countHeld()
	if g.clock.Stats().State != telemetry.ClockUnset {
		g.accounts.reading(g.clock.At(started))
	}
	if began, ok := g.clock.Began(); ok {
		g.accounts.placed(began)
	}
}

// prepareRecord makes a telemetry record ready to be sent. What introduces the key comes
// last, since a record that the clock has placed is signed anew.
func (g *Gateway) prepareRecord(p buffer.Position, r *record.Record) (ready bool, err error) {
	if record.IsHeld(r.Format) && !g.accounts.sendable(p) {
		return false, nil
	}
	if ready, err := g.clock.Prepare(r); !ready || err != nil {
		return false, err
	}
	return g.identity.Prepare(r)
}

// ripened has changed if a telemetry record that wasn't ready may be so now.
func (g *Gateway) ripened() uint64 { return g.clock.Ripened() + g.accounts.ripened() }

// reportClock sends a change of the clock.
func (g *Gateway) reportClock(c clock.Change) error {
	return g.hold(telemetry.Event{Kind: telemetry.ClockChanged, Time: c.At, Decided: c.At, Step: &c.ClockStep})
}

// timestamps gives what a client sends gateway time as the log's own timestamp,
// too: the log would delete at once what it takes to be from 1970.
type timestamps struct{ *clock.Clock }

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (t timestamps) OnProduceRecordBuffered(r *kgo.Record) {
	r.Timestamp = t.Now().Time().Truncate(time.Millisecond)
}

func gatewayTime(c *clock.Clock) func() time.Time {
	return func() time.Time { return c.Now().Time() }
}

// unsetTooLong is when a person should see to the clock.
const unsetTooLong = 5 * time.Minute

// silentTooLong is when a person should see to the time servers.
const silentTooLong = time.Hour

// clockProblems are what a person should do something about.
func clockProblems(s clock.Stats, servers ntp.Stats) (problems []string) {
	switch {
	case s.Waiting < unsetTooLong:
	case s.State == telemetry.ClockUnset:
		problems = append(problems, fmt.Sprintf("the time has been unknown for %v: nothing has set this machine's clock since it booted", s.Waiting.Round(time.Second)))
	case s.Holding != clock.Nothing:
		problems = append(problems, fmt.Sprintf("samples of counters have waited %v for a synchronised clock", s.Waiting.Round(time.Second)))
	}
	if servers.Silent >= silentTooLong || servers.Silent >= unsetTooLong && s.State == telemetry.ClockUnset {
		problems = append(problems, fmt.Sprintf("time servers (time.ntp): %s for %v (%s)",
			servers.Cause, servers.Silent.Round(time.Second), strings.Join(servers.Unused, "; ")))
	}
	for _, name := range servers.Wrong {
		problems = append(problems, fmt.Sprintf("time server %s contradicts the others", name))
	}
	if s.Contradiction != 0 {
		problems = append(problems, fmt.Sprintf("the kernel says that its clock is synchronised, and the time servers (time.ntp) that it is off by %v; gateway time is that of %s",
			-s.Contradiction, s.Source))
	}
	return problems
}
