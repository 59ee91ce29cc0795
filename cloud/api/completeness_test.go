package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// account tells that read of scheduled samples of a device were read in the
// quarter-hour that begins at from, and extra of the gateway's own delivered.
func (b *bench) account(from telemetry.Micros, device string, scheduled, read, extra uint64) {
	b.t.Helper()
	d := telemetry.DeviceAccount{Device: device, Scheduled: scheduled, Read: read, Delivered: read + extra}
	if read < scheduled {
		d.Bad = map[string]uint64{"timeout": scheduled - read}
		d.Delivered = scheduled + extra
	}
	b.event(telemetry.Event{Kind: telemetry.SamplesCounted, Account: &telemetry.Account{Epoch: "0000000000000001", From: from, To: from + telemetry.Quarter,
		Devices: []telemetry.DeviceAccount{d}}})
}

func shape(t *testing.T, answer map[string]any, out any) {
	t.Helper()
	text, err := json.Marshal(answer)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type completenessBody struct {
	From     telemetry.Micros     `json:"from_us"`
	To       telemetry.Micros     `json:"to_us"`
	Quarters int                  `json:"quarter_hours"`
	Complete bool                 `json:"complete"`
	Summary  Tally                `json:"summary"`
	Devices  []DeviceCompleteness `json:"devices"`
}

// The day on which Berlin's clocks go forward, and one quarter-hour of it.
func TestCompletenessOfADay(t *testing.T) {
	b := newBench(t)
	b.birth()
	day := telemetry.MicrosOf(time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC))
	for n := range telemetry.Micros(92) {
		from := day + n*telemetry.Quarter
		read := uint64(2)
		if n == 4 {
			read = 1
		}
		b.account(from, "meter", 2, read, 1)
		if n != 7 { // still in the gateway's buffer
			b.samples(telemetry.Sample{Signal: 1, Time: from, Value: telemetry.FloatValue(230)}, telemetry.Sample{Signal: 1, Time: from + 1, Value: telemetry.FloatValue(230)},
				telemetry.Sample{Signal: 2, Time: from, Value: telemetry.BoolValue(true)})
		}
	}
	const path = "/api/v1/completeness?day=2026-03-29&time_zone=Europe/Berlin"
	var got completenessBody
	shape(t, b.eventually(path, func(a map[string]any) bool {
		summary := a["summary"].(map[string]any)
		return summary["expected"] == 184.0 && summary["stored"] == 273.0
	}), &got)
	if got.From != day || got.To != day+92*telemetry.Quarter || got.Quarters != 92 || got.Complete || len(got.Devices) != 1 {
		t.Fatalf("%+v", got)
	}
	d := got.Devices[0]
	want := Tally{Expected: 184, Received: 181, NotAcquired: 1, OnTheWay: 2, Stored: 273, Late: 273}
	if d.Gateway != "gw" || d.Device != "meter" || fmt.Sprint(d.Reasons) != "[{on-the-way 2} {bad (timeout) 1}]" ||
		fmt.Sprint(d.States) != "map[incomplete:2 late:90]" || d.Quarters != "llllbllw"+strings.Repeat("l", 84) {
		t.Errorf("%+v", d)
	}
	d.Reasons, d.States, d.Quarters = nil, nil, ""
	if fmt.Sprint(d.Tally) != fmt.Sprint(want) || fmt.Sprint(got.Summary.States) != "map[incomplete:2 late:90]" || got.Summary.Quarters != got.Devices[0].Quarters {
		t.Errorf("%+v, want %+v; summary %+v", d.Tally, want, got.Summary)
	}

	from := day + 4*telemetry.Quarter
	_, answer := b.call("GET", fmt.Sprintf("/api/v1/completeness?gateway=gw&device=meter&from_us=%d&to_us=%d", from, from+telemetry.Quarter), "")
	shape(t, answer, &got)
	if got.Quarters != 1 || got.Summary.Expected != 2 || got.Summary.Received != 1 || fmt.Sprint(got.Summary.Reasons) != "[{bad (timeout) 1}]" || got.Summary.Quarters != "b" {
		t.Errorf("%+v", got)
	}
	_, answer = b.call("GET", fmt.Sprintf("/api/v1/completeness?gateway=gw&from_us=%d&to_us=%d", day, day+4*telemetry.Quarter), "")
	if shape(t, answer, &got); !got.Complete || got.Summary.Quarters != "llll" {
		t.Errorf("%+v", got)
	}
	for zone, quarters := range map[string]int{"": 96, "America/New_York": 96} {
		_, answer = b.call("GET", "/api/v1/completeness?day=2026-10-25&time_zone="+zone, "")
		if shape(t, answer, &got); got.Quarters != quarters || got.Summary.States["unknown"]+got.Summary.States["open"] != quarters || got.Complete || len(got.Devices) != 1 {
			t.Errorf("a day without accounts in %q: %+v", zone, got.Summary)
		}
	}
	_, answer = b.call("GET", "/api/v1/completeness?gateway=none&day=2026-03-29", "")
	if shape(t, answer, &got); got.Complete || len(got.Devices) != 0 {
		t.Errorf("no such gateway: %+v", got)
	}
}

func TestCompletenessRefuses(t *testing.T) {
	b := newBench(t)
	for query, want := range map[string]string{
		"":                                       "want day",
		"day=2026-02-30":                         "no day",
		"day=2026-03-29&time_zone=Mars":          "time zone",
		"day=2026-03-29&from_us=1":               "excludes",
		"day=2026-03-29&device=meter":            "device needs gateway",
		"from_us=900000000&to_us=900000000":      "want day",
		"from_us=-900000000&to_us=900000000":     "want day",
		"from_us=0&to_us=900000001":              "whole quarter-hours",
		"from_us=0&to_us=9000000000000000":       "at most 31 days",
		"from_us=0&to_us=99999999999999999999":   "validation failed",
		"day=2026-03-29&gateway=" + long(257):    "validation failed",
		"day=2026-03-29&time_zone=../etc/passwd": "time zone",
	} {
		status, answer := b.call("GET", "/api/v1/completeness?"+query, "")
		if detail := fmt.Sprint(answer["detail"]); status != 422 || !strings.Contains(detail, want) {
			t.Errorf("%s: %d %s", query, status, detail)
		}
	}
	for _, query := range []string{"", "from_us=1&to_us=1", "from_us=-1&to_us=1", "from_us=0&to_us=9000000000000000"} {
		if status, _ := b.call("GET", "/api/v1/gateways/gw/links?"+query, ""); status != 422 {
			t.Errorf("links %s: %d", query, status)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestOutages(t *testing.T) {
	b := newBench(t)
	b.event(telemetry.Event{Kind: telemetry.LinkChanged, Time: 100, Link: &telemetry.Link{Stream: "telemetry", State: "down", Was: "up", Cause: "unreachable"}})
	b.event(telemetry.Event{Kind: telemetry.LinkChanged, Time: 300, Link: &telemetry.Link{Stream: "telemetry", State: "up", Was: "down", Lasted: 200}})
	b.event(telemetry.Event{Kind: telemetry.LinkChanged, Time: 200, Link: &telemetry.Link{Stream: "events", State: "throttled", Was: "up"}})
	answer := b.eventually("/api/v1/gateways/gw/links?from_us=0&to_us=1000", func(a map[string]any) bool { return len(a["outages"].([]any)) == 2 })
	if got, want := fmt.Sprint(answer["outages"]), "[map[cause: from_us:200 state:throttled stream:events to_us:<nil>] "+
		"map[cause:unreachable from_us:100 state:down stream:telemetry to_us:300]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
