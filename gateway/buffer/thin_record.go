package buffer

import (
	"cmp"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// take thins one record. One that can't be decoded, whose signals are of another
// table, or whose times count from a boot, stays as it is.
func (w *thinned) take(r record.Record) error {
	ref, samples, ok := w.decode(r)
	if !ok {
		if err := w.endRun(); err != nil {
			return err
		}
		return w.put(r)
	}
	if w.gathering() && (w.current.Epoch != r.Epoch || w.current.Last+1 != r.First) {
		if err := w.endRun(); err != nil {
			return err
		}
	}
	if w.gathering() && len(w.samples) >= thinnedSamples {
		if err := w.emit(); err != nil {
			return err
		}
	}
	if w.gathering() && r.Last-w.current.First >= record.MaxCount {
		w.samples = w.thinner.flush(w.samples)
		if err := w.emit(); err != nil {
			return err
		}
	}
	if !w.gathering() {
		w.current = record.Record{Identity: r.Identity, Format: record.FormatThinned}
		w.table = ref
	}
	if w.loss.Epoch == "" {
		w.loss = telemetry.Loss{Epoch: r.Epoch.String(), Stream: string(r.Stream), SeqFirst: r.First, Reason: telemetry.LostThinned, Step: w.generation}
	}
	w.current.Last, w.loss.SeqLast = r.Last, r.Last
	w.table.Version = max(w.table.Version, ref.Version)
	w.counts.add(samples, 1)
	w.samples = w.thinner.add(w.samples, samples)
	return nil
}

func (w *thinned) decode(r record.Record) (ref telemetry.TableRef, samples []telemetry.Sample, ok bool) {
	if r.Format != record.FormatBlock && r.Format != record.FormatThinned {
		return ref, nil, false
	}
	ref, samples, err := w.counts.decoder.Block(r.Payload, w.counts.samples)
	if err != nil {
		return ref, nil, false
	}
	w.counts.samples = samples
	return ref, samples, w.buffer.table.names(ref, samples)
}

func (w *thinned) gathering() bool { return w.current.Gateway != "" }

// endRun ends a range of sequence numbers without holes.
func (w *thinned) endRun() error {
	if !w.gathering() {
		return nil
	}
	w.samples = w.thinner.flush(w.samples)
	w.thinner.forget()
	if err := w.emit(); err != nil {
		return err
	}
	if !w.counts.empty() {
		w.losses = append(w.losses, w.counts.losses(w.loss)...)
	}
	w.counts.clear()
	w.loss = telemetry.Loss{}
	return nil
}

// emit puts what was gathered into a record, or into several if it is too much
// for one. A record never has more samples than sequence numbers, so as many of
// these stay for the next one as samples still wait in the thinner.
func (w *thinned) emit() error {
	w.counts.add(w.samples, -1)
	r, rest := w.current, record.Record{}
	if waiting := min(uint64(w.thinner.waiting), r.Count()-1); waiting > 0 {
		rest = r
		r.Last -= waiting
		rest.First = r.Last + 1
	}
	err := w.encode(r, w.samples)
	w.samples, w.current = w.samples[:0], rest
	return err
}

func (w *thinned) encode(r record.Record, samples []telemetry.Sample) error {
	crowded := minutesIn(samples) > record.MaxMinutes
	if !crowded {
		var err error
		if w.block, err = w.encoder.AppendBlock(w.block[:0], w.table, samples); err != nil {
			return err
		}
	}
	if (crowded || len(w.block) > maxBlockBytes) && r.First < r.Last && len(samples) > 1 {
		if crowded { // each half has half of the time
			slices.SortStableFunc(samples, func(a, b telemetry.Sample) int { return cmp.Compare(a.Time, b.Time) })
		}
		front, back, half := r, r, (len(samples)+1)/2
		front.Last = r.First + (r.Last-r.First)/2
		back.First = front.Last + 1
		if err := w.encode(front, samples[:half]); err != nil {
			return err
		}
		return w.encode(back, samples[half:])
	}
	r.Payload = w.block
	if w.chain.sign != nil {
		if err := w.chain.sign(&r); err != nil {
			return fmt.Errorf("sign record %s: %w", r.Identity, err)
		}
	}
	return w.put(r)
}

// minutesIn is in how many minutes the samples lie, or more if they are few.
func minutesIn(samples []telemetry.Sample) int {
	if len(samples) <= record.MaxMinutes {
		return len(samples)
	}
	first, last := samples[0].Time, samples[0].Time
	for i := range samples {
		first, last = min(first, samples[i].Time), max(last, samples[i].Time)
	}
	if span := last/minute - first/minute + 1; span <= record.MaxMinutes {
		return int(span)
	}
	in := map[telemetry.Micros]struct{}{}
	for i := range samples {
		in[samples[i].Time/minute] = struct{}{}
	}
	return len(in)
}

// put gives a record the next of the segment's positions.
func (w *thinned) put(r record.Record) error {
	if len(w.free) == 0 {
		return fmt.Errorf("%w: it has more records than before", errNoGain)
	}
	position := w.free[0].first
	if w.free[0].first++; w.free[0].first > w.free[0].last {
		w.free = w.free[1:]
	}
	start := len(w.values)
	var err error
	if w.values, err = r.AppendBinary(w.values); err != nil {
		return err
	}
	w.puts = append(w.puts, putting{position, w.values[start:len(w.values):len(w.values)]})
	if len(w.values) >= thinnedWrite {
		return w.flush()
	}
	return nil
}

// flush writes the records that wait.
func (w *thinned) flush() error {
	grows := 24*page + int64(w.chain.allocation)
	for _, p := range w.puts {
		grows += pages(len(p.value)+64) + page
	}
	err := w.update(grows, func(tx *bolt.Tx) error {
		records := tx.Bucket(bucketRecords)
		records.FillPercent = 1
		for _, p := range w.puts {
			if err := put(records, keyOf(p.position), p.value); err != nil {
				return err
			}
		}
		return nil
	})
	w.puts, w.values = w.puts[:0], w.values[:0]
	return err
}
