// Package simbench reads grids in SimBench's format: a directory of tables
// whose columns are separated by semicolons.
package simbench

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

// Read reads the grid in dir, in which Node.csv is needed and Line, LineType,
// Switch, Transformer, TransformerType, Load, ExternalNet, Coordinates,
// Substation and Measurement are read if they are there. name is what places
// name before the file. Ids are SimBench's. Other tables have nothing that a grid.Model
// has.
//
//   - A switch of type CB is a breaker, one of type LS a load switch, and so are
//     all others; one that is open (cond 0) is normally open.
//   - Each load is a service point with one customer.
//   - A transformer with three windings is two, the second with " LV" behind its id.
//   - Sources are external nets, and nodes whose voltage angle is set: by these
//     a part of a larger grid says where it was cut out. Those that stand for a
//     grid above that is there are left out: what feeds their node from a higher
//     voltage is the source.
//
// The error is that Node.csv can't be read.
func Read(name string, dir fs.FS) (grid.Model, []grid.Finding, error) {
	r := reader{name: name, dir: dir, voltage: map[string]grid.Voltage{}, setpoint: map[string]grid.Voltage{}, substations: map[string]bool{}, fed: map[string]bool{}}
	if _, err := fs.Stat(dir, "Node.csv"); err != nil {
		return grid.Model{}, nil, fmt.Errorf("%s is no SimBench grid: %w", name, err)
	}
	for _, t := range []struct {
		file    string
		columns []string // that it must have
		row     func(row)
	}{
		{"Coordinates.csv", []string{"id", "x", "y"}, r.coordinates},
		{"LineType.csv", []string{"id"}, r.lineType},
		{"TransformerType.csv", []string{"id"}, r.transformerType},
		{"Substation.csv", []string{"id"}, r.substation},
		{"Node.csv", []string{"id", "vmR"}, r.node},
		{"ExternalNet.csv", []string{"id", "node"}, r.externalNet},
		{"Line.csv", []string{"id", "nodeA", "nodeB"}, r.line},
		{"Switch.csv", []string{"id", "nodeA", "nodeB", "type", "cond"}, r.switchRow},
		{"Transformer.csv", []string{"id", "nodeHV", "nodeLV", "type"}, r.transformer},
		{"Transformer3W.csv", []string{"id", "nodeHV", "nodeMV", "nodeLV"}, r.transformer3W},
		{"Load.csv", []string{"id", "node"}, r.load},
		{"Measurement.csv", []string{"id"}, r.measurement},
	} {
		if err := r.table(t.file, t.columns, t.row); err != nil {
			return grid.Model{}, nil, err
		}
	}
	for _, node := range r.slack { // those of external nets have one
		r.source(node, node.ID+" supply", node.ID)
	}
	r.topSources()
	if r.measurements > 0 {
		r.findings = append(r.findings, grid.Finding{Severity: grid.Warning, Code: grid.NotTaken, Place: grid.Place{File: table.Path(r.name, "Measurement.csv")},
			Message: fmt.Sprintf("%d measurements aren't taken: what is measured where is said by gateways' devices and their assets", r.measurements)})
	}
	r.model.Sort()
	return r.model, r.findings, nil
}

type reader struct {
	name     string
	dir      fs.FS
	model    grid.Model
	findings []grid.Finding

	positions        map[string]grid.Position
	lineTypes        map[string]grid.Line
	transformerTypes map[string]transformerType
	voltage          map[string]grid.Voltage // by node
	setpoint         map[string]grid.Voltage // by node
	substations      map[string]bool
	fed              map[string]bool // nodes with a source
	slack            []grid.Asset    // nodes whose angle is set
	measurements     int
}

// transformerType is a transformer, and how its tap changer is made.
type transformerType struct {
	grid.Transformer
	step, neutral float64
	onLow         bool
}

// capacitance is that in nF of a susceptance in µS at 50 Hz.
func capacitance(b float64) grid.CapacitancePerLength {
	return grid.CapacitancePerLength(table.Scaled(b, 1e3/(2*math.Pi*50)))
}

// row is a row of one table.
type row struct {
	*table.Reader
	columns map[string]int
	values  []string
}

// null is how SimBench writes that there is no value.
const null = "NULL"

// text is a column's text, "" if there is none.
func (r row) text(column string) string {
	i, ok := r.columns[column]
	if !ok || r.values[i] == null {
		return ""
	}
	return strings.TrimSpace(r.values[i])
}

func (r row) place(column string) grid.Place { return r.Place(r.columns[column]) }

func (r *reader) table(file string, needed []string, take func(row)) error {
	src, err := table.ReadFile(r.dir, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	rows, bad := table.New(table.Path(r.name, file), src, ';')
	if bad != nil {
		r.findings = append(r.findings, *bad)
		return nil
	}
	columns := map[string]int{}
	for i, name := range rows.Columns() {
		columns[name] = i
	}
	for _, name := range needed {
		if _, ok := columns[name]; !ok {
			r.findings = append(r.findings, grid.Finding{Severity: grid.Error, Code: grid.Unreadable,
				Place: grid.Place{File: table.Path(r.name, file), Line: 1, Column: 1}, Message: fmt.Sprintf("there is no column %q", name)})
			return nil
		}
	}
	rows.Each(&r.findings, func(values []string) { take(row{rows, columns, values}) })
	return nil
}

// number is a column's number, 0 with a finding if it is none, and 0 without
// one if there is none.
func (r *reader) number(in row, column string, least float64) float64 {
	s := in.text(column)
	if s == "" {
		return 0
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(x, 0) || !(x >= least) {
		r.wrong(in, column, "%s: %q, expected a number of at least %g", column, s, least)
		return 0
	}
	return x
}

func (r *reader) wrong(in row, column, format string, args ...any) {
	f := in.Wrong(in.columns[column], format, args...)
	f.Asset = in.text("id")
	r.findings = append(r.findings, f)
}

// asset is a row's, false if it has no id.
func (r *reader) asset(in row) (grid.Asset, bool) {
	a := grid.Asset{ID: in.text("id"), Position: r.positions[in.text("coordID")], Place: in.place("id")}
	if a.ID == "" {
		r.wrong(in, "id", "id: there is no value in this row, expected one")
	}
	return a, a.ID != ""
}

// inSubstation is the substation of a row, which becomes one of the model's if
// no table has it.
func (r *reader) inSubstation(in row) string {
	id := in.text("substation")
	if id != "" && !r.substations[id] {
		r.substations[id] = true
		r.model.Substations = append(r.model.Substations, grid.Substation{Asset: grid.Asset{ID: id, Place: in.place("substation")}})
	}
	return id
}

func (r *reader) coordinates(in row) {
	if r.positions == nil {
		r.positions, r.model.Coordinates = map[string]grid.Position{}, grid.WGS84
	}
	r.positions[in.text("id")] = grid.PositionAt(r.number(in, "x", -math.MaxFloat64), r.number(in, "y", -math.MaxFloat64))
}

func (r *reader) lineType(in row) {
	if r.lineTypes == nil {
		r.lineTypes = map[string]grid.Line{}
	}
	t := grid.Line{RatedCurrent: grid.Current(r.number(in, "iMax", 0)), Phases: grid.ABC,
		Resistance:  grid.ImpedancePerLength(r.number(in, "r", 0)),
		Reactance:   grid.ImpedancePerLength(r.number(in, "x", 0)),
		Capacitance: capacitance(r.number(in, "b", 0))}
	switch in.text("type") {
	case "cable":
		t.Type = grid.Cable
	case "ohl":
		t.Type = grid.Overhead
	}
	r.lineTypes[in.text("id")] = t
}

func (r *reader) transformerType(in row) {
	if r.transformerTypes == nil {
		r.transformerTypes = map[string]transformerType{}
	}
	id := in.text("id")
	r.transformerTypes[id] = transformerType{grid.Transformer{
		RatedPower:          grid.Power(table.Scaled(r.number(in, "sR", 0), 1e6)),
		HighVoltage:         kilovolts(r.number(in, "vmHV", 0)),
		LowVoltage:          kilovolts(r.number(in, "vmLV", 0)),
		VectorGroup:         vectorGroup(id),
		ShortCircuitVoltage: grid.Percent(r.number(in, "vmImp", 0)),
		LoadLoss:            grid.ActivePower(table.Scaled(r.number(in, "pCu", 0), 1e3)),
		NoLoadLoss:          grid.ActivePower(table.Scaled(r.number(in, "pFe", 0), 1e3)),
		NoLoadCurrent:       grid.Percent(r.number(in, "iNoLoad", 0)),
	}, r.number(in, "dVm", 0), r.number(in, "tapNeutr", -math.MaxFloat64), in.text("tapside") == "LV"}
}

// vectorGroup is the word of a type's name that is one, such as Dyn5.
func vectorGroup(name string) string {
	for _, word := range strings.Fields(name) {
		letters := strings.TrimRight(word, "0123456789")
		if len(letters) < len(word) && slices.Contains([]string{"Dyn", "Yyn", "YNyn", "Yzn", "YNd", "Yd", "Dy", "Dd", "Yy", "YNy", "YNynd"}, letters) {
			return word
		}
	}
	return ""
}

func kilovolts(x float64) grid.Voltage { return grid.Voltage(table.Scaled(x, 1e3)) }

func (r *reader) substation(in row) {
	if a, ok := r.asset(in); ok {
		r.substations[a.ID] = true
		r.model.Substations = append(r.model.Substations, grid.Substation{Asset: a})
	}
}

func (r *reader) node(in row) {
	a, ok := r.asset(in)
	if !ok {
		return
	}
	n := grid.Node{Asset: a, Substation: r.inSubstation(in), Voltage: kilovolts(r.number(in, "vmR", 0))}
	if in.text("type") == "busbar" || in.text("type") == "double busbar" {
		n.Type = grid.Busbar
	}
	r.voltage[a.ID] = n.Voltage
	if perUnit := r.number(in, "vmSetp", 0); perUnit != 1 {
		r.setpoint[a.ID] = grid.Voltage(table.Scaled(float64(n.Voltage), perUnit))
	}
	r.model.Nodes = append(r.model.Nodes, n)
	if in.text("vaSetp") != "" {
		r.slack = append(r.slack, a)
	}
}

func (r *reader) externalNet(in row) {
	if a, ok := r.asset(in); ok {
		r.source(a, a.ID, in.text("node"))
	}
}

// source adds one unless its node has one.
func (r *reader) source(a grid.Asset, id, node string) {
	if r.fed[node] {
		return
	}
	r.fed[node] = true
	a.ID = id
	r.model.Sources = append(r.model.Sources, grid.Source{Asset: a, Node: node, Voltage: r.voltage[node], Setpoint: r.setpoint[node]})
}

// topSources leaves out the sources whose nodes those of higher voltages feed.
func (r *reader) topSources() {
	candidates := r.model.Sources
	slices.SortStableFunc(candidates, func(a, b grid.Source) int { return cmp.Compare(b.Voltage, a.Voltage) })
	r.model.Sources = nil
	for len(candidates) > 0 {
		level := 1
		for level < len(candidates) && candidates[level].Voltage == candidates[0].Voltage {
			level++
		}
		fed := func(grid.Source) bool { return false }
		if len(r.model.Sources) > 0 {
			s := r.model.At(0)
			fed = func(v grid.Source) bool {
				n := s.Node(v.Node)
				return n != grid.None && s.Normal().Energised(n) != 0
			}
		}
		for _, v := range candidates[:level] {
			if !fed(v) {
				r.model.Sources = append(r.model.Sources, v)
			}
		}
		candidates = candidates[level:]
	}
}

func (r *reader) line(in row) {
	a, ok := r.asset(in)
	if !ok {
		return
	}
	l, known := r.lineTypes[in.text("type")]
	if !known {
		l.Phases = grid.ABC
	}
	l.Asset, l.From, l.To = a, in.text("nodeA"), in.text("nodeB")
	l.Voltage = cmp.Or(r.voltage[l.From], r.voltage[l.To])
	l.Length = grid.Length(table.Scaled(r.number(in, "length", 0), 1e3))
	r.model.Lines = append(r.model.Lines, l)
}

func (r *reader) switchRow(in row) {
	a, ok := r.asset(in)
	if !ok {
		return
	}
	s := grid.Switch{Asset: a, From: in.text("nodeA"), To: in.text("nodeB"), Type: grid.LoadSwitch, Phases: grid.ABC,
		Substation: r.inSubstation(in), Voltage: r.voltage[in.text("nodeA")]}
	switch in.text("type") {
	case "CB":
		s.Type = grid.Breaker
	case "LS", "LBS":
	case "DS":
		s.Type = grid.Disconnector
	default:
		r.wrong(in, "type", "type: %q, expected CB, LS, LBS or DS; it is taken for a load switch", in.text("type"))
	}
	switch in.text("cond") {
	case "0":
		s.NormallyOpen = true
	case "1":
	default:
		r.wrong(in, "cond", "cond: %q, expected 0 for open or 1 for closed; it is taken for closed", in.text("cond"))
	}
	r.model.Switches = append(r.model.Switches, s)
}

func (r *reader) transformer(in row) {
	a, ok := r.asset(in)
	if !ok {
		return
	}
	t, known := r.transformerTypes[in.text("type")]
	if !known {
		r.wrong(in, "type", "type: there is no %q in TransformerType.csv, so its power and voltages aren't known", in.text("type"))
	}
	t.Asset, t.From, t.To, t.Phases, t.Substation = a, in.text("nodeHV"), in.text("nodeLV"), grid.ABC, r.inSubstation(in)
	if in.text("tappos") != "" {
		t.SetTap((r.number(in, "tappos", -math.MaxFloat64)-t.neutral)*t.step, t.onLow)
	}
	r.model.Transformers = append(r.model.Transformers, t.Transformer)
}

// transformer3W makes two transformers of one with three windings.
func (r *reader) transformer3W(in row) {
	a, ok := r.asset(in)
	if !ok {
		return
	}
	high, station := in.text("nodeHV"), r.inSubstation(in)
	for _, side := range []struct{ suffix, node string }{{"", in.text("nodeMV")}, {" LV", in.text("nodeLV")}} {
		t := grid.Transformer{Asset: a, From: high, To: side.node, Phases: grid.ABC, Substation: station,
			HighVoltage: r.voltage[high], LowVoltage: r.voltage[side.node]}
		t.ID += side.suffix
		r.model.Transformers = append(r.model.Transformers, t)
	}
}

func (r *reader) load(in row) {
	if a, ok := r.asset(in); ok {
		r.model.ServicePoints = append(r.model.ServicePoints, grid.ServicePoint{
			Asset: a, Node: in.text("node"), Customers: 1, Phases: grid.ABC, Voltage: r.voltage[in.text("node")]})
	}
}

func (r *reader) measurement(row) { r.measurements++ }
