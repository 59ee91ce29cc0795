package outage

import "github.com/busbar/busbar/grid"

// State is how far an incident has come. It is the engine's; what people do about it
// (assign, dispatch, complete) isn't.
type State string

const (
	Suspected State = "suspected" // silent: there is something
	Probable  State = "probable"  // the evidence has settled, and says that it is an outage
	Confirmed State = "confirmed" // by an operator, or by a good position without another feed
	Partial   State = "partial"   // some of it has supply again, or it isn't verified that all has
	Restored  State = "restored"  // all has supply again as far as is known; to be verified
	Closed    State = "closed"    // verified
	Merged    State = "merged"    // is part of MergedInto
	Withdrawn State = "withdrawn" // it was none
)

// Over reports whether no more comes of it.
func (s State) Over() bool { return s == Closed || s == Merged || s == Withdrawn }

// Class is what an incident is.
type Class string

const (
	Open      Class = "open"       // not known yet whether it lasts
	Momentary Class = "momentary"  // it was over within the feeder's reclose time
	Sustained Class = "sustained"  // it lasts longer, or a device is locked out
	Planned   Class = "planned"    // switching that was planned covers it
	PhaseLoss Class = "phase-loss" // nobody is out, some have lost phases
)

// Candidate is an explanation.
type Candidate struct {
	Device string // the asset that has opened
	Phases grid.Phases
	// Cost is how much more it costs than the best explanation; 0 is the best.
	Cost float64
	// Confidence is from 0 to 1, of all candidates 1 together.
	Confidence float64
}

// Step is a part that has supply again, or has lost it again.
type Step struct {
	At        int64
	Points    []string
	Customers int64
	// Tie is the switch through which they are supplied now, if that isn't the way
	// that they lost.
	Tie string
}

// Reference is a piece of evidence that an incident rests on.
type Reference struct {
	ID      string
	Arrival int64
	Source  int64
	Kind    Kind
	Of      string // the point, gateway or switch
}

// Interruption is a time without supply of an incident that had supply in between, as
// when a breaker closes onto a fault and trips again.
type Interruption struct {
	Start, End int64
	Device     string
	Points     []string
	Customers  int64
}

// Incident is one outage. Its slices must not be changed.
type Incident struct {
	// ID is the same whenever the same evidence is taken again.
	ID    string
	State State
	Class Class

	// Device is the asset that has opened, empty if it isn't known; Phases are
	// those that have.
	Device string
	Phases grid.Phases
	// Candidates are the explanations, the best one first, up to five.
	Candidates []Candidate
	// Confidence is that of the first of them.
	Confidence float64

	// Start is the best estimate of when its last interruption began, between Earliest
	// and Latest.
	Start, Earliest, Latest int64
	// When it became so, 0 if it didn't: first seen, probable, annunciated (people
	// may be told aloud), restored, and over. Seen is when its last interruption was.
	Seen, Began, ProbableAt, AnnouncedAt, RestoredAt, OverAt int64

	// Out are the service points without supply now, Ever those that ever were in
	// it, both sorted.
	Out, Ever []string
	// Customers without supply now, and ever.
	CustomersOut, CustomersEver int64
	// Lossy counts service points that have lost phases and aren't out.
	Lossy int
	// Critical and High are how many of those out have that priority.
	Critical, High int
	Steps          []Step
	// Interruptions are those before the one that goes on, or that was the last:
	// what is of that is in Start and RestoredAt.
	Interruptions []Interruption

	// Evidence is the newest of it, at most Config.References; Counts is all.
	Evidence []Reference
	Counts   map[Kind]int

	MergedInto string
	// NestedIn is the incident after whose restoration this part was still without
	// supply.
	NestedIn string
	// SplitFrom is the incident that was found to be several.
	SplitFrom string
	// Plan is the id of the planned switching that covers it.
	Plan string
	// Island says that there is voltage below a device that is open: somebody feeds
	// it, and it isn't restored.
	Island bool

	Feeder, Substation, Zone string
	// Revision counts changes.
	Revision int
}

// Announced reports whether people may be told of it aloud.
func (i *Incident) Announced() bool { return i.AnnouncedAt != 0 }

// ChangeKind is what has become of an incident.
type ChangeKind string

const (
	Began      ChangeKind = "began"      // it is suspected
	Settled    ChangeKind = "settled"    // it is probable, or confirmed
	Announce   ChangeKind = "announce"   // it lasts: tell people
	Moved      ChangeKind = "moved"      // to another device, with what is out
	Grew       ChangeKind = "grew"       // another set of points, by the same device
	Absorbed   ChangeKind = "absorbed"   // into MergedInto
	SteppedUp  ChangeKind = "step"       // some have supply again
	Returned   ChangeKind = "returned"   // all have, to be verified
	Unverified ChangeKind = "unverified" // too few have answered since; it is partial
	Reopened   ChangeKind = "reopened"   // what was restored is out again
	Islanded   ChangeKind = "island"     // there is voltage where there is no source
	Ended      ChangeKind = "ended"      // closed or withdrawn
)

// Change is one of them.
type Change struct {
	At       int64
	Kind     ChangeKind
	Incident Incident // after it
}

// Reason is why something is asked.
type Reason string

const (
	AskSilent   Reason = "silent"   // too little for an outage: is it supply, or communication?
	AskExtent   Reason = "extent"   // which of two explanations is it?
	AskRestored Reason = "restored" // has it supply again?
)

// Ask is what the engine would like to know: poll or ping these, and give the
// answers as evidence.
type Ask struct {
	At       int64
	Reason   Reason
	Incident string // that it is about, if any
	Gateway  string // that reads the points, or is itself asked if there are none
	Points   []string
}

// Plan is switching that is planned: outages of these devices, and of what is
// below them, that begin in its time are planned. People are told of one that lasts longer.
type Plan struct {
	ID          string
	Devices     []string
	From, Until int64
}
