package headend

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

var now = telemetry.MicrosOf(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))

func berlin(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// told is what a decoder gives, a line each.
func told(text string, format Format) (list []string) {
	d := NewDecoder(strings.NewReader(text), format, now)
	for {
		row, err := d.Next()
		var refused *Refusal
		switch {
		case err == io.EOF:
			return list
		case errors.As(err, &refused):
			list = append(list, err.Error())
		case err != nil:
			return append(list, "END "+err.Error())
		case row.Event != nil:
			e := row.Event
			list = append(list, fmt.Sprintf("%s at %q %s %s %q %q %q", e.Meter, e.Point, e.At.Time().Format(time.RFC3339), e.Kind, e.Code, e.Number, e.Words))
		case row.Read != nil:
			r := row.Read
			list = append(list, fmt.Sprintf("%s at %q %s %s %v %s %s %s %d", r.Meter, r.Point, r.Signal, r.At.Time().Format(time.RFC3339), r.Value, r.Unit, length(r.Interval), r.Status, r.Version))
		default:
			list = append(list, "missing")
		}
	}
}

func TestRowsAreDecoded(t *testing.T) {
	german := Format{Columns: map[string]Field{"Zähler": Meter, "Zeit": Time, "Wert": Number, "Status": Quality, "Kanal": Of, "Ereignis": Code},
		Comma: true, Location: berlin(t), Layout: "02.01.2006 15:04", Interval: 900e6,
		Channels:  map[string]Channel{"A+": {Signal: "DmdWh.interval", Unit: "kWh", Kind: telemetry.Gauge, Interval: true}},
		Qualities: map[string]Status{"W": Actual, "E": Estimated, "": Missing}, Events: map[string]EventKind{"PF01": PowerFail}}
	for name, c := range map[string]struct {
		format Format
		text   string
		want   []string
	}{
		"as it is documented": {Format{}, "meter,service_point,channel,start,interval,value,unit,quality,version\n" +
			"m1,sp-1,1-0:1.29.0,2026-10-01T00:00:00Z,15m,0.1234,kWh,,\n" +
			"m1,sp-1,1-0:1.8.0,,,12.5,kWh,,\n" +
			"m2,,2.29.0,2026-10-01T02:15:00+02:00,PT1H,3,Wh,estimated,7\n", []string{
			`m1 at "sp-1" DmdWh.interval 2026-10-01T00:00:00Z 123.4 W.h 15m0s actual 0`,
			"3:1: no time, expected when the register was read",
			`m2 at "" SupWh.interval 2026-10-01T00:15:00Z 3 W.h 1h0m0s estimated 7`}},
		"a head-end's own": {german, "\ufeffZähler;Kanal;Zeit;Wert;Status;Ereignis;Sonst\r\n" +
			"m1;A+;01.10.2026 00:15;0,25;W;;x\r\n" +
			"m1;A+;25.10.2026 02:30;0,25;W;;x\r\n" +
			"m1;A+;29.03.2026 02:30;0,25;E;;x\r\n" +
			"m1;A+;01.10.2026 00:30;0,5;X;;x\r\n" +
			"m1;1-0:1.8.0;01.10.2026 00:30;\"1,5\";W;;x\r\n" +
			"m1;;01.10.2026 00:31;;;PF01;x\r\n" +
			"m1;;01.10.2026 00:32;;;PF99;x\r\n" +
			"m1;A+;01.10.2026 00:45;;missing;;x\r\n" +
			"m1;A+\r\n" +
			"m1;A+;01.10.2026 01:00;\"0,5;W;;x\r\n" +
			"m1;A+;01.10.2026 01:15;1,25;W;;x", []string{
			`m1 at "" DmdWh.interval 2026-09-30T22:00:00Z 250 W.h 15m0s actual 0`,
			`3:7: "25.10.2026 02:30" comes twice on that day in Europe/Berlin, expected a time with its offset`,
			`4:7: "29.03.2026 02:30" is left out on that day in Europe/Berlin`,
			`5:28: quality "X" isn't known, expected actual, edited, estimated or missing, or one that the head-end's qualities name`,
			"6:1: no unit, expected one such as kWh",
			`m1 at "" 2026-09-30T22:31:00Z power-fail "PF01" "" ""`,
			`m1 at "" 2026-09-30T22:32:00Z other "PF99" "" ""`,
			"missing",
			"10:1: 2 columns, expected 7 as in the first line",
			`11:34: extraneous or missing " in quoted-field`,
			`m1 at "" DmdWh.interval 2026-09-30T23:00:00Z 1250 W.h 15m0s actual 0`}},
		"lines of JSON": {Format{}, "\n{\"meter\":\"m1\",\"signal\":\"PhV.phsA\",\"time\":\"2026-10-01T00:00:00Z\",\"value\":230.1,\"unit\":\"V\",\"more\":{\"a\":[1]}}\n" +
			"{\"meter\":\"m1\",\"event\":\"power-fail\",\"time\":\"2026-10-01T00:00:00Z\",\"id\":17,\"text\":\"last gasp\"}\n" +
			"{\"meter\":\"m1\",\"event\":\"power-fail\",\"time\":\"yesterday\"}\n" +
			"{\"meter\":\"m1\",\"meter\":\"m2\"}\n{\"meter\":[]}\n{\"meter\":\"m1\"\nnothing\n{\"meter\":\"m1\",\"channel\":\"1.8.0\",\"time\":\"2026-10-01 00:00\",\"value\":1e3,\"unit\":\"kW.h\",\"version\":\"2026-10-02T00:00:00Z\"}", []string{
			`m1 at "" PhV.phsA 2026-10-01T00:00:00Z 230.1 V 0s actual 0`,
			`m1 at "" 2026-10-01T00:00:00Z power-fail "power-fail" "17" "last gasp"`,
			`4:43: "yesterday" is no time, expected RFC 3339, such as 2026-10-01T06:15:00Z, or 2026-10-01 06:15:00`,
			"5:15: meter stands there twice",
			"6:10: meter is a list or an object, expected a text or a number",
			"7:1: an object that doesn't end",
			"8:1: invalid character 'o' in literal null (expecting 'u')",
			`m1 at "" DmdWh 2026-10-01T00:00:00Z 1e+06 W.h 0s actual 1790899200000000`}},
		"a list of JSON": {Format{}, "[\n  {\"meter\": \"m1\", \"signal\": \"Hz\", \"unit\": \"Hz\",\n   \"time\": \"2026-10-01T00:00:00Z\", \"value\": \"x\"},\n {\"meter\": \"}\\\"\", \"event\": \"tamper\", \"time\": \"2026-10-01T00:00:00Z\"}\n]\n", []string{
			`3:45: "x" is no number, expected one such as 0.25`,
			`}" at "" 2026-10-01T00:00:00Z tamper "tamper" "" ""`}},
		"a list that is cut off": {Format{}, "[{\"meter\": \"m1\", \"event\": \"tamper\", \"time\": \"2026-10-01T00:00:00Z\"},\n", []string{
			`m1 at "" 2026-10-01T00:00:00Z tamper "tamper" "" ""`, "END 2:1: a list that doesn't end"}},
		"nothing":       {Format{}, " \n ", nil},
		"no meter":      {Format{}, "a,b\n1,2\n", []string{`END 1:1: no column is the meter: the first line is "a,b\n"`}},
		"a meter twice": {Format{}, "meter,meter\n", []string{`END 1:7: column "meter" is the meter, as "meter" is`}},
		"mapped after": {Format{Columns: map[string]Field{"no": Meter}}, "meter,event,no,time\nx,tamper,m1,2026-10-01\nx,tamper,,2026-10-01 00:00\n", []string{
			`2:13: "2026-10-01" is no time, expected RFC 3339, such as 2026-10-01T06:15:00Z, or 2026-10-01 06:15:00`, "3:1: no meter"}},
		"mapped before": {Format{Columns: map[string]Field{"no": Meter, "time": Text, "at": Time}}, "no,event,meter,time,at\nm1,tamper,x,late,2026-10-01 00:00\n", []string{
			`m1 at "" 2026-10-01T00:00:00Z tamper "tamper" "" "late"`}},
		"mapped members": {Format{Columns: map[string]Field{"no": Meter}}, `{"meter":"x","no":"m1","event":"tamper","time":"2026-10-01 00:00"}
{"no":"m1","meter":"x","event":"tamper","time":"2026-10-01 00:00"}
{"meter":"x","no":"","event":"tamper","time":"2026-10-01 00:00"}
{"meter":"m2","event":"tamper","time":"2026-10-01 00:00"}
{"no":"m1","no":"m2","event":"tamper","time":"2026-10-01 00:00"}
`, []string{
			`m1 at "" 2026-10-01T00:00:00Z tamper "tamper" "" ""`, `m1 at "" 2026-10-01T00:00:00Z tamper "tamper" "" ""`, "3:1: no meter",
			`m2 at "" 2026-10-01T00:00:00Z tamper "tamper" "" ""`, "5:12: meter stands there twice"}},
		"out of range": {Format{}, "meter,signal,unit,start,end,interval,value\n" +
			"m,a,V,1999-12-31 00:00,,15m,1\nm,a,V,2026-12-31 00:00,,15m,1\nm,a,V,2026-10-01 00:00,,10s,1\nm,a,V,2026-10-01 00:00,2026-10-01 00:30,15m,1\nm,a,V,,2026-10-01 00:30,15m,NaN\nm,a,V,,2026-10-01 00:30,15m,1\n" +
			"m,a b,V,,2026-10-01 00:30,15m,1\nm,a,V,2026-10-01 00:30,2026-10-01 00:30,,1\nm,a,V,,2026-10-01 00:30,15m,1e999\n", []string{
			`2:7: "1999-12-31 00:00" is out of range, expected 2000-01-01 to 2026-11-02`,
			`3:7: "2026-12-31 00:00" is out of range, expected 2000-01-01 to 2026-11-02`,
			`4:25: interval "10s", expected 1m to 24h, as 15m or PT15M`,
			`5:24: from start to end are 30m0s, and the interval is 15m0s`,
			`6:29: "NaN" is no number, expected one such as 0.25`,
			`m at "" a 2026-10-01T00:15:00Z 1 V 15m0s actual 0`,
			`8:3: signal "a b", expected letters, digits, points, dashes and underscores`,
			"9:1: an interval of 0s, expected 1m to 24h",
			`10:29: "1e999" is no number, expected one such as 0.25`}},
	} {
		got := told(c.text, c.format)
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// Whatever stands in a file, each line of it costs at most itself.
func FuzzRows(f *testing.F) {
	f.Add("meter,channel,time,interval,value,unit\nm1,1-0:1.29.0,2026-10-01 00:15,15m,1,kWh\n")
	f.Add("meter;event;time\nm1;\"power-fail\";2026-10-25 02:30\n")
	f.Add(`{"meter":"m1","event":"power-fail","time":"2026-10-01T00:00:00Z"}`)
	f.Add(`[{"meter":"m1","signal":"a","unit":"V","time":"2026-10-01T00:00:00Z","value":1,"x":[{}]}]`)
	format := Format{Location: berlin(f), Columns: map[string]Field{"n": Number}, Interval: 900e6, Channel: "1.29.0"}
	f.Fuzz(func(t *testing.T, text string) {
		d := NewDecoder(strings.NewReader(text), format, now)
		rows := 0
		for {
			row, err := d.Next()
			var refused *Refusal
			if err != nil && !errors.As(err, &refused) {
				break
			}
			if rows++; rows > len(text) {
				t.Fatalf("%d rows of %d bytes", rows, len(text))
			}
			if refused != nil && (refused.Line < 1 || refused.Column < 1 || refused.Cause == "") {
				t.Fatalf("%+v", refused)
			}
			if row.Read != nil && err == nil {
				if r := row.Read; r.Meter == "" || r.Signal == "" || r.Unit == "" || r.Value-r.Value != 0 || r.At < earliest-longest || r.At > now+ahead {
					t.Fatalf("%+v", r)
				}
			}
		}
	})
}

func FuzzMaster(f *testing.F) {
	f.Add("meter,service_point\nm1,p1\n")
	f.Add("customer;service_point;name;contact;priority;tariff\nC1;p1;\"Ada; Ltd\";;life-support;home\n")
	f.Add("tariff,register,begins,price,unit\nhome,1.8.1,2026-01-01,0.3,EUR/kW.h\n")
	f.Add("station,quantity,time,value,unit,issued\nairport,wind,2026-10-01T12:00:00Z,-1e3,m/s,\n")
	f.Fuzz(func(t *testing.T, text string) {
		for kind := range masterColumns {
			rows := 0
			_ = ReadMaster(kind, "mdm", strings.NewReader(text), now, func(save func(*store.Tx) error) error {
				if rows++; save == nil || rows > len(text) {
					t.Fatalf("%s: row %d of %d bytes", kind, rows, len(text))
				}
				return nil
			}, func(r *Refusal) {
				if r.Line < 1 || r.Column < 1 || r.Cause == "" {
					t.Fatalf("%s: %+v", kind, r)
				}
			})
		}
	})
}
