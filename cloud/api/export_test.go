package api

import (
	"encoding/csv"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// What is exported is all that is stored, by time, whatever of it is packed.
func TestExportOfASeries(t *testing.T) {
	b := newBench(t)
	b.named(2, nil)
	s := b.seriesNamed("DmdWh", func(map[string]any) bool { return true })
	id := telemetry.SignalID(s["id"].(float64))
	const hour = telemetry.Micros(3_600_000_000)
	const start = 480_000 * hour
	add := func(samples ...telemetry.Sample) {
		t.Helper()
		for _, one := range samples {
			one.Signal = id
			block, err := new(telemetry.Encoder).AppendBlock(nil, telemetry.TableRef{}, []telemetry.Sample{one})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.store.Write(t.Context(), func(tx *store.Tx) error {
				return tx.AddChunk(store.Chunk{Bundle: bundleOf(t, b, id), Minute: store.MinuteOf(one.Time), First: one.Time, Last: one.Time, Samples: 1, Block: block})
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(telemetry.Sample{Time: start + 2, Value: telemetry.UintValue(math.MaxUint64)},
		telemetry.Sample{Time: start, Value: telemetry.FloatValue(0.1)},
		telemetry.Sample{Time: start + 30*hour, Value: telemetry.TextValue(`a "b", c`)},
		telemetry.Sample{Time: start + 31*hour, Value: telemetry.FloatValue(math.NaN()), Quality: telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)})
	p := b.store.NewPacker()
	if _, err := p.Pack(t.Context(), bundleOf(t, b, id), int64(start/hour), int64(start/hour)*60+60); err != nil {
		t.Fatal(err)
	}
	add(telemetry.Sample{Time: start + 1, Value: telemetry.IntValue(math.MinInt64)}, telemetry.Sample{Time: start + 29*hour, Value: telemetry.BoolValue(true)})

	path := fmt.Sprintf("%s/api/v1/series/%d/export?from_us=%d&to_us=%d", b.server.URL, id, start, start+31*hour+1)
	response, err := http.Get(path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/csv; charset=utf-8" {
		t.Errorf("%s %q", response.Status, got)
	}
	got, err := csv.NewReader(response.Body).ReadAll()
	want := [][]string{
		{"time", "value", "text", "state", "quality"},
		{"2024-10-04T00:00:00.000000Z", "0.1", "", "", "good"},
		{"2024-10-04T00:00:00.000001Z", "-9223372036854775808", "", "", "good"},
		{"2024-10-04T00:00:00.000002Z", "18446744073709551615", "", "", "good"},
		{"2024-10-05T05:00:00.000000Z", "1", "", "", "good"},
		{"2024-10-05T06:00:00.000000Z", "", `a "b", c`, "", "good"},
		{"2024-10-05T07:00:00.000000Z", "", "", "", "bad (timeout)"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
	// While an hour is read, nothing is written and no time runs out.
	export, err := b.store.Export(t.Context(), id, start, start+31*hour+1)
	if err != nil {
		t.Fatal(err)
	}
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	if err := writeTable(t.Context(), w, export); err != nil {
		t.Error(err)
	}
	const hours = 4
	if len(w.given) != 2*hours+1 {
		t.Fatalf("deadlines: %v", w.given)
	}
	for i, at := range w.given {
		if at.IsZero() != (i%2 == 1) {
			t.Errorf("deadline %d: %v", i, at)
		}
	}
	for query, want := range map[string]int{fmt.Sprintf("%d/export?from_us=1&to_us=0", id): 422, "9999/export?from_us=0&to_us=1": 404} {
		if status, _ := b.call("GET", "/api/v1/series/"+query, ""); status != want {
			t.Errorf("%s: %d, want %d", query, status, want)
		}
	}
}

// deadlines are those that an answer has been given; the zero time: none any more.
type deadlines struct {
	*httptest.ResponseRecorder
	given []time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.given = append(d.given, at)
	return nil
}

// bundleOf finds where a series is stored: of a device of few signals, with the first.
func bundleOf(t *testing.T, b *bench, id telemetry.SignalID) (bundle int64) {
	t.Helper()
	err := b.store.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT bundle FROM series WHERE id = ?`, []any{int64(id)}, &bundle)
	})
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}
