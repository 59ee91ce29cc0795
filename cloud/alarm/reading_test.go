package alarm

import (
	"fmt"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func TestWhatAReadingSaysOfSupply(t *testing.T) {
	const began = 1e12
	old := func(read []telemetry.Input, quality string, unit string, at telemetry.Micros) []telemetry.Input {
		for i := range read {
			read[i].Quality, read[i].Unit, read[i].Time = quality, unit, at
		}
		return read
	}
	power := 5.0
	volts := func(list ...float64) (read []telemetry.Input) {
		for i, v := range list {
			read = append(read, telemetry.Input{Name: "PhV.phs" + "ABC"[i:i+1], Value: &v, Unit: "V", Quality: "good", Time: began})
		}
		return read
	}
	for name, c := range map[string]struct {
		read []telemetry.Input
		want string
	}{
		"no answer":             {nil, "ping-unanswered"},
		"supply":                {volts(231, 229, 230), "voltage [100 99 100]"},
		"none":                  {volts(0, 0.4, 11), "voltage [0 0 0]"},
		"a phase is lost":       {volts(230, 0, 231), "voltage [100 0 100]"},
		"of one phase":          {volts(230), "ping-answered"},
		"none, of one phase":    {volts(3), "voltage [0 0 0]"},
		"nothing says voltages": {[]telemetry.Input{{Name: "TotW", Value: &power, Quality: "good", Time: began}}, "ping-answered"},
		"no value is known":     {[]telemetry.Input{{Name: "PhV.phsA", Quality: "bad (timeout)"}, {Name: "PhV.phsB", Quality: "bad (timeout)"}}, ""},
		"told before":           {old(volts(230, 230, 230), "good", "V", began-60e6), ""},
		"uncertain":             {old(volts(230, 230, 230), "uncertain (stale)", "V", began), ""},
		"in kV":                 {old(volts(5.8, 5.7, 5.8), "good", "kV", began), "voltage [100 98 100]"},
		"in nobody knows what":  {old(volts(1, 1, 1), "good", "%", began), ""},
	} {
		v, says := evidenceOfReading(telemetry.CommandAnswer{Kind: "read", Device: "m", Asset: "p", Result: telemetry.CommandDone, Began: began, Read: c.read})
		got := string(v.Kind)
		if !says {
			got = ""
		}
		if v.Levels != nil {
			got += fmt.Sprint(" ", *v.Levels)
		}
		if got != c.want || v.Asset != "p" || v.Device != "m" {
			t.Errorf("%s: %s, want %s: %+v", name, got, c.want, v)
		}
	}
	refused := telemetry.Event{Kind: telemetry.CommandAnswered, Answer: &telemetry.CommandAnswer{Kind: "read", Result: telemetry.CommandRefused, Cause: "late"}}
	if list := evidenceOf(refused, "gw"); len(list) != 0 {
		t.Errorf("what nobody read says something: %+v", list)
	}
}
