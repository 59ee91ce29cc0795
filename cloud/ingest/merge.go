package ingest

import (
	"context"
	"slices"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// merge is addSamples of a record whose numbers overlap with those of others, so that
// they don't tell what is stored of it. It adds what can't be shown to be stored: the
// samples that thinning keeps are as they were measured, so one that is equal in
// signal, time, quality and value is the same; what thinning has computed is added only
// where nothing of its signal is stored at its time. A measured sample is thus neither
// lost nor stored twice.
//
// It reports false as well if a record of the overlap is parked, before the id before
// or at all if that is 0. All that was taken before is in the database.
func (s *session) merge(ctx context.Context, id record.Identity, before int64, key tableKey, samples []telemetry.Sample, now telemetry.Micros) (bool, error) {
	if parked, err := s.cfg.Store.ParkedBeside(ctx, id, before); parked || err != nil {
		return false, err
	}
	table, err := s.table(ctx, key, samples)
	if table == nil || err != nil {
		return false, err
	}
	have, err := s.haveStored(ctx, table, samples)
	if err != nil {
		return false, err
	}
	left := slices.DeleteFunc(samples, func(sample telemetry.Sample) bool { return have.claim(sample, table[sample.Signal].Series) })
	s.batch.stats.Merged++
	s.batch.stats.LeftOut += uint64(len(samples) - len(left))
	s.cfg.Logger.Info("a record overlaps with what was received", "gateway", id.Gateway, "record", id.String(), "samples", len(samples), "stored", len(left))
	return s.addSamples(ctx, key, left, now)
}

// stock is what is stored of some series in some minutes.
type stock struct {
	equal map[telemetry.Sample]int // by series
	any   map[instant]bool
}

type instant struct {
	series telemetry.SignalID
	at     telemetry.Micros
}

// claim reports whether a sample needn't be stored. One that is stored is counted
// off: two that are equal are two.
func (s stock) claim(sample telemetry.Sample, series telemetry.SignalID) bool {
	sample.Signal = series
	if s.equal[sample] > 0 {
		s.equal[sample]--
		return true
	}
	return sample.Quality.Has(telemetry.Estimated) && s.any[instant{series, sample.Time}]
}

type hourKey struct{ bundle, hour int64 }

// haveStored reads what is stored at the times of samples.
func (s *session) haveStored(ctx context.Context, table map[telemetry.SignalID]store.Place, samples []telemetry.Sample) (stock, error) {
	have := stock{map[telemetry.Sample]int{}, map[instant]bool{}}
	type span struct{ first, last int64 } // minutes
	wanted := map[hourKey]span{}
	for _, sample := range samples {
		place := table[sample.Signal]
		at := hourKey{place.Bundle, store.HourOf(sample.Time)}
		m := store.MinuteOf(sample.Time)
		of, ok := wanted[at]
		if !ok {
			of = span{m, m}
		}
		wanted[at] = span{min(of.first, m), max(of.last, m)}
		have.any[instant{place.Series, sample.Time}] = false
	}
	for key, of := range wanted {
		err := s.cfg.Store.InMinutes(ctx, key.bundle, of.first, of.last, func(sample telemetry.Sample) {
			at := instant{sample.Signal, sample.Time}
			if _, asked := have.any[at]; asked {
				have.any[at] = true
				have.equal[sample]++
			}
		})
		if err != nil {
			return stock{}, err
		}
	}
	return have, nil
}
