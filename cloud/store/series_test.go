package store

import (
	"errors"
	"reflect"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func TestSeriesOutliveSignalTables(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		v := telemetry.Signal{ID: 1, Device: "m1", Name: "PhV.phsA", Unit: "V", Asset: "f1", Kind: telemetry.Gauge}
		moved := telemetry.Signal{ID: 9, Device: "m1", Name: "PhV.phsA", Unit: "V", Asset: "f2", Kind: telemetry.Gauge}
		write(t, s, func(tx *Tx) error { return tx.SaveBirth(birth("g", "000000000000000a", v)) })
		write(t, s, func(tx *Tx) error { return tx.SaveBirth(birth("h", "000000000000000a", v)) })
		write(t, s, func(tx *Tx) error { return tx.SaveBirth(birth("g", "000000000000000b", moved)) })
		list, err := s.Series(t.Context())
		if err != nil || len(list) != 2 || list[0].Asset != "f2" || list[1].Gateway != "h" || list[1].Asset != "f1" {
			t.Fatalf("%+v, %v", list, err)
		}
		old, _ := s.SignalTable(t.Context(), "g", 0xa)
		fresh, _ := s.SignalTable(t.Context(), "g", 0xb)
		if old[1].Series != list[0].ID || fresh[9] != old[1] || len(old) != 1 || len(fresh) != 1 {
			t.Errorf("tables %v and %v", old, fresh)
		}
	})
}

// What was stored in one unit is never shown in another.
func TestAnotherUnitOrKindIsAnotherSeries(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		v := telemetry.Signal{ID: 1, Device: "m1", Name: "PhV.phsA", Unit: "V", Kind: telemetry.Gauge}
		kV, counter := v, v
		kV.Unit, counter.Kind = "kV", telemetry.Counter
		for i, signal := range []telemetry.Signal{v, kV, counter, v} {
			write(t, s, func(tx *Tx) error { return tx.SaveBirth(birth("g", record.Epoch(i).String(), signal)) })
		}
		list, err := s.Series(t.Context())
		if err != nil || len(list) != 3 || list[0].Unit != "V" || list[1].Unit != "kV" || list[2].Kind != telemetry.Counter {
			t.Fatalf("%+v, %v", list, err)
		}
		for i, want := range []telemetry.SignalID{list[0].ID, list[1].ID, list[2].ID, list[0].ID} {
			if table, err := s.SignalTable(t.Context(), "g", uint64(i)); table[1].Series != want || err != nil {
				t.Errorf("table %d: %v, %v, want series %d", i, table, err, want)
			}
		}
	})
}

func TestBundlesHoldOneDeviceAndAreBounded(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		var signals []telemetry.Signal
		for i := range 2*SeriesPerBundle + 1 {
			signals = append(signals, telemetry.Signal{ID: telemetry.SignalID(i), Device: "big", Name: string(rune('a'+i%26)) + string(rune('a'+i/26))})
		}
		signals = append(signals, telemetry.Signal{ID: 999, Device: "small", Name: "x"})
		write(t, s, func(tx *Tx) error { return tx.SaveBirth(birth("g", "000000000000000a", signals...)) })
		table, err := s.SignalTable(t.Context(), "g", 0xa)
		if err != nil {
			t.Fatal(err)
		}
		members := map[int64]int{}
		for _, p := range table {
			members[p.Bundle]++
		}
		if len(members) != 4 || members[table[999].Bundle] != 1 || members[table[0].Bundle] != SeriesPerBundle {
			t.Errorf("bundles %v", members)
		}
	})
}

func block(t *testing.T, samples ...telemetry.Sample) []byte {
	t.Helper()
	var enc telemetry.Encoder
	b, err := enc.AppendBlock(nil, telemetry.TableRef{}, samples)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSamplesOfARange(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		write(t, s, func(tx *Tx) error {
			return tx.SaveBirth(birth("g", "000000000000000a", telemetry.Signal{ID: 1, Device: "m", Name: "a"}, telemetry.Signal{ID: 2, Device: "m", Name: "b"}))
		})
		table, _ := s.SignalTable(t.Context(), "g", 0xa)
		a, b := table[1], table[2]
		sample := func(p Place, at telemetry.Micros, v float64) telemetry.Sample {
			return telemetry.Sample{Signal: p.Series, Time: at, Value: telemetry.FloatValue(v)}
		}
		add := func(samples ...telemetry.Sample) {
			c := Chunk{Bundle: a.Bundle, Minute: MinuteOf(samples[0].Time), First: samples[0].Time, Last: samples[0].Time, Samples: len(samples), Block: block(t, samples...)}
			for _, s := range samples {
				c.First, c.Last = min(c.First, s.Time), max(c.Last, s.Time)
			}
			write(t, s, func(tx *Tx) error { return tx.AddChunk(c) })
		}
		const m = minute
		add(sample(a, 3*m+5, 1), sample(b, 3*m+5, 2), sample(a, 3*m+1, 3))
		add(sample(a, 3*m+3, 4), sample(a, 3*m+5, 5))
		add(sample(b, 4*m, 6))
		add(sample(a, 5*m, 7))
		add(sample(a, -1, 8))
		for _, c := range []struct {
			from, to telemetry.Micros
			want     []float64
		}{
			{3*m + 1, 5 * m, []float64{3, 4, 1, 5}},
			{3*m + 2, 3*m + 5, []float64{4}},
			{-1 << 60, 1 << 60, []float64{8, 3, 4, 1, 5, 7}},
			{5 * m, 5*m + 1, []float64{7}},
			{5 * m, 5 * m, nil},
			{-1, 0, []float64{8}},
		} {
			series, samples, err := s.Samples(t.Context(), a.Series, c.from, c.to)
			var got []float64
			for _, s := range samples {
				v, _ := s.Value.Float()
				got = append(got, v)
			}
			if err != nil || series.Name != "a" || !reflect.DeepEqual(got, c.want) {
				t.Errorf("[%d, %d): %v, want %v (%v)", c.from, c.to, got, c.want, err)
			}
		}
		if _, _, err := s.Samples(t.Context(), 999, 0, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown series: %v", err)
		}
		write(t, s, func(tx *Tx) error { return tx.SaveLatest(a.Bundle, block(t, sample(b, 4*m, 6))) })
		list, err := s.Series(t.Context())
		if err != nil || list[0].Latest != nil || list[1].Latest == nil || *list[1].Latest != sample(b, 4*m, 6) {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestSamplesOfARangeAreBounded(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		write(t, s, func(tx *Tx) error {
			return tx.SaveBirth(birth("g", "000000000000000a", telemetry.Signal{ID: 1, Device: "m", Name: "a"}))
		})
		table, _ := s.SignalTable(t.Context(), "g", 0xa)
		samples := make([]telemetry.Sample, MostSamples)
		for i := range samples {
			samples[i] = telemetry.Sample{Signal: table[1].Series, Time: telemetry.Micros(i), Value: telemetry.FloatValue(1)}
		}
		add := func(samples ...telemetry.Sample) {
			last := samples[len(samples)-1].Time
			c := Chunk{Bundle: table[1].Bundle, First: samples[0].Time, Last: last, Samples: len(samples), Block: block(t, samples...)}
			write(t, s, func(tx *Tx) error { return tx.AddChunk(c) })
		}
		add(samples...)
		if _, got, err := s.Samples(t.Context(), table[1].Series, 0, minute); len(got) != MostSamples || err != nil {
			t.Errorf("%d samples, %v", len(got), err)
		}
		add(samples[0])
		if _, _, err := s.Samples(t.Context(), table[1].Series, 0, minute); !errors.Is(err, ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
	})
}
