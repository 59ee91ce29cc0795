package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/world"
)

// Storm draws faults of overhead lines, and of lines of which isn't known how
// they are built, as a Poisson process by length. It rises to its height in
// a third of its time and then dies down.
type Storm struct {
	// When it begins.
	At configfile.Duration `yaml:"at"`
	// How long it lasts.
	Lasts configfile.Duration `yaml:"lasts,required"`
	// How many faults there are for 100 km of line, in all of its time.
	Faults float64 `yaml:"faults,required"`
	// The share that is gone after a short time without voltage; default 0.7.
	Temporary float64 `yaml:"temporary"`
	// The share of one phase; default 0.6.
	OnePhase float64 `yaml:"one_phase"`
	// The share of the lasting ones that are broken conductors without a short
	// circuit; default 0.05.
	Broken float64 `yaml:"broken"`
	// How many cells there are where it is five times as strong, if positions are
	// known.
	Cells int `yaml:"cells"`
	// Their radius. Example: 3 km.
	Radius grid.Length `yaml:"radius"`
}

// SetDefaults says what holds where nothing is said.
func (s *Storm) SetDefaults() { s.Temporary, s.OnePhase, s.Broken = 0.7, 0.6, 0.05 }

func (s *Storm) check(wrong func(key, format string, args ...any)) {
	if s.Lasts <= 0 {
		wrong("lasts", "%v is no time above 0", s.Lasts)
	}
	if !(s.Faults > 0 && s.Faults <= 10000) {
		wrong("faults", "%v for 100 km, expected more than 0 and up to 10000", s.Faults)
	}
	for _, share := range []struct {
		key   string
		value float64
	}{{"temporary", s.Temporary}, {"one_phase", s.OnePhase}, {"broken", s.Broken}} {
		if !(share.value >= 0 && share.value <= 1) {
			wrong(share.key, "%v is no share from 0 to 1", share.value)
		}
	}
	if s.Cells < 0 || s.Cells > 1000 {
		wrong("cells", "%d, expected 0 to 1000", s.Cells)
	}
	if s.Cells > 0 && s.Radius == 0 {
		wrong("radius", "is missing; cells have one")
	}
}

// assumedLength is that of a line of which none is known.
const assumedLength = 100 // m

// draw is the storm's faults and their times, by lines in the order of the model.
func (s *Storm) draw(m *grid.Model, seed uint64, start int64) (faults []world.Fault, at []int64) {
	r := rand.New(rand.NewPCG(seed, 0x5707))
	positions := map[string]grid.Position{}
	var known []grid.Position
	for i := range m.Nodes {
		if p := m.Nodes[i].Position; p.Known {
			positions[m.Nodes[i].ID] = p
			known = append(known, p)
		}
	}
	var cells []grid.Position
	for range s.Cells {
		if len(known) > 0 {
			cells = append(cells, known[r.IntN(len(known))])
		}
	}
	for i := range m.Lines {
		l := &m.Lines[i]
		if l.Type == grid.Cable || l.OutOfService || !l.ValidAt(start) {
			continue
		}
		length := float64(l.Length)
		if length == 0 {
			length = assumedLength
		}
		mean := s.Faults * length / 100e3
		for _, c := range cells {
			if p, ok := positions[l.From]; ok && distance(m.Coordinates, p, c) < float64(s.Radius) {
				mean *= 5
				break
			}
		}
		for range poisson(r, mean) {
			faults = append(faults, s.one(r, l, len(faults)))
			at = append(at, start+time.Duration(s.At).Microseconds()+int64(triangle(r.Float64())*float64(time.Duration(s.Lasts).Microseconds())))
		}
	}
	return faults, at
}

// distance is in m, for places not too far apart.
func distance(in grid.Coordinates, a, b grid.Position) float64 {
	x, y := a.X-b.X, a.Y-b.Y
	if in == grid.WGS84 {
		const degree = 111.2e3
		x, y = x*degree*math.Cos(a.Y*math.Pi/180), y*degree
	}
	return math.Hypot(x, y)
}

func (s *Storm) one(r *rand.Rand, l *grid.Line, number int) world.Fault {
	f := world.Fault{ID: fmt.Sprintf("storm-%d", number+1), Asset: l.ID}
	has := l.Phases & grid.ABC
	if has == 0 {
		has = grid.ABC
	}
	if r.Float64() < s.OnePhase {
		for f.Phases = 1 << r.IntN(3); f.Phases&has == 0; {
			f.Phases = 1 << r.IntN(3)
		}
	}
	if r.Float64() < s.Temporary {
		// From flashovers to branches that must burn off.
		f.Clears = time.Duration(200+r.ExpFloat64()*1000) * time.Millisecond
		return f
	}
	if r.Float64() < s.Broken {
		f.Broken = true
	}
	return f
}

// poisson is how many there are of something of which there are mean on average.
func poisson(r *rand.Rand, mean float64) (n int) {
	for left := mean - r.ExpFloat64(); left > 0; left -= r.ExpFloat64() {
		n++
	}
	return n
}

// triangle is where in its time a fault happens: the inverse of the distribution
// whose density rises for a third and falls for two.
func triangle(u float64) float64 {
	const peak = 1.0 / 3
	if u < peak {
		return math.Sqrt(u * peak)
	}
	return 1 - math.Sqrt((1-u)*(1-peak))
}
