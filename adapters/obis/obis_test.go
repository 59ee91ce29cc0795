package obis

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func TestCodes(t *testing.T) {
	for text, want := range map[string]string{
		"1-0:1.8.0": "1-0:1.8.0", "1-0:1.8.0*255": "1-0:1.8.0", "1-0:1.8.0*01": "1-0:1.8.0*1", "1.8.0&2": "1-0:1.8.0*2",
		"0-0:96.7.21": "0-0:96.7.21", "1.8.0": "1-0:1.8.0", "32.7": "1-0:32.7.0", "C.1.0": "0-0:96.1.0", "F.F": "0-0:97.97.0", "L.1.0*126": "0-0:98.1.0*126",
		"129-129:199.130.3*255": "129-129:199.130.3",
		"":                      "", "1": "", "1-0": "", "1-0:1": "", "256.8.0": "", "1.8.0*": "", "1.8.0.0": "", "x.8.0": "", "1-0:1.8.0 ": "", "0001.8.0": "1-0:1.8.0", "00001.8.0": "",
	} {
		c, err := ParseCode([]byte(text))
		if err == nil && c.String() != want || (err == nil) != (want != "") {
			t.Errorf("%q: %s, %v, expected %q", text, c, err, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"000123.456*kWh": "123456 W.h", "01.193*kW": "1193 W", "0.1*kWh": "100 W.h", "230.1*V": "230.1 V", "1*m3": "1 m3", "12.5*GJ": "1.25e+10 J",
		"-1.5*kW": "-1500 W", "+2": "2 ", "9007199254740991": "9.007199254740991e+15 ", "3*furlong": "3 ", "5*KWH": "5000 W.h", "50*MA": "50 ", "50*mA": "0.05 A",
		"": "-", "*kWh": "-", "1.2.3": "-", "12a": "-", "99999999999999999999": "-", "-": "-", ".": "-",
	} {
		n, unit, ok := Measured([]byte(text))
		got := "-"
		if ok {
			got = telemetry.FloatValue(n.Float()).String() + " " + unit
		}
		if got != want {
			t.Errorf("%q: %s, expected %s", text, got, want)
		}
	}
	for _, c := range []struct {
		n    Number
		want float64
	}{{Number{1, 22}, 1e22}, {Number{3, -1}, 0.3}, {Number{math.MaxInt64, 0}, math.MaxInt64}, {Number{0, 400}, 0}, {Number{1, 400}, math.Inf(1)}} {
		if got := c.n.Float(); got != c.want {
			t.Errorf("%+v: %v", c.n, got)
		}
	}
}

func TestNames(t *testing.T) {
	number := telemetry.FloatValue(1)
	for text, want := range map[string]string{
		"1-0:1.8.0 W.h": "DmdWh counter", "1-0:2.8.3 W.h": "SupWh.tariff3 counter", "1-1:1.8.0 W.h": "DmdWh counter", "1-0:41.8.0 W.h": "DmdWh.phsB counter",
		"1-0:5.8.0 varh": "TotVArhImpQ1 counter", "1-0:16.7.0 W": "TotW gauge", "1-0:76.7.0 W": "W.phsC gauge", "1-0:9.7.0 V.A": "TotVA gauge", "1-0:29.7.0 V.A": "VA.phsA gauge",
		"1-0:13.7.0 ": "TotPF gauge", "1-0:33.7.0 ": "PF.phsA gauge", "1-0:14.7.0 Hz": "Hz gauge", "1-0:91.7.0 A": "A.neut gauge", "1-0:32.32.0 ": "Sag.phsA counter", "1-0:72.36.0 ": "Swell.phsC counter",
		"1-0:1.6.1 W": "DmdW.max.tariff1 gauge", "1-0:1.8.0*3 W.h": "OBIS.r1_0_1_8_0_3 counter",
		// A heat meter's energy has the code of reactive energy, and another unit.
		"1-0:6.8.0 W.h": "OBIS.r1_0_6_8_0 counter", "1-0:81.7.1 deg": "OBIS.r1_0_81_7_1 gauge", "6-0:1.0.0 W.h": "OBIS.r6_0_1_0_0 gauge", "1-0:80.7.0 W": "OBIS.r1_0_80_7_0 gauge",
		"0-0:96.7.9 ": "Intr.long counter", "0-1:96.7.9 ": "OBIS.r0_1_96_7_9 gauge",
	} {
		code, unit, _ := strings.Cut(text, " ")
		c, err := ParseCode([]byte(code))
		name, kind := Register{Code: c, Value: number, Unit: unit}.Name()
		if got := fmt.Sprintf("%s %s", name, kind); err != nil || got != want {
			t.Errorf("%s: %s, %v, expected %s", text, got, err, want)
		}
	}
}

// What a meter tells itself isn't made of anything else, and what it doesn't is only made of
// what belongs together.
func TestDerived(t *testing.T) {
	register := func(code string, v float64, unit string) Register {
		c, err := ParseCode([]byte(code))
		if err != nil {
			t.Fatal(err)
		}
		return Register{Code: c, Value: telemetry.FloatValue(v), Unit: unit}
	}
	for want, registers := range map[string][]Register{
		"TotW=700":         {register("1.7.0", 1000, "W"), register("2.7.0", 300, "W")},
		"W.phsB=-5":        {register("41.7.0", 0, "W"), register("42.7.0", 5, "W")},
		"DmdWh=30 SupWh=3": {register("1.8.1", 10, "W.h"), register("1.8.2", 20, "W.h"), register("2.8.1", 3, "W.h"), register("1.8.1*1", 99, "W.h")},
		"":                 {register("1.7.0", 1, "W"), register("2.8.0", 1, "W.h"), register("2.8.1", 1, "W.h"), register("16.7.0", 1, "W"), register("2.7.0", 1, "W")},
	} {
		var made []string
		for _, r := range new(Derivation).Derive(registers, time.Time{})[len(registers):] {
			name, _ := r.Name()
			made = append(made, name+"="+r.Value.String())
		}
		if got := strings.Join(made, " "); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

// A sum of which a tariff is missing isn't made: a counter that falls looks like another meter.
func TestMissingTariff(t *testing.T) {
	register := func(e uint8, v telemetry.Value) Register {
		return Register{Code: Code{A: Electricity, C: 1, D: 8, E: e, F: Current}, Value: v, Unit: "W.h"}
	}
	low, high := register(1, telemetry.FloatValue(10)), register(2, telemetry.FloatValue(20))
	var d Derivation
	for i, c := range []struct {
		told []Register
		want float64 // 0: none
	}{
		{[]Register{low, high}, 30}, {[]Register{low}, 0}, {[]Register{high}, 0}, {[]Register{low, register(2, telemetry.Value{})}, 0},
		{[]Register{}, 0}, {[]Register{high, low}, 30}, {[]Register{low, high, register(0, telemetry.Value{})}, 0},
	} {
		got := 0.0
		for _, r := range d.Derive(append([]Register(nil), c.told...), time.Unix(int64(i), 0))[len(c.told):] {
			got, _ = r.Value.Float()
		}
		if got != c.want {
			t.Errorf("telegram %d: the total is %v, expected %v", i, got, c.want)
		}
	}
}

// A tariff that is known from before counts, and one that is gone for good does no longer.
func TestForgottenTariff(t *testing.T) {
	register := func(e uint8) Register {
		return Register{Code: Code{A: Electricity, C: 1, D: 8, E: e, F: Current}, Value: telemetry.FloatValue(10), Unit: "W.h"}
	}
	var forgotten []Code
	d := Derivation{Forgotten: func(c Code) { forgotten = append(forgotten, c) }}
	d.Knows(register(0).Code)
	d.Knows(Code{A: Electricity, C: 1, D: 7, E: 1, F: Current})
	d.Knows(register(2).Code)
	begin := time.Unix(1_800_000_000, 0)
	for i, c := range []struct {
		told  []Register
		after time.Duration
		made  bool
	}{
		{[]Register{register(1)}, 0, false},
		{[]Register{register(1)}, Forget - time.Second, false},
		{[]Register{register(2)}, Forget, false}, // it is there again, and the other one isn't
		{[]Register{}, 2 * Forget, false},
		{[]Register{register(1), register(2)}, 2*Forget + time.Second, true},
		{[]Register{register(1)}, 3 * Forget, false},
		{[]Register{register(1)}, 4 * Forget, true},
		{[]Register{register(1)}, 5 * Forget, true},
	} {
		if got := len(d.Derive(c.told, begin.Add(c.after))) > len(c.told); got != c.made {
			t.Errorf("telegram %d: a total is made: %v", i, got)
		}
	}
	if len(forgotten) != 1 || forgotten[0] != register(2).Code {
		t.Errorf("%v are forgotten", forgotten)
	}
}

func TestHexText(t *testing.T) {
	for text, want := range map[string]string{"48656C6C6F": "Hello", "4865": "4865", "00000000": "00000000", "12345678": "12345678", "free text": "free text", "": ""} {
		if got := HexText(Code{}, []byte(text)).Value.Text(); got != want {
			t.Errorf("%q: %q, expected %q", text, got, want)
		}
	}
}
