package signallist

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

const german = `Signalliste Umspannwerk Nord;;;;;
Stand 3;;;;;

Bezeichnung;IOA;Typ;Einheit;Faktor;Bemerkung
Feld 1 Leistungsschalter;0.3.233;M_DP_TB_1;;;"Stellung; Feld 1"
Temperatur Öl;0.4.76;13;°C;0,1;
Zähler.Bezug;1200;IT;kWh;1000;
`

func TestAListIsRead(t *testing.T) {
	l, err := Parse("list.csv", []byte(german), profile.IEC104)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(l.Left, " ") != "Bemerkung" || len(l.Signals) != 3 {
		t.Fatalf("%+v", l)
	}
	breaker, oil, meter := l.Signals[0], l.Signals[1], l.Signals[2]
	if breaker.Name != "Feld_1_Leistungsschalter" || *breaker.IOA != 1001 || breaker.Type != modbus.Bool {
		t.Errorf("%+v", breaker)
	}
	if oil.Name != "Temperatur_Oel" || *oil.IOA != 1100 || oil.Unit != "Cel" || oil.Scale != 0.1 || oil.Type != "" {
		t.Errorf("%+v", oil)
	}
	if meter.Name != "Zaehler.Bezug" || *meter.IOA != 1200 || meter.Unit != "kW.h" || meter.Kind != telemetry.Counter {
		t.Errorf("%+v", meter)
	}
	want := "signals:\n  - {name: Feld_1_Leistungsschalter, ioa: 1001, type: bool}\n  - {name: Temperatur_Oel, ioa: 1100, unit: \"Cel\", scale: 0.1}\n"
	if !strings.HasPrefix(l.YAML, want) {
		t.Errorf("%s", l.YAML)
	}
}

// However a spreadsheet writes it, it is the same list.
func TestFormsOfATable(t *testing.T) {
	const plain = "name;ca;ioa;unit\nÖl;7;1100;Cel\n"
	latin := strings.Replace(plain, "Ö", "\xD6", 1)
	wide := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune(strings.ReplaceAll(plain, ";", "\t"))) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for name, src := range map[string]string{
		"semicolons": plain, "commas": strings.ReplaceAll(plain, ";", ","), "tabs": strings.ReplaceAll(plain, ";", "\t"), "mark": "\uFEFF" + plain,
		"Latin-1": latin, "UTF-16": string(wide), "sep": "sep=;\r\n" + strings.ReplaceAll(plain, "\n", "\r\n"), "quotes": "\"Point Name\",\"Unit [UCUM]\",Common Address,\"Object Address\"\n\"Öl\",\"Cel\",\"0.7\",0x44C\n",
	} {
		l, err := Parse("list.csv", []byte(src), profile.IEC101)
		if err != nil || len(l.Signals) != 1 {
			t.Errorf("%s: %v, %+v", name, err, l)
			continue
		}
		if s := l.Signals[0]; s.Name != "Oel" || *s.IOA != 1100 || s.CommonAddress != 7 || s.Unit != "Cel" {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestWhatIsWrongHasItsPlace(t *testing.T) {
	for src, want := range map[string]string{
		"":                                   "list.csv:1:1: no header, expected a row with columns for name and ioa",
		"a;b\n1;2\n":                         "list.csv:1:1: no header",
		"name;ioa\n":                         "list.csv:1:1: no signal, expected at least one row below this",
		"name;ioa;unit\nA;x;V\n":             `list.csv:2:3: "x", expected a number, or octets like 0.0.1, the highest first`,
		"name;ioa;unit\nA;1.2.3.4;V\n":       `list.csv:2:3: "1.2.3.4", expected`,
		"name;ioa;unit\nA;1.256;V\n":         `list.csv:2:3: "1.256", expected`,
		"name;ioa;unit\nA;16777216;V\n":      `list.csv:2:3: "16777216", expected`,
		"name;ioa;unit\nÄÖ;;V\n":             "list.csv:2:4: there is no ioa",
		"name;ioa;unit\n;5;V\n":              "list.csv:2:1: there is no name",
		"name;ioa;unit\nA;1;V\nA;2;V\n":      `list.csv:3:1: "A" is signals[0] of this device already`,
		"name;ioa;unit\nA;1;V\nB;1;V\n":      "list.csv:3:3: 1 is in line 2 already, expected one signal for each object",
		"name;ioa;unit\nA;1;m m\n":           `list.csv:2:5: "m m", expected a unit of UCUM`,
		"name;ioa;unit\nA;1;\n":              "list.csv:2:5: it is missing, expected a unit of UCUM",
		"name;ioa;unit;scale\nA;1;V;0\n":     "list.csv:2:7: 0 would make every value the same",
		"name;ioa;unit;scale\nA;1;V;a\n":     `list.csv:2:7: "a", expected a number`,
		"name;ioa;unit;scale\nA;1;V;NaN\n":   `list.csv:2:7: "NaN", expected a number`,
		"name;ioa;unit;scale\nA;1;V;1e999\n": `list.csv:2:7: "1e999", expected a number`,
		"name;ioa;unit;offset\nA;1;V;-Inf\n": `list.csv:2:7: "-Inf", expected a number`,
		"name;ioa;type\nA;1;C_SC_NA_1\n":     `list.csv:2:5: "C_SC_NA_1", expected the type of an ASDU that tells a value`,
		"name;ioa;tag\nA;1;2\n":              `list.csv:1:10: "tag" is name, as column 1 is already`,
		"name;ioa;unit\nA;1;V;x\n":           `list.csv:2:7: "x" stands beyond the last column`,
		"name;ioa;unit\n\"A;1;V\n":           "list.csv:2:7: extraneous or missing \" in quoted-field",
		"name;ioa;kind;unit\nA;1;gage;V\n":   `list.csv:2:5: "gage", expected gauge, counter or state`,
		"name\x00;ioa":                       "list.csv:1:1: this is no text",
	} {
		if _, err := Parse("list.csv", []byte(src), profile.IEC104); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %s", src, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{german, "name;ioa\nA;1\n", "\xFF\xFEn", "sep=\tname\tioa", "name,ioa,unit,type,kind,deadband\n\"a\n\",1.2,\"V\"\"\",ME,state,1%\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := Parse("list.csv", b, profile.IEC104); err == nil && (len(l.Signals) == 0 || strings.Count(l.YAML, "\n") != len(l.Signals)+1) {
			t.Fatalf("%+v", l)
		}
	})
}
