package clock

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Ripened has changed if a record that Prepare found not to be ready may be ready
// now.
func (c *Clock) Ripened() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ripened
}

func (c *Clock) ripen() {
	if c.refused {
		c.refused = false
		c.ripened++
	}
}

// Prepare makes a record ready to be sent. One that record.IsHeld
// becomes a record.FormatBlock of the same identity, once the time of the boot is
// known or has been awaited for long enough; before, ready is false and r is as it was. The
// same record always becomes the same bytes, in this process and in any later
// one: what that depends on is on disk before Prepare returns. An error may
// pass. Any other record is ready as it is.
func (c *Clock) Prepare(r *record.Record) (ready bool, err error) {
	if !record.IsHeld(r.Format) {
		return true, nil
	}
	h, ready, err := c.Place(r)
	switch {
	case errors.Is(err, ErrUnreadable):
		// Nobody can place it. Sent as it is, it is set aside where it can be seen.
		c.o.Log.Error("a record that waited for the time is unreadable", "stream", r.Stream, "seq", r.First, "error", err)
		return true, nil
	case err != nil || !ready:
		return false, err
	}
	placed := *r
	placed.Format = record.FormatBlock
	if placed.Payload, err = new(telemetry.Encoder).AppendBlock(nil, h.table, h.Samples); err != nil {
		return false, err
	}
	if c.o.Sign != nil {
		if err := c.o.Sign(&placed); err != nil {
			return false, err
		}
	}
	*r = placed
	return true, nil
}

// Placed is what a record that waited has become.
type Placed struct {
	Samples []telemetry.Sample // in the time that they are sent with
	Polls   []byte             // as they were committed beside them
	Began   telemetry.Micros   // when the boot began that they count from
	table   telemetry.TableRef
}

// ErrUnreadable says that a record can't be placed, ever.
var ErrUnreadable = errors.New("clock: the record is unreadable")

// Place finds the time of a record that record.IsHeld, as Prepare does. ready is
// false while it isn't known. The same record is placed alike for ever.
func (c *Clock) Place(r *record.Record) (h Placed, ready bool, err error) {
	boot, polls, block, err := record.CutHeld(r.Format, r.Payload)
	if err == nil {
		h.Polls = polls
		h.table, h.Samples, err = new(telemetry.Decoder).Block(block, nil)
	}
	if err != nil {
		return h, false, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	last := telemetry.Micros(0)
	for i := range h.Samples {
		if h.Samples[i].Quality.TimeQuality() == telemetry.SinceBoot {
			last = max(last, h.Samples[i].Time)
		}
	}
	p, ready, err := c.placementOf(boot, last)
	if !ready || err != nil {
		return h, false, err
	}
	for i := range h.Samples {
		p.apply(&h.Samples[i])
	}
	h.Began = p.Began
	return h, true, nil
}

func (p placement) apply(s *telemetry.Sample) {
	if s.Quality.TimeQuality() != telemetry.SinceBoot {
		return
	}
	s.Time = max(Minimum, s.Time+p.Began)
	switch p.By {
	case bySynchronised:
		s.Quality = s.Quality.WithTime(telemetry.GatewayTime)
	case byGuess:
		s.Quality = s.Quality.WithTime(telemetry.UnsynchronisedTime)
		Doubt(s)
	default:
		s.Quality = s.Quality.WithTime(telemetry.UnsynchronisedTime)
	}
}

// placementOf is the placement of a record of boot id whose last sample was taken
// at last. It is decided now if it hasn't been and can be.
func (c *Clock) placementOf(id record.Boot, last telemetry.Micros) (p placement, ready bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.look()
	i := slices.IndexFunc(c.notes.Boots, func(b boot) bool { return b.ID == id.String() })
	if i < 0 {
		// It was forgotten, or the notes were lost: older than all that are known.
		c.notes.Boots = slices.Insert(c.notes.Boots, 0, boot{ID: id.String(), Floor: Minimum, Seen: last + c.maxed})
		i = 0
	}
	if _, decided := c.notes.Boots[i].placement(last); !decided {
		c.decide(now, i)
	}
	// Not before it is on disk.
	if c.unsaved {
		if err := c.save(now); err != nil {
			return p, false, err
		}
	}
	p, ready = c.notes.Boots[i].placement(last)
	c.refused = c.refused || !ready
	return p, ready, nil
}

// decide places what is left of boot i, if enough is known.
func (c *Clock) decide(now Instant, i int) {
	b := &c.notes.Boots[i]
	switch present := i == len(c.notes.Boots)-1; {
	case !present && b.Began != 0:
		// That boot is over, and nothing will be known better.
		b.cover(math.MaxInt64, b.Began, byFreeRunning)
		c.unsaved = true
	case !c.placeable(now):
	case present:
		c.place(now)
	default:
		c.guessEarlier()
	}
}

func (b *boot) placement(last telemetry.Micros) (placement, bool) {
	i := slices.IndexFunc(b.Placements, func(p placement) bool { return last < p.Until })
	if i < 0 {
		return placement{}, false
	}
	return b.Placements[i], true
}

func (b *boot) cover(until, began telemetry.Micros, by grade) {
	b.Placements = append(b.Placements, placement{Until: until, Began: began, By: by})
}

// placeable reports whether what has been held can be placed: the clock is
// confirmed, or set and not to be confirmed, or has been awaited long enough.
func (c *Clock) placeable(now Instant) bool {
	if c.need != Nothing {
		return c.overdue(now)
	}
	return c.trusted(now) || now.SinceBoot-c.set >= settle
}

// place places everything of the present boot that has been held so far.
func (c *Clock) place(now Instant) {
	by := byFreeRunning
	switch {
	case c.trusted(now):
		by = bySynchronised
	case c.state == telemetry.ClockUnset:
		by = byGuess
	}
	b := c.notes.present()
	b.cover(now.SinceBoot+1, c.base, by)
	b.Open, c.unsaved = false, true
	c.ripen()
}

// Began is when this boot began, by the newest placement of what was held in it;
// ok is false while there is none, or something of it waits.
func (c *Clock) Began() (began telemetry.Micros, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.notes.present()
	if len(b.Placements) == 0 || b.Open {
		return 0, false
	}
	return b.Placements[len(b.Placements)-1].Began, true
}

// guessEarlier places the earlier boots whose time never became known: each so
// that its last moment lies just before the next boot began.
func (c *Clock) guessEarlier() {
	next := c.base
	for i := len(c.notes.Boots) - 2; i >= 0; i-- {
		b := &c.notes.Boots[i]
		if b.Began != 0 {
			next = b.Began
			continue
		}
		began, guessed := b.guessed()
		if !guessed {
			began = max(Minimum, next-b.Seen-saveEveryUnset-1)
			if b.Floor+b.Seen < next { // or the floor came from a clock that was ahead
				began = max(began, b.Floor)
			}
			b.cover(math.MaxInt64, began, byGuess)
			c.unsaved = true
		}
		next = began
	}
}

// guessed is when a boot of unknown time was said to have begun, by the
// placement of all that is left of it.
func (b *boot) guessed() (began telemetry.Micros, ok bool) {
	if n := len(b.Placements); n > 0 && b.Placements[n-1].Until == math.MaxInt64 {
		return b.Placements[n-1].Began, true
	}
	return 0, false
}
