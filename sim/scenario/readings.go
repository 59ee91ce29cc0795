package scenario

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/load"
)

// Reading is what a meter counted in a quarter-hour, in Wh; NaN if it didn't.
type Reading struct {
	At      int64  // when it begins, µs UTC
	Meter   string // a service point, or a transformer, which is read on its low side
	Import  float32
	Export  float32
	Arrival int64 // when it is known, µs UTC: at the end of the quarter-hour, or later
}

// Readings is how they get from meters to who bills, with what is lost and late on the way. Meters
// are then read by the edge's gateways: who doesn't answer at the end of a quarter-hour isn't read
// for it, and what a gateway can't send comes when it has a connection again.
type Readings struct {
	// The share that gets lost beside.
	Lost float64 `yaml:"lost"`
	// The share that is late beside.
	Late float64 `yaml:"late"`
	// By how much, half of them later; default 6h.
	LateBy configfile.Duration `yaml:"late_by"`
}

// SetDefaults says what holds where nothing is said.
func (r *Readings) SetDefaults() { r.LateBy = configfile.Duration(6 * time.Hour) }

func (r *Readings) check(wrong func(key, format string, args ...any)) {
	for _, s := range []struct {
		key   string
		share float64
	}{{"lost", r.Lost}, {"late", r.Late}} {
		if !(s.share >= 0 && s.share <= 1) {
			wrong(s.key, "%v is no share from 0 to 1", s.share)
		}
	}
	if r.LateBy <= 0 || time.Duration(r.LateBy) > 365*24*time.Hour {
		wrong("late_by", "%v is not above 0 and up to a year", r.LateBy)
	}
}

// delivery is the readings that are on their way.
type delivery struct {
	config  *Readings // nil: all of them arrive at once
	seed    uint64
	reads   func(meter int) (reads, arrives bool) // of its gateway
	late    []Reading                             // by arrival
	waiting []waiting                             // for a connection
}

// waiting is a reading that its gateway has and can't send.
type waiting struct {
	Reading
	meter int
}

// take is a reading of a quarter-hour that has just ended. It reports whether that arrives now.
func (d *delivery) take(x Reading, meter int) (now bool) {
	if d.config == nil {
		return true
	}
	read, arrives := d.reads(meter)
	r := rand.New(rand.NewPCG(d.seed^drawReading<<56, uint64(meter)<<32^uint64(x.At/quarter)))
	lost, late, by := r.Float64(), r.Float64(), r.ExpFloat64()
	switch {
	case !read || lost < d.config.Lost:
		return false
	case late < d.config.Late:
		x.Arrival += int64(by / math.Ln2 * float64(time.Duration(d.config.LateBy).Microseconds()))
		i, _ := slices.BinarySearchFunc(d.late, x.Arrival+1, func(a Reading, at int64) int { return cmp.Compare(a.Arrival, at) })
		d.late = slices.Insert(d.late, i, x)
		return false
	case !arrives:
		d.waiting = append(d.waiting, waiting{x, meter})
		return false
	}
	return true
}

// drawReading is beside what package evidence draws from the same seed.
const drawReading = 0x51

// due calls f with what arrives by a time.
func (d *delivery) due(at int64, f func(Reading)) {
	n := 0
	for n < len(d.late) && d.late[n].Arrival <= at {
		f(d.late[n])
		n++
	}
	d.late = d.late[n:]
	d.waiting = slices.DeleteFunc(d.waiting, func(w waiting) bool {
		if _, arrives := d.reads(w.meter); !arrives {
			return false
		}
		w.Arrival = at
		f(w.Reading)
		return true
	})
}

// read tells what meters counted in a quarter-hour: service points as they are
// supplied at its end, transformers as all were at its beginning.
func (l *loads) read(r *Play, from int64) {
	if l.metered == nil || r.err != nil {
		return
	}
	tell := func(x Reading) {
		if r.err == nil {
			r.err = r.sinks.Readings(x)
		}
	}
	s := r.world.Snapshot()
	day, slot := load.SlotAt(from)
	l.delivery.due(from+quarter, tell)
	if day != l.day {
		return // before the first whole quarter-hour
	}
	for p := range l.metered {
		x := Reading{At: from, Meter: s.PointAsset(p).ID, Import: l.metered[p].Import[slot], Export: l.metered[p].Export[slot], Arrival: from + quarter}
		if r.world.Level(p).Live() == 0 {
			x.Import, x.Export = 0, 0
		}
		if l.delivery.take(x, p) {
			tell(x)
		}
	}
	for _, e := range l.transformers {
		_, low := l.flow.through(e)
		x := Reading{At: from, Meter: s.EdgeAsset(e).ID, Arrival: from + quarter}
		switch wh := float32(real(low) / 4); {
		case wh != wh:
			x.Import, x.Export = wh, wh
		case wh < 0:
			x.Export = -wh
		default:
			x.Import = wh
		}
		if l.delivery.take(x, len(l.metered)+e) {
			tell(x)
		}
	}
}
