package api

import (
	"fmt"
	"math"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func TestATrendSumsUpASeries(t *testing.T) {
	b := newBench(t)
	b.named(2, nil)
	const start = 1_700_000_040_000_000 // a whole minute
	var samples []telemetry.Sample
	for i := range telemetry.Micros(180) {
		s := telemetry.Sample{Signal: 1, Time: start + i*1_000_000, Value: telemetry.IntValue(int64(i))}
		if i == 70 {
			s.Quality = telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Malformed)
		}
		samples = append(samples, s)
	}
	b.samples(samples...)
	s := b.seriesNamed("DmdWh", func(s map[string]any) bool { return s["latest"] != nil })
	ask := func(from, to int64, points int) (int, map[string]any) {
		return b.call("GET", fmt.Sprintf("/api/v1/series/%v/trend?from_us=%d&to_us=%d&points=%d", s["id"], from, to, points), "")
	}
	_, answer := ask(start, start+180_000_000, 3)
	if got, want := fmt.Sprintf("%.0f", answer["width_us"]), "60000000"; got != want {
		t.Errorf("width %s, want %s", got, want)
	}
	buckets := answer["buckets"].([]any)
	if len(buckets) != 3 {
		t.Fatalf("%v", answer)
	}
	second := buckets[1].(map[string]any)
	if got, want := fmt.Sprint(second["min"], second["max"], second["last"], second["samples"], second["valued"], second["good"]), "60 119 119 60 59 59"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if mean := second["mean"].(float64); math.Abs(mean-float64((60+119)*30-70)/59) > 1e-9 {
		t.Errorf("mean %v", mean)
	}
	if status, all := ask(math.MinInt64, math.MaxInt64, 500); status != 200 || len(all["buckets"].([]any)) != 1 {
		t.Errorf("%d: %v", status, all)
	}
	for query, want := range map[string]int{"from_us=1&to_us=0": 422, "from_us=0&to_us=1&points=0": 422, "from_us=0&to_us=1&points=5001": 422, "from_us=0": 422} {
		if status, _ := b.call("GET", fmt.Sprintf("/api/v1/series/%v/trend?%s", s["id"], query), ""); status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
	if status, _ := b.call("GET", "/api/v1/series/9999/trend?from_us=0&to_us=1", ""); status != 404 {
		t.Errorf("an unknown series: %d", status)
	}
}
