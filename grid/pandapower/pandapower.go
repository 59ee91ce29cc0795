// Package pandapower reads networks that pandapower has written as JSON.
package pandapower

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

// maxBytes is the largest file that is read; its JSON takes up to 50 times as
// much memory.
const maxBytes = 64 << 20

// Read reads the network of pandapower.to_json, as versions 2 and 3 write it.
// path is what places name; rows are named by table and number. An asset's id is
// the same with a hyphen: line-12.
//
//   - A bus is a node, one of type b a busbar. Its zone isn't taken: pandapower's
//     group results, and those of a grid.Model say who may see what.
//   - Lines, impedances and transformers that aren't in service, or end at a bus
//     that isn't, are out of service.
//   - A transformer with three windings is two, the second with -lv behind its id.
//   - A switch at a line or transformer gets a node of its own between itself and
//     that, such as bus-3.line-12.
//   - Each load is a service point with one customer.
//   - Sources are external grids, and generators that are slack.
//
// The error is that src is no such file. Tables of other things aren't read.
func Read(path string, src []byte) (grid.Model, []grid.Finding, error) {
	if len(src) > maxBytes {
		return grid.Model{}, nil, fmt.Errorf("%s has %d bytes, expected at most %d", path, len(src), maxBytes)
	}
	var file struct {
		Class  string                     `json:"_class"`
		Object map[string]json.RawMessage `json:"_object"`
	}
	if err := json.Unmarshal(src, &file); err != nil {
		return grid.Model{}, nil, fmt.Errorf("%s is no network of pandapower: %w", path, err)
	}
	if file.Object["bus"] == nil || file.Class != "" && file.Class != "pandapowerNet" {
		return grid.Model{}, nil, fmt.Errorf("%s is no network of pandapower: there is no table of buses, expected what pandapower.to_json writes", path)
	}
	r := reader{path: path, tables: file.Object, buses: map[int64]bus{}}
	r.name()
	r.busTable()
	r.sources()
	r.lines()
	r.transformers()
	r.switches()
	r.loads()
	r.left()
	r.model.Sort()
	return r.model, r.findings, nil
}

// Open reads the file at path, as Read does.
func Open(path string) (grid.Model, []grid.Finding, error) {
	src, err := table.ReadFile(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		return grid.Model{}, nil, err
	}
	return Read(path, src)
}

type reader struct {
	path     string
	tables   map[string]json.RawMessage
	model    grid.Model
	findings []grid.Finding

	buses map[int64]bus
	ends  map[end][]*string // of lines and transformers, to put switches before them
}

type bus struct {
	id        string
	voltage   grid.Voltage
	inService bool
	position  grid.Position
}

// end is where a row of a table of lines or transformers is at a bus.
type end struct {
	table string
	row   int64
	bus   int64
}

func (r *reader) table(name string) frame {
	raw, ok := r.tables[name]
	if !ok {
		return frame{name: name}
	}
	f, err := readFrame(name, raw)
	if err != nil {
		r.findings = append(r.findings, grid.Finding{Severity: grid.Error, Code: grid.Unreadable,
			Place: grid.Place{File: r.path, Row: name}, Message: "the table can't be read: " + err.Error()})
		return frame{name: name}
	}
	return f
}

// wrong adds a finding about a row, and none after MaxFindings but the one that
// says so.
func (r *reader) wrong(f *frame, row int, format string, args ...any) {
	finding := grid.Finding{Severity: grid.Error, Code: grid.Unreadable, Place: f.place(r.path, row)}
	switch n := len(r.findings); {
	case n < table.MaxFindings:
		finding.Asset, finding.Message = f.id(row), fmt.Sprintf(format, args...)
	case n == table.MaxFindings:
		finding.Message = fmt.Sprintf("there are more than %d findings; the others aren't told", n)
	default:
		return
	}
	r.findings = append(r.findings, finding)
}

// asset is a row's, with its name unless that is only its number.
func (r *reader) asset(f *frame, row int) grid.Asset {
	a := grid.Asset{ID: f.id(row), Name: strings.ToValidUTF8(f.text(row, "name"), "\ufffd"), Place: f.place(r.path, row)}
	if x, err := strconv.ParseFloat(a.Name, 64); err == nil && x == float64(f.index[row]) {
		a.Name = ""
	}
	return a
}

func (r *reader) name() {
	var name string
	if json.Unmarshal(r.tables["name"], &name) == nil {
		r.model.Name = name
	}
}

func (r *reader) busTable() {
	f := r.table("bus")
	plain := r.positions()
	for i := range f.rows {
		b := bus{id: f.id(i), voltage: kilovolts(f.number(i, "vn_kv")), inService: f.is(i, "in_service", true), position: geoPoint(f.text(i, "geo"))}
		if !b.position.Known {
			b.position = plain[f.index[i]]
		}
		r.buses[f.index[i]] = b
		n := grid.Node{Asset: r.asset(&f, i), Voltage: b.voltage}
		n.Position = b.position
		if f.text(i, "type") == "b" {
			n.Type = grid.Busbar
		}
		r.model.Nodes = append(r.model.Nodes, n)
	}
}

// positions is those of version 2, which has a table for them.
func (r *reader) positions() map[int64]grid.Position {
	f := r.table("bus_geodata")
	out := map[int64]grid.Position{}
	for i := range f.rows {
		if _, ok := f.value(i, "x").(json.Number); ok {
			out[f.index[i]] = grid.PositionAt(f.number(i, "x"), f.number(i, "y"))
		}
	}
	return out
}

// geoPoint is a GeoJSON point's position.
func geoPoint(text string) grid.Position {
	var point struct {
		Type        string    `json:"type"`
		Coordinates []float64 `json:"coordinates"`
	}
	if json.Unmarshal([]byte(text), &point) != nil || point.Type != "Point" || len(point.Coordinates) < 2 {
		return grid.Position{}
	}
	return grid.PositionAt(point.Coordinates[0], point.Coordinates[1])
}

// bus is the bus that a column names, false with a finding if there is none.
func (r *reader) bus(f *frame, row int, column string) (int64, bus, bool) {
	n, ok := f.reference(row, column)
	b, there := r.buses[n]
	if !ok || !there {
		r.wrong(f, row, "%s: there is no bus %s", column, show(f.value(row, column)))
		return 0, bus{}, false
	}
	return n, b, true
}

func (r *reader) sources() {
	grids := r.table("ext_grid")
	generators := r.table("gen")
	for _, f := range []*frame{&grids, &generators} {
		for i := range f.rows {
			if !f.is(i, "in_service", true) || f == &generators && !f.is(i, "slack", false) {
				continue
			}
			if _, b, ok := r.bus(f, i, "bus"); ok && b.inService {
				r.model.Sources = append(r.model.Sources, grid.Source{Asset: r.asset(f, i), Node: b.id, Voltage: b.voltage, Setpoint: setpoint(b.voltage, f.number(i, "vm_pu"))})
			}
		}
	}
}

func (r *reader) lines() {
	lines, impedances := r.table("line"), r.table("impedance")
	r.model.Lines = slices.Grow(r.model.Lines, len(lines.rows)+len(impedances.rows)) // ends point into it
	for _, f := range []*frame{&lines, &impedances} {
		for i := range f.rows {
			from, a, okA := r.bus(f, i, "from_bus")
			to, b, okB := r.bus(f, i, "to_bus")
			if !okA || !okB {
				continue
			}
			n := parallel(f, i)
			v := grid.Line{Asset: r.asset(f, i), From: a.id, To: b.id, Voltage: a.voltage, Phases: grid.ABC,
				Length: grid.Length(table.Scaled(f.number(i, "length_km"), 1e3)), RatedCurrent: ratedCurrent(n * f.number(i, "max_i_ka")),
				Resistance:   grid.ImpedancePerLength(table.Scaled(f.number(i, "r_ohm_per_km"), 1/n)),
				Reactance:    grid.ImpedancePerLength(table.Scaled(f.number(i, "x_ohm_per_km"), 1/n)),
				Capacitance:  grid.CapacitancePerLength(table.Scaled(f.number(i, "c_nf_per_km"), n)),
				OutOfService: !f.is(i, "in_service", true) || !a.inService || !b.inService}
			switch f.text(i, "type") {
			case "cs":
				v.Type = grid.Cable
			case "ol":
				v.Type = grid.Overhead
			}
			r.model.Lines = append(r.model.Lines, v)
			added := &r.model.Lines[len(r.model.Lines)-1]
			if f == &lines {
				r.end("l", f.index[i], from, &added.From)
				r.end("l", f.index[i], to, &added.To)
			}
		}
	}
}

func (r *reader) end(table string, row, bus int64, node *string) {
	if r.ends == nil {
		r.ends = map[end][]*string{}
	}
	at := end{table, row, bus}
	r.ends[at] = append(r.ends[at], node)
}

func (r *reader) transformers() {
	f, three := r.table("trafo"), r.table("trafo3w")
	r.model.Transformers = slices.Grow(r.model.Transformers, len(f.rows)+2*len(three.rows)) // ends point into it
	r.twoWindings(&f)
	r.threeWindings(&three)
}

func (r *reader) twoWindings(f *frame) {
	for i := range f.rows {
		high, a, okA := r.bus(f, i, "hv_bus")
		low, b, okB := r.bus(f, i, "lv_bus")
		if !okA || !okB {
			continue
		}
		n := parallel(f, i)
		v := grid.Transformer{
			Asset: r.asset(f, i), From: a.id, To: b.id, Phases: grid.ABC, VectorGroup: vectorGroup(f, i),
			RatedPower:  grid.Power(table.Scaled(n*f.number(i, "sn_mva"), 1e6)),
			HighVoltage: kilovolts(f.number(i, "vn_hv_kv")), LowVoltage: kilovolts(f.number(i, "vn_lv_kv")),
			ShortCircuitVoltage: grid.Percent(table.Scaled(f.number(i, "vk_percent"), 1)),
			LoadLoss:            grid.ActivePower(table.Scaled(n*f.number(i, "sn_mva")*f.number(i, "vkr_percent"), 1e4)),
			NoLoadLoss:          grid.ActivePower(table.Scaled(n*f.number(i, "pfe_kw"), 1e3)),
			NoLoadCurrent:       grid.Percent(table.Scaled(f.number(i, "i0_percent"), 1)),
			OutOfService:        !f.is(i, "in_service", true) || !a.inService || !b.inService,
		}
		v.SetTap((f.number(i, "tap_pos")-f.number(i, "tap_neutral"))*f.number(i, "tap_step_percent"), f.text(i, "tap_side") == "lv")
		r.model.Transformers = append(r.model.Transformers, v)
		added := &r.model.Transformers[len(r.model.Transformers)-1]
		r.end("t", f.index[i], high, &added.From)
		r.end("t", f.index[i], low, &added.To)
	}
}

func (r *reader) threeWindings(f *frame) {
	for i := range f.rows {
		high, a, ok := r.bus(f, i, "hv_bus")
		if !ok {
			continue
		}
		for _, side := range []struct{ name, suffix string }{{"mv", ""}, {"lv", "-lv"}} {
			low, b, ok := r.bus(f, i, side.name+"_bus")
			if !ok {
				continue
			}
			v := grid.Transformer{Asset: r.asset(f, i), From: a.id, To: b.id, Phases: grid.ABC,
				RatedPower:  grid.Power(table.Scaled(f.number(i, "sn_"+side.name+"_mva"), 1e6)),
				HighVoltage: kilovolts(f.number(i, "vn_hv_kv")), LowVoltage: kilovolts(f.number(i, "vn_"+side.name+"_kv")),
				OutOfService: !f.is(i, "in_service", true) || !a.inService || !b.inService}
			v.ID += side.suffix
			r.model.Transformers = append(r.model.Transformers, v)
			added := &r.model.Transformers[len(r.model.Transformers)-1]
			r.end("t3", f.index[i], high, &added.From)
			r.end("t3", f.index[i], low, &added.To)
		}
	}
}

func (r *reader) switches() {
	f := r.table("switch")
	for i := range f.rows {
		number, b, ok := r.bus(&f, i, "bus")
		if !ok {
			continue
		}
		v := grid.Switch{Asset: r.asset(&f, i), From: b.id, Type: switchType(f.text(i, "type")),
			NormallyOpen: !f.is(i, "closed", true), Voltage: b.voltage, Phases: grid.ABC}
		v.Position = b.position
		kind := f.text(i, "et")
		if kind == "b" {
			_, other, ok := r.bus(&f, i, "element")
			if !ok {
				continue
			}
			v.To = other.id
			r.model.Switches = append(r.model.Switches, v)
			continue
		}
		element, _ := f.reference(i, "element")
		ends := r.ends[end{kind, element, number}]
		if len(ends) == 0 {
			r.wrong(&f, i, "element: there is no %s %s at bus %d", elementName(kind), show(f.value(i, "element")), number)
			continue
		}
		v.From = *ends[0] // behind the switches that are there already
		v.To = fmt.Sprintf("%s.%s-%d", b.id, elementName(kind), element)
		if v.From != b.id {
			v.To = b.id + "." + v.ID
		}
		for _, node := range ends {
			*node = v.To
		}
		r.model.Switches = append(r.model.Switches, v)
	}
}

// elementName is the table that a switch's et stands for.
func elementName(et string) string {
	switch et {
	case "l":
		return "line"
	case "t":
		return "trafo"
	case "t3":
		return "trafo3w"
	}
	return "element of type " + strconv.Quote(table.Short(et))
}

// switchType is a breaker for CB, and a load switch where nothing is said.
func switchType(text string) grid.SwitchType {
	switch text {
	case "CB":
		return grid.Breaker
	case "DS":
		return grid.Disconnector
	}
	return grid.LoadSwitch
}

func (r *reader) loads() {
	f := r.table("load")
	for i := range f.rows {
		r.load(&f, i, grid.ABC)
	}
	f = r.table("asymmetric_load")
	for i := range f.rows {
		var phases grid.Phases
		for k, letter := range "abc" {
			if f.number(i, "p_"+string(letter)+"_mw") != 0 || f.number(i, "q_"+string(letter)+"_mvar") != 0 {
				phases |= 1 << k
			}
		}
		if phases == 0 {
			phases = grid.ABC
		}
		r.load(&f, i, phases)
	}
}

func (r *reader) load(f *frame, row int, phases grid.Phases) {
	if _, b, ok := r.bus(f, row, "bus"); ok {
		v := grid.ServicePoint{Asset: r.asset(f, row), Node: b.id, Customers: 1, Phases: phases, Voltage: b.voltage}
		v.Position = b.position
		r.model.ServicePoints = append(r.model.ServicePoints, v)
	}
}

// left tells of what carries power between buses and has no place in a model.
func (r *reader) left() {
	for _, name := range []string{"dcline", "tcsc", "vsc", "line_dc"} {
		if f := r.table(name); len(f.rows) > 0 {
			r.findings = append(r.findings, grid.Finding{Severity: grid.Warning, Code: grid.NotTaken, Place: grid.Place{File: r.path, Row: name},
				Message: fmt.Sprintf("its %d rows aren't taken: the model has nothing of this kind", len(f.rows))})
		}
	}
}

// parallel is how many of a row's lines or transformers there are side by side,
// which are one in a model.
func parallel(f *frame, row int) float64 { return max(1, f.number(row, "parallel")) }

// vectorGroup is a transformer's with its number, which is that of its angle where
// the group has none.
func vectorGroup(f *frame, row int) string {
	group := f.text(row, "vector_group")
	clock, ok := whole(f.value(row, "shift_degree"))
	if group == "" || !ok || strings.ContainsAny(group, "0123456789") || clock%30 != 0 {
		return group
	}
	return fmt.Sprint(group, ((clock/30)%12+12)%12)
}

// setpoint is unknown where it is the nominal voltage.
func setpoint(nominal grid.Voltage, perUnit float64) grid.Voltage {
	if perUnit == 1 {
		return 0
	}
	return grid.Voltage(table.Scaled(float64(nominal), perUnit))
}

func kilovolts(x float64) grid.Voltage { return grid.Voltage(table.Scaled(x, 1e3)) }

// ratedCurrent is unknown where it is so high that it only says that it is.
func ratedCurrent(kiloamperes float64) grid.Current {
	if kiloamperes >= 1000 {
		return 0
	}
	return grid.Current(table.Scaled(kiloamperes, 1e3))
}
