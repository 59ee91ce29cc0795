package buffer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// tally counts samples by signal, and by device and quarter-hour. One whose time
// counts from the boot has no quarter-hour yet, and is counted in the present one.
type tally struct {
	table   *Table
	present telemetry.Micros
	signals []int64 // by id
	devices map[deviceQuarter]int64
	// partial says that something couldn't be counted; the counts then mean nothing.
	partial bool

	decoder telemetry.Decoder
	samples []telemetry.Sample
}

type deviceQuarter struct {
	device  string
	quarter telemetry.Micros
}

func newTally(t *Table, now telemetry.Micros) *tally {
	return &tally{table: t, present: now, devices: map[deviceQuarter]int64{}}
}

// clear begins anew, in the same memory.
func (t *tally) clear() {
	clear(t.signals)
	clear(t.devices)
	t.partial = false
}

// add counts each of the samples n times.
func (t *tally) add(samples []telemetry.Sample, n int64) {
	var at deviceQuarter
	var inQuarter int64
	for i := range samples {
		s := &samples[i]
		when := s.Time
		if sinceBoot(*s) {
			when = t.present
		}
		device := at.device
		if i == 0 || s.Signal != samples[i-1].Signal {
			device = t.table.device(s.Signal)
		}
		if i == 0 || device != at.device || when < at.quarter || when >= at.quarter+telemetry.Quarter {
			if inQuarter != 0 {
				t.devices[at] += inQuarter
			}
			at, inQuarter = deviceQuarter{device, telemetry.QuarterOf(when)}, 0
		}
		inQuarter += n
		t.countSignal(s.Signal, n)
	}
	if inQuarter != 0 {
		t.devices[at] += inQuarter
	}
}

func (t *tally) countSignal(id telemetry.SignalID, n int64) {
	if int(id) >= len(t.signals) {
		t.signals = append(t.signals, make([]int64, int(id)+1-len(t.signals))...)
	}
	t.signals[id] += n
}

// addRecord counts the samples of a record. Ids of another signal table can't be
// told apart from those of this one, so they aren't counted.
func (t *tally) addRecord(r record.Record) {
	block, err := r.Payload, error(nil)
	switch r.Format {
	case record.FormatBlock, record.FormatThinned:
	case record.FormatHeld, record.FormatBootBlock:
		_, _, block, err = record.CutHeld(r.Format, block)
	default:
		err = fmt.Errorf("format %s", r.Format)
	}
	var ref telemetry.TableRef
	var samples []telemetry.Sample
	if err == nil {
		ref, samples, err = t.decoder.Block(block, t.samples)
	}
	if err != nil || !t.table.names(ref, samples) {
		t.partial = true
		return
	}
	t.samples = samples
	t.add(samples, 1)
}

// empty reports whether nothing was counted, or as much was taken off again.
func (t *tally) empty() bool {
	return !t.partial && !slices.ContainsFunc(t.signals, func(n int64) bool { return n != 0 })
}

// A loss of so many entries stays below 256 KiB as an event.
const (
	signalsPerLoss = 2000
	devicesPerLoss = 700
)

// losses are l with the tally's counts, in as many parts as it takes.
func (t *tally) losses(l telemetry.Loss) []telemetry.Loss {
	if t.partial {
		return []telemetry.Loss{l}
	}
	var signals []telemetry.SignalLoss
	for id, n := range t.signals {
		if n > 0 {
			signals = append(signals, telemetry.SignalLoss{Signal: telemetry.SignalID(id), Count: uint64(n)})
		}
	}
	var devices []telemetry.DeviceLoss
	for _, d := range slices.SortedFunc(maps.Keys(t.devices), func(a, b deviceQuarter) int {
		return cmp.Or(cmp.Compare(a.quarter, b.quarter), cmp.Compare(a.device, b.device))
	}) {
		if n := t.devices[d]; n > 0 {
			devices = append(devices, telemetry.DeviceLoss{Device: d.device, Quarter: d.quarter, Count: uint64(n)})
		}
	}
	var out []telemetry.Loss
	for first := true; first || len(signals)+len(devices) > 0; first = false {
		part := l
		part.Signals, signals = cut(signals, signalsPerLoss)
		part.Devices, devices = cut(devices, devicesPerLoss)
		out = append(out, part)
	}
	return out
}

func cut[T any](list []T, n int) (head, rest []T) {
	n = min(n, len(list))
	return list[:n:n], list[n:]
}

// merge adds another tally's counts.
func (t *tally) merge(other *tally) {
	for id, n := range other.signals {
		if n != 0 {
			t.countSignal(telemetry.SignalID(id), n)
		}
	}
	for d, n := range other.devices {
		t.devices[d] += n
	}
	t.partial = t.partial || other.partial
}
