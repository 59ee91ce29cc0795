package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// Instant is a time of a series, by its signal.
type Instant struct {
	Signal telemetry.SignalID
	Time   telemetry.Micros
}

// Correct packs a bundle's hour, as Pack does but in the transaction of who asks, and keeps
// of each of the given instants only the sample that came last: what was stored before is
// no more, and what sums the hour up is of what is left. An hour whose samples have been
// deleted for their age stays as it is. Other Packers are fenced, with ErrCorrected.
func (p *Packer) Correct(t *Tx, bundle, hour int64, at map[Instant]bool) error {
	if err := p.correct(t, bundle, hour, at); err != nil {
		return fmt.Errorf("store: correct hour %d of bundle %d: %w", hour, bundle, err)
	}
	return nil
}

func (p *Packer) correct(t *Tx, bundle, hour int64, at map[Instant]bool) error {
	turn := int64(NoOffset)
	if err := t.QueryRow(`SELECT next FROM consumer_offset WHERE consumer = ?`, []any{packing}, &turn); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := t.Advance(packing, Partition{Topic: packing}, turn, turn+1); err != nil {
		return err
	}
	if _, err := t.Exec(`INSERT INTO consumer_offset (consumer, topic, partition, topic_id, next) VALUES (?, ?, 0, '', 1)
		ON CONFLICT (consumer, topic, partition) DO UPDATE SET next = consumer_offset.next + 1`, correcting, correcting); err != nil {
		return err
	}
	p.read = p.read[:0]
	was, err := p.readPacked(t, bundle, hour)
	if err != nil || was.gone {
		return err
	}
	stored := len(p.read)
	cut := max((hour+1)*minutesPerHour, was.until)
	chunks, err := p.readChunks(t, bundle, hour, cut, was)
	if err != nil {
		return err
	}
	var changed [4]bool
	for _, s := range p.read[stored:] {
		changed[quarterOfHour(s.Time)] = true
	}
	p.keepLast(at)
	days, err := t.hoursOfDay(bundle, hour)
	if err != nil {
		return err
	}
	p.sort()
	blocks, err := p.encode()
	if err != nil {
		return err
	}
	list := sumUp(p.sorted)
	minutes, err := p.encodeMinutes(bundle, list)
	if err != nil {
		return err
	}
	for _, r := range rowsOfHour(list, changed, days) {
		if err := t.saveBucket(r.width, r.series, r.Bucket); err != nil {
			return err
		}
	}
	if err := t.saveMinutes(bundle, hour, minutes); err != nil {
		return err
	}
	through := was.through
	if len(chunks) > 0 {
		through = max(through, slices.Max(chunks))
	}
	return t.exchange(bundle, hour, blocks, cut, through)
}

// keepLast drops what was read of an instant but for the last.
func (p *Packer) keepLast(at map[Instant]bool) {
	last := make(map[Instant]int, len(at))
	for i, s := range p.read {
		if of := (Instant{s.Signal, s.Time}); at[of] {
			last[of] = i
		}
	}
	kept := p.read[:0]
	for i, s := range p.read {
		if n, is := last[Instant{s.Signal, s.Time}]; !is || n == i {
			kept = append(kept, s)
		}
	}
	p.read = kept
}

// RawSince is the time from which on samples are kept.
func (t *Tx) RawSince() (telemetry.Micros, error) {
	since, err := t.retained()
	if since[Raw] < 0 {
		return 0, err // there are none that are older
	}
	return telemetry.Micros(since[Raw]) * minute, err
}
