package explain

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

func frames(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// However frames are cut into pieces, they are the same.
func TestPiecesOfAStream(t *testing.T) {
	b := frames(t, "680407000000"+"680e0000000064010600010000000014"+"681902000200240103000100010000000020410098"+"3a1e8b1b0b1a")
	want := []string{
		"STARTDT act", "I N(S)=0 N(R)=0  C_IC_NA activation, station 1: QOI 20",
		"I N(S)=1 N(R)=1  M_ME_TF spontaneous, station 1: 1 = 10 at 2026-11-27 11:30:15.000 SU",
	}
	for size := 1; size <= len(b); size++ {
		s := Stream{Params: asdu.IEC104}
		var got []string
		for at := 0; at < len(b); at += size {
			got = append(got, s.Take(b[at:min(len(b), at+size)])...)
		}
		if got = append(got, s.End()...); !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d: %q", size, got)
		}
	}
}

func TestWhatAnASDUSays(t *testing.T) {
	for text, want := range map[string]string{
		"2d010600010001000081":     "C_SC_NA activation, station 1: 1 = 1 select",
		"2e014700010001000006":     "C_DC_NA activation confirmed, negative, station 1: 1 = 2 execute QU 1",
		"0b0103000100010000bffe81": "M_ME_NB spontaneous, station 1: 1 = -321 (OV IV)",
		"01020300010001000001":     "bad: ASDU of 10 octets, M_SP_NA: its length isn't what its type and number of objects ask for: 01020300010001000001",
		"fa010300010001000001":     "bad: ASDUs of type 250 aren't known: fa010300010001000001",
		"":                         "bad: empty ASDU: its length isn't what its type and number of objects ask for: ",
	} {
		if got := ASDU(asdu.IEC104, frames(t, text)); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add(frames(f, "680407000000680e0000000064010600010000000014"), true, false)
	f.Add(frames(f, "1049014a16e568080868080164010701000076"+"16"), false, true)
	f.Fuzz(func(t *testing.T, b []byte, two, serial bool) {
		s := Stream{Params: asdu.IEC104, Serial: serial, Link: 1}
		if !two {
			s.Params = asdu.IEC101
		}
		n := len(s.Take(b[:len(b)/2])) + len(s.Take(b[len(b)/2:])) + len(s.End())
		if n == 0 && len(b) > 0 {
			t.Fatalf("% x is passed over", b)
		}
	})
}
