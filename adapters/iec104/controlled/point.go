package controlled

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// Point is an object that is told.
type Point struct {
	Station uint16 // common address
	Address uint32 // of the information object
	// Type is one without time: SinglePoint, DoublePoint, StepPosition, Bitstring,
	// Normalized, Scaled, ShortFloat or Totals. It is told so when it is asked for. A change
	// is told as the type with seven octets of time, if it has one.
	Type asdu.Type
	// Group is that of interrogation, 1 to 16, or of counter interrogation for totals, 1 to
	// 4; 0: none.
	Group uint8
	// Quiet is that changes aren't told; it is only asked for.
	Quiet bool
	// Fleeting is that a change isn't kept for a master which doesn't take it at the moment:
	// it asks for the present value when it comes.
	Fleeting bool

	Value   float64 // as in asdu.Object
	Quality asdu.Quality
}

// timed is the type by which a change is told.
var timed = map[asdu.Type]asdu.Type{
	asdu.SinglePoint: asdu.SinglePointTime56, asdu.DoublePoint: asdu.DoublePointTime56, asdu.StepPosition: asdu.StepPositionTime56,
	asdu.Bitstring: asdu.BitstringTime56, asdu.Normalized: asdu.NormalizedTime56, asdu.Scaled: asdu.ScaledTime56,
	asdu.ShortFloat: asdu.ShortFloatTime56, asdu.Totals: asdu.TotalsTime56,
}

// Control is an object that can be commanded.
type Control struct {
	Station uint16
	Address uint32
	Type    asdu.Type // one without time: commands with time are taken as well
	Select  bool      // it has to be selected before it is executed; or else it can't be
}

// key is where an object is.
type key struct {
	station uint16
	address uint32
}

func (k key) String() string { return fmt.Sprintf("object %d of station %d", k.address, k.station) }

// Change is what has become of a point.
type Change struct {
	Station uint16
	Address uint32
	Value   float64
	Quality asdu.Quality
	At      time.Time  // zero: it is told without time
	Cause   asdu.Cause // 0: Spontaneous; or ReturnRemote, ReturnLocal
}

// table is the objects that there are.
type table struct {
	points   map[key]*Point
	controls map[key]Control
	stations []uint16
	// order is the points of each station, by type and address.
	order map[uint16][]*Point
}

func newTable(p asdu.Params, points []Point, controls []Control) (*table, error) {
	t := &table{points: map[key]*Point{}, controls: map[key]Control{}, order: map[uint16][]*Point{}}
	for _, one := range points {
		k := key{one.Station, one.Address}
		most := uint8(16)
		if one.Type == asdu.Totals {
			most = 4
		}
		switch _, has := t.points[k]; {
		case has:
			return nil, fmt.Errorf("iec104: there are two points at %v", k)
		case timed[one.Type] == 0:
			return nil, fmt.Errorf("iec104: %v: %v isn't the type of a point", k, one.Type)
		case one.Group > most:
			return nil, fmt.Errorf("iec104: %v: group %d, expected 0 to %d", k, one.Group, most)
		}
		if err := t.add(p, k, one.Type, asdu.Object{Value: one.Value, Quality: one.Quality}); err != nil {
			return nil, err
		}
		t.points[k] = &one
		t.order[one.Station] = append(t.order[one.Station], &one)
	}
	for _, c := range controls {
		k := key{c.Station, c.Address}
		_, has := t.controls[k]
		if _, told := t.points[k]; has || told {
			return nil, fmt.Errorf("iec104: there are two objects at %v", k)
		}
		if !c.Type.Commands() || c.Type.Timed() > 0 {
			return nil, fmt.Errorf("iec104: %v: %v isn't the type of a command without time", k, c.Type)
		}
		if err := t.add(p, k, c.Type, asdu.Object{}); err != nil {
			return nil, err
		}
		t.controls[k] = c
	}
	for _, list := range t.order {
		slices.SortFunc(list, func(a, b *Point) int {
			return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Address, b.Address))
		})
	}
	slices.Sort(t.stations)
	return t, nil
}

// add notes the station, and checks that the object can be written at all.
func (t *table) add(p asdu.Params, k key, of asdu.Type, o asdu.Object) error {
	o.Address = k.address
	if _, err := p.Append(nil, asdu.Header{Type: of, Cause: asdu.Requested, Address: k.station}, []asdu.Object{o}); err != nil {
		return err
	}
	if k.station == 0 || k.station == p.Broadcast() || k.address == 0 {
		return fmt.Errorf("iec104: %v: 0 is no address of a station or an object, and %d means all stations", k, p.Broadcast())
	}
	if !slices.Contains(t.stations, k.station) {
		t.stations = append(t.stations, k.station)
	}
	return nil
}

// object is the point as it is asked for.
func (p *Point) object() asdu.Object {
	return asdu.Object{Address: p.Address, Value: p.Value, Quality: p.Quality}
}

// Tell changes a point. It is told to each group of masters, in the order of the calls;
// what is as it was isn't told, but as return information. The error is that there is no
// such point, or that its type doesn't hold the value; then nothing has changed.
func (s *Server) Tell(c Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{c.Station, c.Address}
	p, has := s.table.points[k]
	if !has {
		return fmt.Errorf("iec104: there is no %v", k)
	}
	e := event{station: c.Station, of: p.Type, cause: cmp.Or(c.Cause, asdu.Spontaneous), object: asdu.Object{Address: c.Address, Value: c.Value, Quality: c.Quality}}
	if !c.At.IsZero() {
		e.of, e.object.Time = timed[p.Type], asdu.TimeOf(c.At.In(s.config.Zone))
	}
	if _, err := s.config.Params.Append(nil, asdu.Header{Type: e.of, Cause: e.cause, Address: e.station}, []asdu.Object{e.object}); err != nil {
		return err
	}
	same := p.Value == c.Value && p.Quality == c.Quality
	p.Value, p.Quality = c.Value, c.Quality
	if !p.Quiet && !(same && e.cause == asdu.Spontaneous) {
		s.record(e, !p.Fleeting)
	}
	return nil
}

// Point is what a point is at the moment.
func (s *Server) Point(station uint16, address uint32) (p Point, has bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, has := s.table.points[key{station, address}]; has {
		return *p, true
	}
	return Point{}, false
}
