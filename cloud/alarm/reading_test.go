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
	between := func(list ...float64) []telemetry.Input {
		read := volts(list...)
		for i := range read {
			read[i].Name = []string{"PPV.phsAB", "PPV.phsBC", "PPV.phsCA"}[i]
		}
		return read
	}
	for name, c := range map[string]struct {
		read    []telemetry.Input
		want    string
		nominal float64
	}{
		"no answer":             {nil, "ping-unanswered", 0},
		"supply":                {volts(231, 229, 230), "voltage [100 99 100]", 0},
		"none":                  {volts(0, 0.4, 11), "voltage [0 0 0]", 0},
		"a phase is lost":       {volts(230, 0, 231), "voltage [100 0 100]", 0},
		"of one phase":          {volts(230), "ping-answered", 0},
		"none, of one phase":    {volts(3), "voltage [0 0 0]", 0},
		"nothing says voltages": {[]telemetry.Input{{Name: "TotW", Value: &power, Quality: "good", Time: began}}, "ping-answered", 0},
		"no value is known":     {[]telemetry.Input{{Name: "PhV.phsA", Quality: "bad (timeout)"}, {Name: "PhV.phsB", Quality: "bad (timeout)"}}, "", 0},
		"told before":           {old(volts(230, 230, 230), "good", "V", began-60e6), "", 0},
		"uncertain":             {old(volts(230, 230, 230), "uncertain (stale)", "V", began), "", 0},
		"in kV":                 {old(volts(5.8, 5.7, 5.8), "good", "kV", began), "voltage [100 98 100]", 0},
		"in nobody knows what":  {old(volts(1, 1, 1), "good", "%", began), "", 0},
		// 20 kV: what is induced in a line that is open is no supply.
		"medium voltage":            {volts(11500, 11600, 11550), "voltage [100 100 100]", 11547},
		"none, of medium voltage":   {volts(300, 310, 500), "voltage [0 0 0]", 11547},
		"little, of medium voltage": {volts(1200, 1150, 1200), "voltage [10 10 10]", 11547},
		"half, of medium voltage":   {volts(5770, 5780, 11547), "voltage [50 50 100]", 11547},
		"none, between phases":      {between(500, 300, 400), "voltage [0 0 0]", 11547},
		"supply, between phases":    {between(20000, 20000, 20000), "ping-answered", 11547},
		"none, of 120 V":            {volts(4, 4, 4), "voltage [0 0 0]", 120},
		"little, of 120 V":          {volts(8, 8, 8), "voltage [7 7 7]", 120},
	} {
		v, says := evidenceOfReading(telemetry.CommandAnswer{Kind: "read", Device: "m", Asset: "p", Result: telemetry.CommandDone, Began: began, Read: c.read}, c.nominal)
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
	if list := evidenceOf(refused, "gw", 0); len(list) != 0 {
		t.Errorf("what nobody read says something: %+v", list)
	}
}
