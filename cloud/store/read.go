package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// HeadEnd is what meters are read by, in the place of a gateway.
type HeadEnd struct {
	ID, Zone string
	Expects  telemetry.Micros // how long after an interval's end its read may take
}

// ErrEnrolled is that a head-end can't have the id of a gateway.
var ErrEnrolled = errors.New("a gateway of this id is enrolled, expected another id")

// SaveHeadEnd keeps a head-end as it is configured. ErrEnrolled if keys are enrolled for a
// gateway of its id.
func (t *Tx) SaveHeadEnd(h HeadEnd) error {
	var keys int
	err := t.QueryRow(`SELECT COUNT(*) FROM gateway_key WHERE gateway = ?`, []any{h.ID}, &keys)
	if err == nil && keys > 0 {
		err = ErrEnrolled
	}
	if err == nil {
		_, err = t.Exec(`INSERT INTO gateway (id, zone) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET zone = excluded.zone`, h.ID, h.Zone)
	}
	if err == nil {
		_, err = t.Exec(`INSERT INTO headend (id, expects) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET expects = excluded.expects`, h.ID, int64(h.Expects))
	}
	if err != nil {
		return fmt.Errorf("store: keep head-end %s: %w", h.ID, err)
	}
	return nil
}

// SaveSignals finds or makes the series of signals of a gateway's device, and says where
// their samples are stored. The gateway's row exists.
func (t *Tx) SaveSignals(gateway, device string, signals []telemetry.Signal) ([]Place, error) {
	signals = slices.Clone(signals)
	for i := range signals {
		signals[i] = storableSignal(signals[i])
	}
	device = storableText(device)
	ids, err := t.saveDevice(gateway, device, signals)
	if err != nil {
		return nil, fmt.Errorf("store: save the signals of %s of %s: %w", device, gateway, err)
	}
	bundles := map[telemetry.SignalID]int64{}
	err = t.Each(func(r *sql.Rows) error {
		var p Place
		err := r.Scan(&p.Series, &p.Bundle)
		bundles[p.Series] = p.Bundle
		return err
	}, `SELECT id, bundle FROM series WHERE gateway = ? AND device = ?`, gateway, device)
	if err != nil {
		return nil, fmt.Errorf("store: find the signals of %s of %s: %w", device, gateway, err)
	}
	places := make([]Place, len(ids))
	for i, id := range ids {
		places[i] = Place{id, bundles[id]}
	}
	return places, nil
}

// MeterPoint is the service point that a meter is said to be at; "" if nobody has said it.
func (t *Tx) MeterPoint(headend, meter string) (point string, err error) {
	err = t.QueryRow(`SELECT point FROM meter WHERE headend = ? AND id = ?`, []any{headend, meter}, &point)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return point, err
}

// SaveMeter keeps at which service point a meter is since an instant, for its signals and the
// events that were told before. What is known of a later instant stays.
func (t *Tx) SaveMeter(headend, meter, point string, since telemetry.Micros) error {
	res, err := t.Exec(`INSERT INTO meter (headend, id, point, since) VALUES (?, ?, ?, ?)
		ON CONFLICT (headend, id) DO UPDATE SET point = excluded.point, since = excluded.since WHERE meter.since <= excluded.since`, headend, meter, point, int64(since))
	var moved int64
	if err == nil {
		moved, err = res.RowsAffected()
	}
	if err == nil && moved == 0 {
		return nil
	}
	if err == nil {
		_, err = t.Exec(`UPDATE series SET asset = ? WHERE gateway = ? AND device = ? AND asset <> ?`, point, headend, meter, point)
	}
	if err == nil {
		_, err = t.Exec(`UPDATE meter_event SET asset = ? WHERE headend = ? AND meter = ? AND asset = ''`, point, headend, meter)
	}
	if err != nil {
		return fmt.Errorf("store: keep meter %s of %s: %w", meter, headend, err)
	}
	return nil
}

// DayOf is the day of UTC that an instant falls into, counted from 1970-01-01.
func DayOf(at telemetry.Micros) int64 { return int64(floor(at, dayMicros) / dayMicros) }

// DayKey names the reads of a bundle's day.
type DayKey struct{ Day, Bundle int64 }

// DayReads are the reads of a bundle's day that count, and the versions of those that have
// one, as samples of the same series and time.
type DayReads struct{ Reads, Versions []telemetry.Sample }

// ReadDays gives the reads of some days. Those that have none are left out.
func (s *Store) ReadDays(ctx context.Context, keys []DayKey, each func(DayKey, DayReads)) error {
	days := map[int64][]any{}
	for _, k := range keys {
		days[k.Day] = append(days[k.Day], k.Bundle)
	}
	var decoder telemetry.Decoder
	err := s.Read(ctx, func(t *Tx) error {
		for _, day := range slices.Sorted(maps.Keys(days)) {
			for some := range slices.Chunk(days[day], mostAsked) {
				err := t.Each(func(r *sql.Rows) error {
					key := DayKey{Day: day}
					var reads, versions sql.RawBytes
					var of DayReads
					err := r.Scan(&key.Bundle, &reads, &versions)
					if err == nil {
						_, of.Reads, err = decoder.Block(reads, nil)
					}
					if err == nil && len(versions) > 0 {
						_, of.Versions, err = decoder.Block(versions, nil)
					}
					each(key, of)
					return err
				}, `SELECT bundle, reads, versions FROM read_day WHERE day = ? AND bundle IN (`+placeholders(len(some))+`)`, append([]any{day}, some...)...)
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: read what meters have told: %w", err)
	}
	return nil
}

// SaveReadDay keeps the reads of a bundle's day in the place of those before.
func (t *Tx) SaveReadDay(key DayKey, of DayReads, e *telemetry.Encoder) error {
	reads, err := e.AppendBlock(nil, telemetry.TableRef{}, of.Reads)
	versions := []byte{}
	if err == nil && len(of.Versions) > 0 {
		versions, err = e.AppendBlock(versions, telemetry.TableRef{}, of.Versions)
	}
	if err == nil {
		err = t.execLater(`INSERT INTO read_day (day, bundle, reads, versions) VALUES (?, ?, ?, ?)
			ON CONFLICT (day, bundle) DO UPDATE SET reads = excluded.reads, versions = excluded.versions`, key.Day, key.Bundle, reads, versions)
	}
	if err != nil {
		return fmt.Errorf("store: keep the reads of day %d of bundle %d: %w", key.Day, key.Bundle, err)
	}
	return nil
}

// SaveInterval keeps that a series is read by intervals of a width from first on, unless it is
// known from before then.
func (t *Tx) SaveInterval(of Place, width, first telemetry.Micros) error {
	if err := t.execLater(`INSERT INTO read_interval (series, bundle, width, first) VALUES (?, ?, ?, ?)
		ON CONFLICT (series, width) DO UPDATE SET first = CASE WHEN read_interval.first < excluded.first THEN read_interval.first ELSE excluded.first END`,
		of.Series, of.Bundle, int64(width), int64(first)); err != nil {
		return fmt.Errorf("store: keep the intervals of series %d: %w", of.Series, err)
	}
	return nil
}

// MeterEvent is what a meter has told beside reads.
type MeterEvent struct {
	HeadEnd, Meter string
	At             telemetry.Micros
	Code, Number   string
	Kind, Asset    string
	Words          string
}

// AddMeterEvent keeps an event, and reports false if it was known.
func (t *Tx) AddMeterEvent(e MeterEvent, now telemetry.Micros) (bool, error) {
	res, err := t.Exec(`INSERT INTO meter_event (headend, meter, at, code, number, kind, asset, words, taken) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		e.HeadEnd, e.Meter, int64(e.At), e.Code, e.Number, e.Kind, e.Asset, e.Words, int64(now))
	var n int64
	if err == nil {
		n, err = res.RowsAffected()
	}
	if err != nil {
		return false, fmt.Errorf("store: keep an event of meter %s of %s: %w", e.Meter, e.HeadEnd, err)
	}
	return n > 0, nil
}

// LastMeterEvent is the newest event before an instant of one of two kinds that a meter has
// told; sql.ErrNoRows if there is none.
func (t *Tx) LastMeterEvent(headend, meter string, before telemetry.Micros, kinds [2]string) (kind string, at telemetry.Micros, err error) {
	err = t.QueryRow(`SELECT kind, at FROM meter_event WHERE headend = ? AND meter = ? AND at < ? AND kind IN (?, ?) ORDER BY at DESC LIMIT 1`,
		[]any{headend, meter, int64(before), kinds[0], kinds[1]}, &kind, &at)
	return kind, at, err
}

// NextMeterEvent is LastMeterEvent of the oldest after an instant.
func (t *Tx) NextMeterEvent(headend, meter string, after telemetry.Micros, kinds [2]string) (kind string, at telemetry.Micros, err error) {
	err = t.QueryRow(`SELECT kind, at FROM meter_event WHERE headend = ? AND meter = ? AND at > ? AND kind IN (?, ?) ORDER BY at LIMIT 1`,
		[]any{headend, meter, int64(after), kinds[0], kinds[1]}, &kind, &at)
	return kind, at, err
}

// HasHeadEnd reports whether a head-end is known.
func (s *Store) HasHeadEnd(ctx context.Context, id string) (has bool, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT EXISTS (SELECT 1 FROM headend WHERE id = ?)`, []any{id}, &has)
	})
	return has, err
}
