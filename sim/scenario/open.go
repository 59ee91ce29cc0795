package scenario

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/network"
	"github.com/busbar/busbar/sim/world"
)

//go:embed library/*.yaml library/grids/*.yaml
var library embed.FS

// Library is the names of the scenarios that come with Busbar.
func Library() (names []string) {
	files, _ := fs.Glob(library, "library/*.yaml")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".yaml"))
	}
	return names
}

// Source is the text of one of them, or of a grid of theirs such as
// grids/town.yaml.
func Source(name string) ([]byte, error) {
	if path.Ext(name) != ".yaml" {
		name += ".yaml"
	}
	src, err := library.ReadFile(path.Join("library", name))
	if err != nil {
		return nil, fmt.Errorf("no scenario and no grid %q comes with Busbar", strings.TrimSuffix(name, ".yaml"))
	}
	return src, nil
}

// Open reads a scenario: a file whose name ends in .yaml, or one of the library.
// seed, if it isn't nil, is instead of the file's. The error is configfile.Errors,
// with everything that is wrong, or configfile.ReadError if the file can't be read.
func Open(name string, seed *uint64) (*Scenario, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		src, err := configfile.Read(name)
		if err != nil {
			return nil, err
		}
		return Parse(name, src, os.ReadFile, seed)
	}
	src, err := library.ReadFile("library/" + name + ".yaml")
	if err != nil {
		hint := ""
		if near := configfile.Nearest(name, Library()); near != "" {
			hint = fmt.Sprintf(", did you mean %q?", near)
		}
		return nil, &configfile.ReadError{Err: fmt.Errorf("no scenario %q comes with Busbar%s; a file's name ends in .yaml", name, hint)}
	}
	return Parse("library/"+name+".yaml", src, library.ReadFile, seed)
}

// Parse is Open of a file whose bytes are src. read is how it gets the grid's file.
func Parse(name string, src []byte, read func(string) ([]byte, error), seed *uint64) (*Scenario, error) {
	s := &Scenario{}
	s.SetDefaults()
	f, _ := configfile.Decode(name, src, s)
	s.name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	if seed != nil {
		s.Seed = *seed
	}
	if !f.Broken("grid") {
		s.openGrid(f, read)
	}
	s.protect(f)
	s.check(f)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// protect gives the devices that differ from others of their type what they have in
// common with them.
func (s *Scenario) protect(f *configfile.File) {
	if s.model == nil {
		return
	}
	for i := range s.model.Switches {
		id := s.model.Switches[i].ID
		own, differs := s.Protection.Devices[id]
		if !differs {
			continue
		}
		of := s.Protection.Recloser
		if s.model.Switches[i].Type == grid.Breaker {
			of = s.Protection.Breaker
		}
		has := func(key string) bool { return f.Has(configfile.Join(configfile.Join("protection.devices", id), key)) }
		if !has("slow") {
			own.Slow = of.Slow
		}
		if !has("fast") {
			own.Fast = of.Fast
		}
		if !has("fast_trips") {
			own.FastTrips = of.FastTrips
		}
		if !has("dead") {
			own.Dead = of.Dead
		}
		if !has("reset") {
			own.Reset = of.Reset
		}
		s.Protection.Devices[id] = own
	}
}

// most bounds what a scenario may ask for.
const (
	mostPoints = 1_000_000
	mostDays   = 400
	mostTime   = mostDays * 24 * time.Hour
)

// Longest is how long a scenario may last.
const Longest = mostTime

func (s *Scenario) openGrid(f *configfile.File, read func(string) ([]byte, error)) {
	switch n := s.Grid.ServicePoints; {
	case (s.Grid.File != "") == (n != 0):
		f.Errorf("grid", "has file %q and %d service_points, expected one of them", s.Grid.File, n)
		return
	case n < 0 || n > mostPoints:
		f.Errorf("grid.service_points", "%d, expected 1 to %d", n, mostPoints)
		return
	case n > 0:
		if s.Grid.Seed == 0 {
			s.Grid.Seed = s.Seed
		}
		s.model = network.Generate(network.Parameters{ServicePoints: n, Seed: s.Grid.Seed})
		return
	}
	at := filepath.ToSlash(s.Grid.File.In(f.Dir()))
	m, findings, err := readGrid(at, read)
	if err != nil {
		f.Errorf("grid.file", "%v", err)
		return
	}
	if errors := slices.DeleteFunc(append(findings, m.Check(int64(s.Start))...), func(x grid.Finding) bool { return x.Severity != grid.Error }); len(errors) > 0 {
		f.Errorf("grid.file", "the grid is wrong in %d places, the first of which is %s: %s", len(errors), errors[0].Place, errors[0].Message)
		return
	}
	s.model = &m
}

func readGrid(at string, read func(string) ([]byte, error)) (grid.Model, []grid.Finding, error) {
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		return gridfile.Open(at)
	}
	src, err := read(at)
	if err != nil {
		return grid.Model{}, nil, err
	}
	if strings.EqualFold(path.Ext(at), ".csv") {
		m, findings := gridfile.ReadTable(at, src)
		return m, findings, nil
	}
	m, findings := gridfile.ReadYAML(at, bytes.Clone(src))
	return m, findings, nil
}

func (s *Scenario) check(f *configfile.File) {
	below := func(at string) func(key, format string, args ...any) {
		return func(key, format string, args ...any) {
			if key != "" {
				key = "." + key
			}
			f.Errorf(at+key, format, args...)
		}
	}
	if s.Lasts <= 0 || time.Duration(s.Lasts) > mostTime {
		f.Errorf("lasts", "%v is not above 0 and up to %v", s.Lasts, configfile.Duration(mostTime))
	}
	s.Edge.Check(below("edge"))
	if s.Protection.FuseMelts <= 0 {
		f.Errorf("protection.fuse_melts", "%v is no time above 0", s.Protection.FuseMelts)
	}
	s.Protection.Breaker.check(s.Protection.FuseMelts, below("protection.breaker"))
	s.Protection.Recloser.check(s.Protection.FuseMelts, below("protection.recloser"))
	for id, sequence := range s.Protection.Devices {
		switch at := configfile.Join("protection.devices", id); {
		case s.model == nil:
		case !slices.ContainsFunc(s.model.Switches, func(x grid.Switch) bool {
			return x.ID == id && (x.Type == grid.Breaker || x.Type == grid.Recloser)
		}):
			f.Errorf(at, "the grid has no breaker or recloser %q", id)
		default:
			sequence.check(s.Protection.FuseMelts, below(at))
		}
	}
	if s.Market != nil {
		s.Market.Check(below("market"))
	}
	if s.Crews != nil {
		s.Crews.check(below("crews"))
	}
	if s.Storm != nil {
		s.Storm.check(below("storm"))
		if s.Storm.At > s.Lasts || s.Storm.Lasts > s.Lasts-s.Storm.At {
			f.Errorf("storm.lasts", "from %v for %v is after the end", s.Storm.At, s.Storm.Lasts)
		}
	}
	within := func(list string, i int, at configfile.Duration) {
		if at > s.Lasts {
			f.Errorf(configfile.Join(configfile.Item(list, i), "at"), "%v is after the end", at)
		}
	}
	for i, fault := range s.Faults {
		within("faults", i, fault.At)
	}
	for i, step := range s.Steps {
		step.check(below(configfile.Item("steps", i)))
		within("steps", i, step.At)
	}
	if s.model == nil || f.Err() != nil {
		return // what follows needs the grid, and all that is named
	}
	snapshot := s.model.At(int64(s.Start))
	s.plan(world.New(snapshot, s.world()), func(at string, err error) { f.Errorf(at, "%v", err) })
	s.checkLoads(snapshot, f)
	for i := range s.Expect {
		s.Expect[i].check(s, snapshot, below(configfile.Item("expect", i)))
	}
	var edge *evidence.Edge
	for i, step := range s.Steps {
		if step.CutOff == "" {
			continue
		}
		if edge == nil {
			edge = evidence.New(world.New(snapshot, s.world()), s.Edge, s.Seed)
		}
		if len(edge.Gateways(s.cutOff(snapshot, step.CutOff))) == 0 {
			f.Errorf(configfile.Join(configfile.Item("steps", i), "cut_off"), "there is no gateway, and no feeder with one, %q; gateways are called gw- and their transformer", step.CutOff)
		}
	}
}

func (s Sequence) check(fuse configfile.Duration, wrong func(key, format string, args ...any)) {
	if s.Slow <= 0 {
		wrong("slow", "%v is no time above 0", s.Slow)
	} else if s.Slow <= fuse {
		wrong("slow", "%v is not above the %v in which a fuse melts", s.Slow, fuse)
	}
	if s.FastTrips < 0 || s.FastTrips > len(s.Dead)+1 {
		wrong("fast_trips", "%d, expected 0 to the %d trips that there are", s.FastTrips, len(s.Dead)+1)
	}
	if s.FastTrips > 0 && s.Fast <= 0 {
		wrong("fast", "%v is no time above 0", s.Fast)
	}
	if len(s.Dead) > 10 {
		wrong("dead", "%d times, expected up to 10", len(s.Dead))
	}
	for i, d := range s.Dead {
		if d <= 0 {
			wrong(configfile.Item("dead", i), "%v is no time above 0", d)
		}
	}
	if s.Reset <= 0 {
		wrong("reset", "%v is no time above 0", s.Reset)
	}
}

func (c *Crews) check(wrong func(key, format string, args ...any)) {
	if c.Count < 1 || c.Count > 10000 {
		wrong("count", "%d, expected 1 to 10000", c.Count)
	}
	if !(c.Spread >= 0 && c.Spread <= 3) {
		wrong("spread", "%v, expected 0 to 3", c.Spread)
	}
	for _, d := range []struct {
		key   string
		value configfile.Duration
	}{{"travel", c.Travel}, {"repair", c.Repair}, {"replace", c.Replace}} {
		if time.Duration(d.value) > 30*24*time.Hour {
			wrong(d.key, "%v is more than 30 days", d.value)
		}
	}
}

func (s Step) check(wrong func(key, format string, args ...any)) {
	n := 0
	for _, word := range []string{s.Open, s.Close, s.Repair, s.Jam, s.CutOff} {
		if word != "" {
			n++
		}
	}
	if n != 1 {
		wrong("", "does %d things, expected one of open, close, repair, jam and cut_off", n)
	}
	if (s.CutOff != "") != (s.For > 0) {
		wrong("for", "belongs to cut_off, which needs it")
	}
}

// plan hands everything to a world, and what is wrong to report.
func (s *Scenario) plan(w *world.World, report func(path string, err error)) {
	for i, f := range s.Faults {
		if err := w.Plan(s.at(f.At), world.Action{Act: world.BeginFault, Fault: world.Fault{ID: f.ID, Asset: f.Asset, Phases: f.Phases,
			Broken: f.Broken, Clears: time.Duration(f.Clears), Work: time.Duration(f.Work)}}); err != nil {
			report(configfile.Item("faults", i), err)
		}
	}
	if s.Storm != nil {
		faults, at := s.Storm.draw(s.model, s.Seed, int64(s.Start))
		for i, f := range faults {
			if err := w.Plan(at[i], world.Action{Act: world.BeginFault, Fault: f}); err != nil {
				report("storm", err)
			}
		}
	}
	for i, step := range s.Steps {
		a := world.Action{Phases: step.Phases}
		switch {
		case step.Open != "":
			a.Act, a.Asset = world.Open, step.Open
		case step.Close != "":
			a.Act, a.Asset = world.Close, step.Close
		case step.Repair != "":
			a.Act, a.Fault.ID = world.RepairFault, step.Repair
		case step.Jam != "":
			a.Act, a.Asset = world.Jam, step.Jam
		default:
			continue
		}
		if err := w.Plan(s.at(step.At), a); err != nil {
			report(configfile.Item("steps", i), err)
		}
	}
}

// cutOff is which gateways a name means.
func (s *Scenario) cutOff(snapshot *grid.Snapshot, name string) func(gateway string, node int) bool {
	if feeder := snapshot.FeederOf(name); feeder != grid.None {
		return func(_ string, node int) bool { return snapshot.Normal().Feeder(node) == feeder }
	}
	return func(gateway string, _ int) bool { return gateway == name }
}
