// Package completeness answers whether everything that was expected of devices
// is in the store, quarter-hour by quarter-hour, and if not, why. What was
// expected is what the gateways' accounts say: the sequence numbers that were
// received only prove that nothing was lost on the way.
package completeness

import (
	"cmp"
	"maps"
	"slices"

	"github.com/busbar/busbar/telemetry"
)

// State is what is known of a device's quarter-hour.
type State string

const (
	Complete     State = "complete"       // everything that was expected is stored, or was left out by a deadband
	Late         State = "late"           // the same, but some of it came late
	Incomplete   State = "incomplete"     // something is missing, for the reasons given
	Open         State = "open"           // the quarter-hour isn't over, or its account isn't due yet
	Unknown      State = "unknown"        // there is no account
	Inconsistent State = "inconsistent"   // the counts contradict each other
	NotAsked     State = "not-configured" // the gateway's accounts don't have the device, or it was before its first start
)

// severity orders states: of several devices the worst one counts.
var severity = []State{NotAsked, Complete, Late, Open, Unknown, Incomplete, Inconsistent}

func worse(a, b State) State {
	if slices.Index(severity, b) > slices.Index(severity, a) {
		return b
	}
	return a
}

// Reason is why an expected sample isn't there. A device's own reasons are
// "bad (…)", as a sample's quality says it; those of losses are theirs.
type Reason string

const (
	Missed      Reason = "missed"       // not asked for: the poll before wasn't over
	GatewayDown Reason = "gateway-down" // not asked for: no gateway was running
	NotRead     Reason = "not-read"     // a head-end should have it by now, and hasn't given it
	OnTheWay    Reason = "on-the-way"   // in the gateway's buffer, in the log, waiting for its signal table, or set aside
	// Undetermined is on the way, or given up: the gateway has lost numbers of the
	// same process and can't say whose samples they were.
	Undetermined Reason = "undetermined"
)

// losses lists the reasons of losses in the order in which they are charged.
var losses = []telemetry.LossReason{telemetry.LostThinned, telemetry.LostBufferFull, telemetry.LostDiskFull, telemetry.LostUnreadable, telemetry.LostDiscarded}

// Counts is what is known of a device's samples of one quarter-hour.
type Counts struct {
	Accounts int // that Account adds up; 0: nothing is known of what was expected
	Account  telemetry.DeviceAccount
	Lost     map[telemetry.LossReason]uint64
	// Uncounted says that more was lost than Lost has, by nobody knows how much.
	Uncounted bool
	Received  uint64 // stored: read, bad and what the gateway adds itself
	Late      uint64 // of these
	Estimates uint64 // of these: they stand for others, which may be stored as well
}

// AddAccount adds the account of a further epoch.
func (c *Counts) AddAccount(a telemetry.DeviceAccount) {
	c.Accounts++
	c.Account.Scheduled += a.Scheduled
	c.Account.Read += a.Read
	c.Account.Suppressed += a.Suppressed
	c.Account.Missed += a.Missed
	c.Account.Down += a.Down
	c.Account.Delivered += a.Delivered
	if len(a.Bad) > 0 && c.Account.Bad == nil {
		c.Account.Bad = make(map[string]uint64, len(a.Bad))
	}
	for reason, n := range a.Bad {
		c.Account.Bad[reason] += n
	}
}

// AddLoss adds a declared loss.
func (c *Counts) AddLoss(reason telemetry.LossReason, samples uint64) {
	if c.Lost == nil {
		c.Lost = map[telemetry.LossReason]uint64{}
	}
	c.Lost[reason] += samples
}

// Verdict says what became of the samples that were expected. Unless the state
// is Inconsistent, Expected is the sum of Good, Suppressed and Reasons.
type Verdict struct {
	State      State
	Expected   uint64
	Good       uint64 // stored with a value
	Suppressed uint64 // read, and left out by a deadband
	Reasons    map[Reason]uint64
}

// Judge says whether a quarter-hour is complete. Over says that it has ended,
// due that its account should have come.
//
// It isn't known which of the samples that were given up or are on the way had a
// value. They are charged to those that had until none is left, so Good is what
// is stored for certain. A reason that then concerns no expected sample has the
// count 0: what is missing is bad samples, or the gateway's own.
func Judge(c Counts, over, due bool) Verdict {
	a := c.Account
	v := Verdict{Expected: a.Scheduled, Suppressed: a.Suppressed}
	add := func(reason Reason, n uint64) {
		if v.Reasons == nil {
			v.Reasons = map[Reason]uint64{}
		}
		v.Reasons[reason] += n
	}
	var bad, declared, charged uint64
	for reason, n := range a.Bad {
		if n > 0 {
			bad += n
			add(Reason("bad ("+reason+")"), n)
		}
	}
	if a.Missed > 0 {
		add(Missed, a.Missed)
	}
	if a.Down > 0 {
		add(GatewayDown, a.Down)
	}
	v.Good = a.Read
	charge := func(reason Reason, n uint64) {
		if n == 0 {
			return
		}
		taken := min(n, v.Good)
		v.Good -= taken
		add(reason, taken)
	}
	// What is stored hasn't been lost, whatever was declared: a gateway that is killed
	// may have forgotten what the log has, or not have done what it declared.
	measured := c.Received - min(c.Received, c.Estimates)
	absent := a.Delivered - min(a.Delivered, measured)
	for reason, n := range c.lost() {
		if reason == telemetry.LostDiscarded {
			charge(Reason(reason), n)
			continue
		}
		declared += n
		if n = min(n, absent); n > 0 {
			charge(Reason(reason), n)
			absent -= n
			charged += n
		}
	}
	// What was discarded wasn't delivered. Nor were all that are bad: some weren't
	// even asked for.
	consistent := a.Scheduled == a.Read+a.Suppressed+bad+a.Missed+a.Down &&
		a.Delivered >= measured && a.Delivered >= declared && a.Delivered+c.Lost[telemetry.LostDiscarded] >= a.Read
	if a.Delivered > c.Received+charged {
		reason := OnTheWay
		if c.Uncounted {
			reason = Undetermined
		}
		charge(reason, a.Delivered-c.Received-charged)
	}
	switch {
	case !over || c.Accounts == 0 && !due:
		v.State = Open
	case c.Accounts == 0:
		v.State = Unknown
	case !consistent:
		v.State = Inconsistent
	case len(v.Reasons) > 0:
		v.State = Incomplete
	case c.Late > 0:
		v.State = Late
	default:
		v.State = Complete
	}
	if c.Accounts == 0 {
		v.Reasons = nil // nothing is known of what was expected
	}
	return v
}

// lost yields the losses in the order in which they are charged.
func (c Counts) lost() func(func(telemetry.LossReason, uint64) bool) {
	return func(yield func(telemetry.LossReason, uint64) bool) {
		if len(c.Lost) == 0 {
			return
		}
		for _, reason := range losses {
			if n := c.Lost[reason]; n > 0 && !yield(reason, n) {
				return
			}
		}
		for _, reason := range slices.Sorted(maps.Keys(c.Lost)) {
			if n := c.Lost[reason]; n > 0 && !slices.Contains(losses, reason) && !yield(reason, n) {
				return
			}
		}
	}
}

// Main is the reason that concerns most, "" if there is none.
func (v Verdict) Main() Reason { return main(v.Reasons) }

func main(reasons map[Reason]uint64) Reason {
	if len(reasons) == 0 {
		return ""
	}
	return byCount(reasons)[0]
}

// byCount lists reasons, those that concern most first.
func byCount(reasons map[Reason]uint64) []Reason {
	return slices.SortedFunc(maps.Keys(reasons), func(a, b Reason) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	})
}

// split is the part of an account of n quarter-hours that falls into the i-th of
// them. The parts are even to one sample, and their sums are the account's.
func split(a telemetry.DeviceAccount, i, n int64) telemetry.DeviceAccount {
	if n == 1 {
		return a
	}
	part := func(count uint64) uint64 {
		each, rest := count/uint64(n), count%uint64(n)
		if uint64(i) < rest {
			each++
		}
		return each
	}
	out := telemetry.DeviceAccount{Device: a.Device, Read: part(a.Read), Suppressed: part(a.Suppressed),
		Missed: part(a.Missed), Down: part(a.Down), Delivered: part(a.Delivered)}
	sum := func(of telemetry.DeviceAccount) uint64 {
		total := of.Read + of.Suppressed + of.Missed + of.Down
		for _, n := range of.Bad {
			total += n
		}
		return total
	}
	for reason, count := range a.Bad {
		if out.Bad == nil {
			out.Bad = map[string]uint64{}
		}
		out.Bad[reason] = part(count)
	}
	// The remainders of the counts fall where they like: a quarter-hour's sum is
	// that of its parts, as the account's is.
	if out.Scheduled = sum(out); a.Scheduled != sum(a) {
		out.Scheduled = part(a.Scheduled)
	}
	return out
}
