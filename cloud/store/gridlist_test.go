package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// What is measured and what the network has needn't be the same.
func TestSeriesAndAssetsMeet(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		signal := func(id telemetry.SignalID, device, name, asset string) telemetry.Signal {
			return telemetry.Signal{ID: id, Device: device, Name: name, Asset: asset, Kind: telemetry.Gauge}
		}
		write(t, s, func(tx *Tx) error {
			return tx.SaveBirth(record.Birth{Gateway: "gw", Zone: "here", Table: fmt.Sprintf("%016x", 1), Version: 1, Parts: 1, Signals: []telemetry.Signal{
				signal(1, "gw", "Uptime", "gw"), // of itself
				signal(2, "meter", "Hz", "P1"), signal(3, "meter", "TotW", "P1"), signal(4, "rtu", "Pos", "bay"), signal(5, "loose", "Hz", ""), signal(6, "rtu", "A.phsA", "bay"),
			}})
		})
		_, err := s.SaveGrid(t.Context(), GridVersion{Digest: "x"}, []byte("x"), nil, GridIndex{
			Assets: []GridAsset{{ID: "P1", Kind: "service_point", Zone: "here"}, {ID: "P_2!%", Kind: "service_point", Zone: "part"}, {ID: "B1", Kind: "switch", Name: "Breaker"}, {ID: "n", Kind: "node"}},
			Zones:  []GridZone{{"here", "here"}, {"part", "part"}, {"part", "here"}},
		}, false)
		if err != nil {
			t.Fatal(err)
		}
		unknown, err := s.UnknownAssets(t.Context(), Page[UnknownAsset]{Limit: 9})
		if got := fmt.Sprint(unknown); err != nil || got != "[{bay gw rtu}]" {
			t.Errorf("%s %v", got, err)
		}
		for want, f := range map[string]GridFilter{
			"B1 P_2!%": {Unmeasured: true}, "n": {Unmeasured: true, Kind: "node"}, "B1": {Text: "REAK"}, "P_2!%": {Text: "_2!%"}, "P1 P_2!%": {Zone: "here"}, "": {Text: "%%"},
		} {
			list, err := s.GridAssets(t.Context(), f, Page[string]{Limit: 9})
			var ids []string
			for _, a := range list {
				ids = append(ids, a.ID)
			}
			if got := strings.Join(ids, " "); err != nil || got != want {
				t.Errorf("%+v: %s, want %s (%v)", f, got, want, err)
			}
		}
		for want, q := range map[string]struct {
			asset    string
			position Telemetered
		}{
			"meter.Hz meter.TotW": {"P1", Telemetered{}},
			"rtu.Pos":             {"B1", Telemetered{Device: "rtu", Name: "Pos"}},
			"":                    {"B1", Telemetered{Gateway: "other", Device: "rtu", Name: "Pos"}},
		} {
			list, err := s.SeriesAt(t.Context(), q.asset, q.position, 9)
			var names []string
			for _, s := range list {
				names = append(names, s.Device+"."+s.Name)
			}
			if got := strings.Join(names, " "); err != nil || got != want {
				t.Errorf("%+v: %s, want %s (%v)", q, got, want, err)
			}
		}
		zones, all, err := s.AssetZones(InZones(t.Context(), []string{"here"}))
		if got := fmt.Sprint(zones, all); err != nil || got != "map[here:true part:true] false" {
			t.Errorf("%s %v", got, err)
		}
		if list, err := s.SeriesAt(InZones(t.Context(), []string{"elsewhere"}), "P1", Telemetered{}, 9); err != nil || len(list) != 0 {
			t.Errorf("%v %v", list, err)
		}
	})
}
