package modbus

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// gapOf is the standard's limits, and a gap.
func gapOf(registers int) limits {
	l := newLimits(Reads{})
	l.gap = registers
	return l
}

func TestPlan(t *testing.T) {
	at := func(table Table, typ Type, addresses ...uint16) []Point {
		var points []Point
		for _, a := range addresses {
			points = append(points, Point{Table: table, Type: typ, Address: a})
		}
		return points
	}
	run := func(table Table, typ Type, first, n, step int) []Point {
		var points []Point
		for i := range n {
			points = append(points, Point{Table: table, Type: typ, Address: uint16(first + i*step)})
		}
		return points
	}
	join := func(lists ...[]Point) []Point {
		var points []Point
		for _, l := range lists {
			points = append(points, l...)
		}
		return points
	}
	cases := []struct {
		name   string
		points []Point
		gap    int
		want   []string
	}{
		{"neighbours", at(Input, Float32, 4, 0, 2), 16, []string{"input 0+6"}},
		{"gap at the limit", at(Holding, Uint16, 0, 17), 16, []string{"holding 0+18"}},
		{"gap beyond the limit", at(Holding, Uint16, 0, 18), 16, []string{"holding 0+1", "holding 18+1"}},
		{"no gap", at(Holding, Uint16, 0, 1, 3), 0, []string{"holding 0+2", "holding 3+1"}},
		{"125 registers", run(Holding, Uint16, 100, 125, 1), 16, []string{"holding 100+125"}},
		{"126 registers", run(Holding, Uint16, 100, 126, 1), 16, []string{"holding 100+125", "holding 225+1"}},
		{"63 floats: the last isn't split", run(Holding, Float32, 0, 63, 2), 16, []string{"holding 0+124", "holding 124+2"}},
		{"32 doubles: the last isn't split", run(Holding, Float64, 0, 32, 4), 16, []string{"holding 0+124", "holding 124+4"}},
		{"2001 coils", run(Coil, Bool, 0, 2001, 1), 16, []string{"coil 0+2000", "coil 2000+1"}},
		{"gap of coils at the limit", at(Coil, Bool, 0, 257), 16, []string{"coil 0+258"}},
		{"gap of coils beyond the limit", at(Coil, Bool, 0, 258), 16, []string{"coil 0+1", "coil 258+1"}},
		{"tables apart", join(at(Input, Uint16, 1), at(Holding, Uint16, 0), at(Discrete, Bool, 2), at(Coil, Bool, 3)), 16,
			[]string{"coil 3+1", "discrete 2+1", "holding 0+1", "input 1+1"}},
		{"overlapping", join(at(Input, Float64, 0), at(Input, Uint16, 1), at(Input, Uint16, 1)), 16, []string{"input 0+4"}},
		{"overlapping at the limit", join(run(Input, Uint16, 0, 124, 1), at(Input, Float32, 123, 124)), 16,
			[]string{"input 0+125", "input 124+2"}},
		{"the end", at(Input, Uint16, 65535, 65530), 16, []string{"input 65530+6"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, r := range plan(itemsOf(c.points), gapOf(c.gap), func(cut) bool { return false }) {
				got = append(got, r.String())
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, expected %v", got, c.want)
			}
		})
	}
}

func inputs(addresses ...int) []Point {
	points := words(addresses...).Points
	for i := range points {
		points[i].Table = Input
	}
	return points
}

func TestPlanAsDevicesLikeIt(t *testing.T) {
	word := func(a uint16, group string) Point {
		return Point{Table: Holding, Type: Uint16, Address: a, Group: group}
	}
	coil := func(a uint16) Point { return Point{Table: Coil, Type: Bool, Address: a} }
	cases := map[string]struct {
		reads  Reads
		points []Point
		want   []string
	}{
		"at most 60 input registers": {Reads{MaxInputRegisters: 60}, slices.Concat(words(0, 15, 30, 45, 60).Points, inputs(0, 15, 30, 45, 60)),
			[]string{"holding 0+61", "input 0+46", "input 60+1"}},
		"at most 60 registers": {Reads{MaxRegisters: 60}, []Point{word(0, ""), word(10, ""), word(60, "")}, []string{"holding 0+11", "holding 60+1"}},
		"at most 8 coils":      {Reads{MaxBits: 8}, []Point{coil(0), coil(7), coil(8)}, []string{"coil 0+8", "coil 8+1"}},
		"one by one":           {Reads{Single: true}, []Point{word(0, ""), word(1, ""), word(2, "a"), word(3, "a")}, []string{"holding 0+1", "holding 1+1", "holding 2+2"}},
		"coils from zero":      {Reads{BitsFromZero: true}, []Point{coil(3), coil(10), coil(900), word(9, "")}, []string{"coil 0+901", "holding 9+1"}},
		"a group is one instant, whatever lies between": {Reads{MaxGap: -1}, []Point{word(0, ""), word(1, "a"), word(50, ""), word(100, "a")},
			[]string{"holding 0+101"}},
		"a group isn't split": {Reads{}, append(wordsUpTo(60), word(60, "a"), word(130, "a")), []string{"holding 0+60", "holding 60+71"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range plan(itemsOf(c.points), newLimits(c.reads), func(cut) bool { return false }) {
				got = append(got, r.String())
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, expected %v", got, c.want)
			}
		})
	}
	for reads, want := range map[Reads]string{
		{}: `group "a": holding 0 to 125 is more than one request takes, 125`,
		{MaxRegisters: 2, BitsFromZero: true, MaxBits: 16}: `point "": coil 0 to 16 is more than one request takes, 16` + "\n" +
			`group "a": holding 0 to 125 is more than one request takes, 2`,
	} {
		d := Device{Points: []Point{word(0, "a"), word(125, "a"), coil(16)}, Reads: reads}
		if err := errors.Join(d.CheckRequests()...); err == nil || err.Error() != want {
			t.Errorf("%v, expected %s", err, want)
		}
	}
}

func wordsUpTo(n int) []Point {
	var points []Point
	for a := range n {
		points = append(points, Point{Table: Holding, Type: Uint16, Address: uint16(a)})
	}
	return points
}

func TestPlanCoversEachPointOnce(t *testing.T) {
	kinds := []struct {
		table Table
		typ   Type
	}{{Coil, Bool}, {Discrete, Bool}, {Input, Int16}, {Input, Float32}, {Holding, Uint16}, {Holding, Uint32}, {Holding, Float64}}
	rapid.Check(t, func(t *rapid.T) {
		gap := rapid.IntRange(0, 40).Draw(t, "gap")
		points := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Point {
			k := rapid.SampledFrom(kinds).Draw(t, "kind")
			top := rapid.SampledFrom([]int{100, 4000, 65535}).Draw(t, "top")
			return Point{Table: k.table, Type: k.typ, Address: uint16(rapid.IntRange(0, top+1-Point{Type: k.typ}.Size()).Draw(t, "address"))}
		}), 1, 300).Draw(t, "points")

		seen := make([]int, len(points))
		for _, r := range plan(itemsOf(points), gapOf(gap), func(cut) bool { return false }) {
			limit, maxGap := 125, gap
			if r.table == Coil || r.table == Discrete {
				limit, maxGap = 2000, 16*gap
			}
			if r.count == 0 || int(r.count) > limit || int(r.first)+int(r.count) > 65536 {
				t.Fatalf("%v is beyond the limits", r)
			}
			wanted := make([]bool, r.count)
			for _, it := range r.items {
				for _, p := range it.points {
					seen[p]++
					point := points[p]
					offset := int(point.Address) - int(r.first)
					if point.Table != r.table || offset < 0 || offset+point.Size() > int(r.count) {
						t.Fatalf("%v doesn't hold %+v", r, point)
					}
					for i := range point.Size() {
						wanted[offset+i] = true
					}
				}
			}
			if !wanted[0] || !wanted[r.count-1] {
				t.Fatalf("%v reads beyond its points", r)
			}
			unwanted := 0
			for _, w := range wanted {
				if unwanted++; w {
					unwanted = 0
				}
				if unwanted > maxGap {
					t.Fatalf("%v reads over more than %d", r, maxGap)
				}
			}
		}
		for i, n := range seen {
			if n != 1 {
				t.Fatalf("point %d is read %d times", i, n)
			}
		}
	})
}
