package modbus

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

// inverter is a device that shows one voltage by several raw values, with factors
// that it changes when it likes: between two answers, never within one.
type inverter struct {
	*peer
	values  []int // addresses
	factor  map[int]int
	has     func(address int) bool
	limit   int
	changes func() bool // before the next answer
	now     int         // in ways
	asked   []request
}

// ways are what it shows, all of them 230 V: any other combination isn't.
var ways = []struct{ raw, factor int16 }{{2300, -1}, {230, 0}, {23, 1}, {23000, -2}}

func startInverter(t testing.TB) *inverter {
	d := &inverter{peer: startPeer(t), factor: map[int]int{}, limit: 125}
	d.misbehave(d.answer)
	return d
}

func (d *inverter) device() Device {
	var device Device
	for i, a := range d.values {
		f := uint16(d.factor[a])
		device.Points = append(device.Points, Point{Signal: telemetry.SignalID(i + 1), Name: "V", Table: Holding, Type: Uint16, Address: uint16(a), Factor: &f})
	}
	return device
}

func (d *inverter) answer(c net.Conn, message []byte) error {
	first, count := int(binary.BigEndian.Uint16(message[8:])), int(binary.BigEndian.Uint16(message[10:]))
	d.asked = append(d.asked, request{table: Holding, first: uint16(first), count: uint16(count)})
	if d.changes != nil && d.changes() {
		d.now = (d.now + 1) % len(ways)
	}
	if count > d.limit {
		return write(c, refusal(message, 3))
	}
	data := make([]byte, 2*count)
	for a := first; a < first+count; a++ {
		if d.has != nil && !d.has(a) {
			return write(c, refusal(message, 2))
		}
		if slices.Contains(d.values, a) {
			binary.BigEndian.PutUint16(data[2*(a-first):], uint16(ways[d.now].raw))
		}
		for _, f := range d.factor {
			if f == a {
				binary.BigEndian.PutUint16(data[2*(a-first):], uint16(ways[d.now].factor))
			}
		}
	}
	return write(c, frame(message, append([]byte{3, byte(len(data))}, data...)))
}

// good is how many samples are the voltage; there may be others without a value,
// but none with a wrong one.
func (d *inverter) good(t interface{ Fatalf(string, ...any) }, r *reader) (n int) {
	for i, s := range r.samples {
		v, number := s.Value.Float()
		if good := s.Quality.Validity() == telemetry.Good; good && number && v == 230 {
			n++
		} else if good || number {
			t.Fatalf("value %d at %d with its factor at %d is %v, %v", i, d.values[i], d.factor[d.values[i]], s.Value, s.Quality)
		}
	}
	if n != r.good {
		t.Fatalf("%d good samples are counted as %d", n, r.good)
	}
	return n
}

// Whatever lies where, and whenever the device changes its factors: never a wrong
// value, and as soon as it doesn't, all of them.
func TestAFactorIsThatOfItsValue(t *testing.T) {
	p := startPeer(t)
	rapid.Check(t, func(t *rapid.T) {
		d := &inverter{peer: p, factor: map[int]int{}, limit: rapid.SampledFrom([]int{125, 125, 60, 10}).Draw(t, "limit")}
		address := rapid.IntRange(0, rapid.SampledFrom([]int{40, 150, 400}).Draw(t, "span"))
		places := rapid.SliceOfNDistinct(address, 2, 25, rapid.ID[int]).Draw(t, "addresses")
		factors := places[:rapid.IntRange(1, min(6, len(places)-1)).Draw(t, "factors")]
		for _, a := range places[len(factors):] {
			d.values, d.factor[a] = append(d.values, a), rapid.SampledFrom(factors).Draw(t, "factor")
		}
		if rapid.Bool().Draw(t, "holes") {
			d.has = func(a int) bool { return slices.Contains(places, a) }
		}
		device := d.device()
		device.Reads.Single = rapid.IntRange(0, 5).Draw(t, "single") == 0
		p.misbehave(d.answer)
		r, poll := readerIn(t, p, device)
		defer poll(nil)
		moods := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "moods"), 0))
		for range 6 {
			left := len(ways) - 1 // a factor that is what it was before can't be told
			d.changes = func() bool {
				changes := left > 0 && moods.IntN(4) == 0
				if changes {
					left--
				}
				return changes
			}
			poll(t)
			d.good(t, r)
		}
		d.changes = nil
		for n := 0; ; n++ {
			if poll(t); d.good(t, r) == len(d.values) {
				break
			}
			if n > 20 {
				t.Fatalf("%d of %d are good, by %v", r.good, len(d.values), r.requests)
			}
		}
		// And with a few changes, as real devices make them, there still are.
		d.asked = nil
		poll(t)
		quiet := len(d.asked)
		left := 1
		d.changes = func() bool { left--; return left == quiet/2 }
		if poll(t); d.good(t, r) != len(d.values) {
			t.Fatalf("%d of %d are good when a factor changes once, by %v", r.good, len(d.values), d.asked)
		}
	})
}

// A factor comes by the request for its value wherever that reaches, also across
// more registers than are otherwise read along.
func TestAFactorComesWithItsValue(t *testing.T) {
	cases := map[string]struct {
		factor map[int]int
		limit  int // as configured
		want   []string
	}{
		"near":                          {map[int]int{0: 4, 1: 4}, 0, []string{"holding 0+5"}},
		"beyond a gap":                  {map[int]int{0: 100}, 0, []string{"holding 0+101"}},
		"before its value":              {map[int]int{100: 0}, 0, []string{"holding 0+101"}},
		"beyond a gap, one stands near": {map[int]int{0: 100, 130: 131}, 0, []string{"holding 0+101", "holding 130+2"}},
		"where a request ends":          {map[int]int{0: 1, 5: 6, 20: 21, 120: 130}, 0, []string{"holding 0+22", "holding 120+11"}},
		"chained":                       {map[int]int{0: 60, 50: 110, 105: 140}, 0, []string{"holding 110+1", "holding 0+61", "holding 105+36"}},
		"out of reach":                  {map[int]int{0: 200}, 0, []string{"holding 200+1", "holding 0+1"}},
		"one of two out of reach":       {map[int]int{0: 60, 70: 60, 160: 60}, 100, []string{"holding 60+1", "holding 0+71", "holding 160+1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := startInverter(t)
			for a, f := range c.factor {
				d.values, d.factor[a] = append(d.values, a), f
			}
			slices.Sort(d.values)
			device := d.device()
			device.Reads.MaxRegisters = c.limit
			r, poll := readerOf(t, d.peer, device)
			var got []string
			for _, request := range r.requests {
				got = append(got, request.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, expected %v", got, c.want)
			}
			poll()
			if n := d.good(t, r); n != len(d.values) {
				t.Errorf("%d of %d are good", n, len(d.values))
			}
			if most := len(r.requests) + len(r.scales.again); len(d.asked) > most {
				t.Errorf("%d requests were made, %v; expected at most %d", len(d.asked), d.asked, most)
			}
		})
	}
}

// A value whose factor is out of reach is asked for again when that has changed, and
// has no value when it changes all the time.
func TestAFactorThatChangesAroundItsValue(t *testing.T) {
	d := startInverter(t)
	d.values, d.factor[0] = []int{0}, 200
	r, poll := readerOf(t, d.peer, d.device())
	poll()
	if got := len(d.asked); got != 3 || d.good(t, r) != 1 {
		t.Fatalf("%d good by %v, expected factor, value, factor", r.good, d.asked)
	}
	for at := range 3 {
		n := 0
		d.asked, d.changes = nil, func() bool { n++; return n == at+1 }
		if poll(); d.good(t, r) != 1 {
			t.Errorf("changed before request %d: no value by %v", at, d.asked)
		}
	}
	d.asked, d.changes = nil, func() bool { return true }
	if poll(); d.good(t, r) != 0 || r.samples[0].Quality.Reason() != telemetry.Malformed {
		t.Errorf("%v of a factor that changes all the time", r.samples[0])
	}
	if len(d.asked) > 10 {
		t.Errorf("%d requests", len(d.asked))
	}
	d.changes = nil
	if poll(); d.good(t, r) != 1 {
		t.Errorf("%v afterwards", r.samples[0])
	}
}

// A factor that the device hasn't got, or doesn't implement, leaves no value.
func TestAFactorThatIsntThere(t *testing.T) {
	d := startInverter(t)
	d.values, d.factor[0], d.factor[1] = []int{0, 1}, 200, 2
	d.has = func(a int) bool { return a != 200 }
	r, poll := readerOf(t, d.peer, d.device())
	for range 3 {
		poll()
		if d.good(t, r) != 1 || r.samples[0].Quality.Reason() != telemetry.Refused {
			t.Fatalf("%v", r.samples)
		}
	}
	d.has = nil
	was := ways[0].factor
	defer func() { ways[0].factor = was }()
	ways[0].factor = math.MinInt16
	r, poll = readerOf(t, d.peer, d.device())
	if poll(); r.good != 0 || r.samples[0].Quality.Reason() != telemetry.NotImplemented || r.samples[1].Quality.Reason() != telemetry.NotImplemented {
		t.Errorf("%v", r.samples)
	}
}
