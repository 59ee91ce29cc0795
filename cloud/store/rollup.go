package store

import (
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

const (
	hourMicros = 60 * minute
	dayMicros  = 24 * hourMicros
)

// widths are those of the buckets that are kept as rows. Days are of UTC.
var widths = [...]telemetry.Micros{15 * minute, hourMicros, dayMicros}

// sumUp is the minutes of samples that are sorted.
func sumUp(samples []telemetry.Sample) []seriesMinutes {
	var list []seriesMinutes
	for i, s := range samples {
		if i == 0 || s.Signal != samples[i-1].Signal {
			list = append(list, seriesMinutes{series: s.Signal})
		}
		of := &list[len(list)-1]
		n := len(of.minutes)
		if start := floor(s.Time, minute); n == 0 || start != of.minutes[n-1].Start {
			of.minutes = append(of.minutes, Bucket{Start: start})
			n++
		}
		of.minutes[n-1].add(s)
	}
	for _, s := range list {
		for i := range s.minutes {
			s.minutes[i].Sum = rounded(s.minutes[i].Sum)
		}
	}
	return list
}

type row struct {
	Bucket
	width  telemetry.Micros
	series telemetry.SignalID
}

// rowsOfHour is what sums up an hour whose minutes are in list: those of its quarter-hours
// that have changed, the hour, and its day, of whose hours days has what is known.
func rowsOfHour(list []seriesMinutes, changed [4]bool, days map[telemetry.SignalID][]Bucket) (rows []row) {
	for _, s := range list {
		quarters := gather(s.minutes, 15*minute)
		hour := gather(quarters, hourMicros)[0]
		day := gather(replace(days[s.series], hour), dayMicros)[0]
		for _, q := range quarters {
			if changed[quarterOfHour(q.Start)] {
				rows = append(rows, row{q, 15 * minute, s.series})
			}
		}
		rows = append(rows, row{hour, hourMicros, s.series}, row{day, dayMicros, s.series})
	}
	return rows
}

func quarterOfHour(at telemetry.Micros) int {
	m := MinuteOf(at)
	return int(m-hourOfMinute(m)*minutesPerHour) / 15
}

// hoursOfDay is what is known of the hours of the day of an hour, by series.
func (t *Tx) hoursOfDay(bundle, hour int64) (map[telemetry.SignalID][]Bucket, error) {
	var members []telemetry.SignalID
	err := t.Each(func(r *sql.Rows) error {
		var id telemetry.SignalID
		err := r.Scan(&id)
		members = append(members, id)
		return err
	}, `SELECT s.id FROM series b JOIN series s ON s.gateway = b.gateway AND s.device = b.device WHERE b.id = ? AND s.bundle = b.id`, bundle)
	if err != nil {
		return nil, err
	}
	days := make(map[telemetry.SignalID][]Bucket, len(members))
	day := floor(telemetry.Micros(max(hour, FirstHour+1))*hourMicros, dayMicros)
	for _, id := range members {
		if days[id], err = t.buckets(hourMicros, id, day, day+dayMicros); err != nil {
			return nil, err
		}
	}
	return days, nil
}

func (t *Tx) saveBucket(width telemetry.Micros, series telemetry.SignalID, b Bucket) error {
	number := func(v float64) sql.NullFloat64 { return sql.NullFloat64{Float64: v, Valid: b.Valued > 0} }
	err := t.execLater(`INSERT INTO rollup (width, series, start_time, samples, good, valued, min_value, max_value, sum_value, last_value, last_text)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (width, series, start_time) DO UPDATE SET samples = excluded.samples, good = excluded.good, valued = excluded.valued,
			min_value = excluded.min_value, max_value = excluded.max_value, sum_value = excluded.sum_value,
			last_value = excluded.last_value, last_text = excluded.last_text`,
		int64(width/minute), int64(series), int64(b.Start), b.Samples, b.Good, b.Valued, number(b.Min), number(b.Max), number(b.Sum), number(b.Last),
		sql.NullString{String: b.LastText, Valid: b.LastText != ""})
	if err != nil {
		return fmt.Errorf("keep what sums up series %d: %w", series, err)
	}
	return nil
}

// buckets reads those of a series that begin from from up to and without to, by time.
func (t *Tx) buckets(width telemetry.Micros, series telemetry.SignalID, from, to telemetry.Micros) ([]Bucket, error) {
	var out []Bucket
	err := t.Each(func(r *sql.Rows) error {
		var b Bucket
		var low, high, sum, last sql.NullFloat64
		var text sql.NullString
		err := r.Scan(&b.Start, &b.Samples, &b.Good, &b.Valued, &low, &high, &sum, &last, &text)
		b.Min, b.Max, b.Sum, b.Last, b.LastText = low.Float64, high.Float64, sum.Float64, last.Float64, text.String
		out = append(out, b)
		return err
	}, `SELECT start_time, samples, good, valued, min_value, max_value, sum_value, last_value, last_text FROM rollup
		WHERE width = ? AND series = ? AND start_time >= ? AND start_time < ? ORDER BY start_time`,
		int64(width/minute), int64(series), int64(from), int64(to))
	return out, err
}

// minutes reads those of a series in the hours from first to last, by time.
func (t *Tx) minutes(bundle int64, series telemetry.SignalID, first, last int64) ([]Bucket, error) {
	var out []Bucket
	var samples []telemetry.Sample
	var decoder telemetry.Decoder
	err := t.Each(func(r *sql.Rows) error {
		var data sql.RawBytes
		err := r.Scan(&data)
		var list []Bucket
		if err == nil {
			list, samples, err = minutesOf(&decoder, data, bundle, series, samples)
		}
		out = append(out, list...)
		return err
	}, `SELECT block FROM rollup_minutes WHERE bundle = ? AND hour >= ? AND hour <= ? ORDER BY hour`, bundle, first, last)
	return out, err
}
