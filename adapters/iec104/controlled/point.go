package controlled

import (
	"cmp"
	"fmt"
	"math"
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
	// Latest is that of changes that wait only the last is told, as of a measurement. Else each
	// is an event: every valid value that isn't that before, in order.
	Latest bool
	// Deadband is by how much the value has to be another one than was told last, for it to
	// be told; of one that is Latest.
	Deadband float64

	Value   float64 // as in asdu.Object
	Quality asdu.Quality

	was   float64 // the last value that was an event, or that was to be told
	known bool    // there is one
	last  uint64  // the number of its last event
	fresh uint32  // groups that haven't been told what it is, by their bits
	at    asdu.Time
}

// told is the type by which its last change is told.
func (p *Point) told() asdu.Type {
	if p.at.Form == asdu.NoTime {
		return p.Type
	}
	return timed[p.Type]
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
	Doubted bool       // the time may not be right
	Cause   asdu.Cause // 0: Spontaneous; or ReturnRemote, ReturnLocal
	// Past is that the point has become something else since: it is an event, and the point
	// stays what it is.
	Past bool
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
		one.was, one.known = one.Value, one.Quality&asdu.Invalid == 0
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

// Tell changes a point. What is an event is told to each group of masters, in the order of
// the calls, and is of a point that isn't Latest: a valid value other than the one before,
// or return information. Of what else has changed, its quality, or the value of a point that
// is Latest, the last is told. The error is that there is no such point, or that its type
// doesn't hold the value; then nothing has changed.
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
		e.object.Time.Invalid = c.Doubted
	}
	if _, err := s.config.Params.Append(nil, asdu.Header{Type: e.of, Cause: e.cause, Address: e.station}, []asdu.Object{e.object}); err != nil {
		return err
	}
	valid, returned := c.Quality&asdu.Invalid == 0, e.cause != asdu.Spontaneous
	if c.Past {
		if valid && !p.Quiet && !p.Latest {
			s.note(p, e, true)
		}
		return nil
	}
	requalified := p.Quality != c.Quality
	p.Value, p.Quality, p.at = c.Value, c.Quality, e.object.Time
	switch changed := valid && (!p.known || c.Value != p.was); {
	case p.Quiet:
	case returned, changed && p.known && !p.Latest:
		if valid {
			p.was, p.known = c.Value, true
		}
		s.note(p, e, false)
	case p.Latest && (requalified || valid && math.Abs(c.Value-p.was) > p.Deadband), !p.Latest && (requalified || changed):
		if changed && !p.Latest && s.config.Journal != nil { // from which the next change is one
			s.config.Journal.Keep(Kept{Station: c.Station, Type: p.Type, Object: p.object()})
		}
		if valid {
			p.was, p.known = c.Value, true
		}
		s.freshen(p)
	}
	return nil
}

// note makes an event of a point. s.mu is held.
func (s *Server) note(p *Point, e event, past bool) {
	s.record(e, past, nil)
	p.last = s.events
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
