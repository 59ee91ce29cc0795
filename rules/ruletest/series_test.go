package ruletest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// shown is a series value by value.
func shown(v values) string {
	var out []string
	for k := range v.len() {
		switch value, quality, ok := v.at(k); {
		case !ok:
			out = append(out, "_")
		case value.Kind() == telemetry.None:
			out = append(out, quality.String())
		default:
			out = append(out, value.String())
		}
	}
	return strings.Join(out, " ")
}

// The first five are those that promtool's documentation explains its notation by.
func TestSeriesAreWrittenAsForPromtool(t *testing.T) {
	for text, want := range map[string]string{
		"-2+4x3":            "-2 2 6 10",
		" 1-2x4":            "1 -1 -3 -5 -7",
		" 1x4":              "1 1 1 1 1",
		" 1 _x3 stale":      "1 _ _ _ bad (stale)",
		"0+0x1":             "0 0",
		"0x3":               "0 0 0 0",
		"230":               "230",
		"1 2 3":             "1 2 3",
		"230.5+0.25x2":      "230.5 230.75 231",
		"1e3 -.5 1e-3x1":    "1000 -0.5 0.001 0.001",
		"1e-3-1e-3x2":       "0.001 0 -0.001",
		"_":                 "_",
		"_ 5":               "_ 5",
		"_x0 5":             "5",
		"true falsex2":      "true false false false",
		"bad timeoutx1 5":   "bad bad (timeout) bad (timeout) 5",
		"not-a-number":      "bad (not a number)",
		"sensor-failurex1":  "bad (sensor failure) bad (sensor failure)",
		"1x0":               "1",
		"0.1+0.1x9":         "0.1 0.2 0.30000000000000004 0.4 0.5 0.6 0.7000000000000001 0.8 0.9 1",
		"1\n  2\t3":         "1 2 3",
		"refused malformed": "bad (refused by device) bad (malformed answer)",
	} {
		var v values
		if err := v.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := shown(v); got != want {
			t.Errorf("%q is %s, expected %s", text, got, want)
		}
	}
}

func TestSeriesThatArentOne(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "the series is empty",
		"230x":                   `"230x" is no value, expected a number`,
		"1+2":                    "1+2 doesn't say how often, expected a count such as 1+2x3",
		"23o":                    `"23o" is no value`,
		"0x1F":                   `"0x1F" is no value`,
		"dead":                   `"dead" is no value, expected a number, a row such as 230+0.5x10, true or false, _ for nothing, or bad, malformed`,
		"true+1x3":               `"true+1x3" is no value`,
		"1x9999999":              "x9999999 is too often, expected at most 1048576 values",
		"1x99999999999999999999": "is too often",
		"_x9999999":              "is too often",
		"1x1000000 1x1000000":    "1x1000000 makes more than 1048576 values",
		"1e999":                  "1e999 is beyond what a number can be",
		"1+1e999x3":              "is beyond what a number can be",
		"NaN":                    `"NaN" is no value`,
		"1 2 x3":                 `"x3" is no value`,
	} {
		var v values
		if err := v.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %s", text, err, want)
		}
	}
}

func TestALongSeriesTakesNoRoom(t *testing.T) {
	var v values
	if err := v.UnmarshalText([]byte(fmt.Sprintf("0+1x%d", mostValues-1))); err != nil {
		t.Fatal(err)
	}
	if last, _, ok := v.at(mostValues - 1); len(v.runs) != 1 || !ok || last != telemetry.FloatValue(mostValues-1) {
		t.Errorf("%d runs, the last value is %v, %t", len(v.runs), last, ok)
	}
}
