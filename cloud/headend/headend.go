// Package headend takes what head-ends and systems of meter data have read: interval reads,
// registers and events of meters, as CSV or JSON. A file that is imported, and a record that
// somebody writes into the log's import topic, are decoded here, and what stores them is the
// same consumer of that topic. A head-end stands where a gateway stands: its meters are
// devices, their reads samples of signals.
//
// A read is known by head-end, meter, signal and time, an event by head-end, meter, time,
// code and number. So it doesn't matter how often, in which order, or in which parts they
// come.
package headend

import (
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// HeadEnd is one that is known, and how it writes. The zero values of all but the first two
// are those of a file that is written as docs/headend.md has it.
type HeadEnd struct {
	ID   string // as a gateway's
	Zone string // who may see it
	Format
	// Fresh is how old an event may be that says something of now, such as that a meter
	// has no supply. What is older is kept and concluded from by nobody.
	Fresh time.Duration
	// Expects is how long after an interval's end its read may take.
	Expects time.Duration
}

// Format is how somebody writes rows.
type Format struct {
	Columns   map[string]Field     // what columns, or members of objects, are called; those of a Field's own name are known anyway, but go behind
	Separator rune                 // of CSV; 0: a semicolon, a tabulator or a comma, as the first line has it
	Comma     bool                 // numbers have a decimal comma
	Location  *time.Location       // of times without an offset; nil: UTC
	Layout    string               // of times, as package time has it; "": RFC 3339, or 2006-01-02 15:04:05
	Starts    bool                 // the time of an interval is its start, else its end
	Interval  telemetry.Micros     // of reads of intervals that don't say; 0: they do
	Channel   string               // of reads that don't say; "": they do
	Channels  map[string]Channel   // by the head-end's name; those that are OBIS codes are known anyway
	Qualities map[string]Status    // by the head-end's word, beside those of Statuses
	Events    map[string]EventKind // by the head-end's code, beside those of EventKinds

	own bool // they are as an Import sends them
}

// Channel is a quantity that a meter has.
type Channel struct {
	Signal string         // as the store calls it
	Unit   string         // of the numbers, as meters write it, such as kWh, or as UCUM does
	Kind   telemetry.Kind // what they mean over time
	// Interval says that a number is what an interval has added up or averaged, so it
	// is kept by when that began.
	Interval bool
}

// Field is what a value of a row is about.
type Field string

const (
	Meter    Field = "meter"         // the meter's id
	Point    Field = "service_point" // where it is, as the network's model calls that
	Of       Field = "channel"       // the head-end's name, or an OBIS code
	Signal   Field = "signal"        // in the place of a channel
	Time     Field = "time"
	Start    Field = "start" // of an interval, in the place of a time
	End      Field = "end"
	Interval Field = "interval" // its length, as 15m or PT15M
	Number   Field = "value"
	Unit     Field = "unit"
	Kind     Field = "kind" // of a signal: gauge, counter, state
	Quality  Field = "quality"
	Version  Field = "version"    // a whole number, or a time
	Code     Field = "event"      // the head-end's code of an event, or an EventKind
	ID       Field = "id"         // of an event
	Text     Field = "text"       // of an event
	Known    Field = "event_kind" // an EventKind, where the code doesn't say it
	Line     Field = "line"       // of the file that the row was copied from, for messages
)

// Fields are those that somebody may write; Known and Line are of what an Import sends.
var Fields = []Field{Meter, Point, Of, Signal, Time, Start, End, Interval, Number, Unit, Kind, Quality, Version, Code, ID, Text}

var ownFields = []Field{Known, Line}

// Status is how a read was come by.
type Status string

const (
	Actual    Status = "actual"    // read from the meter
	Edited    Status = "edited"    // put right by a person or by rules, and final
	Estimated Status = "estimated" // made up until the meter is read
	Missing   Status = "missing"   // there is none
)

// Statuses are all of them.
var Statuses = []Status{Actual, Edited, Estimated, Missing}

var qualities = map[Status]telemetry.Quality{
	Actual:    telemetry.MakeQuality(telemetry.Good, telemetry.DeviceTime, telemetry.NoReason),
	Edited:    telemetry.MakeQuality(telemetry.Good, telemetry.DeviceTime, telemetry.NoReason) | telemetry.Substituted,
	Estimated: telemetry.MakeQuality(telemetry.Uncertain, telemetry.DeviceTime, telemetry.NoReason) | telemetry.Estimated,
}

// EventKind is what a meter tells beside reads.
type EventKind string

const (
	PowerFail    EventKind = "power-fail" // its last gasp: evidence of an outage
	PowerRestore EventKind = "power-restore"
	Tamper       EventKind = "tamper"
	CoverOpen    EventKind = "cover-open"
	CoverClosed  EventKind = "cover-closed"
	Magnet       EventKind = "magnetic-field"
	Reversed     EventKind = "reverse-energy"
	VoltageSag   EventKind = "voltage-sag"
	VoltageSwell EventKind = "voltage-swell"
	Disconnected EventKind = "disconnected" // by its own switch
	Connected    EventKind = "connected"
	BatteryLow   EventKind = "battery-low"
	ClockSet     EventKind = "clock-set"
	Other        EventKind = "other" // a code that nobody has said anything about
)

// EventKinds are all of them.
var EventKinds = []EventKind{PowerFail, PowerRestore, Tamper, CoverOpen, CoverClosed, Magnet, Reversed, VoltageSag, VoltageSwell,
	Disconnected, Connected, BatteryLow, ClockSet, Other}

// Read is one value of a meter.
type Read struct {
	Meter, Point string // the point is "" if the row doesn't say it
	Signal, Unit string
	Kind         telemetry.Kind
	At           telemetry.Micros // when its interval began, or when it was read
	Interval     telemetry.Micros // 0: it isn't of one
	Value        float64
	Status       Status
	Version      int64 // of two reads of one time the higher counts
}

// Event is something that a meter has told.
type Event struct {
	Meter, Point string
	At           telemetry.Micros
	Code, Number string
	Kind         EventKind
	Words        string
}

// Row is a read, an event, or neither: a read that is missing.
type Row struct {
	Place Place
	Read  *Read
	Event *Event
}

// Place is where something stands in a file or a record; lines and columns count from 1.
type Place struct{ Line, Column int }

// rank orders the reads of one time and version.
func rank(q telemetry.Quality) int {
	switch {
	case q.Has(telemetry.Substituted):
		return 3
	case q.Has(telemetry.Estimated):
		return 1
	}
	return 2
}

// sample is a read as it is stored.
func (r Read) sample(of store.Place) telemetry.Sample {
	return telemetry.Sample{Time: r.At, Value: telemetry.FloatValue(r.Value), Signal: of.Series, Quality: qualities[r.Status]}
}
