package account

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// What waits for the time is counted when that is known, from the records that
// wait: their samples, and beside them the slots in which they were read. So no
// count of it has to outlive a process, and each sample counts in the quarter-hour
// that its record is sent with.

// AppendPolls appends the form in which slots that count from the boot wait beside
// their samples; others are left out. It is the number of devices, one
// counted once for each of its schedules, and of each: its
// name, as the length of what it shares with the one before and the rest, the
// µs between its slots, its points, and its slots, each as its due time, less
// the one before and the time between, and what was missed, spared and why, and
// suppressed. Numbers are varints.
func (l *Ledger) AppendPolls(dst []byte, slots []Slot) []byte {
	type key struct{ device, schedule int }
	by := map[key][]Slot{}
	for _, s := range slots {
		if s.SinceBoot {
			k := key{s.Device, s.Schedule}
			by[k] = append(by[k], s)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(by)))
	before := ""
	for device, name := range l.names {
		for k, schedule := range l.schedules[device] {
			slots := by[key{device, k}]
			if len(slots) == 0 {
				continue
			}
			dst = appendName(dst, before, name)
			before = name
			dst = appendSlots(dst, schedule, slots)
		}
	}
	return dst
}

func appendSlots(dst []byte, by schedule, slots []Slot) []byte {
	dst = binary.AppendUvarint(dst, uint64(max(0, by.every)))
	dst = binary.AppendUvarint(dst, by.points)
	dst = binary.AppendUvarint(dst, uint64(len(slots)))
	due := telemetry.Micros(0)
	for _, s := range slots {
		dst = binary.AppendVarint(dst, int64(s.Due-due-by.every))
		due = s.Due
		dst = binary.AppendUvarint(dst, uint64(s.Missed))
		if dst = binary.AppendUvarint(dst, uint64(s.Spared)); s.Spared > 0 {
			dst = binary.AppendUvarint(dst, uint64(s.SparedFor))
		}
		dst = binary.AppendUvarint(dst, uint64(s.Suppressed))
	}
	return dst
}

// polls are the slots of one device, as AppendPolls wrote them.
type polls struct {
	device string
	schedule
	slots []Slot
}

// schedule is how often a device is read, and how many points.
type schedule struct {
	every  telemetry.Micros
	points uint64
}

func scheduleOf(d Device) schedule {
	return schedule{telemetry.Micros(d.Every.Microseconds()), uint64(len(d.Signals))}
}

const (
	farthestDue    = telemetry.Micros(1) << 55 // a thousand years from a boot
	longestSilence = 12 * maxDown
)

func parsePolls(text []byte) (list []polls, err error) {
	if len(text) == 0 {
		return nil, nil
	}
	r := reader{rest: text}
	before := ""
	for range r.length(6) {
		var p polls
		p.device = r.name(before)
		before = p.device
		p.every, p.points = telemetry.Micros(r.upTo(uint64(maxDown))), r.upTo(math.MaxUint32)
		due := telemetry.Micros(0)
		for range r.length(4) {
			s := Slot{SinceBoot: true}
			s.Due = due + p.every + telemetry.Micros(r.signed())
			if due = s.Due; due < -farthestDue || due > farthestDue {
				r.failed = true
			}
			// A device isn't silent for longer than a slot can say.
			most := uint64(longestSilence / max(1, p.every))
			s.Missed, s.Spared = uint32(r.upTo(min(most, math.MaxUint32))), uint32(r.upTo(min(most, math.MaxUint32)))
			if s.Spared > 0 {
				s.SparedFor = telemetry.Reason(r.upTo(math.MaxUint8))
			}
			s.Suppressed = uint32(r.upTo(math.MaxUint32))
			p.slots = append(p.slots, s)
		}
		list = append(list, p)
	}
	if r.failed || len(r.rest) > 0 {
		return nil, errors.New("account: the polls beside samples that waited are malformed")
	}
	return list, nil
}

// Polls reports whether text, as AppendPolls wrote it, has any.
func Polls(text []byte) bool { return len(text) > 0 && text[0] != 0 }

// CountHeld counts what a process had committed before it knew the time: the samples
// of one record, which have their time by now, and the slots beside them, which
// count from a boot that began at boot. Records must come in the order in which
// they were committed. What lies between a process's first slot and the last one
// of the process before was down, if known says that the times are.
func (l *Ledger) CountHeld(now telemetry.Micros, epoch record.Epoch, samples []telemetry.Sample, text []byte, boot telemetry.Micros, known bool) error {
	l.count(now, samples, true)
	list, err := parsePolls(text)
	if err != nil {
		return err
	}
	for _, p := range list {
		device := slices.Index(l.names, p.device)
		if device < 0 {
			continue // nobody asks for an account of it any more
		}
		for k, s := range p.slots {
			s.Device, s.SinceBoot = device, false
			s.Due += boot
			if k == 0 && known {
				l.resume(epoch, device, p.first(s))
			}
			last := l.last[device]
			l.countScheduled(now, s, p.schedule)
			switch {
			case epoch == l.epoch:
				l.last[device] = max(last, s.Due)
			default:
				l.last[device] = last
				if known {
					l.before[device] = s.Due
				}
			}
		}
	}
	return nil
}

// resume counts as down what lies between the last slot that processes before had
// accounted for and the first one of a process, at first.
func (l *Ledger) resume(epoch record.Epoch, device int, first telemetry.Micros) {
	if l.held[device] == epoch {
		return
	}
	before := l.reached(device)
	l.held[device] = epoch
	l.before[device] = 0
	l.changes++
	every := telemetry.Micros(l.devices[device].Every.Microseconds())
	if before < earliest || every <= 0 || before+every >= first {
		return
	}
	l.countDown(first-1, device, l.recent(first, before+every, every), every)
}

// reached is the slot up to which earlier processes had accounted for a device.
func (l *Ledger) reached(device int) telemetry.Micros {
	if l.held[device] != 0 && l.held[device] != l.epoch {
		// Theirs are contiguous with what they had held.
		return max(l.before[device], l.late[device])
	}
	return l.before[device]
}
