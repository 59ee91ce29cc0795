package sml

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/obis"
)

// The elements of files, as meters write them.
func octet(content string) []byte { return append([]byte{byte(len(content) + 1)}, content...) }

func number(k kind, v int64, size int) []byte {
	e := []byte{byte(k)<<4 | byte(size+1)}
	for i := size - 1; i >= 0; i-- {
		e = append(e, byte(v>>(8*i)))
	}
	return e
}

func listOf(elements ...[]byte) []byte {
	head := []byte{0x70 | byte(len(elements))}
	if n := len(elements); n > 15 {
		head = []byte{0xF0 | byte(n>>4), byte(n & 15)}
	}
	return append(head, bytes.Join(elements, nil)...)
}

var none = []byte{0x01}

func messageOf(tag int64, body []byte) []byte {
	m := append([]byte{0x76}, octet("\x00\x01")...)
	m = append(m, number(unsigned, 0, 1)...)
	m = append(m, number(unsigned, 0, 1)...)
	m = append(m, listOf(number(unsigned, tag, 4), body)...)
	crc := x25(m)
	return append(m, 0x63, byte(crc), byte(crc>>8), 0)
}

func register(code string, unit, scaler, value []byte) []byte {
	return listOf(octet(code), none, none, unit, scaler, value, none)
}

// test is a file with registers of every kind.
func test() []byte {
	unit := func(u int64) []byte { return number(unsigned, u, 1) }
	scaler := func(s int64) []byte { return number(integer, s, 1) }
	entries := [][]byte{
		register("\x81\x81\xC7\x82\x03\xFF", none, none, octet("BUS")),
		register("\x01\x00\x00\x00\x09\xFF", none, none, octet("\x09\x01BUS\x00\x01\x02\x03")),
		listOf(octet("\x01\x00\x01\x08\x00\xFF"), number(unsigned, 0x1C0104, 4), listOf(number(unsigned, 1, 1), number(unsigned, 12345, 4)), unit(30), scaler(-1), number(unsigned, 123456789, 8), none),
		register("\x01\x00\x01\x08\x01\xFF", unit(30), scaler(-1), number(unsigned, 100000000, 5)),
		register("\x01\x00\x02\x08\x00\xFF", unit(30), scaler(-1), number(integer, 987654, 5)),
		register("\x01\x00\x10\x07\x00\xFF", unit(27), none, number(integer, -1503, 4)),
		register("\x01\x00\x20\x07\x00\xFF", unit(35), scaler(-1), number(unsigned, 2301, 2)),
		register("\x01\x00\x1F\x07\x00\xFF", unit(33), scaler(-2), number(integer, 152, 2)),
		register("\x01\x00\x0E\x07\x00\xFF", unit(44), scaler(-1), number(unsigned, 500, 2)),
		register("\x01\x00\x51\x07\x01\xFF", unit(8), none, number(unsigned, 120, 1)),
		register("\x01\x00\x60\x32\x01\x01", none, none, octet("BUS")),
	}
	open := listOf(none, none, octet("\x00\x01"), octet("\x09\x01BUS\x00\x01\x02\x03"), none, none)
	values := listOf(none, octet("\x09\x01BUS\x00\x01\x02\x03"), none, none, listOf(entries...), none, none)
	return slices.Concat(messageOf(0x101, open), messageOf(0x701, values), messageOf(0x201, listOf(none)))
}

// framed puts the transport around a file.
func framed(file []byte) []byte {
	out := slices.Clone(begin)
	padding := (4 - len(file)%4) % 4
	for _, part := range bytes.SplitAfter(append(slices.Clone(file), make([]byte, padding)...), escape) {
		out = append(out, part...)
		if bytes.HasSuffix(part, escape) {
			out = append(out, escape...)
		}
	}
	out = append(append(out, escape...), 0x1A, byte(padding))
	crc := x25(out)
	return append(out, byte(crc), byte(crc>>8))
}

func said(registers []obis.Register) string {
	var list []string
	for _, r := range registers {
		name, kind := r.Name()
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s=%v %s", name, r.Value, r.Unit))+" "+string(kind))
	}
	return strings.Join(list, "\n")
}

func TestRegisters(t *testing.T) {
	got, err := Parse(nil, test())
	want := `OBIS.r129_129_199_130_3=BUS state
MtrId=090142555300010203 state
DmdWh=1.23456789e+07 W.h counter
DmdWh.tariff1=1e+07 W.h counter
SupWh=98765.4 W.h counter
TotW=-1503 W gauge
PhV.phsA=230.1 V gauge
A.phsA=1.52 A gauge
Hz=50 Hz gauge
OBIS.r1_0_81_7_1=120 deg gauge
Maker=BUS state`
	if err != nil || said(got) != want {
		t.Errorf("%v\n%s", err, said(got))
	}
	// A register without a value, or of what isn't known, costs the others nothing.
	strange := listOf(none, none, none, none, listOf(
		register("\x01\x00\x24\x07\x00\xFF", number(unsigned, 27, 1), none, none),
		register("\x01\x00\x24", none, none, number(unsigned, 1, 1)),
		register("\x01\x00\x38\x07\x00\xFF", none, number(integer, 100, 1), number(unsigned, 1, 1)),
		register("\x01\x00\x4C\x07\x00\xFF", number(unsigned, 27, 1), none, listOf(none, none)),
		register("\x01\x00\x4C\x07\x00\xFF", number(unsigned, 27, 1), none, number(integer, -7, 1)),
	), none, none)
	if got, err = Parse(nil, messageOf(getListResponse, strange)); err != nil || said(got) != "W.phsC=-7 W gauge" {
		t.Errorf("%v\n%s", err, said(got))
	}
}

// However the bytes come, and wherever it begins, the files are found, and nothing else.
func TestStream(t *testing.T) {
	file := test()
	escaped := append(slices.Clone(file), messageOf(0x701, listOf(none, none, none, none, listOf(register("\x01\x00\x60\x01\x00\xFF", none, none, octet("a\x1B\x1B\x1B\x1Bb\x1B"))), none, none))...)
	spoilt := framed(file)
	spoilt[60] ^= 4
	kermitted := framed(file)
	crc := kermit(kermitted[:len(kermitted)-2])
	kermitted[len(kermitted)-2], kermitted[len(kermitted)-1] = byte(crc), byte(crc>>8)
	stream := slices.Concat(framed(file)[100:], framed(file), []byte("noise\x1B\x1B"), framed(escaped), spoilt, framed(file)[:200], framed(file), kermitted,
		begin, bytes.Repeat([]byte{0x42}, 20_000), framed(file))
	want := [][]byte{file, escaped, file, file, file}
	random := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{1, 5, 300, len(stream)} {
		var s Splitter
		found, wrong := 0, 0
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(most))
			s.Write(rest[:n], func(got []byte, err error) {
				switch {
				case err != nil:
					wrong++
				case found < len(want) && !bytes.Equal(got, want[found]):
					t.Errorf("in pieces of up to %d: another file than the %d.", most, found)
					found++
				default:
					found++
				}
			})
			rest = rest[n:]
		}
		if found != len(want) || wrong != 3 {
			t.Errorf("in pieces of up to %d: %d files, %d wrong ones", most, found, wrong)
		}
	}
}

func TestWhatIsNotBelieved(t *testing.T) {
	whole := test()
	deep := bytes.Repeat([]byte{0x71}, 100)
	for want, file := range map[string][]byte{
		"ends within an element":  whole[:len(whole)/2],
		"the checksum is wrong":   bytes.Replace(whole, []byte("\x01\x00\x01\x08\x00\xFF"), []byte("\x01\x00\x02\x08\x00\xFF"), 1),
		"without a register":      messageOf(0x101, listOf(none)),
		"lists more than 12 deep": append(append([]byte{0x76}, octet("")...), deep...),
		"a list of":               {0xF0, 0x8F, 0x8F, 0x0F},
		"no list of 6":            {0x75, 1, 1, 1, 1, 1},
		"the kind 1":              {0x76, 0x12, 1, 1, 1, 1, 1},
		"shorter than":            {0x76, 0x00, 1, 1, 1, 1, 1},
	} {
		if _, err := Parse(nil, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(test())
	f.Add(bytes.Repeat([]byte{0x71}, 300))
	f.Add([]byte{0xF0, 0x80, 0x80, 0x0F, 0x01})
	f.Fuzz(func(t *testing.T, file []byte) {
		registers, err := Parse(nil, file)
		if err == nil && len(registers) > len(file) {
			t.Errorf("%d registers in %d bytes", len(registers), len(file))
		}
		for _, r := range new(obis.Derivation).Derive(registers, time.Time{}) {
			r.Name()
		}
		// What its checksum would stop, it shouldn't be needed for.
		c := cursor{file}
		values(nil, &c)
	})
}

func FuzzStream(f *testing.F) {
	f.Add(framed(test()), uint8(7))
	f.Add(bytes.Repeat(escape, 30), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		var whole, pieces [][]byte
		keep := func(to *[][]byte) func([]byte, error) {
			return func(file []byte, err error) {
				if err == nil {
					*to = append(*to, slices.Clone(file))
				}
			}
		}
		var a, b Splitter
		a.Write(stream, keep(&whole))
		for piece := range slices.Chunk(stream, 1+int(size)) {
			b.Write(piece, keep(&pieces))
		}
		if !slices.EqualFunc(whole, pieces, bytes.Equal) {
			t.Errorf("%d files at once, %d in pieces", len(whole), len(pieces))
		}
	})
}

func BenchmarkFile(b *testing.B) {
	stream := framed(test())
	var s Splitter
	var registers []obis.Register
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		s.Write(stream, func(file []byte, err error) {
			if err == nil {
				registers, err = Parse(registers[:0], file)
			}
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
