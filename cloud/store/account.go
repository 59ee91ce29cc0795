package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// QuarterNumber is the quarter-hour of UTC that an instant falls into, counted
// from 1970-01-01.
func QuarterNumber(at telemetry.Micros) int64 {
	return int64(telemetry.QuarterOf(at) / telemetry.Quarter)
}

const (
	// LongestAccount bounds the interval of an account, in µs: 31 days.
	LongestAccount = 31 * 24 * 3600 * 1_000_000
	// MostCounted bounds each count of an account or a loss, so that sums of
	// them don't overflow.
	MostCounted = 1 << 40

	longestName   = 256                                     // bytes of a device's name
	mostReasons   = 32                                      // of one device's account
	longestReason = 64                                      // bytes
	lastInstant   = telemetry.Micros(4_102_444_800_000_000) // 2100-01-01
)

// CheckAccount reports what of an account can't be kept. Sums that contradict
// each other can: they show as inconsistent.
func CheckAccount(a telemetry.Account) error {
	if _, err := record.ParseEpoch(a.Epoch); err != nil {
		return err
	}
	if a.From < 0 || a.From >= a.To || a.To > lastInstant || a.To-a.From > LongestAccount ||
		a.From%telemetry.Quarter != 0 || a.To%telemetry.Quarter != 0 {
		return fmt.Errorf("account from %d to %d: want whole quarter-hours, at most 31 days, from 1970 to 2100", a.From, a.To)
	}
	for _, d := range a.Devices {
		if err := checkDevice(d.Device); err != nil {
			return err
		}
		counts := []uint64{d.Scheduled, d.Read, d.Suppressed, d.Missed, d.Down, d.Delivered}
		if len(d.Bad) > mostReasons {
			return fmt.Errorf("account of device %s: more than %d reasons", d.Device, mostReasons)
		}
		for reason, n := range d.Bad {
			if reason == "" || len(reason) > longestReason {
				return fmt.Errorf("account of device %s: a reason of %d bytes, want 1 to %d", d.Device, len(reason), longestReason)
			}
			counts = append(counts, n)
		}
		for _, n := range counts {
			if n > MostCounted {
				return fmt.Errorf("account of device %s: %d samples are too many", d.Device, n)
			}
		}
	}
	return nil
}

func checkDevice(name string) error {
	if name == "" || len(name) > longestName {
		return fmt.Errorf("a device's name of %d bytes, want 1 to %d", len(name), longestName)
	}
	return nil
}

// SaveAccount keeps an account in the place of those of the same gateway, epoch,
// interval and device with a lower revision.
func (t *Tx) SaveAccount(gateway string, a telemetry.Account) error {
	if err := t.saveAccount(gateway, a); err != nil {
		return fmt.Errorf("store: keep the account of %s from %d to %d: %w", gateway, a.From, a.To, err)
	}
	return nil
}

func (t *Tx) saveAccount(gateway string, a telemetry.Account) error {
	if err := CheckAccount(a); err != nil {
		return err
	}
	epoch, err := record.ParseEpoch(a.Epoch)
	if err != nil {
		return err
	}
	sequence, err := t.sequenceOf(gateway, epoch, string(record.Telemetry))
	if err != nil {
		return err
	}
	for _, d := range a.Devices {
		id, err := t.device(gateway, d.Device)
		if err != nil {
			return err
		}
		bad := []byte{}
		if len(d.Bad) > 0 {
			if bad, err = json.Marshal(d.Bad); err != nil {
				return err
			}
		}
		_, err = t.Exec(`INSERT INTO account (quarter, device, sequence, quarters, revision,
				scheduled, had_value, suppressed, bad, missed, down, delivered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (quarter, device, sequence, quarters) DO UPDATE SET revision = excluded.revision, scheduled = excluded.scheduled,
				had_value = excluded.had_value, suppressed = excluded.suppressed, bad = excluded.bad, missed = excluded.missed,
				down = excluded.down, delivered = excluded.delivered WHERE account.revision < excluded.revision`,
			QuarterNumber(a.From), id, sequence, int64((a.To-a.From)/telemetry.Quarter), a.Revision,
			d.Scheduled, d.Read, d.Suppressed, string(bad), d.Missed, d.Down, d.Delivered)
		if err != nil {
			return err
		}
	}
	return nil
}

// device finds or makes the row of a device. The gateway's row exists.
func (t *Tx) device(gateway, name string) (id int64, err error) {
	find := func() error {
		return t.QueryRow(`SELECT id FROM device WHERE gateway = ? AND name = ?`, []any{gateway, name}, &id)
	}
	if err = find(); !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	err = t.QueryRow(`INSERT INTO device (gateway, name) VALUES (?, ?) RETURNING id`, []any{gateway, name}, &id)
	return id, err
}

// mostSteps bounds how often a range can be thinned.
const mostSteps = 255

// CheckLoss reports what of a loss can't be kept.
func CheckLoss(l telemetry.Loss) error {
	if _, err := record.ParseEpoch(l.Epoch); err != nil {
		return err
	}
	if s := record.Stream(l.Stream); s != record.Events && s != record.Telemetry {
		return fmt.Errorf("unknown stream %q", l.Stream)
	}
	switch {
	case l.Reason == "" || len(l.Reason) > longestReason:
		return fmt.Errorf("a reason of %d bytes, want 1 to %d", len(l.Reason), longestReason)
	case discardedSamples(l) && (l.SeqFirst != 0 || l.SeqLast != 0):
		return fmt.Errorf("discarded samples have no sequence numbers, and this loss names %d to %d", l.SeqFirst, l.SeqLast)
	case l.SeqFirst > l.SeqLast || l.SeqLast > math.MaxInt64:
		return fmt.Errorf("sequence numbers %d to %d are no range", l.SeqFirst, l.SeqLast)
	}
	if l.Step < 0 || l.Step > mostSteps {
		return fmt.Errorf("step %d, want 0 to %d", l.Step, mostSteps)
	}
	for _, d := range l.Devices {
		if err := checkDevice(d.Device); err != nil {
			return err
		}
		if d.Quarter < 0 || d.Quarter >= lastInstant || d.Quarter%telemetry.Quarter != 0 {
			return fmt.Errorf("loss of device %s: %d is no quarter-hour from 1970 to 2100", d.Device, d.Quarter)
		}
		if d.Count > MostCounted {
			return fmt.Errorf("loss of device %s: %d samples are too many", d.Device, d.Count)
		}
	}
	return nil
}

// DeclareLoss keeps that a gateway gave up sequence numbers, and why. A loss
// that is declared again, after a crash, is the same one, known by its numbers,
// its reason, its step and its counts. Of one step of thinning with overlapping
// numbers the one declared last counts: before it the gateway crashed, and thinned
// what the log didn't have by then. Other steps add to one another. Discarded samples have no numbers to know them
// by, so each declaration adds to those before.
func (t *Tx) DeclareLoss(gateway string, l telemetry.Loss, at telemetry.Micros) error {
	if err := t.declareLoss(gateway, l, at); err != nil {
		return fmt.Errorf("store: keep the loss of %s/%s/%s/%d-%d: %w", gateway, l.Epoch, l.Stream, l.SeqFirst, l.SeqLast, err)
	}
	return nil
}

func (t *Tx) declareLoss(gateway string, l telemetry.Loss, at telemetry.Micros) error {
	if err := CheckLoss(l); err != nil {
		return err
	}
	epoch, err := record.ParseEpoch(l.Epoch)
	if err != nil {
		return err
	}
	id, err := t.sequenceOf(gateway, epoch, l.Stream)
	if err != nil {
		return err
	}
	discarded := discardedSamples(l)
	if !discarded {
		counted := len(l.Signals) > 0 || len(l.Devices) > 0
		if _, err := t.Exec(`INSERT INTO declared_loss (sequence, seq_first, seq_last, reason, at, counted) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (sequence, seq_first, seq_last, reason) DO UPDATE SET counted = declared_loss.counted OR excluded.counted`,
			id, l.SeqFirst, l.SeqLast, string(l.Reason), int64(at), counted); err != nil {
			return err
		}
	}
	if record.Stream(l.Stream) != record.Telemetry {
		return nil
	}
	if l.Step > 0 {
		if _, err := t.Exec(`DELETE FROM device_loss WHERE sequence = ? AND step = ? AND seq_first <= ? AND seq_last >= ?
			AND NOT (seq_first = ? AND seq_last = ?)`, id, l.Step, l.SeqLast, l.SeqFirst, l.SeqFirst, l.SeqLast); err != nil {
			return err
		}
	}
	for _, d := range l.Devices {
		device, err := t.device(gateway, d.Device)
		if err != nil {
			return err
		}
		if discarded {
			err = t.addDiscarded(id, device, d)
		} else {
			_, err = t.Exec(`INSERT INTO device_loss (quarter, device, reason, sequence, seq_first, seq_last, step, samples) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT DO NOTHING`, QuarterNumber(d.Quarter), device, string(l.Reason), id, l.SeqFirst, l.SeqLast, l.Step, d.Count)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// discardedSamples reports whether a loss is of samples that were never committed.
func discardedSamples(l telemetry.Loss) bool {
	return l.Reason == telemetry.LostDiscarded && record.Stream(l.Stream) == record.Telemetry
}

func (t *Tx) addDiscarded(sequence, device int64, d telemetry.DeviceLoss) error {
	res, err := t.Exec(`UPDATE device_loss SET samples = samples + ? WHERE quarter = ? AND device = ? AND reason = ? AND sequence = ?`,
		d.Count, QuarterNumber(d.Quarter), device, string(telemetry.LostDiscarded), sequence)
	var n int64
	if err == nil {
		n, err = res.RowsAffected()
	}
	if err == nil && n == 0 {
		_, err = t.Exec(`INSERT INTO device_loss (quarter, device, reason, sequence, seq_first, seq_last, step, samples) VALUES (?, ?, ?, ?, 0, 0, 0, ?)`,
			QuarterNumber(d.Quarter), device, string(telemetry.LostDiscarded), sequence, d.Count)
	}
	return err
}

// Received counts samples that a transaction stores. Estimates are those of them
// that stand for others, such as means.
type Received struct {
	Quarter, Bundle          int64
	Samples, Late, Estimates int
}

// AddReceived adds to what was received.
func (t *Tx) AddReceived(r Received) error {
	if err := t.execLater(`INSERT INTO received (quarter, bundle, samples, late, estimates) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (quarter, bundle) DO UPDATE SET samples = received.samples + excluded.samples, late = received.late + excluded.late,
			estimates = received.estimates + excluded.estimates`, r.Quarter, r.Bundle, r.Samples, r.Late, r.Estimates); err != nil {
		return fmt.Errorf("store: count what was received of bundle %d: %w", r.Bundle, err)
	}
	return nil
}
