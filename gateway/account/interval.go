package account

import (
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// counts are a device's in one interval.
type counts struct {
	present    bool // the account names the device
	read       uint64
	delivered  uint64
	missed     uint64
	down       uint64
	suppressed uint64
	bad        [reasons]uint64 // by telemetry.Reason; the last one also counts those not known here
}

// add counts n samples of one quality; own are those that the gateway adds.
func (c *counts) add(own bool, quality telemetry.Quality, delivered bool, n uint64) {
	c.present = true
	if delivered {
		c.delivered += n
	}
	switch {
	case own:
	case quality.Validity() == telemetry.Bad:
		c.bad[min(int(quality.Reason()), len(c.bad)-1)] += n
	default:
		c.read += n
	}
}

const reasons = int(telemetry.WrongDevice) + 2

// interval is one quarter-hour of one epoch, or several of which all is down.
type interval struct {
	span
	counts   []counts // by device
	whole    bool     // every device has been marked present
	revision uint32   // of the account that was told last; 0: none yet

	since   telemetry.Micros // when it was opened or last told
	changed telemetry.Micros
	changes uint64
	told    uint64 // the changes that the account of that revision has
	telling uint64 // the changes that Due has returned; 0: it hasn't
}

func (i *interval) quiet() bool { return i.changes == i.told }

// grow makes room for the counts of further devices.
func (i *interval) grow(devices int) {
	i.counts = append(i.counts, make([]counts, devices-len(i.counts))...)
}

// section is what the state says of one epoch.
type section struct {
	epoch     record.Epoch
	names     []string
	last      []telemetry.Micros // nil for all but the newest epoch
	before    []telemetry.Micros // nil: counted already
	intervals []*interval
}

// Due returns the accounts that are to be told now: of a quarter-hour that is
// over and has been quiet for some seconds, or that goes on changing a
// quarter-hour later; and of earlier epochs whatever wasn't known to be told.
// If all is true, of every interval that has changed. They must be told only
// once the changes in them are committed. Told says that they are; until then
// Due returns them again.
func (l *Ledger) Due(now telemetry.Micros, all bool) []telemetry.Account {
	var accounts []telemetry.Account
	for _, s := range l.earlier {
		for _, i := range s.intervals {
			accounts = i.tell(accounts, s.epoch, s.names)
		}
	}
	for _, i := range l.intervals {
		if all && !i.quiet() || l.due(i, now) {
			accounts = i.tell(accounts, l.epoch, l.names)
		}
	}
	return accounts
}

// AnyDue reports whether Due has anything to return.
func (l *Ledger) AnyDue(now telemetry.Micros) bool {
	return len(l.earlier) > 0 || slices.ContainsFunc(l.intervals, func(i *interval) bool { return l.due(i, now) })
}

func (l *Ledger) due(i *interval, now telemetry.Micros) bool {
	switch {
	case i.quiet():
		return false
	case i.to-i.from > l.quarter, len(l.intervals) >= l.maxIntervals:
		return true
	}
	settled := now < i.changed || now-i.changed >= l.settle
	return now >= i.to && (settled || now-i.since >= l.quarter)
}

// Told says that what Due returned last is in the log of events.
func (l *Ledger) Told(now telemetry.Micros) {
	told := func(i *interval) bool {
		if i.telling == 0 {
			return false
		}
		i.told, i.telling = i.telling, 0
		i.revision++
		i.since = now
		return i.quiet()
	}
	for k := range l.earlier {
		l.earlier[k].intervals = slices.DeleteFunc(l.earlier[k].intervals, told)
	}
	l.earlier = slices.DeleteFunc(l.earlier, func(s section) bool { return len(s.intervals) == 0 })
	quiet := 0
	l.intervals = slices.DeleteFunc(l.intervals, func(i *interval) bool {
		told(i)
		if i.quiet() {
			quiet++
		}
		return i.quiet() && i.to-i.from > l.quarter
	})
	l.changes++
	if quiet > maxQuiet {
		l.forget(len(l.intervals) - (quiet - maxQuiet))
	}
}

// devicesPerAccount keeps an account below 256 KiB of JSON.
const devicesPerAccount = 200

// tell appends the interval's account, in as many parts as its devices need.
func (i *interval) tell(accounts []telemetry.Account, epoch record.Epoch, names []string) []telemetry.Account {
	i.telling = i.changes
	part := telemetry.Account{Epoch: epoch.String(), From: i.from, To: i.to, Revision: i.revision + 1}
	for k := range i.counts {
		if !i.counts[k].present {
			continue
		}
		if len(part.Devices) == devicesPerAccount {
			accounts = append(accounts, part)
			part.Devices = nil
		}
		part.Devices = append(part.Devices, i.counts[k].account(names[k]))
	}
	if len(part.Devices) > 0 {
		accounts = append(accounts, part)
	}
	return accounts
}

func (c *counts) account(device string) telemetry.DeviceAccount {
	a := telemetry.DeviceAccount{
		Device: device, Read: c.read, Suppressed: c.suppressed, Missed: c.missed, Down: c.down, Delivered: c.delivered,
		Scheduled: c.read + c.suppressed + c.missed + c.down,
	}
	for reason, n := range c.bad {
		if n == 0 {
			continue
		}
		if a.Bad == nil {
			a.Bad = map[string]uint64{}
		}
		name := telemetry.Reason(reason).String()
		if name == "" {
			name = "no reason given"
		}
		a.Bad[name] += n
		a.Scheduled += n
	}
	return a
}
