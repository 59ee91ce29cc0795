package iec104

import "slices"

// places are the objects that are points, in the order of their addresses, of which no two
// are the same. There are tens of thousands of them, of which a map would take thrice as
// much.
type places []place

// place is where a point is: common address and address of the object, and its number.
type place struct {
	station uint16
	object  uint32
	point   int32
}

func (p place) compare(q place) int {
	if p.station != q.station {
		return int(p.station) - int(q.station)
	}
	return int(p.object) - int(q.object)
}

func placesOf(points []Point) places {
	all := make(places, len(points))
	for i, p := range points {
		all[i] = place{p.Station, p.Object, int32(i)}
	}
	slices.SortFunc(all, place.compare)
	return all
}

// point is the number of the point at a place.
func (p places) point(station uint16, object uint32) (n int, known bool) {
	i, known := slices.BinarySearchFunc(p, place{station: station, object: object}, place.compare)
	if !known {
		return 0, false
	}
	return int(p[i].point), true
}
