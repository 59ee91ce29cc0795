package store

import (
	"context"
	"database/sql"
	"fmt"
)

// CountSamples counts the samples in the chunks and packed hours themselves, by gateway. What
// was received twice and stored twice would show here, and not in the ledger.
func (s *Store) CountSamples(ctx context.Context) (map[string]uint64, error) {
	counts := map[string]uint64{}
	err := s.scan(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var gateway string
			var n uint64
			err := r.Scan(&gateway, &n)
			counts[gateway] = n
			return err
		}, `SELECT s.gateway, SUM(c.samples) FROM (SELECT bundle, samples FROM packed
				UNION ALL SELECT c.bundle, c.samples FROM chunk c`+joinPacked+`WHERE `+isLive+`) c
			JOIN series s ON s.id = c.bundle GROUP BY s.gateway`)
	})
	if err != nil {
		return nil, fmt.Errorf("store: count samples: %w", err)
	}
	return counts, nil
}
