// Package evidence is what the edge of a simulated grid tells of it: meters,
// gateways, switches' positions and customers' calls, with all that is lost,
// late, false or out of date on the way. It is pure: the same seed and the same
// world give the same evidence.
package evidence

import (
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/sim/world"
)

// Kind is what a piece of evidence says.
type Kind string

const (
	Meter        Kind = "meter"         // there is one, by which gateway it is read, and what powers it; before everything else
	LastGasp     Kind = "last-gasp"     // a meter lost its supply
	PowerUp      Kind = "power-up"      // a meter has its supply again, and a gateway to tell it by
	Timeout      Kind = "timeout"       // a meter doesn't answer its gateway
	Answer       Kind = "answer"        // a meter answers again
	Voltage      Kind = "voltage"       // a meter that answers sees these levels
	Position     Kind = "position"      // of a switch, if it has changed
	MainsFail    Kind = "mains-fail"    // a gateway lost its supply
	MainsBack    Kind = "mains-back"    // a gateway has its supply again
	GatewayGone  Kind = "gateway-gone"  // nothing comes from a gateway any more
	GatewayThere Kind = "gateway-there" // it does again
	Call         Kind = "call"          // a customer says that there is no supply
)

// Kinds are all of them.
var Kinds = []Kind{Meter, LastGasp, PowerUp, Timeout, Answer, Voltage, Position, MainsFail, MainsBack, GatewayGone, GatewayThere, Call}

// Event is one piece of evidence. Those that don't apply are empty.
type Event struct {
	Arrival   int64         `json:"arrival_us"` // when the cloud has it, µs UTC
	Source    int64         `json:"source_us"`  // when it was, by the clock of what tells it
	Kind      Kind          `json:"kind"`
	Point     string        `json:"point,omitempty"`
	Gateway   string        `json:"gateway,omitempty"`
	Switch    string        `json:"switch,omitempty"`
	PoweredBy string        `json:"powered_by,omitempty"`
	Levels    *world.Levels `json:"levels,omitempty"` // percent of nominal, phases A, B, C
	Open      *bool         `json:"open,omitempty"`
	LockedOut bool          `json:"locked_out,omitempty"`
}

// Config is what the edge is like. Shares are from 0 to 1.
type Config struct {
	// The share of service points that have a meter which is read; default 1.
	Metered float64 `yaml:"metered"`
	// The share of meters with a supply of their own, which go on in an outage.
	Auxiliary float64 `yaml:"auxiliary"`
	// The share of meters that are silent for other reasons, from the start on.
	Silent float64 `yaml:"silent"`
	// The share of last gasps that get lost; default 0.1.
	LastGaspsLost float64 `yaml:"last_gasps_lost"`
	// How long an interruption lasts until a meter tells of it; default 1s.
	LastGaspAfter configfile.Duration `yaml:"last_gasp_after"`
	// How many false last gasps a meter sends a day.
	FalseLastGasps float64 `yaml:"false_last_gasps"`
	// What a message takes, half of them longer; default 1s.
	Delay configfile.Duration `yaml:"delay"`
	// How often a gateway asks its meters; default 1m. It tells of one that doesn't
	// answer twice.
	Poll configfile.Duration `yaml:"poll"`
	// How long a gateway goes on without supply; default 10s.
	HoldUp configfile.Duration `yaml:"hold_up"`
	// How long a gateway that tells of switches goes on without supply; default 8h.
	StationBattery configfile.Duration `yaml:"station_battery"`
	// The share of changes of a switch that get lost while its gateway has no connection. Where
	// it is then, is told when there is one again; default 0.1.
	PositionsLost float64 `yaml:"positions_lost"`
	// How long nothing comes from a gateway until that is told; default 3m.
	SilentAfter configfile.Duration `yaml:"silent_after"`
	// How often a gateway loses its connection a day, whatever its supply.
	Dropouts float64 `yaml:"dropouts"`
	// How long it is without it, half of them longer; default 10m.
	DropoutLasts configfile.Duration `yaml:"dropout_lasts"`
	// How many gateways one telecom node serves, which a feeder supplies; 0 if
	// telecom doesn't depend on the grid.
	TelecomServes int `yaml:"telecom_serves"`
	// How long a telecom node goes on without supply; default 2h.
	TelecomBattery configfile.Duration `yaml:"telecom_battery"`
	// The share of customers who call if they are out for long enough.
	Calls float64 `yaml:"calls"`
	// When they do, half of them later; default 10m.
	CallAfter configfile.Duration `yaml:"call_after"`
	// The standard deviation of the clocks of meters and gateways; default 100ms.
	ClockError configfile.Duration `yaml:"clock_error"`
	// The share of meters and gateways whose clock is off by up to six hours.
	WrongClocks float64 `yaml:"wrong_clocks"`
	// The share of telemetered switches whose position no longer changes.
	StalePositions float64 `yaml:"stale_positions"`
	// The share of service points that the model has elsewhere than they are.
	TopologyErrors float64 `yaml:"topology_errors"`
}

// SetDefaults says what holds where nothing is said.
func (c *Config) SetDefaults() {
	*c = Config{
		Metered: 1, LastGaspsLost: 0.1, LastGaspAfter: configfile.Duration(time.Second), Delay: configfile.Duration(time.Second),
		Poll: configfile.Duration(time.Minute), HoldUp: configfile.Duration(10 * time.Second), SilentAfter: configfile.Duration(3 * time.Minute),
		DropoutLasts: configfile.Duration(10 * time.Minute), TelecomBattery: configfile.Duration(2 * time.Hour),
		StationBattery: configfile.Duration(8 * time.Hour), PositionsLost: 0.1,
		CallAfter: configfile.Duration(10 * time.Minute), ClockError: configfile.Duration(100 * time.Millisecond),
	}
}

// Check calls wrong with each key whose value can't be.
func (c *Config) Check(wrong func(key, format string, args ...any)) {
	for _, s := range []struct {
		key   string
		share float64
	}{
		{"metered", c.Metered}, {"auxiliary", c.Auxiliary}, {"silent", c.Silent}, {"last_gasps_lost", c.LastGaspsLost}, {"calls", c.Calls}, {"positions_lost", c.PositionsLost},
		{"wrong_clocks", c.WrongClocks}, {"stale_positions", c.StalePositions}, {"topology_errors", c.TopologyErrors},
	} {
		if !(s.share >= 0 && s.share <= 1) {
			wrong(s.key, "%v is no share from 0 to 1", s.share)
		}
	}
	for _, r := range []struct {
		key  string
		rate float64
	}{{"false_last_gasps", c.FalseLastGasps}, {"dropouts", c.Dropouts}} {
		if !(r.rate >= 0 && r.rate <= 1000) {
			wrong(r.key, "%v a day, expected 0 to 1000", r.rate)
		}
	}
	for _, d := range []struct {
		key   string
		value configfile.Duration
		least time.Duration
	}{
		{"last_gasp_after", c.LastGaspAfter, 0}, {"delay", c.Delay, 0}, {"poll", c.Poll, time.Second}, {"hold_up", c.HoldUp, 0}, {"station_battery", c.StationBattery, 0},
		{"silent_after", c.SilentAfter, time.Second}, {"dropout_lasts", c.DropoutLasts, 0}, {"telecom_battery", c.TelecomBattery, 0},
		{"call_after", c.CallAfter, 0}, {"clock_error", c.ClockError, 0},
	} {
		if time.Duration(d.value) < d.least || time.Duration(d.value) > 365*24*time.Hour {
			wrong(d.key, "%v is not from %v to a year", d.value, d.least)
		}
	}
	if c.TelecomServes < 0 {
		wrong("telecom_serves", "%d, expected 0 or more", c.TelecomServes)
	}
}
