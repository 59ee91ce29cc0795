package devices

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// Refresh is how often a meter without a Source measures anew. Between two refreshes
// its values stand still.
const Refresh = 200 * time.Millisecond

const (
	nominalVoltage = 230.0 // V, phase to neutral
	voltageNoise   = 0.2   // V, standard deviation
	nominalHz      = 50.0
	frequencyNoise = 0.01 // Hz, standard deviation
	powerFactor    = 0.95 // inductive
	unbalance      = 0.05 // standard deviation of a phase's share, relative
)

// load is a load that follows a profile, on a feeder that is live or dead.
type load struct {
	config MeterConfig
	seed   uint64
	shares [3]float64    // of the power, of each phase; 1 together
	dead   bool          // the feeder is
	since  time.Duration // when the supply came last
	energy float64       // J, until then
}

func newLoad(c MeterConfig) *load {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.ID))
	l := &load{config: c, seed: c.Seed ^ h.Sum64(), energy: c.Energy}
	random := rand.New(rand.NewPCG(l.seed, math.MaxUint64))
	var sum float64
	for i := range l.shares {
		l.shares[i] = max(0.1, 1+unbalance*random.NormFloat64())
		sum += l.shares[i]
	}
	for i := range l.shares {
		l.shares[i] /= sum
	}
	return l
}

// set says whether the feeder is live, and returns whether that has changed.
func (l *load) set(live bool) bool {
	if l.dead == !live {
		return false
	}
	now := l.config.Clock()
	if live {
		l.since = now
	} else {
		l.energy = l.energyAt(now)
	}
	l.dead = !live
	return true
}

// Instant implements Source: it is a number of refreshes.
func (l *load) Instant() int64 { return int64(l.config.Clock() / Refresh) }

// Powers implements Source. Who plays the meter says when it is silent.
func (l *load) Powers() bool { return true }

// Measure implements Source.
func (l *load) Measure(instant int64) Reading {
	at := time.Duration(instant) * Refresh
	if l.dead {
		return Reading{Imported: l.energy / 3600, Shares: l.shares}
	}
	r := Reading{Imported: l.energyAt(max(at, l.since)) / 3600, Shares: l.shares}
	power := l.config.RatedPower * l.config.Profile.At(at.Seconds()*l.config.Speed)
	random := rand.New(rand.NewPCG(l.seed, uint64(instant)))
	for i, share := range l.shares {
		r.Voltage[i] = round(nominalVoltage+voltageNoise*random.NormFloat64(), 10)
		apparent := power * share / powerFactor
		r.Current[i] = round(apparent/r.Voltage[i], 1000)
		r.Active[i], r.Apparent[i] = round(power*share, 10), round(apparent, 10)
		r.Reactive[i] = math.Sqrt(max(0, r.Apparent[i]*r.Apparent[i]-r.Active[i]*r.Active[i]))
	}
	r.Frequency = round(nominalHz+frequencyNoise*random.NormFloat64(), 100)
	return r
}

// energyAt is the energy in J at a time at or after since, with the supply live.
func (l *load) energyAt(at time.Duration) float64 {
	c := l.config
	area := c.Profile.Integral(at.Seconds()*c.Speed) - c.Profile.Integral(l.since.Seconds()*c.Speed)
	return l.energy + c.RatedPower*area/c.Speed
}

// round is v to the nearest part of 1, which is how a display and a register of
// limited resolution show it.
func round(v, parts float64) float64 { return math.Round(v*parts) / parts }
