package store

import (
	"context"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

const longestVersion = 64 // bytes

// CheckUpdate reports what of an update can't be kept.
func CheckUpdate(u telemetry.Update) error {
	for _, text := range []string{u.Version, u.From, u.Cause} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fmt.Errorf("%q is no text", text)
		}
	}
	switch {
	case u.Version == "" || len(u.Version) > longestVersion || len(u.From) > longestVersion:
		return fmt.Errorf("from version %q to %q: expected 1 to %d bytes", u.From, u.Version, longestVersion)
	case u.Epoch > math.MaxInt64:
		return fmt.Errorf("epoch %d is too large", u.Epoch)
	}
	return nil
}

// SaveUpdate keeps what became of a version that a gateway's machine has tried.
func (t *Tx) SaveUpdate(gateway string, u telemetry.Update, confirmed bool, at telemetry.Micros) error {
	err := t.touchGateway(gateway)
	if err == nil {
		_, err = t.Exec(`INSERT INTO gateway_update (gateway, version, at, origin, epoch, confirmed, cause) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			gateway, u.Version, int64(at), u.From, int64(u.Epoch), confirmed, strings.ToValidUTF8(u.Cause[:min(len(u.Cause), longestCause)], ""))
	}
	if err != nil {
		return fmt.Errorf("store: keep the update of %s: %w", gateway, err)
	}
	return nil
}

// Rollout is how many gateways a version has come to.
type Rollout struct {
	Confirmed  int
	RolledBack int // at least once
}

// Rollout counts the gateways that have tried a version.
func (s *Store) Rollout(ctx context.Context, version string) (r Rollout, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		for _, c := range []struct {
			to        *int
			confirmed bool
		}{{&r.Confirmed, true}, {&r.RolledBack, false}} {
			err := t.QueryRow(`SELECT COUNT(DISTINCT gateway) FROM gateway_update WHERE version = ? AND confirmed = ?`, []any{version, c.confirmed}, c.to)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("store: count the updates to %s: %w", version, err)
	}
	return r, nil
}
