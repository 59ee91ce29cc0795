package modbus

import (
	"context"
	"log/slog"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// MaxBackOff bounds the doubling of a device's period while it doesn't
// answer and others share its endpoint: each attempt costs them a timeout.
// The first attempt after it fell silent keeps the period, and so do all while
// none of the endpoint's devices answers or its connection can't be made, so
// that their return is seen at once.
const MaxBackOff = 30 * time.Second

// unit is a meter that is being polled. Only its endpoint's goroutine touches
// it, the statistics apart.
type unit struct {
	*reader
	bus   *bus
	log   *slog.Logger
	stats *deviceCounters
	clock clock

	due     time.Time // on a grid of PollEvery
	missed  int       // slots since the last poll that passed while the endpoint was busy
	spared  int       // slots before these that the device was too silent for
	silent  int       // polls in a row without an answer
	polling bool

	live     bool
	liveSent time.Time     // zero before the first poll
	failing  map[span]bool // requests, as last logged
}

func newUnit(m *meter, log *slog.Logger) *unit {
	return &unit{
		reader:  m.newReader(),
		stats:   &deviceCounters{},
		log:     log.With("device", m.ID, "endpoint", m.endpoint.Address, "unit", m.Unit),
		failing: map[span]bool{},
	}
}

// skipMissed passes over the slots whose time is up: values late by a period
// or more help nobody and would only push the next ones back.
func (u *unit) skipMissed(now time.Time) {
	missed := now.Sub(u.due) / u.PollEvery
	if missed <= 0 {
		return
	}
	u.due = u.due.Add(missed * u.PollEvery)
	if u.silent > 0 {
		u.spared += int(missed)
		return
	}
	u.missed += int(missed)
	u.stats.missed.Add(uint64(missed))
}

// costly reports whether asking the unit may well cost the others a timeout.
func (u *unit) costly() bool {
	return u.silent > 0 && u.bus.silent < len(u.bus.units) && u.silentFor() != telemetry.NotConnected
}

// slotEnd is when the poll that is due should be done: before the next one, but a
// unit that may cost the others a timeout gives way to them for longer.
func (u *unit) slotEnd() time.Time {
	if u.costly() {
		return u.due.Add(max(u.PollEvery, MaxBackOff))
	}
	return u.due.Add(u.PollEvery)
}

// read polls the meter in its slot and sets the next. All samples of the first
// poll after the wall clock has been set are flagged telemetry.ClockJumped, the
// live signal among them. It fails only when ctx ends.
func (u *unit) read(ctx context.Context, l *link) (adapters.Batch, error) {
	batch := adapters.Batch{Device: u.ID, Missed: u.missed, Spared: u.spared}
	if u.spared > 0 {
		batch.SparedFor = u.silentFor()
	}
	if err := u.poll(ctx, l); err != nil {
		return adapters.Batch{}, err
	}
	u.stats.polls.Add(1)
	u.stats.values.Add(uint64(u.good))
	if u.good > 0 {
		u.stats.delivered.Add(1)
	}
	if u.answered {
		if u.silent > 0 {
			u.bus.silent--
		}
		u.silent = 0
		u.stats.lastAnswer.Store(u.ended.UnixMicro())
		if u.ended.Sub(u.due) > u.PollEvery {
			u.stats.late.Add(1)
		}
	} else {
		if u.silent == 0 {
			u.bus.silent++
		}
		u.silent++
		u.stats.failed.Add(1)
		if u.silentFor() == telemetry.Timeout {
			u.stats.timeouts.Add(1)
		}
	}
	stride := u.stride()
	batch.Received = u.ended
	// The wall clock may have been set since the slot was planned.
	batch.Due = u.ended.Add(u.due.Sub(u.ended))
	u.due = u.due.Add(u.PollEvery * stride)
	u.missed, u.spared = 0, int(stride)-1
	batch.Samples = u.samples
	clockSet := u.clock.wasSet(u.ended)
	if u.observe() || clockSet {
		u.liveSent = u.ended
		batch.Samples = append(batch.Samples, telemetry.Sample{
			Time: telemetry.MicrosOf(u.ended), Value: telemetry.BoolValue(u.live), Signal: u.Live,
		})
	}
	if clockSet {
		for i := range batch.Samples {
			batch.Samples[i].Quality |= telemetry.ClockJumped
		}
	}
	return batch, nil
}

// stride is how many slots ahead the next poll is.
func (u *unit) stride() time.Duration {
	if !u.costly() {
		return 1
	}
	limit := max(1, MaxBackOff/u.PollEvery)
	stride := time.Duration(1)
	for range u.silent - 1 {
		if stride *= 2; stride >= limit {
			return limit
		}
	}
	return stride
}

// observe takes what the last poll says about the device's life and logs what
// changed. It reports whether the live signal is due.
func (u *unit) observe() bool {
	first := u.liveSent.IsZero()
	was := u.live
	switch {
	case u.answered:
		u.live = true
	case u.silent >= adapters.DeadAfter:
		u.live = false
	}
	changed := first || u.live != was
	if changed && u.live {
		u.log.Info("device answers")
	} else if changed {
		_, err := u.silence()
		u.log.Warn("device doesn't answer", "error", err)
	}
	if u.answered {
		u.logRequests()
	}
	return changed || u.ended.Sub(u.liveSent) >= adapters.LiveEvery
}

// span is what a request asks for.
type span struct {
	table        Table
	first, count uint16
}

func (u *unit) logRequests() {
	for _, o := range u.outcomes {
		if o.err == nil && len(u.failing) == 0 {
			continue
		}
		asked := span{o.request.table, o.request.first, o.request.count}
		switch failing := u.failing[asked]; {
		case o.err != nil && !failing:
			u.failing[asked] = true
			u.log.Warn("request fails", "request", o.request.String(), "error", o.err)
		case o.err == nil && failing:
			delete(u.failing, asked)
			u.log.Info("request succeeds again", "request", o.request.String())
		}
	}
}
