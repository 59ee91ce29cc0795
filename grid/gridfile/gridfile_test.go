package gridfile_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/gridtest"
)

// full uses every key of every kind.
func full() *grid.Model {
	asset := func(id string) grid.Asset {
		return grid.Asset{ID: id, Name: "Mühle: \"4\" #1, x", Zone: "z", Position: grid.PositionAt(-9.5, 51.25), ValidFrom: 1700000000000000, ValidTo: 1800000000000001}
	}
	return &grid.Model{
		Name: "12", Coordinates: grid.WGS84,
		Zones:       []grid.Zone{{Asset: grid.Asset{ID: "z"}}, {Asset: grid.Asset{ID: "true"}, Parent: "z"}},
		Substations: []grid.Substation{{Asset: asset("0x12")}},
		Nodes:       []grid.Node{{Asset: asset("n"), Type: grid.Cabinet, Substation: "0x12", Voltage: 12660}},
		Sources:     []grid.Source{{Asset: asset("source 1"), Node: "n", Voltage: 110e3, Setpoint: 112.5e3}},
		Feeders:     []grid.Feeder{{Asset: asset("~"), Substation: "0x12", Head: "s"}},
		Lines: []grid.Line{{Asset: asset("l"), From: "n", To: "- x", Type: grid.Overhead, Voltage: 399.5, Phases: grid.A | grid.C,
			Length: 1234.5, RatedCurrent: 0.25, Resistance: 0.2067, Reactance: 0.0804248, Capacitance: 260.25, OutOfService: true}},
		Switches: []grid.Switch{{Asset: asset("s"), From: "n", To: "m", Type: grid.Fuse, NormallyOpen: true, Substation: "0x12", Voltage: 400,
			Phases: grid.B, Signal: "Pos", Device: "rtu", Gateway: "gw"}},
		Transformers: []grid.Transformer{{Asset: asset("t"), From: "n", To: "m", Substation: "0x12", RatedPower: 630e3, HighVoltage: 20e3,
			LowVoltage: 400, VectorGroup: "Dyn5", Phases: grid.A | grid.B, OutOfService: true,
			ShortCircuitVoltage: 4.05, LoadLoss: 4600.5, NoLoadLoss: 0.6, NoLoadCurrent: 0.26, Tap: -2.5}},
		ServicePoints: []grid.ServicePoint{
			{Asset: asset("p"), Node: "m", Customers: 0, Phases: grid.C, Voltage: 400, Priority: grid.CriticalPriority},
			{Asset: grid.Asset{ID: "q"}, Node: "m", Customers: -3, Phases: grid.ABC}},
	}
}

func write(t *testing.T, m *grid.Model) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := gridfile.WriteYAML(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func withoutPlaces(m grid.Model) grid.Model {
	m.Each(func(_ grid.Kind, _ int, a *grid.Asset) { a.Place = grid.Place{} })
	return m
}

func TestYAMLRoundTrip(t *testing.T) {
	models := []*grid.Model{full(), gridtest.Radial(2000, 3), {}}
	for seed := range uint64(200) {
		models = append(models, gridtest.Random(rand.New(rand.NewPCG(seed, 3))))
	}
	for _, m := range models {
		src := write(t, m)
		got, findings := gridfile.ReadYAML("grid.yaml", src)
		if len(findings) > 0 {
			t.Fatalf("%s\n%.500s", findings[0], src)
		}
		if want := withoutPlaces(*m); !reflect.DeepEqual(withoutPlaces(got), want) {
			t.Fatalf("it came back as another model:\n%.2000s\n%+v\n%+v", src, got, want)
		}
	}
}

// Every key is in the model above, so that the round trip covers it.
func TestFullIsFull(t *testing.T) {
	src := string(write(t, full()))
	model := reflect.TypeFor[grid.Model]()
	for i := range model.NumField() {
		f := model.Field(i)
		if f.Type.Kind() != reflect.Slice {
			continue
		}
		_, list, _ := strings.Cut(src, "\n"+f.Tag.Get("yaml")+":\n")
		list, _, _ = strings.Cut(list, "\n\n")
		var check func(of reflect.Type)
		check = func(of reflect.Type) {
			for j := range of.NumField() {
				key, options, _ := strings.Cut(of.Field(j).Tag.Get("yaml"), ",")
				if options == "inline" {
					check(of.Field(j).Type)
				} else if key != "" && !strings.Contains(list, key+": ") && !(f.Name == "Zones") {
					t.Errorf("%s has no %s", f.Name, key)
				}
			}
		}
		check(f.Type.Elem())
	}
}

// The same grid, as people write it: in blocks, with comments, and in flow style.
func TestYAMLStyles(t *testing.T) {
	want := grid.Model{Name: "north", Coordinates: grid.WGS84,
		Lines: []grid.Line{{Asset: grid.Asset{ID: "L1"}, From: "a", To: "b", Voltage: 20e3, Phases: grid.ABC},
			{Asset: grid.Asset{ID: "L2", Name: "to the mill"}, From: "b", To: "c", Phases: grid.A}},
		ServicePoints: []grid.ServicePoint{{Asset: grid.Asset{ID: "P"}, Node: "c", Customers: 1, Phases: grid.ABC}}}
	for name, src := range map[string]string{
		"canonical": "name: north\ncoordinates: wgs84\nlines:\n  - {id: L1, from: a, to: b, voltage: 20 kV}\n  - {id: L2, from: b, to: c, name: to the mill, phases: A}\nservice_points:\n  - {id: P, node: c}\n",
		"blocks": "# a grid\r\n---\r\nlines:   # all\r\n- id: L1\r\n  from: a\r\n  to: b\r\n\r\n  voltage: 20.0 kV\r\n# the second\r\n- id: L2\r\n  name: >-\r\n    to the\r\n    mill\r\n" +
			"  from: b\r\n  to: c\r\n  phases: A\r\nname: north\r\n\r\ncoordinates: 'wgs84'\r\nservice_points: [{id: P, node: c}]\r\n",
		"flow":   "{name: north, coordinates: wgs84, lines: [{id: L1, from: a, to: b, voltage: 20 kV}, {id: L2, name: to the mill, from: b, to: c, phases: A}], service_points: [{id: P, node: c}]}",
		"quotes": "\ufeff\"name\": north\n'coordinates': wgs84\nlines:\n    - {\"id\": L1, from: \"a\", to: 'b', voltage: \"20 kV\"}   # one\n    - id: L2\n      name: \"to the\n        mill\"\n      from: b\n      to: c\n      phases: A\nservice_points:\n- {id: P, node: c}",
	} {
		got, findings := gridfile.ReadYAML("grid.yaml", []byte(src))
		if len(findings) > 0 || !reflect.DeepEqual(withoutPlaces(got), want) {
			t.Errorf("%s: %v\n%+v", name, findings, got)
		}
	}
}

func TestYAMLFindings(t *testing.T) {
	many := strings.Repeat("  - {id: X, from: a, to: b}\n", 250)
	for name, c := range map[string]struct{ src, want string }{
		"all of them": {"name: x\nlines:\n  - {id: L1, from: a, to: b, voltage: 20kV}\n  - {id: L2, from: a, to: b, id: z}\n  - id: L3\n    from: b\n    too: c\nswitchs:\n  - {id: S}\nlines: []\n",
			`g.yaml:3:39: error: L1: voltage: "20kV" is no voltage; write a number above 0 and its unit, like 20 kV or 400 V
g.yaml:4:30: error: L2: id: the key is given twice, first in line 4, expected it once
g.yaml:7:5: error: L3: too: unknown key "too", did you mean "to"?
g.yaml:8:1: error: unknown key "switchs", did you mean "switches"?
g.yaml:10:1: error: the key "lines" is given twice, first in line 2, expected it once`},
		"far down": {"lines:\n" + many + "  - {id: Y, from: a, to: b, type: rope}\n", `g.yaml:252:35: error: Y: type: "rope" is no type of line, expected one of unknown, overhead, cable`},
		"values": {"service_points:\n  - {id: P, node: c, customers: 010, phases: ABD, position: 1, priority: low, valid_from: 2026-01-01, valid_to: 1970-01-01T00:00:00Z}\n", `g.yaml:2:33: error: P: customers: 010 begins with a zero, which some readers take for octal; expected a whole number from -9223372036854775808 to 9223372036854775807, in decimal or as 0x hex
g.yaml:2:46: error: P: phases: "ABD" is no set of phases; write A, B and C in one word, like ABC, AB or C
g.yaml:2:61: error: P: position: "1" is no position; write x and y, like 9.4797 51.3127
g.yaml:2:74: error: P: priority: "low" is no priority, expected one of normal, high, critical
g.yaml:2:91: error: P: valid_from: "2026-01-01" is no time; write it like 2026-03-01T00:00:00Z or with an offset, like 2026-03-01T01:00:00+01:00
g.yaml:2:113: error: P: valid_to: "1970-01-01T00:00:00Z" is no time; write it like 2026-03-01T00:00:00Z or with an offset, like 2026-03-01T01:00:00+01:00`},
		"missing":   {"switches:\n  - {from: a, to: b, type: fuse}\n  - {id: S}\n  -\n", "g.yaml:2:5: error: id: the key is missing, expected a value\ng.yaml:3:5: error: S: from: the key is missing, expected a value\ng.yaml:3:5: error: S: to: the key is missing, expected a value\ng.yaml:3:5: error: S: type: the key is missing, expected a value\ng.yaml:4:3: error: the list entry is empty, expected a value"},
		"documents": {"name: a\n---\nname: b\n", "g.yaml:2:1: error: \"---\" ends the document, expected one document in a file\ng.yaml:3:1: error: the key \"name\" is given twice, first in line 1, expected it once"},
		"no YAML":   {"lines:\n  - {id: L0, from: a, to: b}\n  - {id: L1, from: a, to: b\n  - {id: L2, from: a, to: b}\nname: x\n", `g.yaml:3:5: error: this is not YAML: the mapping that begins here isn't closed, expected "}"`},
		"braces around it": {"{\n  name: x, lines: [\n  {id: L1, from: a, to: b, voltage: 20kV},\n  {id: L2, from: a, to: b}]\n}\n",
			`g.yaml:3:37: error: L1: voltage: "20kV" is no voltage; write a number above 0 and its unit, like 20 kV or 400 V`},
		"before the list": {"lines:\n  foo: bar\n  - {id: L1, from: a, to: b}\n  - {id: L2, from: a, to: b}\nname: x\n", `g.yaml:1:1: error: lines: a mapping, expected a list`},
		"only text":       {"a grid\n", `g.yaml:1:1: error: the text "a grid", expected a mapping of "key: value"`},
		"only a list":     {"- id: a\n", `g.yaml:1:1: error: a list, expected a mapping of "key: value"`},
	} {
		m, findings := gridfile.ReadYAML("g.yaml", []byte(c.src))
		var lines []string
		for _, f := range findings {
			lines = append(lines, f.String())
			if f.Code != grid.Unreadable || f.Severity != grid.Error {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if got := strings.Join(lines, "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
		if (name == "no YAML" || name == "before the list" || name == "braces around it") && (m.Name != "x" || len(m.Lines) != 2) {
			t.Errorf("%s: what is right wasn't read: %+v", name, m)
		}
		if name == "all of them" && (m.Name != "x" || len(m.Lines) != 3) {
			t.Errorf("what is right wasn't read: %+v", m)
		}
	}
}

func TestPlaces(t *testing.T) {
	m, _ := gridfile.ReadYAML("g.yaml", []byte("lines:\n  # one\n  - {id: A, from: x, to: y}\n\n  - {id: B, from: x, to: y} # slow\n  - id: C\n    from: x\n    to: y\n"))
	for i, want := range []string{"g.yaml:3:5", "g.yaml:5:5", "g.yaml:6:5"} {
		if got := m.Lines[i].Place.String(); got != want {
			t.Errorf("%s is at %s, expected %s", m.Lines[i].ID, got, want)
		}
	}
}

func TestCSV(t *testing.T) {
	tables := fstest.MapFS{
		"lines.csv":          {Data: []byte("id,from,to,voltage,length,phases\nL1,a,b,20 kV,1.2 km,ABC\nL2,b,c,20 kV,,A\n")},
		"switches.csv":       {Data: []byte("id;from;to;type;normally_open;name\nS1;bus;a;breaker;;\"Mill; north\"\nS2;c;x;load-switch;true;\n")},
		"service_points.csv": {Data: []byte("\ufeffid,node,customers,phases,priority,position\r\nP1,c,12,A,critical,9.5 51.2\r\nP2,b,,,,\r\n")},
		"readme.txt":         {Data: []byte("nothing")},
	}
	want := grid.Model{
		Lines: []grid.Line{{Asset: grid.Asset{ID: "L1"}, From: "a", To: "b", Voltage: 20e3, Length: 1200, Phases: grid.ABC},
			{Asset: grid.Asset{ID: "L2"}, From: "b", To: "c", Voltage: 20e3, Phases: grid.A}},
		Switches: []grid.Switch{{Asset: grid.Asset{ID: "S1", Name: "Mill; north"}, From: "bus", To: "a", Type: grid.Breaker, Phases: grid.ABC},
			{Asset: grid.Asset{ID: "S2"}, From: "c", To: "x", Type: grid.LoadSwitch, NormallyOpen: true, Phases: grid.ABC}},
		ServicePoints: []grid.ServicePoint{{Asset: grid.Asset{ID: "P1", Position: grid.PositionAt(9.5, 51.2)}, Node: "c", Customers: 12, Phases: grid.A, Priority: grid.CriticalPriority},
			{Asset: grid.Asset{ID: "P2"}, Node: "b", Customers: 1, Phases: grid.ABC}},
	}
	got, findings, err := gridfile.ReadCSV("dir", tables)
	if err != nil || len(findings) > 0 || !reflect.DeepEqual(withoutPlaces(got), want) {
		t.Errorf("%v %v\n%+v", err, findings, got)
	}
	combined := "kind,id,from,to,type,normally_open,name,voltage,length,phases,node,customers,priority,position\n" +
		"line,L1,a,b,,,,20 kV,1.2 km,ABC,,,,\nswitch,S1,bus,a,breaker,,Mill; north,,,,,,,\nservice_point,P1,,,,,,,,A,c,12,critical,9.5 51.2\n" +
		"line,L2,b,c,,,,20 kV,,A,,,,\nswitch,S2,c,x,load-switch,true,,,,,,,,\nservice_point,P2,,,,,,,,,b,,,\n"
	got, findings = gridfile.ReadTable("all.csv", []byte(combined))
	if len(findings) > 0 || !reflect.DeepEqual(withoutPlaces(got), want) {
		t.Errorf("%v\n%+v", findings, got)
	}
	if _, _, err := gridfile.ReadCSV("dir", fstest.MapFS{}); err == nil {
		t.Error("a directory without tables is a grid")
	}
}

func TestCSVFindings(t *testing.T) {
	_, findings, err := gridfile.ReadCSV("d", fstest.MapFS{
		"lines.csv": {Data: []byte("id,from,to,voltge,voltage\nL1,a,b,1,twenty\nL2,a\n,x,y,,\nL3,\"a\"b,c,,\nL4,a,,,\nL5,\xff,b,,\nL6,a,b,,400 V\n")},
		"nodes.csv": {Data: []byte("name,voltage\n")},
		"zones.csv": {Data: nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.String())
	}
	want := `d/lines.csv:1:1: error: unknown column "voltge", did you mean "voltage"?
d/lines.csv:2:10: error: L1: voltage: "twenty" is no voltage; write a number above 0 and its unit, like 20 kV or 400 V
d/lines.csv:3:1: error: the row has 2 columns, and the header 5
d/lines.csv:4:1: error: id: there is no value in this row, expected one
d/lines.csv:5:6: error: extraneous or missing " in quoted-field
d/lines.csv:6:6: error: L4: to: there is no value in this row, expected one
d/lines.csv:7:4: error: this is not UTF-8 text
d/nodes.csv:1:1: error: there is no column "id", which every row needs
d/zones.csv:1:1: error: the file is empty, expected a header with the names of its columns`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, findings = gridfile.ReadTable("a.csv", []byte("kind,id,from,to,customers\ncable,C,a,b,\nline,L,a,b,3\n"))
	if len(findings) != 2 || !strings.Contains(findings[0].Message, "expected one of zone, substation") || !strings.Contains(findings[1].Message, "a line has no such column") {
		t.Errorf("%v", findings)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, path := range []string{
		put("grid.yaml", "lines:\n  - {id: L, from: a, to: b}\n"),
		put("all.csv", "kind,id,from,to\nline,L,a,b\n"),
		strings.TrimSuffix(put("lines.csv", "id,from,to\nL,a,b\n"), "/lines.csv"),
	} {
		m, findings, err := gridfile.Open(path)
		if err != nil || len(findings) > 0 || len(m.Lines) != 1 {
			t.Errorf("%s: %v %v %+v", path, err, findings, m)
		}
	}
	if _, _, err := gridfile.Open(dir + "/none.yaml"); err == nil {
		t.Error("what isn't there was read")
	}
}

// Whatever the bytes, what can be read of them is written so that it reads the
// same again, and each finding is in the file.
func FuzzReadYAML(f *testing.F) {
	for _, m := range []*grid.Model{full(), gridtest.Random(rand.New(rand.NewPCG(1, 1)))} {
		var out bytes.Buffer
		_ = gridfile.WriteYAML(&out, m)
		f.Add(out.Bytes())
	}
	for _, s := range []string{"lines:\n- {id: a b, from: \"x\", to: -1}\n- id: b", "---\n...\n", "a\n- b\n  - c", "lines:\n  -\n -\n- {", "name: |\n  x\n\n", "lines: [{id: L,\nfrom: x}]",
		"nodes:\n  - {id: a, position: -1 -2, voltage: 0.4 kV}\n  - {id: 1e3}\n  - {id: null}\n  - {id: \"\"}\n", "\ufeff# x\rlines:\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, findings := gridfile.ReadYAML("g", src)
		lines := 1 + bytes.Count(bytes.ReplaceAll(bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n")), []byte("\n"))
		for _, finding := range findings {
			if finding.Place.Line < 1 || finding.Place.Line > lines || finding.Message == "" {
				t.Fatalf("%+v of %d lines", finding, lines)
			}
		}
		m.Each(func(_ grid.Kind, _ int, a *grid.Asset) {
			if a.Place.Line < 1 || a.Place.Line > lines {
				t.Fatalf("%s is at %s of %d lines", a.ID, a.Place, lines)
			}
		})
		m.Check(0)
		again, _ := gridfile.ReadYAML("g", write(t, &m))
		if len(findings) > 0 {
			return // what is missing is an error again
		}
		if got, want := withoutPlaces(again), withoutPlaces(m); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\n%+v", got, want)
		}
	})
}

func FuzzReadTable(f *testing.F) {
	f.Add([]byte("kind,id,from,to,voltage\nline,L1,a,b,20 kV\nswitch,S,a,b,\n"))
	f.Add([]byte("kind;id;node\nservice_point;P;\"a\"\n;;\n"))
	f.Add([]byte("kind\n\"\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		m, findings := gridfile.ReadTable("g", src)
		for _, finding := range findings {
			if finding.Place.Line < 1 || finding.Message == "" {
				t.Fatalf("%+v", finding)
			}
		}
		m.Check(0)
		var out bytes.Buffer
		if err := gridfile.WriteTable(&out, &m); err != nil || len(findings) > 0 {
			return // what is missing is an error again
		}
		again, findings := gridfile.ReadTable("g", out.Bytes())
		if got, want := withoutPlaces(again), withoutPlaces(m); len(findings) > 0 || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n%q\n%+v\n%+v", findings, out.Bytes(), got, want)
		}
	})
}
