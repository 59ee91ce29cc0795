package outage

import (
	"fmt"

	"github.com/busbar/busbar/grid"
)

// Kind is what a piece of evidence says.
type Kind string

// What the edge tells.
const (
	Meter        Kind = "meter"         // there is one at Point, which Gateway reads; PoweredBy what
	Gateway      Kind = "gateway"       // Gateway has its supply at Asset, a node or a transformer (its low side)
	LastGasp     Kind = "last-gasp"     // the meter at Point lost its supply
	PowerUp      Kind = "power-up"      // it has supply again
	Interrupted  Kind = "interrupted"   // it had none from Since to Source, by its own log, and has it again
	Timeout      Kind = "timeout"       // it doesn't answer its gateway, which runs
	Answer       Kind = "answer"        // it answers, and so has supply
	Voltage      Kind = "voltage"       // Levels at Point, or at Asset, a node or a transformer
	Position     Kind = "position"      // of Switch: Open, LockedOut, Bad. Any switch, line or transformer; By says who entered it by hand
	MainsFail    Kind = "mains-fail"    // Gateway lost its supply
	MainsBack    Kind = "mains-back"    // Gateway has its supply again
	GatewayGone  Kind = "gateway-gone"  // nothing comes from Gateway any more
	GatewayThere Kind = "gateway-there" // it does again
	Call         Kind = "call"          // a customer at Point says that there is no supply
)

// What was asked for, and what people say.
const (
	PingAnswered   Kind = "ping-answered"   // the meter at Point, or Gateway if there is no point, answered
	PingUnanswered Kind = "ping-unanswered" // it didn't
	PointOut       Kind = "point-out"       // By says that Point has no supply
	PointSupplied  Kind = "point-supplied"  // By says that it has
	Confirm        Kind = "confirm"         // By says that Incident is one, of Switch if it is given
	Deny           Kind = "deny"            // By says that Incident is none: it is withdrawn, until other evidence comes
	Merge          Kind = "merge"           // By says that Incident is part of Into
)

// Kinds are all of them.
var Kinds = []Kind{Meter, Gateway, LastGasp, PowerUp, Timeout, Answer, Voltage, Position, MainsFail, MainsBack, GatewayGone, GatewayThere, Call, Interrupted,
	PingAnswered, PingUnanswered, PointOut, PointSupplied, Confirm, Deny, Merge}

// Levels is the voltage of the phases A, B and C in percent of the nominal one.
type Levels [3]uint8

// Evidence is one piece. What doesn't apply is empty. As JSON it is a line of
// the evidence that busbar-sim scenario writes.
type Evidence struct {
	// ID is the sender's, and is what incidents refer to it by. It may be empty.
	ID string `json:"id,omitempty"`
	// Arrival is when it was received, µs since 1970 UTC; 0 is the time of the
	// engine.
	Arrival int64 `json:"arrival_us"`
	// Source is when it was so, by the clock of what tells it; 0 if that isn't
	// known.
	Source int64 `json:"source_us"`
	// Since is when what is over at Source began, by the same clock; of Interrupted.
	Since int64 `json:"since_us,omitempty"`
	// Unsynchronised says that nothing confirms that clock, and Source isn't used.
	Unsynchronised bool   `json:"unsynchronised,omitempty"`
	Kind           Kind   `json:"kind"`
	Point          string `json:"point,omitempty"`
	Gateway        string `json:"gateway,omitempty"`
	Switch         string `json:"switch,omitempty"`
	Asset          string `json:"asset,omitempty"`
	// PoweredBy is measured (by the voltage that it measures), auxiliary, or
	// unknown.
	PoweredBy string  `json:"powered_by,omitempty"`
	Levels    *Levels `json:"levels,omitempty"`
	Open      *bool   `json:"open,omitempty"`
	// Phases that are open, if it isn't all of them: a blown fuse, a cut of one
	// conductor.
	Phases    grid.Phases `json:"phases,omitempty"`
	LockedOut bool        `json:"locked_out,omitempty"`
	// Bad says that the position isn't of good quality: it is as if none was known.
	Bad bool `json:"bad,omitempty"`
	// Hz is the frequency, 0 if it isn't known: an island shows in it.
	Hz       float64 `json:"hz,omitempty"`
	Incident string  `json:"incident,omitempty"`
	Into     string  `json:"into,omitempty"`
	By       string  `json:"by,omitempty"`
}

// Telemetry stands for who said it, of a position that was measured.
const Telemetry = "telemetry"

// ByPerson reports whether a person has said it.
func (e *Evidence) ByPerson() bool { return e.By != "" && e.By != Telemetry }

// latest is the end of the year 9999, in µs.
const latest = int64(253402300800e6)

// Check says what is missing. What names something that the network hasn't got
// is no error: evidence comes before the model, and after it.
func (e *Evidence) Check() error {
	if e.Arrival < 0 || e.Arrival > latest || e.Source < 0 || e.Source > latest {
		return fmt.Errorf("%s at %d, which arrived at %d: times are µs since 1970, up to the year 9999", e.Kind, e.Source, e.Arrival)
	}
	need := func(what, have string) error {
		if have == "" {
			return fmt.Errorf("%s without %s", e.Kind, what)
		}
		return nil
	}
	switch e.Kind {
	case LastGasp, PowerUp, Timeout, Answer, Call, PointOut, PointSupplied:
		return need("point", e.Point)
	case Interrupted:
		if e.Since <= 0 || e.Source < e.Since {
			return fmt.Errorf("%s from %d to %d: expected when it began and when it was over", e.Kind, e.Since, e.Source)
		}
		return need("point", e.Point)
	case Meter:
		return need("point", e.Point)
	case Gateway:
		if e.Asset == "" {
			return need("asset", "")
		}
		return need("gateway", e.Gateway)
	case MainsFail, MainsBack, GatewayGone, GatewayThere:
		return need("gateway", e.Gateway)
	case Voltage:
		if e.Levels == nil {
			return need("levels", "")
		}
		return need("point or asset", e.Point+e.Asset)
	case Position:
		if e.Open == nil && !e.Bad {
			return need("open", "")
		}
		return need("switch", e.Switch)
	case PingAnswered, PingUnanswered:
		return need("point or gateway", e.Point+e.Gateway)
	case Confirm, Deny:
		return need("incident", e.Incident)
	case Merge:
		if e.Into == "" {
			return need("into", "")
		}
		return need("incident", e.Incident)
	}
	return fmt.Errorf("kind %q is none that is known", string(e.Kind))
}
