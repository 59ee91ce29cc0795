package simbench_test

import (
	"bytes"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/simbench"
)

func readLV(t *testing.T) grid.Model {
	t.Helper()
	m, findings, err := simbench.Read("lv", os.DirFS("testdata/lv"))
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	return m
}

func TestLowVoltageGrid(t *testing.T) {
	m := readLV(t)
	got := m.At(0).Summary()
	if want := (grid.Summary{Nodes: 43, Lines: 13, Switches: 28, Transformers: 1, ServicePoints: 13, Customers: 13, Sources: 1}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if findings := m.Check(0); len(findings) > 0 {
		t.Errorf("%v", findings)
	}
	breakers := 0
	for _, s := range m.Switches {
		if s.Type == grid.Breaker {
			breakers++
		}
	}
	transformer := m.Transformers[0]
	if transformer.ShortCircuitVoltage != 4 || transformer.LoadLoss != 2350 || transformer.NoLoadLoss != 460 || transformer.NoLoadCurrent == 0 || transformer.Tap != 0 {
		t.Errorf("transformer %+v", transformer)
	}
	if breakers != 2 || transformer.RatedPower != 160e3 || transformer.HighVoltage != 20e3 || transformer.LowVoltage != 400 || transformer.From != "MV1.101 Bus 58_1" {
		t.Errorf("%d breakers, transformer %+v", breakers, transformer)
	}
	line := m.Lines[0]
	if want := (grid.Line{Asset: grid.Asset{ID: "LV1.122 Line 1", Place: grid.Place{File: "lv/Line.csv", Line: 2, Column: 1}}, From: "LV1.122 Bus 10_1", To: "LV1.122 Bus 3_1",
		Type: grid.Cable, Voltage: 400, Phases: grid.ABC, Length: 55.7667, RatedCurrent: 270,
		Resistance: 0.2067, Reactance: 0.0804248, Capacitance: 829.999394422}); line != want {
		t.Errorf("got %+v\nwant %+v", line, want)
	}

	// The breaker behind the transformer carries everyone; a cable's switch those
	// behind it.
	s := m.At(0)
	o := s.Normal()
	for id, want := range map[string]int64{"LV1.122 Switch 9": 13, "MV1.101-LV1.122-Trafo 1": 13, "LV1.122 Line 9": 2, "LV1.122 Line 11": 1} {
		if got := o.CustomersBelow(o.Below(s.EdgeOf(id))); got != want {
			t.Errorf("below %s: %d customers, expected %d", id, got, want)
		}
	}
}

func TestCircuits(t *testing.T) {
	m := readLV(t)
	m.Feeders = m.At(0).Circuits()
	m.Sort()
	var heads []string
	s := m.At(0)
	customers := int64(0)
	for i, f := range m.Feeders {
		heads = append(heads, f.Head)
		customers += s.Normal().CustomersBelow(s.Normal().Below(s.EdgeOf(m.Feeders[i].Head)))
	}
	if want := []string{"LV1.122 Switch 5", "LV1.122 Switch 6", "LV1.122 Switch 7", "LV1.122 Switch 8"}; !slices.Equal(heads, want) || customers != 13 {
		t.Errorf("circuits %q with %d customers, expected %q with 13", heads, customers, want)
	}
}

func TestRoundTrip(t *testing.T) {
	m := readLV(t)
	var out bytes.Buffer
	if err := gridfile.WriteYAML(&out, &m); err != nil {
		t.Fatal(err)
	}
	got, findings := gridfile.ReadYAML("grid.yaml", out.Bytes())
	for _, model := range []*grid.Model{&m, &got} {
		model.Each(func(_ grid.Kind, _ int, a *grid.Asset) { a.Place = grid.Place{} })
	}
	if len(findings) > 0 || !reflect.DeepEqual(got, m) {
		t.Errorf("%v\n%s", findings, out.String())
	}
}

// small is a grid with what the one above hasn't.
var small = fstest.MapFS{
	"Node.csv": {Data: []byte("id;type;vaSetp;vmR;substation;coordID\nHV;busbar;NULL;110;SS;c1\nMV;double busbar;NULL;20;SS;NULL\nLV;node;NULL;0.4;SS;NULL\n" +
		"A;auxiliary;NULL;20;NULL;NULL\nB;busbar;NULL;20;NULL;NULL\nISLE;busbar;0.0;0.4;NULL;NULL\n")},
	"Coordinates.csv":     {Data: []byte("id;x;y\nc1;11.41;53.64\n")},
	"Substation.csv":      {Data: []byte("id\nSS\n")},
	"ExternalNet.csv":     {Data: []byte("id;node;calc_type\nEG;HV;vavm\nHV at B;B;vavm\nEG2;ISLE;vavm\n")},
	"Transformer3W.csv":   {Data: []byte("id;nodeHV;nodeMV;nodeLV;type\nT3;HV;MV;LV;x\n")},
	"Transformer.csv":     {Data: []byte("id;nodeHV;nodeLV;type\nT1;B;LV;20/0.4 Dyn5 A\n")},
	"TransformerType.csv": {Data: []byte("id;sR;vmHV;vmLV\n20/0.4 Dyn5 A;0.63;20;0.4\n")},
	"Switch.csv":          {Data: []byte("id;nodeA;nodeB;type;cond;substation\nS1;MV;A;CB;1;SS\nS2;B;A;LS;0;NULL\nS3;MV;B;DS;1;OTHER\n")},
	"Load.csv":            {Data: []byte("id;node\nP1;A\n")},
	"Measurement.csv":     {Data: []byte("id;element1\nm1;A\nm2;B\n")},
}

// What a load flow needs.
func TestImpedances(t *testing.T) {
	m, findings, err := simbench.Read("", fstest.MapFS{
		"Node.csv":            {Data: []byte("id;vmSetp;vaSetp;vmR\nMV;1.025;0.0;20\nA;NULL;NULL;0.4\nB;NULL;NULL;0.4\n")},
		"TransformerType.csv": {Data: []byte("id;sR;vmHV;vmLV;vmImp;pCu;pFe;iNoLoad;tapside;dVm;tapNeutr\nT;0.63;20;0.4;4;6.8;1.18;0.1873;HV;2.5;0\nL;0.63;20;0.4;4;6.8;1.18;0.1873;LV;25;-1\n")},
		"Transformer.csv":     {Data: []byte("id;nodeHV;nodeLV;type;tappos\n1;MV;A;T;-2\n2;MV;B;L;0\n")},
		"LineType.csv":        {Data: []byte("id;r;x;b;iMax;type\nK;0.2067;0.0804;100;270;cable\n")},
		"Line.csv":            {Data: []byte("id;nodeA;nodeB;type;length\nL1;A;B;K;0.1\n")},
	})
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	if l := m.Lines[0]; l.Resistance != 0.2067 || l.Reactance != 0.0804 || math.Abs(float64(l.Capacitance)*1e-9*2*math.Pi*50-100e-6) > 1e-15 {
		t.Errorf("%+v", l)
	}
	a, b := m.Transformers[0], m.Transformers[1]
	if a.ShortCircuitVoltage != 4 || a.LoadLoss != 6800 || a.NoLoadLoss != 1180 || a.NoLoadCurrent != 0.1873 || a.Tap != -5 {
		t.Errorf("%+v", a)
	}
	if b.ShortCircuitVoltage != 6.25 || b.LoadLoss != 10625 || b.Tap != -20 {
		t.Errorf("%+v", b)
	}
	if len(m.Sources) != 1 || m.Sources[0].Setpoint != 20500 {
		t.Errorf("%+v", m.Sources)
	}
}

func TestSmallGrid(t *testing.T) {
	m, findings, err := simbench.Read("", small)
	if err != nil || len(findings) != 1 || findings[0].String() != "Measurement.csv: warning: 2 measurements aren't taken: what is measured where is said by gateways' devices and their assets" {
		t.Fatal(err, findings)
	}
	if m.Coordinates != grid.WGS84 || m.Nodes[2].ID != "HV" || m.Nodes[2].Position != grid.PositionAt(11.41, 53.64) || m.Nodes[5].Type != grid.Busbar {
		t.Errorf("%+v", m.Nodes)
	}
	// B is fed from HV, by the transformer with three windings; ISLE by nothing.
	if len(m.Substations) != 2 || len(m.Sources) != 2 || m.Sources[0].Node != "HV" || m.Sources[0].Voltage != 110e3 || m.Sources[1].ID != "EG2" {
		t.Errorf("%+v %+v", m.Substations, m.Sources)
	}
	if !m.Switches[1].NormallyOpen || m.Switches[2].Type != grid.Disconnector || m.Switches[2].Substation != "OTHER" {
		t.Errorf("%+v", m.Switches)
	}
	if len(m.Transformers) != 3 || m.Transformers[0].VectorGroup != "Dyn5" || m.Transformers[2].ID != "T3 LV" || m.Transformers[2].To != "LV" || m.Transformers[1].LowVoltage != 20e3 {
		t.Errorf("%+v", m.Transformers)
	}
}

func TestFindings(t *testing.T) {
	broken := fstest.MapFS{}
	maps.Copy(broken, small)
	delete(broken, "Measurement.csv")
	broken["Switch.csv"] = &fstest.MapFile{Data: []byte("id;nodeA;nodeB;type;cond\nS1;MV;A;XX;1\nS2;B;A;LS\nS3;MV;B;LS;open\n;MV;B;LS;1\n")}
	broken["Transformer.csv"] = &fstest.MapFile{Data: []byte("id;nodeHV;nodeLV;type\nT1;B;LV;none\n")}
	broken["Line.csv"] = &fstest.MapFile{Data: []byte("id;nodeA;nodeB;type;length\nL1;A;B;t;long\nL2;A;B;t;-1\n")}
	broken["Load.csv"] = &fstest.MapFile{Data: []byte("id;bus\nP1;A\n")}
	m, findings, err := simbench.Read("d", broken)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.String())
	}
	want := `d/Line.csv:2:10: error: L1: length: "long", expected a number of at least 0
d/Line.csv:3:10: error: L2: length: "-1", expected a number of at least 0
d/Switch.csv:2:9: error: S1: type: "XX", expected CB, LS, LBS or DS; it is taken for a load switch
d/Switch.csv:3:1: error: the row has 4 columns, and the header 5
d/Switch.csv:4:12: error: S3: cond: "open", expected 0 for open or 1 for closed; it is taken for closed
d/Switch.csv:5:1: error: id: there is no value in this row, expected one
d/Transformer.csv:2:9: error: T1: type: there is no "none" in TransformerType.csv, so its power and voltages aren't known
d/Load.csv:1:1: error: there is no column "node"`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(m.Switches) != 2 || len(m.Lines) != 2 || len(m.Transformers) != 3 {
		t.Errorf("%+v", m)
	}
	if _, _, err := simbench.Read("d", fstest.MapFS{}); err == nil {
		t.Error("an empty directory is a grid")
	}
}

// Whatever the tables' bytes, there is a model, and it can be checked.
func FuzzRead(f *testing.F) {
	f.Add(small["Node.csv"].Data, small["Switch.csv"].Data, small["Transformer.csv"].Data)
	f.Add([]byte("id;vmR;vaSetp\na;1e308;0\n\"\n"), []byte("id;nodeA;nodeB;type;cond\n;;;;\n"), []byte("\xff"))
	f.Fuzz(func(t *testing.T, nodes, switches, transformers []byte) {
		tables := fstest.MapFS{}
		maps.Copy(tables, small)
		tables["Node.csv"] = &fstest.MapFile{Data: nodes}
		tables["Switch.csv"] = &fstest.MapFile{Data: switches}
		tables["Transformer.csv"] = &fstest.MapFile{Data: transformers}
		m, findings, err := simbench.Read("", tables)
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range findings {
			if finding.Place.File == "" || finding.Message == "" {
				t.Fatalf("%+v", finding)
			}
		}
		m.Check(0)
	})
}
