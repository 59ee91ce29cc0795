package modbus

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

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
			for _, r := range plan(c.points, c.gap) {
				got = append(got, r.String())
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, expected %v", got, c.want)
			}
		})
	}
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
			return Point{Table: k.table, Type: k.typ, Address: uint16(rapid.IntRange(0, top+1-k.typ.Registers()).Draw(t, "address"))}
		}), 1, 300).Draw(t, "points")

		seen := make([]int, len(points))
		for _, r := range plan(points, gap) {
			limit, maxGap := 125, gap
			if r.table == Coil || r.table == Discrete {
				limit, maxGap = 2000, 16*gap
			}
			if r.count == 0 || int(r.count) > limit || int(r.first)+int(r.count) > 65536 {
				t.Fatalf("%v is beyond the limits", r)
			}
			wanted := make([]bool, r.count)
			for _, p := range r.points {
				seen[p.point]++
				point := points[p.point]
				if point.Table != r.table || int(r.first)+p.offset != int(point.Address) || p.offset+point.Type.Registers() > int(r.count) {
					t.Fatalf("%v doesn't hold %+v at %d", r, point, p.offset)
				}
				for i := range point.Type.Registers() {
					wanted[p.offset+i] = true
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
