package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// Presence is what is known of a gateway that says how often it can be heard.
type Presence struct {
	Number  int64 // the gateway's own, for ever
	Gateway string
	telemetry.Presence
	Heard    telemetry.Micros // when a fresh record of it was last read; of two consumers, the one that wrote last says
	Silent   telemetry.Micros // since when it is taken for silent; 0: it isn't
	Stopped  bool             // it has said that it stops, and not that it started
	LastGasp telemetry.Micros // when its supply failed, as it has said; 0: it hasn't, or has said that it is back
}

const (
	longestHeartbeat = 86_400_000_000 // µs
	longestPlace     = 100            // bytes of a site, a feeder or an uplink
)

// CheckPresence reports what of it can't be kept.
func CheckPresence(p telemetry.Presence) error {
	if p.Every <= 0 || p.Every > longestHeartbeat {
		return fmt.Errorf("a heartbeat every %d µs, want at most a day", p.Every)
	}
	for _, text := range []string{p.Site, p.Feeder, p.Uplink} {
		if len(text) > longestPlace || !utf8.ValidString(text) {
			return fmt.Errorf("a site, feeder or uplink is longer than %d bytes, or isn't UTF-8", longestPlace)
		}
	}
	return nil
}

// SavePresence keeps what a gateway says of itself now.
func (t *Tx) SavePresence(gateway string, p telemetry.Presence) error {
	return t.putPresence(gateway, p, `UPDATE SET every = excluded.every, site = excluded.site, feeder = excluded.feeder, uplink = excluded.uplink`)
}

// AddPresence keeps what a gateway has said of itself at some time, unless it is known
// what it says, or that it doesn't say any more.
func (t *Tx) AddPresence(gateway string, p telemetry.Presence) error {
	return t.putPresence(gateway, p, `NOTHING`)
}

func (t *Tx) putPresence(gateway string, p telemetry.Presence, known string) error {
	err := t.touchGateway(gateway)
	if err == nil {
		// One that is told again and again takes no number each time.
		_, err = t.Exec(`INSERT INTO presence (number, gateway, every, site, feeder, uplink)
			VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM presence), ?, ?, ?, ?, ?) ON CONFLICT (gateway) DO `+known,
			gateway, p.Every, p.Site, p.Feeder, p.Uplink)
	}
	if err != nil {
		return fmt.Errorf("store: keep the presence of %s: %w", gateway, err)
	}
	return nil
}

// ForgetPresence keeps that a gateway doesn't say any more how often it can be heard.
func (t *Tx) ForgetPresence(gateway string) error {
	return t.mark(gateway, `UPDATE presence SET every = ? WHERE gateway = ?`, 0)
}

// MarkStopped keeps that a gateway has stopped, or started.
func (t *Tx) MarkStopped(gateway string, stopped bool) error {
	return t.mark(gateway, `UPDATE presence SET stopped = ? WHERE gateway = ?`, stopped)
}

// MarkLastGasp keeps when a gateway's supply failed; 0: it is back.
func (t *Tx) MarkLastGasp(gateway string, failed telemetry.Micros) error {
	return t.mark(gateway, `UPDATE presence SET supply_failed = ? WHERE gateway = ?`, int64(failed))
}

// MarkSilent keeps since when a gateway is taken for silent; 0: it isn't.
func (t *Tx) MarkSilent(gateway string, since telemetry.Micros) error {
	return t.mark(gateway, `UPDATE presence SET silent = ? WHERE gateway = ?`, int64(since))
}

// mark changes nothing of a gateway of which no presence is known.
func (t *Tx) mark(gateway, query string, value any) error {
	if _, err := t.Exec(query, value, gateway); err != nil {
		return fmt.Errorf("store: keep the presence of %s: %w", gateway, err)
	}
	return nil
}

// Presences lists the gateways that say how often they can be heard, by name, but not
// those without a valid key, which aren't in service.
func (s *Store) Presences(ctx context.Context) ([]Presence, error) {
	var list []Presence
	err := s.Read(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var p Presence
			err := r.Scan(&p.Number, &p.Gateway, &p.Every, &p.Site, &p.Feeder, &p.Uplink, &p.Heard, &p.Silent, &p.Stopped, &p.LastGasp)
			list = append(list, p)
			return err
		}, `SELECT p.number, p.gateway, p.every, p.site, p.feeder, p.uplink, g.heard, p.silent, p.stopped, p.supply_failed
			FROM presence p JOIN gateway g ON g.id = p.gateway WHERE p.every > 0
				AND EXISTS (SELECT 1 FROM gateway_key k WHERE k.gateway = p.gateway AND k.revoked_at IS NULL) ORDER BY p.gateway`)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the presence of gateways: %w", err)
	}
	return list, nil
}

// FleetState is the state of the rules about all gateways, and how often it was saved:
// nil and 0 if never.
func (s *Store) FleetState(ctx context.Context) (state []byte, version int64, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT state, version FROM fleet_state WHERE id = 1`, nil, &state, &version)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("store: read the state of the rules about gateways: %w", err)
	}
	return state, version, nil
}

// HoldFleetState returns ErrFenced if another process has saved a state since the version.
func (t *Tx) HoldFleetState(version int64) error {
	var now int64
	err := t.QueryRow(`SELECT COALESCE(MAX(version), 0) FROM fleet_state`, nil, &now)
	if err == nil && now != version {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("store: hold the state of the rules about gateways: %w", err)
	}
	return nil
}

// SaveFleetState keeps the state that follows the version, or returns ErrFenced if
// another process has saved one since.
func (t *Tx) SaveFleetState(state []byte, version int64) error {
	var res sql.Result
	var err error
	if version == 0 {
		res, err = t.Exec(`INSERT INTO fleet_state (id, version, state) VALUES (1, 1, ?) ON CONFLICT DO NOTHING`, string(state))
	} else {
		res, err = t.Exec(`UPDATE fleet_state SET state = ?, version = version + 1 WHERE id = 1 AND version = ?`, string(state), version)
	}
	var saved int64
	if err == nil {
		saved, err = res.RowsAffected()
	}
	if err == nil && saved != 1 {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("store: keep the state of the rules about gateways: %w", err)
	}
	return nil
}
