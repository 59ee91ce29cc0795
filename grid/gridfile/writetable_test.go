package gridfile_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/gridtest"
)

func TestTableRoundTrip(t *testing.T) {
	semicolons := grid.Model{Lines: []grid.Line{{Asset: grid.Asset{ID: "a;b", Name: "x\ny, \"z\""}, From: "a;b", To: "c", Phases: grid.ABC}}}
	models := []*grid.Model{full(), gridtest.Radial(2000, 3), {}, &semicolons}
	for seed := range uint64(200) {
		models = append(models, gridtest.Random(rand.New(rand.NewPCG(seed, 3))))
	}
	for _, m := range models {
		var src bytes.Buffer
		if err := gridfile.WriteTable(&src, m); err != nil {
			t.Fatal(err)
		}
		got, findings := gridfile.ReadTable("grid.csv", src.Bytes())
		if len(findings) > 0 {
			t.Fatalf("%s\n%.500s", findings[0], src.Bytes())
		}
		got.Name, got.Coordinates = m.Name, m.Coordinates
		if want := withoutPlaces(*m); !reflect.DeepEqual(withoutPlaces(got), want) {
			t.Fatalf("it came back as another model:\n%.2000s\n%+v\n%+v", src.Bytes(), got, want)
		}
	}
}

// What couldn't be read again isn't written: it may be all that is kept.
func TestTooManyForATable(t *testing.T) {
	m := &grid.Model{Zones: make([]grid.Zone, 1_000_001), Nodes: make([]grid.Node, 1_000_000)}
	if err := gridfile.WriteTable(io.Discard, m); err == nil || !strings.Contains(err.Error(), "2000001 assets, expected at most 2000000") {
		t.Error(err)
	}
}

func TestProperties(t *testing.T) {
	want := map[string]string{"name": "Mühle: \"4\" #1, x", "zone": "z", "position": "-9.5 51.25", "valid_from": "2023-11-14T22:13:20Z", "valid_to": "2027-01-15T08:00:00.000001Z",
		"from": "n", "to": "m", "type": "fuse", "normally_open": "true", "substation": "0x12", "voltage": "400 V", "phases": "B", "signal": "Pos", "device": "rtu", "gateway": "gw"}
	if got := gridfile.Properties(full(), grid.KindSwitch, 0); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if got := gridfile.Properties(full(), grid.KindServicePoint, 1); !reflect.DeepEqual(got, map[string]string{"node": "m", "customers": "-3"}) {
		t.Errorf("%v", got)
	}
}
