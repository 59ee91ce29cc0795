package forward

import "time"

// Lanes are a gateway's lanes.
type Lanes struct{ Events, Telemetry, Backfill *Lane }

// LanesOptions are what the three lanes need. Telemetry and Backfill have the
// same chain.
type LanesOptions struct {
	Events, Telemetry, Backfill Options
	// SecondEvents is a second way for events, to the same topic, by which those go
	// too that the first doesn't bring in time. Nil: there is none.
	SecondEvents Sink
	// ThirdEvents is a third way, for what neither of the two brings over a long line
	// in time. It isn't used before. Nil: there is none.
	ThirdEvents Sink
	// CommitEvery is how often samples are committed, and Telemetry's chain grows.
	CommitEvery time.Duration
	// BackfillRate bounds Backfill's payloads, in bytes a second; 0: no bound.
	BackfillRate int64
}

// staleAfter is how long telemetry may wait to be sent, if commits are frequent.
const staleAfter = 5 * time.Second

// NewLanes makes the lanes. What the telemetry chain holds now is backfill.
func NewLanes(o LanesOptions) Lanes {
	rank := &precedence{}
	if o.SecondEvents != nil {
		o.Events.Sink = newRace(o.Events.Sink, o.SecondEvents, rank.patience)
		if o.ThirdEvents != nil {
			third := newRace(o.Events.Sink, o.ThirdEvents, rank.lastPatience)
			third.opened = true
			o.Events.Sink = third
		}
	}
	l := Lanes{newLane(o.Events), newLane(o.Telemetry), newLane(o.Backfill)}
	rank.lanes = []*Lane{l.Events, l.Telemetry}
	parts := newSplit(o.Telemetry.Chain, max(staleAfter, 2*o.CommitEvery))
	l.Events.share = whole{l.Events.chain, l.Events.reader, rank}
	l.Telemetry.share = fresh{parts, l.Telemetry.reader, rank}
	l.Backfill.share = &backfill{split: parts, reader: l.Backfill.reader, pace: newPace(rank, o.Backfill.Link, o.BackfillRate), ripened: o.Backfill.Ripened}
	return l
}

// All are the lanes in the order of their precedence.
func (l Lanes) All() []*Lane { return []*Lane{l.Events, l.Telemetry, l.Backfill} }
