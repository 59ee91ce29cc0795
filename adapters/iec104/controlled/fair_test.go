package controlled

import (
	"log/slog"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// station is one whose session is driven by hand: each call of next is what goes out.
func station(t *testing.T, points []Point) (*Server, func() asdu.ASDU) {
	t.Helper()
	c := Default
	c.Events = 100_000
	s, err := New(c, points, nil, &plant{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	v := newSession(s, s.queues[0], nil, "by hand")
	v.serving = true
	request, err := asdu.IEC104.Append(nil, asdu.Header{Type: asdu.Interrogation, Cause: asdu.Activation, Address: 1}, []asdu.Object{{Qualifier: asdu.StationInterrogation}})
	if err != nil {
		t.Fatal(err)
	}
	v.take(t.Context(), request)
	return s, func() asdu.ASDU {
		v.prepare()
		if v.out == nil {
			t.Fatal("nothing goes out")
		}
		a, err := c.Params.Parse(v.out.asdu)
		if err != nil {
			t.Fatal(err)
		}
		if v.out.events != nil {
			v.queue.flying = v.queue.flying[1:] // the master acknowledges it
		}
		v.out = nil
		return a
	}
}

// An interrogation of very many points holds up no event, nor do events that never end hold
// up the interrogation.
func TestFair(t *testing.T) {
	const many = 100_000
	points := []Point{{Station: 1, Address: 1, Type: asdu.SinglePoint}, {Station: 1, Address: 2, Type: asdu.ShortFloat, Latest: true}}
	for i := range uint32(many) {
		points = append(points, Point{Station: 1, Address: 10 + i, Type: asdu.ShortFloat})
	}
	s, next := station(t, points)
	asked, events, fresh, between := 0, 0, 0, 0
	for n := 0; ; n++ {
		for _, c := range []Change{{Address: 1, Value: float64(1 - n%2)}, {Address: 2, Value: float64(n)}} {
			c.Station, c.At = 1, time.Now()
			if err := s.Tell(c); err != nil {
				t.Fatal(err)
			}
		}
		a := next()
		switch {
		case a.Type == asdu.Interrogation && a.Cause == asdu.ActivationTermin:
			if asked != many+2 {
				t.Errorf("%d points are told, expected %d", asked, many+2)
			}
			if events < n/4 || fresh < n/4 {
				t.Errorf("of %d messages, %d were of events, and %d of what is fresh", n, events, fresh)
			}
			return
		case a.Cause.Interrogated():
			asked += a.Len()
			if between++; between > 2 {
				t.Fatalf("%d messages of an interrogation go before an event that waits", between)
			}
		case a.Type == asdu.SinglePointTime56:
			events, between = events+1, 0
		case a.Type == asdu.ShortFloatTime56:
			fresh++
		}
	}
}

// What an interrogation tells of a point is never ahead of an event that goes behind it.
func TestInterrogationInOrder(t *testing.T) {
	s, next := station(t, []Point{{Station: 1, Address: 1, Type: asdu.Bitstring}})
	number, told := 0, -1.0
	for {
		for range 2 { // faster than they go out
			number++
			if err := s.Tell(Change{Station: 1, Address: 1, Value: float64(number), At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		a := next()
		if a.Type == asdu.Interrogation && a.Cause == asdu.ActivationTermin {
			break
		}
		if a.Type != asdu.Bitstring && a.Type != asdu.BitstringTime56 {
			continue
		}
		if v := a.Object(0).Value; v < told {
			t.Fatalf("%v is told after %v", v, told)
		} else {
			told = v
		}
	}
}

// Of a measurement the last change is told, unless it is within the deadband of what was
// told; its quality is told always.
func TestLatest(t *testing.T) {
	s, next := station(t, []Point{{Station: 1, Address: 1, Type: asdu.ShortFloat, Latest: true, Deadband: 1}})
	var list []asdu.Object
	tell := func(values ...float64) {
		for _, v := range values {
			c := Change{Station: 1, Address: 1, Value: v, At: time.Now()}
			if v < 0 {
				c.Quality = asdu.Invalid
			}
			if err := s.Tell(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for a := next(); a.Cause != asdu.ActivationTermin; a = next() {
	}
	for _, values := range [][]float64{{5, 6, 7}, {7.5, 8.5}, {9, -1}, {9}} {
		tell(values...)
		a := next()
		for a.Type != asdu.ShortFloatTime56 {
			a = next()
		}
		list = append(list, a.Object(0))
	}
	tell(9.9)
	if n := len(s.queues[0].fresh); n != 0 {
		t.Errorf("%d are to be told within the deadband", n)
	}
	if p, _ := s.Point(1, 1); p.Value != 9.9 {
		t.Errorf("it is asked for as %v", p.Value)
	}
	if list[0].Value != 7 || list[1].Value != 8.5 || list[2].Quality != asdu.Invalid || list[3].Value != 9 || list[3].Quality != 0 {
		t.Errorf("%+v", list)
	}
}
