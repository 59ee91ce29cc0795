package history

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/etr"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

const (
	// stormOutages are how many others must be open when an outage begins for it to be of a
	// storm.
	stormOutages = 10
	// caseAge is how long outages count that estimates are made from.
	caseAge = 3 * 365 * 24 * time.Hour
)

// Restorations are the outages from which it is estimated when those will be over that are
// open.
type Restorations struct {
	Cases []etr.Case
	Open  []Open
}

// Open is an outage that isn't over.
type Open struct {
	desk.Outage
	Class etr.Class
	Age   time.Duration
}

// ReadRestorations reads them as of now. Planned and momentary ones tell nothing of how long
// a repair takes, and neither do those that were dismissed or are part of another one.
func ReadRestorations(ctx context.Context, s *store.Store, now telemetry.Micros) (r Restorations, err error) {
	err = s.Read(ctx, func(t *store.Tx) error {
		all, err := outages(t, `o.found >= ?`, int64(now)-caseAge.Microseconds())
		if err != nil {
			return err
		}
		var list []desk.Outage
		for _, o := range all {
			if o.State != lifecycle.Merged && counts(o) && o.Class != "planned" && o.Class != "momentary" && o.Began != 0 && o.Began < now {
				list = append(list, o)
			}
		}
		slices.SortFunc(list, func(a, b desk.Outage) int { return int(a.Began - b.Began) })
		storms := stormsOf(list)
		for i, o := range list {
			class := etr.Class{Device: o.DeviceKind, Cause: o.Cause, Storm: storms[i]}
			one := etr.Case{Class: class, Lasted: now.Sub(o.Began), Open: o.State.Out()}
			switch {
			case one.Open:
				r.Open = append(r.Open, Open{o, class, one.Lasted})
			case o.Restored != nil && *o.Restored >= o.Began:
				one.Lasted = o.Restored.Sub(o.Began)
			default:
				continue // nobody knows when supply was back
			}
			r.Cases = append(r.Cases, one)
		}
		return nil
	})
	if err != nil {
		return Restorations{}, fmt.Errorf("restorations: %w", err)
	}
	return r, nil
}

// stormsOf says of each outage, by their beginning, whether it began in a storm.
func stormsOf(list []desk.Outage) []bool {
	storms := make([]bool, len(list))
	var open []desk.Outage
	for i, o := range list {
		open = slices.DeleteFunc(open, func(other desk.Outage) bool { return other.Restored != nil && *other.Restored <= o.Began })
		storms[i] = len(open) >= stormOutages
		open = append(open, o)
	}
	return storms
}

// moved is by how much an estimate must differ from what is known for it to be told.
const moved = 10 * time.Minute

// Estimate says of each open outage when it is over, unless a person has said so, and how
// many it has told. An outage that is over meanwhile keeps nobody from the others.
func Estimate(ctx context.Context, s *store.Store, prior etr.Prior, now telemetry.Micros) (told int, err error) {
	r, err := ReadRestorations(ctx, s, now)
	if err != nil {
		return 0, err
	}
	model := etr.Learn(r.Cases, prior)
	for _, o := range r.Open {
		if o.Expected != nil && o.Expected.By != "cloud" || o.State == lifecycle.Suspected {
			continue
		}
		e, known := model.Estimate(o.Class, o.Age)
		if !known {
			continue
		}
		at := func(d time.Duration) telemetry.Micros {
			return o.Began + telemetry.Micros(d.Truncate(time.Minute).Microseconds())
		}
		step := lifecycle.Step{Action: lifecycle.Estimate, At: now, By: "cloud", Cloud: true, Expected: lifecycle.Estimated{P50: at(e.P50), P80: at(e.P80)}}
		if was := o.Expected; was != nil && was.P50.Sub(step.Expected.P50).Abs() < moved && was.P80.Sub(step.Expected.P80).Abs() < moved {
			continue
		}
		if _, err := desk.Act(ctx, s, o.ID, o.Revision, step); err == nil {
			told++
		} else if ctx.Err() != nil {
			return told, err
		}
	}
	return told, nil
}
