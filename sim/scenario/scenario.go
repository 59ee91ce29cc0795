// Package scenario is what happens to a grid in a file: which grid, what goes
// wrong and when, what people do about it, and what is expected to come of it.
// It runs in simulated time, as fast as it can.
package scenario

import (
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/load"
	"github.com/busbar/busbar/sim/market"
	"github.com/busbar/busbar/sim/world"
)

// Scenario is one file.
type Scenario struct {
	// What it shows, in a sentence.
	Description string `yaml:"description,required"`
	// All that is drawn at random follows from it; default 1.
	Seed uint64 `yaml:"seed"`
	// When it begins; default 2026-01-05T00:00:00Z.
	Start grid.Time `yaml:"start"`
	// How long it lasts. Example: 3h.
	Lasts configfile.Duration `yaml:"lasts,required"`
	// Which grid.
	Grid Grid `yaml:"grid,required"`
	// What the edge is like.
	Edge evidence.Config `yaml:"edge"`
	// How devices act at faults.
	Protection Protection `yaml:"protection"`
	// Who repairs; nobody if it isn't said.
	Crews *Crews `yaml:"crews"`
	// What goes wrong.
	Faults []Fault `yaml:"faults"`
	// What people do, or what happens to communication.
	Steps []Step `yaml:"steps"`
	// Faults that are drawn at random.
	Storm *Storm `yaml:"storm"`
	// What customers use, if that matters.
	Loads *Loads `yaml:"loads"`
	// What prices and nominations are like.
	Market *market.Config `yaml:"market"`
	// What is expected to come of it.
	Expect []Expectation `yaml:"expect"`

	name  string
	model *grid.Model
}

// Grid is where the grid is from.
type Grid struct {
	// A file in one of the formats of busbar grid, relative to the scenario.
	File configfile.Path `yaml:"file"`
	// How many service points a generated one has.
	ServicePoints int `yaml:"service_points"`
	// The seed of a generated one; the scenario's if it isn't said.
	Seed uint64 `yaml:"seed"`
}

// Protection is that of package world.
type Protection struct {
	FuseMelts configfile.Duration `yaml:"fuse_melts"`
	Breaker   Sequence            `yaml:"breaker"`
	Recloser  Sequence            `yaml:"recloser"`
	// Those that differ from others of their type, in what is said of them.
	Devices map[string]Sequence `yaml:"devices"`
}

// Sequence is that of package world.
type Sequence struct {
	Slow      configfile.Duration   `yaml:"slow"`
	Fast      configfile.Duration   `yaml:"fast"`
	FastTrips int                   `yaml:"fast_trips"`
	Dead      []configfile.Duration `yaml:"dead"`
	Reset     configfile.Duration   `yaml:"reset"`
}

// Crews are who repair.
type Crews struct {
	Count   int                 `yaml:"count"`
	Travel  configfile.Duration `yaml:"travel"`
	Repair  configfile.Duration `yaml:"repair"`
	Replace configfile.Duration `yaml:"replace"`
	// The standard deviation of the times' logarithm.
	Spread float64 `yaml:"spread"`
}

// Fault is one entry of faults.
type Fault struct {
	ID string              `yaml:"id,required"`
	At configfile.Duration `yaml:"at,required"`
	// A line, a transformer, a node or a service point.
	Asset string `yaml:"asset,required"`
	// The phases; all if it isn't said.
	Phases grid.Phases `yaml:"phases"`
	// How long it must be without voltage to be gone; it stays if it isn't said.
	Clears configfile.Duration `yaml:"clears"`
	// A conductor is broken, and there is no short circuit.
	Broken bool `yaml:"broken"`
	// How long a crew works on it.
	Work configfile.Duration `yaml:"work"`
}

// Step is one entry of steps, which does one thing.
type Step struct {
	At configfile.Duration `yaml:"at,required"`
	// A switch or line to open, or a service point to disconnect.
	Open string `yaml:"open"`
	// A switch, fuse or line to close, or a service point to connect.
	Close string `yaml:"close"`
	// The phases to open or close; all if it isn't said.
	Phases grid.Phases `yaml:"phases"`
	// The id of a fault to repair.
	Repair string `yaml:"repair"`
	// A switch that no longer opens at faults.
	Jam string `yaml:"jam"`
	// A gateway, or a feeder with all of its gateways, whose connection fails.
	CutOff string `yaml:"cut_off"`
	// How long it does.
	For configfile.Duration `yaml:"for"`
}

// Loads is what customers use.
type Loads struct {
	load.Mix `yaml:",inline"`
	Effects  []Effect `yaml:"effects"`
	// How readings get lost and late; all are there and on time if it isn't said.
	Readings *Readings `yaml:"readings"`
}

// SetDefaults says what holds where nothing is said.
func (l *Loads) SetDefaults() { l.Mix.SetDefaults() }

// Effect is one entry of effects: theft, or what looks like it.
type Effect struct {
	// A service point, or how many of them, drawn at random, each with none yet.
	Point string    `yaml:"point"`
	Some  int       `yaml:"some"`
	Kind  load.Kind `yaml:"kind,required"`
	// From which day on, counted from the start.
	Day int `yaml:"day"`
	// For how many days; 0 is to the end.
	Days int `yaml:"days"`
}

// SetDefaults says what holds where nothing is said.
func (s *Scenario) SetDefaults() {
	*s = Scenario{Seed: 1, Start: grid.Time(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC).UnixMicro())}
	s.Edge.SetDefaults()
	p := world.DefaultProtection()
	s.Protection = Protection{FuseMelts: configfile.Duration(p.FuseMelts), Breaker: sequence(p.Breaker), Recloser: sequence(p.Recloser)}
}

func sequence(s world.Sequence) Sequence {
	out := Sequence{Slow: configfile.Duration(s.Slow), Fast: configfile.Duration(s.Fast), FastTrips: s.FastTrips, Reset: configfile.Duration(s.Reset)}
	for _, d := range s.Dead {
		out.Dead = append(out.Dead, configfile.Duration(d))
	}
	return out
}

func (s Sequence) world() world.Sequence {
	out := world.Sequence{Slow: time.Duration(s.Slow), Fast: time.Duration(s.Fast), FastTrips: s.FastTrips, Reset: time.Duration(s.Reset)}
	for _, d := range s.Dead {
		out.Dead = append(out.Dead, time.Duration(d))
	}
	return out
}

// SetDefaults says what holds where nothing is said.
func (c *Crews) SetDefaults() {
	*c = Crews{Count: 1, Travel: configfile.Duration(20 * time.Minute), Repair: configfile.Duration(90 * time.Minute), Replace: configfile.Duration(15 * time.Minute)}
}

// world is the configuration of the world.
func (s *Scenario) world() world.Config {
	c := world.Config{Seed: s.Seed, Start: int64(s.Start), Protection: world.Protection{FuseMelts: time.Duration(s.Protection.FuseMelts),
		Breaker: s.Protection.Breaker.world(), Recloser: s.Protection.Recloser.world(), Devices: map[string]world.Sequence{}}}
	for id, sequence := range s.Protection.Devices {
		c.Protection.Devices[id] = sequence.world()
	}
	if s.Crews != nil {
		drawn := func(d configfile.Duration) world.Drawn {
			return world.Drawn{Median: time.Duration(d), Spread: s.Crews.Spread}
		}
		c.Crews = world.Crews{Count: s.Crews.Count, Travel: drawn(s.Crews.Travel), Repair: drawn(s.Crews.Repair), Replace: drawn(s.Crews.Replace)}
	}
	return c
}

// at is a time of the scenario in µs UTC.
func (s *Scenario) at(d configfile.Duration) int64 {
	return int64(s.Start) + time.Duration(d).Microseconds()
}

// End is when it ends, in µs UTC.
func (s *Scenario) End() int64 { return s.at(s.Lasts) }

// Name is its file's, without the ending.
func (s *Scenario) Name() string { return s.name }

// Model is the grid as it is.
func (s *Scenario) Model() *grid.Model { return s.model }
