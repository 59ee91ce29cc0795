package p1

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/obis"
)

// fixture is a telegram of testdata as it travels, with a checksum if it is to have one.
func fixture(t testing.TB, name string, checked bool) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	if !checked {
		return text
	}
	return seal(text[:len(text)-2])
}

// seal puts the checksum behind a telegram that ends with !.
func seal(telegram []byte) []byte {
	return fmt.Appendf(slices.Clone(telegram), "%04X\r\n", checksum(telegram))
}

func amsterdam(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// names is what a telegram says, by the names of signals.
func names(registers []obis.Register) string {
	var list []string
	for _, r := range new(obis.Derivation).Derive(registers, time.Time{}) {
		name, kind := r.Name()
		text := fmt.Sprintf("%s=%v", name, r.Value)
		if r.Unit != "" {
			text += " " + r.Unit
		}
		text += " " + string(kind)
		if !r.Time.IsZero() {
			text += " " + r.Time.UTC().Format("01-02T15:04:05")
		}
		list = append(list, text)
	}
	return strings.Join(list, "\n")
}

func TestSignals(t *testing.T) {
	for name, want := range map[string]string{
		"dsmr5": `Ver=50 state
MtrId=BUSBAR00000000001 state
DmdWh.tariff1=4.321567e+06 W.h counter
DmdWh.tariff2=7.654321e+06 W.h counter
SupWh.tariff1=12345 W.h counter
SupWh.tariff2=23456 W.h counter
Tariff=2 state
DmdW=1193 W gauge
SupW=0 W gauge
Intr.short=14 counter
Intr.long=3 counter
Sag.phsA=2 counter
Sag.phsB=1 counter
Sag.phsC=0 counter
Swell.phsA=0 counter
Swell.phsB=3 counter
Swell.phsC=0 counter
Msg=Hello meter state
PhV.phsA=230.1 V gauge
PhV.phsB=229.8 V gauge
PhV.phsC=231 V gauge
A.phsA=2 A gauge
A.phsB=3 A gauge
A.phsC=0 A gauge
DmdW.phsA=493 W gauge
DmdW.phsB=700 W gauge
DmdW.phsC=0 W gauge
SupW.phsA=0 W gauge
SupW.phsB=0 W gauge
SupW.phsC=0 W gauge
Gas1.Id=BUSBARGAS00000001 state
Gas1.Vol=2785.123 m3 counter 11-27T05:40:00
Water2.Id=BUSBARWAT00000001 state
Water2.Vol=123.456 m3 counter 11-27T05:40:00
TotW=1193 W gauge
W.phsA=493 W gauge
W.phsB=700 W gauge
W.phsC=0 W gauge
DmdWh=1.1975888e+07 W.h counter
SupWh=35801 W.h counter`,
		"dsmr3": `MtrId=BUSBAR03 state
DmdWh.tariff1=185000 W.h counter
DmdWh.tariff2=84000 W.h counter
SupWh.tariff1=13000 W.h counter
SupWh.tariff2=19000 W.h counter
Tariff=1 state
DmdW=980 W gauge
SupW=0 W gauge
LimW=999000 W gauge
Pos=1 state
MsgCode= state
Msg= state
Gas1.Id=BUSBARG3 state
Gas1.Vol=24.123 m3 counter 10-30T13:00:00
Gas1.Valve=1 state
TotW=980 W gauge
DmdWh=269000 W.h counter
SupWh=32000 W.h counter`,
		"fluvius": `Ver=50217 state
MtrId=BUSBARBE state
DmdWh.tariff1=34 W.h counter
DmdWh.tariff2=15758 W.h counter
SupWh.tariff1=0 W.h counter
SupWh.tariff2=11 W.h counter
DmdW.avg=2351 W gauge
DmdW.max=2589 W gauge 11-09T12:45:58
Tariff=1 state
DmdW=0 W gauge
SupW=0 W gauge
DmdW.phsA=0 W gauge
SupW.phsA=0 W gauge
PhV.phsA=234.7 V gauge
A.phsA=0 A gauge
Pos=1 state
LimW=999900 W gauge
LimA=999 A gauge
Msg= state
Gas1.Id=BUSBARGB state
Gas1.Valve=1 state
Gas1.Vol=112.384 m3 counter 11-27T05:35:00
Water2.Id=BUSBARWB state
Water2.Vol=872.234 m3 counter 11-27T05:34:58
TotW=0 W gauge
W.phsA=0 W gauge
DmdWh=15792 W.h counter
SupWh=11 W.h counter`,
	} {
		got, err := Parse(fixture(t, name, name != "dsmr3"), amsterdam(t))
		if err != nil || got.Broken != 0 {
			t.Errorf("%s: %v, %d lines are broken", name, err, got.Broken)
			continue
		}
		if said := names(got.Registers); said != want {
			t.Errorf("%s:\n%s", name, said)
		}
	}
}

func TestFailureLog(t *testing.T) {
	got, err := Parse(fixture(t, "dsmr5", true), amsterdam(t))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range got.Failures {
		said = append(said, f.End.UTC().Format(time.RFC3339)+" "+f.Lasted.String())
	}
	want := "2020-11-24T14:24:15Z 4m0s 2020-10-25T00:30:00Z 5m1s 2020-06-12T07:15:00Z 24h1m3s"
	if strings.Join(said, " ") != want {
		t.Error(said)
	}
	for log, failures := range map[string]int{
		"(0)(0-0:96.7.19)": 0, "()": 0, "(0)": 0,
		"(1)(0-0:96.7.19)(201024152415W)(0000000240*s)":                              1,
		"(1)(0-0:96.7.19)(201024152415W)":                                            0,
		"(2)(0-0:96.7.19)(201324152415W)(0000000240*s)(201024152415W)(0000000240*s)": 1,
		"(1)(0-0:96.7.19)(201024152415W)(9999999999*s)":                              0,
		"(1)(0-0:96.7.21)(201024152415W)(0000000240*s)":                              0,
	} {
		got, err := Parse(seal([]byte("/X\r\n\r\n1-0:1.7.0(1*kW)\r\n1-0:99.97.0"+log+"\r\n!")), time.UTC)
		if err != nil || len(got.Failures) != failures {
			t.Errorf("%s: %v, %v", log, got.Failures, err)
		}
	}
}

// The hour of autumn that there are two of, and what is no time.
func TestTimes(t *testing.T) {
	zone := amsterdam(t)
	for text, want := range map[string]string{
		"201025023000S": "2020-10-25T00:30:00Z", "201025023000W": "2020-10-25T01:30:00Z",
		"200329013000W": "2020-03-29T00:30:00Z", "200329033000S": "2020-03-29T01:30:00Z",
		"200701120000": "2020-07-01T10:00:00Z", "000101000000W": "1999-12-31T23:00:00Z",
		"201325023000S": "", "201025243000S": "", "201025023000X": "", "2010250230": "", "20102502300AS": "", "": "",
	} {
		got, err := ParseTime([]byte(text), zone)
		if (err == nil) != (want != "") || err == nil && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v, expected %s", text, got.UTC(), err, want)
		}
	}
}

func TestWhatIsNotBelieved(t *testing.T) {
	whole := fixture(t, "dsmr5", true)
	flipped := slices.Clone(whole)
	flipped[bytes.Index(flipped, []byte("1.193"))+2] ^= 1
	cut := slices.Clone(whole[:len(whole)-6])
	for want, telegram := range map[string][]byte{
		"the checksum is": flipped,
		"a telegram of version 50 without a checksum": append(cut, "\r\n"...),
		"expected four hexadecimal digits":            append(slices.Clone(cut), "12G4\r\n"...),
		"a byte 0x80":                                 []byte("/X\r\n1-0:1.7.0(\x80*kW)\r\n!\r\n"),
		"without a register":                          []byte("/X\r\n!\r\n"),
		"begins with /":                               []byte("X"),
	} {
		if _, err := Parse(telegram, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
	// A line that can't be read doesn't stop the others.
	got, err := Parse(seal([]byte("/X\r\n\r\nrubbish\r\n1-0:1.7.0(1.5*kW)\r\n1-0:999.7.0(1)\r\n1-0:2.7.0(2*kW\r\n0-1:24.2.1(209999999999W)(1*m3)\r\n!")), time.UTC)
	if err != nil || len(got.Registers) != 1 || got.Broken != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

// However the bytes come, and wherever it begins, the telegrams are found, and nothing else.
func TestStream(t *testing.T) {
	whole := fixture(t, "dsmr5", true)
	other := fixture(t, "fluvius", true)
	stream := slices.Concat(whole[len(whole)/2:], whole, []byte("\r\n\x00noise\r\n"), other, whole[:400], whole, bytes.Repeat([]byte{'/', 'x'}, 20_000), []byte("\r\n"), other)
	random := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{1, 7, 100, 5000, len(stream)} {
		var s Splitter
		var found [][]byte
		wrong := 0
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(most))
			s.Write(rest[:n], func(telegram []byte, err error) {
				if err == nil {
					_, err = Parse(telegram, time.UTC)
				}
				if err != nil {
					wrong++
					return
				}
				found = append(found, slices.Clone(telegram))
			})
			rest = rest[n:]
		}
		if len(found) != 4 || !bytes.Equal(found[0], whole) || !bytes.Equal(found[1], other) || !bytes.Equal(found[2], whole) || !bytes.Equal(found[3], other) || wrong < 2 {
			t.Errorf("in pieces of up to %d: %d telegrams, %d wrong ones", most, len(found), wrong)
		}
		if cap(s.buffer) > 4*longest {
			t.Errorf("it keeps %d bytes", cap(s.buffer))
		}
	}
}

func FuzzTelegram(f *testing.F) {
	for _, name := range []string{"dsmr5", "dsmr3", "fluvius"} {
		f.Add(fixture(f, name, name != "dsmr3"))
	}
	f.Add([]byte("/X\r\n1-0:99.97.0(1)(0-0:96.7.19)(\r\n!\r\n"))
	f.Add(append(bytes.Repeat([]byte("("), 1000), "/\n!\n"...))
	zone := amsterdam(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Splitter
		s.Write(data, func(telegram []byte, err error) {
			if err != nil {
				return
			}
			if end := bytes.LastIndexByte(telegram, '!'); end >= 0 { // behind the checksum as well
				telegram = seal(telegram[:end+1])
			}
			if got, err := Parse(telegram, zone); err == nil {
				for _, r := range new(obis.Derivation).Derive(got.Registers, time.Time{}) {
					r.Name()
				}
			}
		})
	})
}

func BenchmarkTelegram(b *testing.B) {
	whole, zone := fixture(b, "dsmr5", true), amsterdam(b)
	var s Splitter
	b.SetBytes(int64(len(whole)))
	b.ReportAllocs()
	for b.Loop() {
		s.Write(whole, func(telegram []byte, err error) {
			if _, err := Parse(telegram, zone); err != nil {
				b.Fatal(err)
			}
		})
	}
}
