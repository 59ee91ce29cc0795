package modbus

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	goburrow "github.com/goburrow/modbus"
	"pgregory.net/rapid"

	"github.com/busbar/busbar/telemetry"
)

// table is a device that has some registers and takes so many at a time.
type table struct {
	has      func(address int) bool
	limit    int
	tooLarge byte // the exception for more

	requests, refusals int
}

func (d *table) answer(c net.Conn, request []byte) error {
	d.requests++
	first, count := int(binary.BigEndian.Uint16(request[8:])), int(binary.BigEndian.Uint16(request[10:]))
	if count > d.limit {
		d.refusals++
		return write(c, refusal(request, d.tooLarge))
	}
	for a := first; a < first+count; a++ {
		if !d.has(a) {
			d.refusals++
			return write(c, refusal(request, 2))
		}
	}
	return write(c, answerTo(request))
}

func readerOf(t testing.TB, p *peer, d Device) (*reader, func()) {
	t.Helper()
	d.Endpoint, d.ID = p.endpoint(), "d"
	a, err := New(Config{Devices: []Device{d}})
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(t.Context(), a.units[0].endpoint, a.opener, new(busCounters))
	t.Cleanup(l.close)
	r := a.units[0].reader
	return r, func() {
		t.Helper()
		if err := r.poll(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
}

// readerIn is readerOf within a property: poll takes the present try, and nil when
// it is over.
func readerIn(t *rapid.T, p *peer, d Device) (*reader, func(*rapid.T)) {
	d.Endpoint, d.ID = p.endpoint(), "d"
	a, err := New(Config{Devices: []Device{d}})
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(context.Background(), a.units[0].endpoint, a.opener, new(busCounters))
	r := a.units[0].reader
	return r, func(t *rapid.T) {
		if t == nil {
			l.close()
			return
		}
		if err := r.poll(context.Background(), l); err != nil {
			t.Fatal(err)
		}
	}
}

func words(addresses ...int) (d Device) {
	for i, a := range addresses {
		d.Points = append(d.Points, Point{Signal: telemetry.SignalID(i + 1), Table: Holding, Type: Uint16, Address: uint16(a)})
	}
	return d
}

// manyHoles is every fourth register, with one that isn't there between each two.
var manyHoles = func() (list []int) {
	for a := range 150 {
		list = append(list, 4*a+1)
	}
	return list
}()

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// Whatever a device lacks, what it has is read by every poll, and in the end by
// hardly more requests than somebody would need who knew its tables.
func TestWhatADeviceHasIsReadFromTheFirstPoll(t *testing.T) {
	cases := map[string]struct {
		device   table
		points   []int
		requests int // in the end
	}{
		"holes":                {table{has: func(a int) bool { return a != 20 && a != 21 && a != 50 && (a < 90 || a > 99) }, limit: 125}, []int{0, 10, 19, 22, 35, 49, 51, 60, 75, 89, 100, 110}, 4},
		"points in holes":      {table{has: func(a int) bool { return a != 20 && a != 50 }, limit: 125}, upTo(100), 3},
		"at most 60":           {table{has: func(int) bool { return true }, limit: 60, tooLarge: 3}, upTo(120), 3},
		"at most 60, by 2":     {table{has: func(int) bool { return true }, limit: 60, tooLarge: 2}, upTo(120), 4},
		"at most 1":            {table{has: func(int) bool { return true }, limit: 1, tooLarge: 3}, upTo(16), 16},
		"many holes":           {table{has: func(a int) bool { return a%4 != 3 }, limit: 125}, manyHoles, len(manyHoles)},
		"holes and at most 30": {table{has: func(a int) bool { return a != 20 && a != 75 }, limit: 30, tooLarge: 3}, upTo(100), 8},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := startPeer(t)
			p.misbehave(c.device.answer)
			r, poll := readerOf(t, p, words(c.points...))
			for n := range 60 {
				poll()
				for i, s := range r.samples {
					a := c.points[i]
					want := telemetry.UintValue(uint64(registerOf(0, 3, a)))
					if c.device.has(a) && (s.Quality != 0 || s.Value != want) {
						t.Fatalf("poll %d: register %d is %v, %v; expected %v", n, a, s.Value, s.Quality, want)
					}
					if !c.device.has(a) && s.Quality.Reason() != telemetry.Refused {
						t.Fatalf("poll %d: register %d is %v, %v, and doesn't exist", n, a, s.Value, s.Quality)
					}
				}
			}
			before := c.device
			for i := range r.learned.absent {
				r.learned.absent[i].till = time.Now().Add(time.Hour)
			}
			r.replan(time.Now())
			poll()
			if n := c.device.requests - before.requests; n > c.requests || c.device.refusals != before.refusals {
				t.Errorf("%d requests, %d of them refused: %v; expected %d", n, c.device.refusals-before.refusals, r.requests, c.requests)
			}
		})
	}
}

// What a device takes of input registers says nothing about its holding registers, nor
// coils about discrete inputs.
func TestEachTableHasItsLimit(t *testing.T) {
	p := startPeer(t)
	most := map[byte]int{1: 100, 2: 2000, 3: 50, 4: 125} // by function
	refusals := 0
	p.misbehave(func(c net.Conn, request []byte) error {
		if int(binary.BigEndian.Uint16(request[10:])) > most[request[7]] {
			refusals++
			return write(c, refusal(request, 3))
		}
		return write(c, answerTo(request))
	})
	var d Device
	for i := range 250 {
		for _, table := range []Table{Input, Holding, Coil, Discrete} {
			typ := Uint16
			if !table.Registers() {
				typ = Bool
			}
			d.Points = append(d.Points, Point{Signal: telemetry.SignalID(len(d.Points) + 1), Table: table, Type: typ, Address: uint16(i)})
		}
	}
	r, poll := readerOf(t, p, d)
	for n := range 40 {
		if poll(); r.good != len(d.Points) {
			t.Fatalf("poll %d: %d of %d are good", n, r.good, len(d.Points))
		}
	}
	before := refusals
	poll()
	got := map[Table]int{}
	for _, request := range r.requests {
		got[request.table]++
	}
	if refusals != before || got[Input] != 2 || got[Holding] != 5 || got[Coil] != 3 || got[Discrete] != 1 {
		t.Errorf("%v, %d refused", r.requests, refusals-before)
	}
}

// A device that refuses for a while, as some do while they start, is read again
// soon, and by as few requests as before.
func TestRefusalsEnd(t *testing.T) {
	p := startPeer(t)
	r, poll := readerOf(t, p, words(upTo(50)...))
	r.PollEvery = time.Millisecond
	for _, code := range []byte{1, 2, 3, 4} {
		p.misbehave(func(c net.Conn, request []byte) error { return write(c, refusal(request, code)) })
		for range 10 {
			poll()
			if r.good != 0 || !r.answered {
				t.Fatalf("exception %d: %d good", code, r.good)
			}
		}
		p.misbehave(nil)
		for n := 0; r.good != 50 || len(r.requests) != 1; n++ {
			if n > 200 {
				t.Fatalf("exception %d: %d good by %v", code, r.good, r.requests)
			}
			time.Sleep(time.Millisecond)
			poll()
		}
	}
}

// A device that has refused everything for an hour is read as a whole as soon as it
// answers anything.
func TestAnHourOfRefusalsCostsNoFurtherHour(t *testing.T) {
	p := startPeer(t)
	p.misbehave(func(c net.Conn, request []byte) error { return write(c, refusal(request, 4)) })
	r, poll := readerOf(t, p, words(upTo(4)...))
	now := time.Unix(1_800_000_000, 0)
	r.now = func() time.Time { return now }
	for range 3600 {
		poll()
		now = now.Add(r.PollEvery)
	}
	p.misbehave(nil)
	for range 3 {
		poll()
		now = now.Add(r.PollEvery)
	}
	if r.good != 4 {
		t.Errorf("%d of 4 are good after three periods", r.good)
	}
}

// What a device hasn't got is asked for less and less often.
func TestAbsentRegistersCostLittle(t *testing.T) {
	p := startPeer(t)
	device := table{has: func(a int) bool { return a != 3 }, limit: 125}
	p.misbehave(device.answer)
	r, poll := readerOf(t, p, words(upTo(8)...))
	now := time.Unix(1_800_000_000, 0)
	r.now = func() time.Time { return now }
	const day = 24 * time.Hour
	for until := now.Add(10 * day); now.Before(until); now = now.Add(10 * time.Second) {
		if r.learned.due(now) || device.requests < 100 {
			poll()
		}
	}
	if device.refusals > 60 {
		t.Errorf("%d requests refused in ten days", device.refusals)
	}
	device.has = func(int) bool { return true }
	now = now.Add(day)
	poll()
	if r.good != 8 {
		t.Errorf("a day after the register came, %d are good", r.good)
	}
}

// A value of several registers, and a group, are never split, whatever the
// device refuses.
func TestNothingIsTorn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Point {
			return Point{
				Table: Holding, Type: rapid.SampledFrom([]Type{Uint16, Float32, Int64}).Draw(t, "type"),
				Address: uint16(rapid.IntRange(0, 150).Draw(t, "address")),
				Group:   rapid.SampledFrom([]string{"", "", "", "a"}).Draw(t, "group"),
			}
		}), 1, 40).Draw(t, "points")
		for i := range points {
			if points[i].Group != "" {
				points[i].Address %= 100
			}
		}
		items := itemsOf(points)
		k := newLearned(items, newLimits(Reads{}))
		now := time.Unix(0, 0)
		for range 30 {
			requests := k.plan(now)
			for len(requests) > 0 {
				r := requests[0]
				requests = requests[1:]
				for _, it := range r.items {
					if it.first < int(r.first) || it.end > int(r.first)+int(r.count) {
						t.Fatalf("%v doesn't hold %v", r, it)
					}
				}
				if len(r.items) == 1 && rapid.IntRange(0, 3).Draw(t, "answered") > 0 {
					k.has(r)
					continue
				}
				code := rapid.SampledFrom([]byte{0, 1, 2, 3, 4}).Draw(t, "exception")
				if code == 0 {
					k.has(r)
					continue
				}
				if parts := k.part(r, &goburrow.ModbusError{ExceptionCode: code}, now); parts != nil {
					if len(parts) == 1 && len(parts[0].items) == len(r.items) {
						t.Fatalf("%v is parted into itself", r)
					}
					requests = append(parts, requests...)
				} else {
					k.lacks(r, &goburrow.ModbusError{ExceptionCode: code}, now, time.Second)
				}
			}
			k.settle(now)
			now = now.Add(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "seconds")) * time.Second)
		}
	})
}
