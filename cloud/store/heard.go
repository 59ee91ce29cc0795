package store

import (
	"context"
	"database/sql"
	"fmt"
)

// IsHeard is the condition that the gateway of a row h of presence, which may be missing,
// says how often it can be heard, and is.
const IsHeard = `COALESCE(h.every, 0) > 0 AND COALESCE(h.silent, 1) = 0 AND NOT COALESCE(h.stopped, TRUE)`

// Measured says of the service points and transformers that series are of whether one of
// their gateways is heard. A context that is limited to zones sees the series of their
// gateways only.
func (s *Store) Measured(ctx context.Context) (heard map[string]bool, err error) {
	heard = map[string]bool{}
	err = s.Ask(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var asset string
			var by int64
			err := r.Scan(&asset, &by)
			heard[asset] = by > 0
			return err
		}, `SELECT m.asset, SUM(CASE WHEN `+IsHeard+` THEN 1 ELSE 0 END)
			FROM (SELECT DISTINCT s.asset, s.gateway FROM series s JOIN grid_asset a ON a.id = s.asset WHERE a.kind IN ('service_point', 'transformer') AND `+t.Seen("s.gateway")+`) m
			LEFT JOIN presence h ON h.gateway = m.gateway GROUP BY m.asset`)
	})
	if err != nil {
		return nil, fmt.Errorf("store: look which assets are heard of: %w", err)
	}
	return heard, nil
}

// HeardOf is which of some gateways are heard.
func (s *Store) HeardOf(ctx context.Context, gateways map[string]bool) (heard map[string]bool, err error) {
	heard = map[string]bool{}
	err = s.Ask(ctx, func(t *Tx) error {
		for gateway := range gateways {
			var n int64
			if err := t.QueryRow(`SELECT COUNT(*) FROM presence h WHERE h.gateway = ? AND `+IsHeard, []any{gateway}, &n); err != nil {
				return err
			}
			if n > 0 {
				heard[gateway] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: look which gateways are heard: %w", err)
	}
	return heard, nil
}

// IsHeardOf reports whether a gateway is heard that measures an asset. A context that is
// limited to zones sees the series of their gateways only.
func (s *Store) IsHeardOf(ctx context.Context, asset string) (is bool, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT COUNT(*) > 0 FROM series s JOIN presence h ON h.gateway = s.gateway WHERE s.asset = ? AND `+IsHeard+` AND `+t.Seen("s.gateway"), []any{asset}, &is)
	})
	if err != nil {
		return false, fmt.Errorf("store: look whether something is heard of asset %q: %w", asset, err)
	}
	return is, nil
}
