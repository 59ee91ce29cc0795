package api

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// overload has the gateway raise an alarm.
func (b *bench) overload(id, asset string) {
	b.t.Helper()
	now := telemetry.MicrosOf(time.Now())
	b.event(telemetry.Event{Kind: telemetry.AlarmRaised, Time: now, Decided: now, Alarm: &telemetry.AlarmChange{
		ID: id, Rule: "overload", Asset: asset, Device: "meter", Priority: telemetry.High, Summary: "too much"}})
}

func TestAlarmsAreShelvedAndTakenOutOfService(t *testing.T) {
	b := newBench(t)
	ask := func(path string) map[string]any {
		_, answer := b.call("GET", path, "")
		return answer
	}
	b.overload("a1", "feeder-1")
	b.eventually("/api/v1/alarms", func(a map[string]any) bool { return len(a["alarms"].([]any)) == 1 })
	const at = "/api/v1/alarms/a1/"
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{at + "shelve", `{"by":"Ana","reason":"x"}`, 422, "seconds"},
		{at + "shelve", `{"by":"Ana","reason":" ","seconds":60}`, 422, "reason"},
		{at + "shelve", `{"reason":"x","seconds":60}`, 422, "a name is missing"},
		{at + "shelve", `{"by":"Ana","reason":"x","seconds":28801}`, 422, "alarms of priority high may be shelved for 8h0m0s at most"},
		{"/api/v1/alarms/none/shelve", `{"by":"Ana","reason":"x","seconds":60}`, 404, "no such alarm"},
		{at + "unshelve", `{"by":"Ana","reason":"x"}`, 409, "isn't shelved"},
		{at + "in-service", `{"by":"Ana","reason":"x"}`, 409, "isn't out of service"},
		{at + "shelve", `{"by":"Ana","reason":"new meter","seconds":28800}`, 200, `"state":"shelved"`},
		{at + "out-of-service", `{"by":"Ben","reason":"rebuilt"}`, 200, `"state":"out-of-service"`},
		{at + "shelve", `{"by":"Ana","reason":"x","seconds":60}`, 409, "out of service"},
	} {
		status, answer := b.call("POST", c.path, c.body)
		text, err := json.Marshal(answer)
		if err != nil || status != c.status || !strings.Contains(string(text), c.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", c.path, c.body, status, text, c.status, c.says)
		}
	}
	shelves := ask("/api/v1/alarm-shelves")
	if list := shelves["shelves"].([]any); len(list) != 1 || list[0].(map[string]any)["by"] != "Ben" || list[0].(map[string]any)["reason"] != "rebuilt" {
		t.Errorf("%v", list)
	}
	if limits := fmt.Sprint(shelves["limits"]); limits != "[map[priority:critical seconds:3600] map[priority:high seconds:28800] map[priority:medium seconds:86400] map[priority:low seconds:604800]]" {
		t.Error(limits)
	}
	history := ask("/api/v1/alarms/a1")["history"].([]any)
	if last := history[len(history)-1].(map[string]any); len(history) != 3 || last["action"] != "out-of-service" || last["by"] != "Ben" || last["comment"] != "rebuilt" {
		t.Errorf("%v", history)
	}
	if status, a := b.call("POST", at+"in-service", `{"by":"Ben","reason":"done"}`); status != 200 || a["handling"] != nil || a["active"] != true {
		t.Errorf("%d %v", status, a)
	}
}

func TestAFloodIsToldAndReported(t *testing.T) {
	b := newBench(t)
	ask := func(path string) map[string]any {
		_, answer := b.call("GET", path, "")
		return answer
	}
	for i := range 10 {
		b.overload(fmt.Sprintf("a%d", i), "feeder-1")
	}
	last := func(n float64) func(map[string]any) bool {
		return func(a map[string]any) bool { return a["whole"].(map[string]any)["last_10_min"] == n }
	}
	b.eventually("/api/v1/alarm-flood", last(10))
	if a := ask("/api/v1/alarm-flood"); a["whole"].(map[string]any)["flood"] != nil {
		t.Errorf("ten are no flood: %v", a)
	}
	b.overload("a10", "feeder-2")
	b.eventually("/api/v1/alarm-flood", last(11))
	if flood, _ := ask("/api/v1/alarm-flood")["whole"].(map[string]any)["flood"].(map[string]any); flood["count"] != 11.0 || flood["ended_us"] != nil {
		t.Errorf("%v", flood)
	}

	now := time.Now()
	span := fmt.Sprintf("?from_us=%d&to_us=%d", now.Add(-time.Hour).UnixMicro(), now.Add(time.Hour).UnixMicro())
	report := ask("/api/v1/alarm-performance" + span)
	top := report["top"].([]any)[0].(map[string]any)
	if report["annunciated"] != 11.0 || report["targets"] != "isa18.2-2016" || len(report["floods"].([]any)) != 1 || top["asset"] != "feeder-1" || top["count"] != 10.0 ||
		len(report["chattering"].([]any)) != 1 {
		t.Errorf("%v", report)
	}
	response, err := http.Get(b.server.URL + "/api/v1/alarm-performance/table" + span)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	table, err := csv.NewReader(response.Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, line := range table[1:] {
		kinds[line[0]]++
	}
	if kinds["figure"] != 11 || kinds["priority"] != 4 || kinds["top"] != 2 || kinds["flood"] != 1 || kinds["chattering"] != 1 || kinds["hour"] < 1 {
		t.Errorf("%v", kinds)
	}
	for _, wrong := range []string{"?from_us=5&to_us=4", fmt.Sprintf("?from_us=0&to_us=%d", 32*24*time.Hour.Microseconds()), "?from_us=-1&to_us=4", ""} {
		if status, answer := b.call("GET", "/api/v1/alarm-performance"+wrong, ""); status != 422 {
			t.Errorf("%s: %d %v", wrong, status, answer)
		}
	}
}
