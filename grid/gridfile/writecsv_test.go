package gridfile_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/gridtest"
)

func TestCSVRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tables")
	few := &grid.Model{Lines: []grid.Line{{Asset: grid.Asset{ID: "L"}, From: "a", To: "b", Phases: grid.A}}}
	for _, m := range []*grid.Model{full(), gridtest.Radial(500, 3), few} {
		if err := gridfile.WriteCSV(dir, m); err != nil {
			t.Fatal(err)
		}
		got, findings, err := gridfile.ReadCSV("tables", os.DirFS(dir))
		if err != nil || len(findings) > 0 {
			t.Fatal(err, findings)
		}
		want := withoutPlaces(*m)
		want.Name, want.Coordinates = "", grid.Local
		if !reflect.DeepEqual(withoutPlaces(got), want) {
			t.Errorf("it came back as another model:\n%+v\n%+v", got, want)
		}
	}
	if src, err := os.ReadFile(filepath.Join(dir, "lines.csv")); err != nil || string(src) != "id,from,to,phases\nL,a,b,A\n" {
		t.Errorf("%v\n%s", err, src)
	}
	if err := gridfile.WriteCSV(filepath.Join(dir, "lines.csv"), few); err == nil {
		t.Error("tables were written into a file")
	}
}
