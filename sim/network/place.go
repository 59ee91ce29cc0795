package network

import (
	"math"
	"math/rand/v2"

	"github.com/busbar/busbar/grid"
)

// place is one in the plane around the network's middle, in m to the east and to
// the north.
type place struct{ x, y float64 }

// heading is a direction, counter-clockwise from the east.
type heading float64

func (p place) towards(h heading, metres float64) place {
	return place{p.x + metres*math.Cos(float64(h)), p.y + metres*math.Sin(float64(h))}
}

func (p place) to(q place) float64 { return math.Hypot(q.x-p.x, q.y-p.y) }

// bent is a direction that is up to so much of a right angle off.
func (h heading) bent(r *rand.Rand, by float64) heading {
	return h + heading((2*r.Float64()-1)*by*math.Pi/2)
}

// position is a place in the model's coordinates, to about 1 m.
func (b *builder) position(p place) grid.Position {
	const metres = 111_320 // to a degree
	round := func(x float64) float64 { return math.Round(x*1e5) / 1e5 }
	return grid.PositionAt(
		round(b.Longitude+p.x/(metres*math.Cos(b.Latitude*math.Pi/180))),
		round(b.Latitude+p.y/metres))
}

// between is a number from one to the other.
func between(r *rand.Rand, from, to float64) float64 { return from + r.Float64()*(to-from) }

// metres is a length to a whole one.
func metres(x float64) grid.Length { return grid.Length(max(1, math.Round(x))) }
