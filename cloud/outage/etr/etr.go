// Package etr estimates when supply will be back: the time by which it is with a
// probability of 50 %, and of 80 %, from how long interruptions of the same kind have lasted.
// It computes only.
//
// What is known of a class is how long its interruptions lasted, and how long those have
// lasted so far that are open: these are right-censored, and leaving them out would make
// restoration look faster than it is, most so in a storm. Durations are estimated after
// Kaplan and Meier. A class that has seen little leans on the more general one before it:
// each quantile is weighted n/(n+20) against that of the general class, n being how many
// interruptions of the class are over.
package etr

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// Class is what the length of an interruption depends on. Empty is what isn't known.
type Class struct {
	Device string // the kind of device that opened, such as fuse or breaker
	Cause  string
	Storm  bool
	Crew   string // how far the crew has come, such as none, assigned, on-site
}

// Case is an interruption that has been. Of an open one, Lasted is how long it has so far.
type Case struct {
	Class  Class
	Lasted time.Duration
	Open   bool
}

// Prior is what is believed before anything has been seen: the median, and the time within
// which 80 % end. Durations between follow a log-normal distribution.
type Prior struct {
	P50, P80 time.Duration
}

// DefaultPrior is for want of a better one.
var DefaultPrior = Prior{P50: 90 * time.Minute, P80: 3 * time.Hour}

// Estimate is what is said of an interruption. Durations are from its beginning.
type Estimate struct {
	P50, P80 time.Duration
	Cases    int // that are over, of the most special class that had any
}

// Model estimates. It isn't changed once it is made, and is safe for concurrent use.
type Model struct {
	prior  Prior
	curves map[level]*curve
}

// shrinkage is how many cases weigh as much as the more general class.
const shrinkage = 20

// level is a class as one of the steps from the general to the special: everything, then
// storm or not, the device, the cause, the crew.
type level struct {
	depth int
	class Class
}

const levels = 5

func levelOf(c Class, depth int) level {
	l := level{depth: depth}
	if depth > 0 {
		l.class.Storm = c.Storm
	}
	if depth > 1 {
		l.class.Device = c.Device
	}
	if depth > 2 {
		l.class.Cause = c.Cause
	}
	if depth > 3 {
		l.class.Crew = c.Crew
	}
	return l
}

// Learn makes a model of what has been. The order of cases doesn't matter; those that
// lasted no time are taken as a second.
func Learn(cases []Case, prior Prior) *Model {
	if prior.P50 <= 0 || prior.P80 <= prior.P50 {
		prior = DefaultPrior
	}
	m := &Model{prior: prior, curves: map[level]*curve{}}
	seen := map[level][]Case{}
	for _, c := range cases {
		c.Lasted = max(c.Lasted, time.Second)
		for depth := range levels {
			l := levelOf(c.Class, depth)
			seen[l] = append(seen[l], c)
		}
	}
	for depth := range levels { // the general ones first: the special ones end as they do
		for l, list := range seen {
			if l.depth != depth {
				continue
			}
			if c := curveOf(list); c.over > 0 {
				chain := m.chain(list[0].Class)
				c.before = c.seconds[0] / m.quantile(chain, c.middle(0))
				c.after = c.seconds[len(c.seconds)-1] / m.quantile(chain, c.middle(len(c.seconds)-1))
				m.curves[l] = c
			}
		}
	}
	return m
}

// beyond is the share that is looked for at most.
const beyond = 1 - 1e-9

// Estimate says when an interruption that has lasted for age will be over. It is false of
// one that has lasted longer than anything that could be expected: only people can say then.
func (m *Model) Estimate(c Class, age time.Duration) (Estimate, bool) {
	chain := m.chain(c)
	var e Estimate
	for _, step := range chain {
		e.Cases = step.over
	}
	passed := 0.0 // the share that would be over by now
	if a := age.Seconds(); a > 0 {
		if m.quantile(chain, beyond) <= a {
			return Estimate{}, false
		}
		low, high := 0.0, beyond
		for range 60 {
			middle := (low + high) / 2
			if m.quantile(chain, middle) <= a {
				low = middle
			} else {
				high = middle
			}
		}
		passed = low
	}
	at := func(p float64) time.Duration {
		s := m.quantile(chain, min(beyond, passed+(1-passed)*p))
		return max(age, time.Duration(s*float64(time.Second)))
	}
	e.P50, e.P80 = at(0.5), at(0.8)
	return e, true
}

// chain are the curves that a class has, the most general first.
func (m *Model) chain(c Class) []*curve {
	var chain []*curve
	for depth := range levels {
		if found := m.curves[levelOf(c, depth)]; found != nil {
			chain = append(chain, found)
		}
	}
	return chain
}

// quantile is in seconds. Averages of quantiles are the quantiles of a distribution, so
// that what has lasted for some time can be asked of it as well.
func (m *Model) quantile(chain []*curve, p float64) float64 {
	seconds := m.prior.quantile(p)
	for _, c := range chain {
		weight := float64(c.over) / float64(c.over+shrinkage)
		seconds = weight*c.quantile(p, seconds) + (1-weight)*seconds
	}
	return seconds
}

// normal80 is the standard normal's quantile of 0.8.
const normal80 = 0.8416212335729143

func (p Prior) quantile(at float64) float64 {
	sigma := math.Log(p.P80.Seconds()/p.P50.Seconds()) / normal80
	return p.P50.Seconds() * math.Exp(sigma*math.Sqrt2*math.Erfinv(2*min(at, beyond)-1))
}

// curve is how the share of a class that is over grows with time, after Kaplan and Meier.
type curve struct {
	seconds []float64 // when each ended that has, rising
	ended   []float64 // the share that is over then
	over    int

	// before and after are how many times as long as the general class it takes where it
	// begins and where it ends.
	before, after float64
}

func curveOf(cases []Case) *curve {
	cases = slices.Clone(cases)
	slices.SortFunc(cases, func(a, b Case) int { return cmp.Compare(a.Lasted, b.Lasted) })
	c, surviving := &curve{}, 1.0
	for i := 0; i < len(cases); {
		j, ended := i, 0
		for ; j < len(cases) && cases[j].Lasted == cases[i].Lasted; j++ {
			if !cases[j].Open {
				ended++
			}
		}
		if ended > 0 {
			step := surviving / float64(len(cases)-i)
			for range ended {
				surviving -= step
				c.seconds = append(c.seconds, cases[i].Lasted.Seconds())
				c.ended = append(c.ended, 1-surviving)
			}
			c.over += ended
		}
		i = j
	}
	return c
}

// middle is the share in the middle of a step.
func (c *curve) middle(i int) float64 {
	if i == 0 {
		return c.ended[0] / 2
	}
	return (c.ended[i-1] + c.ended[i]) / 2
}

// quantile is within what the class has seen by its curve, straight between the middles of
// its steps. Outside it goes as the general class does, whose quantile that of general is.
func (c *curve) quantile(p, general float64) float64 {
	n := len(c.seconds)
	i := sort.Search(n, func(i int) bool { return c.middle(i) >= p })
	switch i {
	case 0:
		return c.before * general
	case n:
		return c.after * general
	}
	from, to := c.middle(i-1), c.middle(i)
	return c.seconds[i-1] + (c.seconds[i]-c.seconds[i-1])*(p-from)/(to-from)
}
