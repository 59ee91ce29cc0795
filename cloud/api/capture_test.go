package api

import (
	"encoding/json"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

// What was captured is asked for by its alarm's id, with what the values are called.
func TestCaptureOfAnAlarm(t *testing.T) {
	b := newBench(t)
	b.birth()
	b.raise("a1")
	b.raise("a2")
	open, value := 1.0, 231.5
	b.event(telemetry.Event{Kind: telemetry.AlarmCaptured, Time: 1_000_000, Decided: 9_000_000, Capture: &telemetry.Capture{Alarm: "a1", Rule: "voltage-interruption", From: 500_000, To: 8_000_000,
		Signals: []telemetry.CapturedSignal{
			{Signal: 1, Name: "PhV.phsA", Device: "meter", Unit: "V", Truncated: true, Samples: []telemetry.CapturedSample{{Time: 500_000, Value: &value}, {Time: 1_000_000, Quality: "bad (timeout)"}}},
			{Signal: 2, Name: "ChLiv", Device: "meter", Unit: "1", Samples: []telemetry.CapturedSample{{Time: 600_000, Value: &open}}},
		}}})
	b.eventually("/api/v1/alarms/a1", func(a map[string]any) bool { return a["captured"] == true })
	b.eventually("/api/v1/series", func(a map[string]any) bool { return len(a["series"].([]any)) == 2 })
	status, answer := b.call("GET", "/api/v1/alarms/a1/capture", "")
	got, err := json.Marshal([]any{status, answer["from_us"], answer["to_us"], answer["signals"]})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[200,500000,8000000,[` +
		`{"device":"meter","kind":"gauge","name":"PhV.phsA","samples":[{"q":"good","t":500000,"v":231.5},{"q":"bad (timeout)","t":1000000,"v":null}],"series":1,"truncated":true,"unit":"V"},` +
		`{"device":"meter","kind":"state","name":"ChLiv","samples":[{"q":"good","t":600000,"v":1}],"series":2,"truncated":false,"unit":"1"}]]`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for id, want := range map[string]int{"a2": 404, "none": 404} {
		if status, answer := b.call("GET", "/api/v1/alarms/"+id+"/capture", ""); status != want {
			t.Errorf("%s: %d %v", id, status, answer)
		}
	}
}
