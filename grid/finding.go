package grid

import (
	"cmp"
	"fmt"
	"slices"
)

// Place is where something was read.
type Place struct {
	File         string
	Line, Column int    // from 1; 0 where the format has none
	Row          string // in formats whose lines nobody counts, such as "switch 12"
}

// String is file:line:column, or file: row.
func (p Place) String() string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, max(p.Column, 1))
	case p.Row != "" && p.File != "":
		return p.File + ": " + p.Row
	}
	return cmp.Or(p.File, p.Row)
}

// Severity is how bad a finding is.
type Severity uint8

const (
	// Warning: the model works, and may not be what was meant.
	Warning Severity = iota
	// Error: what is computed from the model would be wrong.
	Error
)

func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is wrong with a model or a file.
type Finding struct {
	Severity Severity
	Code     string // what kind of finding: loop, island, …
	Place    Place
	Asset    string // id, "" if it is about none
	Message  string // one sentence, without the asset's id
}

// String is one line: place: severity: asset: message.
func (f Finding) String() string {
	s := ""
	if place := f.Place.String(); place != "" {
		s = place + ": "
	}
	s += f.Severity.String() + ": "
	if f.Asset != "" {
		s += f.Asset + ": "
	}
	return s + f.Message
}

// The codes of findings.
const (
	Unreadable         = "unreadable"             // the file has something that can't be read
	NotTaken           = "not-taken"              // an import left something out
	BadID              = "bad-id"                 // an id that can't be one
	DuplicateID        = "duplicate-id"           // two assets with one id
	Overlap            = "overlapping-validity"   // two versions of an asset at one time
	BadValidity        = "validity"               // an end that is not after the beginning
	UnknownReference   = "unknown-reference"      // an id that stands for nothing
	NotValidThen       = "reference-not-valid"    // an id whose asset isn't valid for as long as what refers to it
	NegativeCustomers  = "negative-customers"     // fewer than no customers
	SameNode           = "same-node"              // both ends at one node
	SameVoltage        = "same-voltage"           // a transformer between equal voltages, or the wrong way round
	VoltageMismatch    = "voltage-mismatch"       // equipment between two voltages, or for another one
	PhaseMismatch      = "phases"                 // phases that what feeds it hasn't
	NoSource           = "no-source"              // nothing feeds the network
	UnfedIsland        = "island"                 // a part that no source feeds
	NotConnected       = "not-connected"          // a service point where there is no network
	InLoop             = "loop"                   // supply from two sides
	NothingAttached    = "nothing-attached"       // a substation, node or end of equipment with nothing there
	FeederNoBreaker    = "feeder-without-breaker" // a feeder that nothing protects
	FeederWithoutHead  = "feeder-without-supply"  // a feeder whose head feeds nothing
	IncompletePosition = "position-signal"        // a device or gateway without the signal
)

// SortFindings orders by place, then errors first.
func SortFindings(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Place.File, b.Place.File), cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Column, b.Place.Column),
			compareIDs(a.Place.Row, b.Place.Row), cmp.Compare(b.Severity, a.Severity), compareIDs(a.Asset, b.Asset))
	})
}

// Errors is how many findings are errors.
func Errors(list []Finding) int {
	n := 0
	for _, f := range list {
		if f.Severity == Error {
			n++
		}
	}
	return n
}
