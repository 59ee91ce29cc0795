package asdu

import (
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What other stations send: the first ones are c104's (lib60870), and j60870's.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		want        Header
		objects     []Object
	}{
		{"interrogation", "64 01 06 00 2f 00 00 00 00 14", Header{Type: Interrogation, Cause: Activation, Address: 47}, []Object{{Qualifier: 20}}},
		{"a float, negative and under test", "0d 01 c3 05 01 00 e9 03 00 00 00 20 41 80", Header{Type: ShortFloat, Cause: Spontaneous, Negative: true, Test: true, Originator: 5, Address: 1},
			[]Object{{Address: 1001, Value: 10, Quality: Invalid}}},
		{"consecutive", "01 83 14 00 01 00 0a 00 00 01 10 71", Header{Type: SinglePoint, Cause: InterrogatedStation, Address: 1, Sequence: true},
			[]Object{{Address: 10, Value: 1}, {Address: 11, Quality: Blocked}, {Address: 12, Value: 1, Quality: Blocked | Substituted | NotTopical}}},
		{"apart", "03 02 03 00 01 00 0a 00 00 02 05 00 00 83", Header{Type: DoublePoint, Cause: Spontaneous, Address: 1},
			[]Object{{Address: 10, Value: 2}, {Address: 5, Value: 3, Quality: Invalid}}},
		{"a step", "05 01 03 00 01 00 01 00 00 ff 01", Header{Type: StepPosition, Cause: Spontaneous, Address: 1}, []Object{{Address: 1, Value: -1, Quality: Transient | Overflow}}},
		{"normalized", "09 01 03 00 01 00 01 00 00 00 80 00", Header{Type: Normalized, Cause: Spontaneous, Address: 1}, []Object{{Address: 1, Value: -1}}},
		{"a total", "0f 01 25 00 01 00 01 00 00 ff ff ff ff f3", Header{Type: Totals, Cause: InterrogatedCounters, Address: 1},
			[]Object{{Address: 1, Value: -1, Qualifier: 19, Quality: Carry | Adjusted | Invalid}}},
		{"a command", "2e 01 06 00 01 00 d1 07 00 86", Header{Type: DoubleCommand, Cause: Activation, Address: 1}, []Object{{Address: 2001, Value: 2, Qualifier: 1, Select: true}}},
		{"with a time", "1e 01 03 00 01 00 01 00 00 01 68 10 9e 8c 78 0b 1a", Header{Type: SinglePointTime56, Cause: Spontaneous, Address: 1},
			[]Object{{Address: 1, Value: 1, Time: Time{Form: Time56, Year: 2026, Month: 11, Day: 24, Hour: 12, Minute: 30, Millisecond: 4200, Summer: true, Invalid: true}}}},
		{"a reading", "66 01 05 00 01 00 01 00 00", Header{Type: Read, Cause: Requested, Address: 1}, []Object{{Address: 1}}},
	} {
		a, err := IEC104.Parse(bytesOf(t, c.bytes))
		if err != nil || a.Header != c.want || a.Len() != len(c.objects) {
			t.Errorf("%s: %+v, %v, expected %+v", c.name, a, err, c.want)
			continue
		}
		for i, want := range c.objects {
			if got := a.Object(i); got != want {
				t.Errorf("%s: %+v, expected %+v", c.name, got, want)
			}
		}
	}
}

// An ASDU is right as a whole or not read at all.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		want        error
	}{
		{"nothing", "", ErrLength},
		{"half a header", "01 01 03 00 01", ErrLength},
		{"no object", "01 00 03 00 01 00", ErrEmpty},
		{"no object, consecutive", "01 80 03 00 01 00 01 00 00", ErrEmpty},
		{"two octets too many", "0d 01 03 00 01 00 01 00 00 00 00 20 41 00 00 00", ErrLength},
		{"one octet missing", "0d 01 03 00 01 00 01 00 00 00 00 20 41", ErrLength},
		{"one object too few", "01 02 03 00 01 00 01 00 00 01", ErrLength},
		{"no cause", "01 01 00 00 01 00 01 00 00 01", ErrCause},
		{"beyond the last address", "01 82 03 00 01 00 ff ff ff 01 01", errBeyond},
	} {
		if a, err := IEC104.Parse(bytesOf(t, c.bytes)); !errors.Is(err, c.want) || a.Len() != 0 {
			t.Errorf("%s: %+v, %v, expected %v", c.name, a, err, c.want)
		}
	}
	a, err := IEC104.Parse(bytesOf(t, "7d 01 03 00 02 00 01 00 00 01"))
	if unknown := UnknownTypeError(0); !errors.As(err, &unknown) || unknown != 125 || a.Address != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

// What is written is what is read, of each type and each size of the fields.
func TestWriting(t *testing.T) {
	at := TimeOf(time.Date(2026, 7, 1, 12, 30, 59, 999_000_000, time.UTC))
	types := 0
	for _, p := range []Params{IEC104, IEC101, {Cause: 2, Address: 1, Object: 1}} {
		for i := range 256 {
			l, known := Type(i).layout()
			if !known {
				continue
			}
			types++
			h := Header{Type: Type(i), Cause: Spontaneous, Address: 200}
			objects := []Object{{Address: 7}, {Address: 8}}
			for j := range objects {
				o := &objects[j]
				switch l.element {
				case siq, sco:
					o.Value = 1
				case diq, sep, dco, rco:
					o.Value = 2
				case vti:
					o.Value, o.Quality = -64, Transient
				case nva, nvaAlone, nvaSet, nvaParameter:
					o.Value = -0.5
				case sva, svaSet, svaParameter, bcr:
					o.Value = -32768
				case float, floatSet, floatParameter:
					o.Value = 0.25
				case bsi, bsiAlone, scd:
					o.Value = math.MaxUint32
				case spe, oci, pattern, counter:
					o.Value = 0xAA
				}
				switch l.element {
				case siq, diq, vti, bsi, scd, nva, sva, float, sep, spe, oci:
					o.Quality |= Invalid | NotTopical
				case bcr:
					o.Quality, o.Qualifier = Carry|Invalid, 31
				case sco, dco, rco, nvaSet, svaSet, floatSet:
					o.Qualifier, o.Select = 31, true
				case qualifier, coi, nvaParameter, svaParameter, floatParameter:
					o.Qualifier = 255
				}
				switch l.element {
				case sep, spe, oci, delay:
					o.Elapsed = 59_999
				}
				switch l.time {
				case 3:
					o.Time = at.Short()
				case 7:
					o.Time = at
				}
			}
			for _, h.Sequence = range []bool{false, true} {
				b, err := p.Append(nil, h, objects)
				if err != nil {
					t.Fatalf("%v: %v", h.Type, err)
				}
				a, err := p.Parse(b)
				if err != nil || a.Header != h || a.Len() != 2 || a.Object(0) != objects[0] || a.Object(1) != objects[1] {
					t.Errorf("%v: % x is %+v, %v, expected %+v", h.Type, b, a, err, objects)
				}
			}
		}
	}
	if types != 3*59 {
		t.Errorf("%d", types)
	}
}

func TestWhatCantBeWritten(t *testing.T) {
	h := Header{Type: SinglePoint, Cause: Spontaneous, Address: 1}
	with := func(change func(*Header)) Header { c := h; change(&c); return c }
	for name, c := range map[string]struct {
		h       Header
		objects []Object
	}{
		"a value":           {h, []Object{{Value: 2}}},
		"no number":         {h, []Object{{Value: math.NaN()}}},
		"an address":        {h, []Object{{Address: 1 << 24}}},
		"none":              {h, nil},
		"too many":          {h, make([]Object, 61)},
		"a type":            {with(func(h *Header) { h.Type = 120 }), []Object{{}}},
		"no cause":          {with(func(h *Header) { h.Cause = 0 }), []Object{{}}},
		"a hole":            {with(func(h *Header) { h.Sequence = true }), []Object{{Address: 1}, {Address: 3}}},
		"normalized":        {with(func(h *Header) { h.Type = Normalized }), []Object{{Value: 1}}},
		"a float":           {with(func(h *Header) { h.Type = ShortFloat }), []Object{{Value: 1e39}}},
		"a qualifier":       {with(func(h *Header) { h.Type = SingleCommand }), []Object{{Qualifier: 32}}},
		"without its time":  {with(func(h *Header) { h.Type = SinglePointTime56 }), []Object{{}}},
		"a fraction":        {with(func(h *Header) { h.Type = Scaled }), []Object{{Value: 0.5}}},
		"beyond a position": {with(func(h *Header) { h.Type = StepPosition }), []Object{{Value: 64}}},
	} {
		if b, err := IEC104.Append([]byte{1}, c.h, c.objects); err == nil || len(b) != 1 {
			t.Errorf("%s: % x", name, b)
		}
	}
	if _, err := IEC101.Append(nil, with(func(h *Header) { h.Address = 256 }), []Object{{}}); err == nil {
		t.Error("an address of two octets in one")
	}
	if n := IEC104.Fits(SinglePoint); n != 60 {
		t.Errorf("%d", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"64 01 06 00 2f 00 00 00 00 14", "01 83 14 00 01 00 0a 00 00 01 10 71", "1e 01 03 00 01 00 01 00 00 01 68 10 9e 8c 78 0b 1a",
		"0d 01 03 00 01 00 01 00 00 00 00 20 41 00 00 00", "26 01 03 00 01 00 01 00 00 02 ff ff 68 10 9e 8c 78 0b 1a",
	} {
		f.Add(bytesOf(f, seed), uint8(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, sizes uint8) {
		p := Params{Cause: 1 + int(sizes&1), Address: 1 + int(sizes>>1&1), Object: 1 + int(sizes>>2)%3}
		a, err := p.Parse(b)
		if err != nil {
			return
		}
		var objects []Object
		for i := range a.Len() {
			o := a.Object(i)
			if math.IsNaN(o.Value) { // its bits needn't be kept
				return
			}
			o.Time.In(time.UTC)
			o.Time.Near(time.Unix(0, 0))
			_ = o.Time.String()
			objects = append(objects, o)
		}
		if len(b) > MaxLen {
			return
		}
		again, err := p.Append(nil, a.Header, objects)
		if err != nil {
			t.Fatalf("% x can't be written again: %v", b, err)
		}
		if c, err := p.Parse(again); err != nil || c.Header != a.Header {
			t.Fatalf("% x becomes % x: %v", b, again, err)
		} else {
			for i, o := range objects {
				if o.Time.Year > 2099 {
					continue // it can't be one, and isn't written
				}
				if got := c.Object(i); got != o {
					t.Fatalf("% x becomes % x: %+v, then %+v", b, again, o, got)
				}
			}
		}
	})
}

func TestNothingAllocates(t *testing.T) {
	b := bytesOf(t, "1e 02 03 00 01 00 01 00 00 01 68 10 1e 0c 78 0b 1a 02 00 00 01 68 10 1e 0c 78 0b 1a")
	dst := make([]byte, 0, MaxLen)
	objects := make([]Object, 2)
	if n := testing.AllocsPerRun(100, func() {
		a, _ := IEC104.Parse(b)
		for i := range a.Len() {
			objects[i] = a.Object(i)
			objects[i].Time.In(time.UTC)
		}
		dst, _ = IEC104.Append(dst[:0], a.Header, objects)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkParse reads float values with a time, 16 an ASDU.
func BenchmarkParse(b *testing.B) {
	objects := make([]Object, IEC104.Fits(ShortFloatTime56))
	for i := range objects {
		objects[i] = Object{Address: uint32(i), Value: 1.5, Time: TimeOf(time.Now())}
	}
	bytes, err := IEC104.Append(nil, Header{Type: ShortFloatTime56, Cause: Spontaneous, Address: 1}, objects)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	points := 0
	for b.Loop() {
		a, _ := IEC104.Parse(bytes)
		for i := range a.Len() {
			o := a.Object(i)
			if _, ok := o.Time.In(time.UTC); !ok {
				b.Fatal("no time")
			}
		}
		points += a.Len()
	}
	b.ReportMetric(float64(points)/b.Elapsed().Seconds(), "points/s")
}
