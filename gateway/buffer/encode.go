package buffer

import (
	"math"
	"slices"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// maxBlockBytes keeps a block well below a log's usual 1 MB record limit.
const maxBlockBytes = 512 << 10

// encode makes the items of a group: blocks, or several if one would be too large
// for the log. Samples whose time counts from the boot get blocks of their own.
// The blocks are in w.blocks.
func (w *Writer) encode(encoder *telemetry.Encoder, samples []telemetry.Sample) (items []Item, err error) {
	for len(samples) > 0 {
		known, held, n := parted(samples)
		if items, err = w.encodeBlocks(encoder, items, known, false); err != nil {
			return nil, err
		}
		if items, err = w.encodeBlocks(encoder, items, held, true); err != nil {
			return nil, err
		}
		samples = samples[n:]
	}
	return items, nil
}

// addPolls puts beside the last held block of a group the slots that came due before
// its last sample. It returns those that have to wait for another.
func (w *Writer) addPolls(items []Item, chunks [][]telemetry.Sample) (rest []account.Slot, err error) {
	at := -1
	for i := range items {
		if items[i].Format == record.FormatHeld {
			at = i
		}
	}
	if at < 0 || len(w.waiting) == 0 {
		return w.waiting, nil
	}
	last := telemetry.Micros(math.MinInt64)
	for _, chunk := range chunks {
		for _, s := range chunk {
			if sinceBoot(s) {
				last = max(last, s.Time)
			}
		}
	}
	var polls []account.Slot
	for _, s := range w.waiting {
		if s.Due <= last {
			polls = append(polls, s)
		} else {
			rest = append(rest, s)
		}
	}
	boot, _, block, err := record.CutHeld(items[at].Format, items[at].Payload)
	if err != nil {
		return nil, err
	}
	items[at].Payload = record.AppendHeld(nil, boot, w.ledger.AppendPolls(nil, polls), block)
	return rest, nil
}

func sinceBoot(s telemetry.Sample) bool { return s.Quality.TimeQuality() == telemetry.SinceBoot }

// parted parts the first n samples into those whose time is known and those that
// are held: as many as can be without changing the order of a signal's.
func parted(samples []telemetry.Sample) (known, held []telemetry.Sample, n int) {
	if !slices.ContainsFunc(samples, sinceBoot) {
		return samples, nil, len(samples)
	}
	is := map[telemetry.SignalID]bool{}
	for _, s := range samples {
		now := sinceBoot(s)
		if before, seen := is[s.Signal]; seen && before != now {
			break
		}
		is[s.Signal] = now
		if now {
			held = append(held, s)
		} else {
			known = append(known, s)
		}
		n++
	}
	return known, held, n
}

func (w *Writer) encodeBlocks(encoder *telemetry.Encoder, items []Item, samples []telemetry.Sample, held bool) (_ []Item, err error) {
	if len(samples) == 0 {
		return items, nil
	}
	var block []byte
	if len(samples) <= 2*commitSamples {
		start := len(w.blocks)
		if w.blocks, err = encoder.AppendBlock(w.blocks, w.buffer.table.Ref(), samples); err != nil {
			return nil, err
		}
		block = w.blocks[start:len(w.blocks):len(w.blocks)]
	}
	if block == nil || len(block) > maxBlockBytes && len(samples) > 1 {
		w.blocks = w.blocks[:len(w.blocks)-len(block)]
		half := len(samples) / 2
		if items, err = w.encodeBlocks(encoder, items, samples[:half], held); err != nil {
			return nil, err
		}
		return w.encodeBlocks(encoder, items, samples[half:], held)
	}
	item := Item{Format: record.FormatBlock, Payload: block, Count: uint64(len(samples))}
	if held {
		item.Format, item.Payload = record.FormatHeld, record.AppendHeld(nil, w.Boot, nil, block)
	}
	return append(items, item), nil
}
