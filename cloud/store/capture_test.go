package store

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func aCapture() telemetry.Capture {
	return telemetry.Capture{Alarm: "a1", From: 10, To: 30, Signals: []telemetry.CapturedSignal{
		{Device: "meter", Name: "PhV.phsA", Unit: "V", Samples: []telemetry.CapturedSample{{Time: 10}, {Time: 20, Quality: "bad (timeout)"}, {Time: 20}, {Time: 30}}},
		{Device: "meter", Name: "ChLiv"},
	}}
}

func TestCaptureThatCantBeKept(t *testing.T) {
	if err := CheckCapture(aCapture()); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(c *telemetry.Capture){
		"from 1970":        func(c *telemetry.Capture) { c.From = 0 },
		"backwards":        func(c *telemetry.Capture) { c.To = 9 },
		"too long":         func(c *telemetry.Capture) { c.To = c.From + longestCapture + 1 },
		"too many signals": func(c *telemetry.Capture) { c.Signals = make([]telemetry.CapturedSignal, mostCapturedSignals+1) },
		"too many samples": func(c *telemetry.Capture) {
			for range mostCaptured {
				c.Signals[0].Samples = append(c.Signals[0].Samples, telemetry.CapturedSample{Time: 30})
			}
		},
		"before it":    func(c *telemetry.Capture) { c.Signals[0].Samples[0].Time = 9 },
		"after it":     func(c *telemetry.Capture) { c.Signals[0].Samples[3].Time = 31 },
		"out of order": func(c *telemetry.Capture) { c.Signals[0].Samples[1].Time = 25 },
		"no device":    func(c *telemetry.Capture) { c.Signals[1].Device = "" },
		"a long unit":  func(c *telemetry.Capture) { c.Signals[1].Unit = strings.Repeat("V", longestText+1) },
		"no text":      func(c *telemetry.Capture) { c.Signals[1].Name = "\xff" },
		"long quality": func(c *telemetry.Capture) { c.Signals[0].Samples[1].Quality = strings.Repeat("x", longestQuality+1) },
	} {
		c := aCapture()
		spoil(&c)
		if CheckCapture(c) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
