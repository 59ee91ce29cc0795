// Package truth is the log of what really happened in a simulated grid, by which
// what others conclude is judged: JSON lines, described in docs/simulation.md.
package truth

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/busbar/busbar/sim/world"
)

// What a record says.
const (
	Start         = "start"          // Scenario, Seed, End, and the Customers of those service points that don't have one
	TopologyError = "topology-error" // Point is at Node, and the model that is given has it at Given
	StalePosition = "stale-position" // Device: its position isn't told any more
	SilentMeter   = "silent-meter"   // Point has a meter that never answers
	WrongClock    = "wrong-clock"    // of Point's meter, or of the Gateways: it is off by Off
	Jammed        = "jammed"         // Device doesn't open at faults from now on
	Dropout       = "dropout"        // the connection of Gateways fails by itself until Until
	MeterFault    = "meter-fault"    // Point, Kind, Since, Until
	Theft         = "theft"          // Point, Kind, Since, Until
	LookAlike     = "look-alike"     // the same of what is no theft
	Outage        = "outage"         // Outage begins at Device, which Fault has opened: Points lose their supply
	Restored      = "restored"       // Points of Outage have supply again
	OutageEnd     = "outage-end"     // all of them have
	PhaseLoss     = "phase-loss"     // Points have these Levels, and aren't out
	PhasesBack    = "phases-back"    // Points have all of their phases again
	CutOff        = "cut-off"        // the connection of Gateways fails until Until
	Overload      = "overload"       // Device, a transformer, carries more than it is rated for
	OverloadEnd   = "overload-end"   // Peak is the most that it carried, per unit
	Stop          = "stop"           // Sustained, how many outages last three minutes or more, and CustomerMinutes
	// and the kinds of world.Event but supply: fault-begin, trip and so on
)

// Record is one line. What doesn't apply is left out.
type Record struct {
	At        int64          `json:"time_us"`
	What      string         `json:"what"`
	Scenario  string         `json:"scenario,omitempty"`
	Seed      uint64         `json:"seed,omitempty"`
	End       int64          `json:"end_us,omitempty"`
	Customers map[string]int `json:"customers,omitempty"`

	Outage   int      `json:"outage,omitempty"` // from 1
	Device   string   `json:"device,omitempty"`
	Adjacent []string `json:"adjacent,omitempty"` // the devices next to it, upstream and downstream
	Fault    string   `json:"fault,omitempty"`
	Asset    string   `json:"asset,omitempty"` // that is faulted
	Kind     string   `json:"kind,omitempty"`  // of a fault: permanent, temporary or broken; of theft: h1 and so on
	Phases   string   `json:"phases,omitempty"`
	Trips    int      `json:"trips,omitempty"`

	Point    string        `json:"point,omitempty"`
	Points   []string      `json:"points,omitempty"`
	Levels   *world.Levels `json:"levels,omitempty"`
	Node     string        `json:"node,omitempty"`
	Given    string        `json:"given,omitempty"`
	Gateways []string      `json:"gateways,omitempty"`
	Since    int64         `json:"since_us,omitempty"`
	Until    int64         `json:"until_us,omitempty"`
	Off      int64         `json:"off_us,omitempty"`
	Peak     float64       `json:"peak,omitempty"`

	Sustained       int     `json:"sustained,omitempty"`
	CustomerMinutes float64 `json:"customer_minutes,omitempty"`
}

// Sustained is how long an outage lasts that isn't momentary, in µs.
const Sustained = int64(180e6)

// Read calls f with each record. The error names the line.
func Read(r io.Reader, f func(Record) error) error { return readLines(r, f) }

// maxLine bounds a line: an outage of a million service points fits.
const maxLine = 64 << 20

func readLines[T any](r io.Reader, f func(T) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		if len(lines.Bytes()) == 0 {
			continue
		}
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := f(v); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// Finding is a line of what somebody concluded, in any order: an outage, or
// somebody suspected of theft.
type Finding struct {
	What     string   `json:"what"`        // outage or suspect
	Detected int64    `json:"detected_us"` // when it was told
	Device   string   `json:"device"`      // of an outage
	Start    int64    `json:"start_us"`
	End      int64    `json:"end_us"` // 0 if it lasts
	Points   []string `json:"points"`
	Restored []Step   `json:"restored"` // those of them that had supply again before the end
	Point    string   `json:"point"`    // of a suspect
	Since    int64    `json:"since_us"`
}

// Step is the restoration of a part.
type Step struct {
	At     int64    `json:"time_us"`
	Points []string `json:"points"`
}

// What a finding is.
const Suspect = "suspect"

// ReadFindings calls f with each finding. The error names the line.
func ReadFindings(r io.Reader, f func(Finding) error) error {
	return readLines(r, func(v Finding) error {
		switch {
		case v.What != Outage && v.What != Suspect:
			return fmt.Errorf("what is %q, expected %s or %s", v.What, Outage, Suspect)
		case v.What == Suspect && v.Point == "":
			return fmt.Errorf("a suspect without point")
		case v.What == Outage && len(v.Points) == 0:
			return fmt.Errorf("an outage without points")
		case v.Detected == 0:
			return fmt.Errorf("no detected_us: when was it told?")
		case v.What == Outage && v.Start == 0:
			return fmt.Errorf("an outage without start_us")
		case v.What == Outage && v.End != 0 && v.End < v.Start:
			return fmt.Errorf("an outage that ends at %d, before it starts at %d", v.End, v.Start)
		}
		return f(v)
	})
}
