package store

import (
	"context"
	"database/sql"
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

// Rollout is how many gateways have tried a version.
type Rollout struct {
	Tried      int
	Confirmed  int
	RolledBack int // at least once, also if they kept it later
}

// counts are those of Rollout, over rows of gateway_update.
const counts = `COUNT(DISTINCT u.gateway), COUNT(DISTINCT CASE WHEN u.confirmed THEN u.gateway END), COUNT(DISTINCT CASE WHEN NOT u.confirmed THEN u.gateway END)`

// Rollout counts the gateways that have tried a version.
func (s *Store) Rollout(ctx context.Context, version string) (r Rollout, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT `+counts+` FROM gateway_update u WHERE u.version = ?`, []any{version}, &r.Tried, &r.Confirmed, &r.RolledBack)
	})
	if err != nil {
		return r, fmt.Errorf("store: count the updates to %s: %w", version, err)
	}
	return r, nil
}

// VersionRollout is how a version has come to gateways.
type VersionRollout struct {
	Version string
	Epoch   uint64
	First   telemetry.Micros // when the first gateway had tried it
	Last    telemetry.Micros
	Rollout
	Zones []ZoneRollout // by name
}

// ZoneRollout is that of the gateways of a zone.
type ZoneRollout struct {
	Zone string
	Rollout
}

// Rollouts are those of the versions that gateways tried last, the latest first, as far as
// the context shows the gateways.
func (s *Store) Rollouts(ctx context.Context, most int) (list []VersionRollout, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		seen := t.Seen("u.gateway")
		err := t.Each(func(r *sql.Rows) error {
			var v VersionRollout
			var epoch int64
			err := r.Scan(&v.Version, &epoch, &v.First, &v.Last, &v.Tried, &v.Confirmed, &v.RolledBack)
			v.Epoch = uint64(epoch)
			list = append(list, v)
			return err
		}, `SELECT u.version, MAX(u.epoch), MIN(u.at), MAX(u.at), `+counts+` FROM gateway_update u WHERE `+seen+` GROUP BY u.version ORDER BY MAX(u.at) DESC, u.version LIMIT ?`, most)
		if err != nil {
			return err
		}
		for i := range list {
			err := t.Each(func(r *sql.Rows) error {
				var z ZoneRollout
				err := r.Scan(&z.Zone, &z.Tried, &z.Confirmed, &z.RolledBack)
				list[i].Zones = append(list[i].Zones, z)
				return err
			}, `SELECT g.zone, `+counts+` FROM gateway_update u JOIN gateway g ON g.id = u.gateway WHERE u.version = ? AND `+seen+` GROUP BY g.zone ORDER BY g.zone`, list[i].Version)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: count the updates by version: %w", err)
	}
	return list, nil
}
