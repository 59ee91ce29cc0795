package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// mostAnnounced bounds what is announced at once, in bytes; PostgreSQL takes 7,999.
const mostAnnounced = 7000

// announceLatest tells other processes whose newest samples the transaction has saved.
func (t *Tx) announceLatest(query string) error {
	var text []byte
	for i, bundle := range t.newest {
		text = append(strconv.AppendInt(text, bundle, 10), ' ')
		if len(text) < mostAnnounced && i < len(t.newest)-1 {
			continue
		}
		if err := t.execLater(query, string(text)); err != nil {
			return fmt.Errorf("store: announce newest samples: %w", err)
		}
		text = text[:0]
	}
	return nil
}

// noteLatest takes an announcement. Another user of the database may have made it.
func (s *Store) noteLatest(announced string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := range strings.FieldsSeq(announced) {
		if bundle, err := strconv.ParseInt(text, 10, 64); err == nil {
			s.newest[bundle] = true
		}
	}
}

// missLatest says that announcements may be lost.
func (s *Store) missLatest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed = true
}

// LatestChanged is the newest samples of each bundle of which any process has saved some
// since the last call, by series; of all bundles after one that has failed, and when some
// may have been missed. It is for a Shared store, of which one goroutine asks.
func (s *Store) LatestChanged(ctx context.Context) (samples []telemetry.Sample, err error) {
	bundles, all := s.takeLatest()
	if len(bundles) == 0 && !all {
		return nil, nil
	}
	var decoder telemetry.Decoder
	err = s.Read(ctx, func(t *Tx) error {
		add := func(r *sql.Rows) error {
			var block sql.RawBytes
			err := r.Scan(&block)
			var of []telemetry.Sample
			if err == nil {
				_, of, err = decoder.Block(block, nil)
			}
			samples = append(samples, of...)
			return err
		}
		if all {
			return t.Each(add, `SELECT block FROM latest`)
		}
		for some := range slices.Chunk(bundles, mostAsked) {
			if err := t.Each(add, `SELECT block FROM latest WHERE bundle IN (`+placeholders(len(some))+`)`, some...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.missLatest()
		return nil, fmt.Errorf("store: read newest samples: %w", err)
	}
	return samples, nil
}

// SkipLatest passes over what LatestChanged would give.
func (s *Store) SkipLatest() { s.takeLatest() }

// takeLatest is what LatestChanged is to read: some bundles, or all.
func (s *Store) takeLatest() (bundles []any, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for bundle := range s.newest {
		bundles = append(bundles, bundle)
	}
	all, s.missed = s.missed, false
	clear(s.newest)
	return bundles, all
}
