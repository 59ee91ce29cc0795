package pandapower_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/pandapower"
)

func readCase33(t *testing.T) grid.Model {
	t.Helper()
	src, err := os.ReadFile("testdata/case33bw.json")
	if err != nil {
		t.Fatal(err)
	}
	m, findings, err := pandapower.Read("case33bw.json", src)
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	return m
}

// The network of Baran and Wu: 33 buses, 32 closed branches and 5 open ties.
func TestCase33(t *testing.T) {
	m := readCase33(t)
	s := m.At(0)
	if got, want := s.Summary(), (grid.Summary{Nodes: 33, Lines: 37, ServicePoints: 32, Customers: 32, Sources: 1}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	closed := 0
	for _, l := range m.Lines {
		if !l.OutOfService {
			closed++
		}
	}
	if findings := m.Check(0); closed != 32 || len(findings) > 0 {
		t.Errorf("%d closed branches, %v", closed, findings)
	}
	// Opening the branch at the source takes everyone; a tie brings back what is
	// behind another branch.
	p := s.NormalPositions()
	p[s.EdgeOf("line-0")] = grid.ABC
	if n := s.Normal().Below(s.EdgeOf("line-0")); s.Normal().CustomersBelow(n) != 32 || s.Operate(p, nil).Energised(s.Node("bus-17")) != 0 {
		t.Error("line-0 doesn't supply everyone")
	}
	p = s.NormalPositions()
	p[s.EdgeOf("line-24")] = grid.ABC // bus 5 to bus 25
	if o := s.Operate(p, nil); o.Energised(s.Node("bus-32")) != 0 {
		t.Error("line-24 doesn't supply bus 32")
	}
	p[s.EdgeOf("line-35")] = 0 // bus 17 to bus 32
	if o := s.Operate(p, nil); o.Energised(s.Node("bus-25")) != grid.ABC || len(o.Loops()) != 0 {
		t.Error("the tie from bus 17 to bus 32 doesn't bring bus 25 back")
	}
}

// A network of four voltages with switches of every kind, of which some were
// opened or closed at random and some lines taken out of service. What has no
// supply is what pandapower.topology.unsupplied_buses gives.
func TestSupplyIsPandapowers(t *testing.T) {
	src, err := os.ReadFile("testdata/multivoltage.json")
	if err != nil {
		t.Fatal(err)
	}
	m, findings, err := pandapower.Read("multivoltage.json", src)
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	s := m.At(0)
	var got []int
	for i := range 100 {
		if n := s.Node(fmt.Sprintf("bus-%d", i)); n != grid.None && s.Normal().Energised(n) == 0 {
			got = append(got, i)
		}
	}
	if want := []int{8, 9, 14, 21, 30, 42, 43, 44, 46, 47, 48, 49, 50, 52, 53, 54, 55, 56}; !slices.Equal(got, want) {
		t.Errorf("without supply are buses %v, expected %v", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	m := readCase33(t)
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

// network is a file of tables, each of which is "columns" and rows of JSON, as
// texts of JSON or as JSON.
func network(t testing.TB, asText bool, tables map[string][]string) []byte {
	t.Helper()
	object := map[string]any{"name": "made"}
	for name, rows := range tables {
		columns, _ := json.Marshal(strings.Fields(rows[0]))
		var index []string
		for i := range rows[1:] {
			index = append(index, fmt.Sprint(i))
		}
		table := fmt.Sprintf(`{"columns":%s,"index":[%s],"data":[%s]}`, columns, strings.Join(index, ","), strings.Join(rows[1:], ","))
		var inner any = json.RawMessage(table)
		if asText {
			inner = table
		}
		object[name] = map[string]any{"_module": "pandas.core.frame", "_class": "DataFrame", "_object": inner, "orient": "split"}
	}
	src, err := json.Marshal(map[string]any{"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": object})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// shapes is a network with what case33bw hasn't: switches at buses, lines and
// transformers, three windings, loads by phase, and positions of version 2.
var shapes = map[string][]string{
	"bus":         {"name vn_kv type in_service", `["HV",110.0,"b",true]`, `["MV",20.0,"b",true]`, `[null,20.0,"n",true]`, `["LV",0.4,"b",true]`, `[null,20.0,"n",false]`, `["TV",10.0,"b",true]`},
	"bus_geodata": {"x y coords", `[10.5,50.25,null]`, `[10.75,50.5,null]`},
	"gen":         {"bus slack in_service", `[0,true,true]`, `[1,false,true]`},
	"line":        {"name from_bus to_bus length_km max_i_ka type in_service", `["K1",1,2,1.5,0.36,"cs",true]`, `[null,2,4,0.3,99999.0,"ol",true]`, `[null,1,2,1.0,null,null,false]`},
	"trafo":       {"hv_bus lv_bus sn_mva vn_hv_kv vn_lv_kv vector_group in_service", `[2,3,0.63,20.0,0.4,"Dyn5",true]`},
	"trafo3w":     {"hv_bus mv_bus lv_bus sn_mv_mva sn_lv_mva vn_hv_kv vn_mv_kv vn_lv_kv in_service", `[0,1,5,40.0,10.0,110.0,20.0,10.0,true]`},
	"switch": {"name bus element et type closed", `["Q1",1,0,"l","CB",true]`, `[null,1,0,"l","DS",true]`, `[null,2,0,"l","LBS",false]`, `[null,1,2,"b",null,false]`,
		`[null,3,0,"t","CB",true]`, `[null,0,0,"t3","CB",true]`, `[null,3,0,"l","CB",true]`, `[null,9,0,"l","CB",true]`},
	"load":            {"name bus in_service", `["mill",3,true]`, `[null,null,true]`},
	"asymmetric_load": {"bus p_a_mw q_a_mvar p_b_mw q_b_mvar p_c_mw q_c_mvar", `[3,0.1,0,0,0.1,0,0]`, `[3,0,0,0,0,0,0]`},
	"dcline":          {"from_bus to_bus", `[1,2]`},
}

func TestShapes(t *testing.T) {
	for _, asText := range []bool{true, false} {
		m, findings, err := pandapower.Read("net.json", network(t, asText, shapes))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, f := range findings {
			lines = append(lines, f.String())
		}
		want := `net.json: switch 6: error: switch-6: element: there is no line 0 at bus 3
net.json: switch 7: error: switch-7: bus: there is no bus 9
net.json: load 1: error: load-1: bus: there is no bus nothing
net.json: dcline: warning: its 1 rows aren't taken: the model has nothing of this kind`
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		connected := map[string]string{}
		for _, v := range m.Lines {
			connected[v.ID] = v.From + " " + v.To
		}
		for _, v := range m.Switches {
			connected[v.ID] = v.From + " " + v.To + " " + v.Type.String()
		}
		for _, v := range m.Transformers {
			connected[v.ID] = v.From + " " + v.To
		}
		expected := map[string]string{
			"line-0": "bus-1.switch-1 bus-2.line-0", "line-1": "bus-2 bus-4", "line-2": "bus-1 bus-2",
			"switch-0": "bus-1 bus-1.line-0 breaker", "switch-1": "bus-1.line-0 bus-1.switch-1 disconnector", "switch-2": "bus-2 bus-2.line-0 load-switch",
			"switch-3": "bus-1 bus-2 load-switch", "switch-4": "bus-3 bus-3.trafo-0 breaker", "switch-5": "bus-0 bus-0.trafo3w-0 breaker",
			"trafo-0": "bus-2 bus-3.trafo-0", "trafo3w-0": "bus-0.trafo3w-0 bus-1", "trafo3w-0-lv": "bus-0.trafo3w-0 bus-5",
		}
		if !reflect.DeepEqual(connected, expected) {
			t.Errorf("got  %v\nwant %v", connected, expected)
		}
		if l := m.Lines; l[0].Name != "K1" || l[0].Length != 1500 || l[0].RatedCurrent != 360 || l[0].Type != grid.Cable || l[1].RatedCurrent != 0 ||
			!l[1].OutOfService || l[0].OutOfService || !l[2].OutOfService {
			t.Errorf("%+v", l)
		}
		if m.Nodes[1].Position != grid.PositionAt(10.75, 50.5) || m.Nodes[1].Type != grid.Busbar || m.Nodes[2].Type != grid.Joint || m.Name != "made" {
			t.Errorf("%+v", m.Nodes)
		}
		if p := m.ServicePoints; len(p) != 3 || p[0].ID != "asymmetric_load-0" || p[0].Phases != grid.A|grid.B || p[1].Phases != grid.ABC || p[2].Name != "mill" {
			t.Errorf("%+v", p)
		}
		if len(m.Sources) != 1 || m.Sources[0].ID != "gen-0" || m.Transformers[0].VectorGroup != "Dyn5" || m.Transformers[0].RatedPower != 630e3 || m.Transformers[2].RatedPower != 10e6 {
			t.Errorf("%+v %+v", m.Sources, m.Transformers)
		}
		if !m.Switches[2].NormallyOpen || m.Switches[0].NormallyOpen || m.Switches[0].Name != "Q1" {
			t.Errorf("%+v", m.Switches)
		}
	}
}

// What a load flow needs: parallel equipment is one, taps are of the higher
// voltage.
func TestImpedances(t *testing.T) {
	m, findings, err := pandapower.Read("net.json", network(t, true, map[string][]string{
		"bus":      {"vn_kv", `[20.0]`, `[0.4]`, `[0.4]`},
		"ext_grid": {"bus vm_pu", `[0,1.02]`, `[1,1.0]`},
		"line":     {"from_bus to_bus length_km r_ohm_per_km x_ohm_per_km c_nf_per_km max_i_ka parallel", `[1,2,0.1,0.642,0.083,210.0,0.142,2]`},
		"trafo": {"hv_bus lv_bus sn_mva vn_hv_kv vn_lv_kv vk_percent vkr_percent pfe_kw i0_percent parallel tap_side tap_neutral tap_pos tap_step_percent vector_group shift_degree",
			`[0,1,0.4,20.0,0.4,6.0,1.425,1.35,0.3375,2,"hv",1,-1,2.5,"Dyn",150.0]`,
			`[0,2,0.4,20.0,0.4,6.0,1.425,1.35,0.3375,1,"lv",0,4,6.25,"Yzn5",150.0]`},
	}))
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	l := m.Lines[0]
	if l.Resistance != 0.321 || l.Reactance != 0.0415 || l.Capacitance != 420 || l.RatedCurrent != 284 {
		t.Errorf("%+v", l)
	}
	a, b := m.Transformers[0], m.Transformers[1]
	if a.RatedPower != 800e3 || a.ShortCircuitVoltage != 6 || a.LoadLoss != 11400 || a.NoLoadLoss != 2700 || a.NoLoadCurrent != 0.3375 || a.Tap != -5 || a.VectorGroup != "Dyn5" {
		t.Errorf("%+v", a)
	}
	if b.ShortCircuitVoltage != 9.375 || b.LoadLoss != 5700*1.5625 || b.NoLoadLoss != 1350 || b.Tap != -20 || b.VectorGroup != "Yzn5" {
		t.Errorf("%+v", b)
	}
	if m.Sources[0].Setpoint != 20400 || m.Sources[1].Setpoint != 0 {
		t.Errorf("%+v", m.Sources)
	}
}

func TestBrokenFiles(t *testing.T) {
	for name, src := range map[string]string{
		"no JSON": "grid", "another class": `{"_class":"DataFrame","_object":{"bus":{}}}`, "no buses": `{"_class":"pandapowerNet","_object":{}}`, "a list": `[]`,
	} {
		if _, _, err := pandapower.Read("x.json", []byte(src)); err == nil || !strings.Contains(err.Error(), "x.json is no network of pandapower") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bus := `"bus":{"_object":{"columns":["vn_kv"],"index":[0],"data":[[20]]}}`
	for table, want := range map[string]string{
		`{"_object":{"columns":["bus"],"index":[0],"data":[]}}`:          "it has 0 rows and 1 numbers of rows",
		`{"_object":{"columns":["bus"],"index":["a"],"data":[[1]]}}`:     `the number of its row 1 is "a", expected a whole number`,
		`{"_object":{"columns":["bus"],"index":[3],"data":[[1,2]]}}`:     "row 3 has 2 values, and the table 1 columns",
		`{"_object":{"columns":["bus"],"index":[3,3],"data":[[0],[0]]}}`: "two of its rows have the number 3",
		`{"_object":"{","orient":"split"}`:                               "it is no table of columns, index and data",
		`{"_object":"{}","orient":"records"}`:                            `it is oriented by "records", expected split`,
		`17`:                                                             "it is no table",
	} {
		_, findings, err := pandapower.Read("x.json", []byte(`{"_class":"pandapowerNet","_object":{`+bus+`,"load":`+table+`}}`))
		if err != nil || len(findings) != 1 || !strings.Contains(findings[0].Message, want) || findings[0].Place.String() != "x.json: load" {
			t.Errorf("%s: %v %v, expected %s", table, err, findings, want)
		}
	}
}

// What is endless ends, with a finding that says so.
func TestBounds(t *testing.T) {
	loads := slices.Concat([]string{"bus"}, slices.Repeat([]string{"[7]"}, 20_000))
	_, findings, err := pandapower.Read("x.json", network(t, true, map[string][]string{"bus": {"vn_kv", "[20]"}, "load": loads}))
	if err != nil || len(findings) != 10_001 || findings[10_000].String() != "x.json: load 10000: error: there are more than 10000 findings; the others aren't told" {
		t.Errorf("%v, %d findings, the last %v", err, len(findings), findings[len(findings)-1])
	}
	src := `{"_object":{"bus":{"_object":{"columns":[],"index":[` + strings.Repeat("0,", 2_000_000) + `0],"data":[` + strings.Repeat("[],", 2_000_000) + `[]]}}}}`
	_, findings, err = pandapower.Read("x.json", []byte(src))
	if err != nil || len(findings) != 1 || !strings.HasSuffix(findings[0].String(), "it has 2000001 rows, expected at most 2000000") {
		t.Errorf("%v %v", err, findings)
	}
}

// Whatever the bytes, there is a model or an error, and the model can be checked.
func FuzzRead(f *testing.F) {
	f.Add(network(f, true, shapes))
	f.Add(network(f, false, shapes))
	f.Add([]byte(`{"_object":{"bus":{"_object":{"columns":[1,"vn_kv","geo"],"index":[1e3,-1],"data":[[null,{},"{"],[[],1e400,""]]}},"switch":null}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		m, findings, err := pandapower.Read("f", src)
		if err != nil {
			return
		}
		for _, finding := range findings {
			if finding.Message == "" || finding.Place.Row == "" {
				t.Fatalf("%+v", finding)
			}
		}
		m.Check(0)
		var out bytes.Buffer
		if err := gridfile.WriteYAML(&out, &m); err != nil {
			t.Fatal(err)
		}
		if _, findings := gridfile.ReadYAML("g", out.Bytes()); len(findings) > 0 {
			t.Fatalf("%v\n%s", findings[0], out.String())
		}
	})
}
