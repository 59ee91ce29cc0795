package buffer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// booksName is the file of what outlives the segments.
const booksName = "meta.db"

// books is what meta.db says, as far as it can be read.
type books struct {
	format  int
	table   uint64
	starts  uint64
	signals map[telemetry.SignalID]telemetry.Signal
	done    map[record.Stream][]interval // positions that the log has acknowledged
	clock   []byte                       // the clock's notes
	older   []books                      // of files that were set aside
}

// readBooks reads the bookkeeping beside the files of dir, in it or above it.
// What isn't there or can't be read stays empty.
func readBooks(dir string) books {
	var all books
	for _, d := range []string{dir, filepath.Dir(dir)} {
		names, err := os.ReadDir(d)
		if err != nil {
			continue
		}
		for _, entry := range names {
			if !isMeta(entry.Name()) {
				continue
			}
			f, err := look(filepath.Join(d, entry.Name()))
			if err != nil {
				continue
			}
			b, _ := parseBooks(f)
			f.Close()
			if strings.Contains(entry.Name(), brokenSuffix) {
				all.older = append(all.older, b)
			} else {
				b.older = all.older
				all = b
			}
		}
		if len(all.signals) > 0 || len(all.done) > 0 {
			break
		}
	}
	return all
}

// ClockNotesIn is what ClockNotes of the buffer in dir says, for a program that isn't
// its gateway, which may run; nil if there is nothing that can be read.
func ClockNotesIn(dir string) []byte { return readBooks(dir).clock }

func parseBooks(f *looked) (b books, p *pageReader) {
	b = books{signals: map[telemetry.SignalID]telemetry.Signal{}, done: map[record.Stream][]interval{}}
	p, err := readPages(f, f.size)
	if err != nil {
		p.problems = append(p.problems, Problem{Place: "head", What: err.Error()})
		return b, p
	}
	p.walk(p.meta.root, func(e element) {
		switch {
		case !e.bucket:
			p.problem(e.page, "%q is no bucket", e.key)
		case bytes.Equal(e.key, bucketFormat):
			b.format, _ = formatOf(p, e)
		case bytes.Equal(e.key, bucketMeta):
			p.within(e, b.number)
		case bytes.Equal(e.key, bucketSignals):
			p.within(e, func(e element) { b.define(p, e) })
		case bytes.Equal(e.key, bucketMarks):
			p.within(e, b.mark)
		default:
			p.within(e, func(element) {})
		}
	})
	if len(p.problems) == 0 {
		p.free()
	}
	return b, p
}

func (b *books) number(e element) {
	if bytes.Equal(e.key, keyClock) {
		b.clock = bytes.Clone(e.value)
	}
	if len(e.value) != 8 {
		return
	}
	switch n := binary.BigEndian.Uint64(e.value); {
	case bytes.Equal(e.key, keyStarts):
		b.starts = n
	case bytes.Equal(e.key, keyTable):
		b.table = n
	}
}

func (b *books) define(p *pageReader, e element) {
	var d Definition
	if err := json.Unmarshal(e.value, &d); err != nil || len(e.key) != 4 {
		p.problem(e.page, "signal %x can't be read", e.key)
		return
	}
	d.ID = telemetry.SignalID(binary.BigEndian.Uint32(e.key))
	b.signals[d.ID] = d.Signal
}

// mark reads how far a stream was acknowledged: up to a position, and, since
// version 2, in spans of positions behind that.
func (b *books) mark(e element) {
	if len(e.value) < 24 {
		return
	}
	long := binary.BigEndian.Uint64
	done := []interval{{1, long(e.value)}}
	for v := e.value[24:]; len(v) >= 16; v = v[16:] {
		done = append(done, interval{long(v), long(v[8:])})
	}
	b.done[record.Stream(e.key)] = done
}

// acknowledged reports whether the log had the record when this was written.
func (b *books) acknowledged(stream record.Stream, p Position) bool {
	return slices.ContainsFunc(b.done[stream], func(i interval) bool { return uint64(p) >= i.first && uint64(p) <= i.last })
}

// signal is what an id stands for; without its definition, the id is its name.
func (b *books) signal(table uint64, id telemetry.SignalID) telemetry.Signal {
	if s, ok := b.signals[id]; ok && b.table == table {
		return s
	}
	for i := range b.older {
		if s, ok := b.older[i].signals[id]; ok && b.older[i].table == table {
			return s
		}
	}
	return telemetry.Signal{ID: id, Name: fmt.Sprintf("signal %d of table %016x", id, table)}
}
