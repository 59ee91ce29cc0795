package scenario_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/pandapower"
	"github.com/busbar/busbar/grid/simbench"
	"github.com/busbar/busbar/sim/scenario"
)

func TestReadingsGetLostAndLate(t *testing.T) {
	s, err := scenario.Open("readings-late", nil)
	if err != nil {
		t.Fatal(err)
	}
	const quarter, minutes = int64(900e6), int64(60e6)
	var last int64
	var lost, late, all float64
	got := map[string]map[int64]int64{} // when they arrive, by meter and quarter-hour
	if _, err := s.Run(context.Background(), scenario.Sinks{Readings: func(r scenario.Reading) error {
		if r.Arrival < last || r.Arrival < r.At+quarter {
			t.Fatalf("%+v after %d", r, last)
		}
		last = r.Arrival
		if got[r.Meter] == nil {
			got[r.Meter] = map[int64]int64{}
		}
		if _, twice := got[r.Meter][r.At]; twice {
			t.Fatalf("%+v twice", r)
		}
		got[r.Meter][r.At] = r.Arrival
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	for meter, of := range got {
		for at := int64(s.Start); at < s.End(); at += quarter {
			arrival, there := of[at]
			since := (at - int64(s.Start)) / minutes
			switch {
			case since >= 12*60 && since < 13*60+45 && (strings.HasPrefix(meter, "harbour") || strings.HasPrefix(meter, "market")):
				if there {
					t.Fatalf("%s without supply is read at %d", meter, since)
				}
			case since >= 6*60 && since < 10*60+45 && strings.HasPrefix(meter, "mill"):
				if there && arrival == at+quarter {
					t.Fatalf("%s of %d is on time without a connection", meter, since)
				}
			case since < 20*60: // of which what is late has come
				all++
				if !there {
					lost++
				} else if arrival > at+quarter {
					late++
				}
			}
		}
	}
	if all < 2000 || math.Abs(lost/all-0.02) > 0.01 || math.Abs(late/all-0.1) > 0.02 {
		t.Errorf("of %v, %v %% are lost and %v %% late", all, 100*lost/all, 100*late/all)
	}
}

func TestWrongReadings(t *testing.T) {
	const src = "description: x\nlasts: 24h\ngrid: {service_points: 30}\nloads:\n  readings: {lost: 2, late: 0.1, late_by: 0s}\n"
	_, err := scenario.Parse("x.yaml", []byte(src), nil, nil)
	for _, want := range []string{"x.yaml:5:20: loads.readings.lost: 2 is no share from 0 to 1", "x.yaml:5:43: loads.readings.late_by: 0s is not above 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Networks of others are played like those of our own.
func TestImportedNetworksArePlayed(t *testing.T) {
	lv, _, err := simbench.Read("lv", os.DirFS("../../grid/simbench/testdata/lv"))
	if err != nil {
		t.Fatal(err)
	}
	case33, _, err := pandapower.Open("../../grid/pandapower/testdata/case33bw.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]grid.Model{"SimBench LV1.122": lv, "case33bw": case33} {
		var text bytes.Buffer
		if err := gridfile.WriteYAML(&text, &m); err != nil {
			t.Fatal(err)
		}
		src := fmt.Appendf(nil, "description: x\nlasts: 3h\ngrid: {file: g.yaml}\nloads: {}\nfaults: [{id: f, at: 1h, asset: %q}]\n", m.Lines[len(m.Lines)/2].ID)
		s, err := scenario.Parse("x.yaml", src, func(string) ([]byte, error) { return text.Bytes(), nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		readings := 0
		result, err := s.Run(context.Background(), scenario.Sinks{Readings: func(r scenario.Reading) error {
			if readings++; r.Import < 0 {
				t.Errorf("%s: %+v", name, r)
			}
			return nil
		}})
		if err != nil || result.Sustained != 1 || readings < 12*len(m.ServicePoints) {
			t.Errorf("%s: %+v, %d readings, %v", name, result, readings, err)
		}
	}
}
