package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/identity"
	"github.com/busbar/busbar/gateway/uplink"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// awaitTime is how long an enrolment waits for the configured time servers.
const awaitTime = 10 * time.Second

// Enrol has the cloud take the gateway's key, by a one-time token. It works beside a
// gateway that runs, and before it ever did. Certificates are checked in gateway
// time, as that gateway does: on a machine whose clock isn't set, that is what the
// gateway has noted, or the configured time servers say.
func Enrol(ctx context.Context, config gatewayconfig.Config, o Options, token string) (record.KeyID, error) {
	key, _, err := identity.Open(config.Gateway.Key.In(o.Dir), config.Gateway.ID)
	if err != nil {
		return record.KeyID{}, err
	}
	c := clockBeside(config, o)
	known := awaitKnown(ctx, config.Time.NTP, c, o.Log)
	connection, err := OpenUplink(*config.Forward.Uplink, o.Dir, o.Version, gatewayTime(c))
	if err != nil {
		return record.KeyID{}, err
	}
	defer connection.Close()
	err = connection.Enrol(ctx, key.Enrolment(token))
	if errors.Is(err, uplink.ErrNotYetValid) && !known {
		err = fmt.Errorf("%w\nthe time isn't known: this machine's clock has not been set since it booted, and all that is known is that it is later than %s; set the clock, or name time servers in time.ntp, and repeat the command",
			err, c.Now().Time().Format(time.DateTime))
	}
	return key.KeyID(), err
}

// enrolAgain is how long a gateway waits before it shows its token again.
const enrolAgain = 30 * time.Second

// enrol has the cloud take the gateway's key by the token that the configuration names,
// until that is done or refused. The token is removed then: it is worth nothing any more.
func (g *Gateway) enrol(ctx context.Context) {
	path := g.config.Forward.Uplink.TokenFile.In(g.options.Dir)
	for failed := ""; ; {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			err = g.uplink.Enrol(ctx, g.identity.Enrolment(strings.TrimSpace(string(text))))
		}
		refused, is := errors.AsType[*uplink.StatusError](err)
		switch {
		case err == nil:
			g.log.Info("the cloud has taken the gateway's key", "key_id", g.identity.KeyID())
		case is && refused.Status == http.StatusForbidden:
			g.log.Error("the cloud refuses the token: it was used already, has run out, or is for another gateway", "path", path, "error", err)
		case ctx.Err() != nil:
			return
		default:
			if err.Error() != failed {
				g.log.Warn("the gateway's key can't be enrolled yet", "error", err)
			}
			failed = err.Error()
			select {
			case <-ctx.Done():
			case <-time.After(enrolAgain):
			}
			continue
		}
		if err := os.Remove(path); err != nil {
			g.log.Warn("the token can't be removed; it is worth nothing", "path", path, "error", err)
		}
		return
	}
}

// clockBeside is the clock of a program that isn't the gateway: it knows what the
// gateway has noted, and notes nothing.
func clockBeside(config gatewayconfig.Config, o Options) *clock.Clock {
	noted := noted(buffer.ClockNotesIn(config.Buffer.Path.In(o.Dir)))
	return newClock(noted, config.Time, o.Kernel, nil, slog.New(slog.DiscardHandler))
}

type noted []byte

func (n noted) ClockNotes() ([]byte, error) { return n, nil }
func (noted) SaveClockNotes([]byte) error   { return nil }

// awaitKnown asks the time servers if the time isn't known otherwise. It reports
// whether it is then.
func awaitKnown(ctx context.Context, servers []string, c *clock.Clock, log *slog.Logger) bool {
	known := func() bool { return c.Stats().State != telemetry.ClockUnset }
	client := newNTP(servers, c, log)
	if known() || client == nil {
		return known()
	}
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	asking := make(chan struct{})
	go func() { defer close(asking); client.Run(ctx) }()
	for !known() && client.Stats().Cause == "" && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	<-asking
	return known()
}
