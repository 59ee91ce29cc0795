package buffer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// found says how a record was come by.
type found int

const (
	byTree found = iota
	byPage       // beside the tree, which is damaged
)

// fileContents is what readFile learned about a file beside its records.
type fileContents struct {
	bytes    int64
	state    FileState
	format   int
	thinned  bool   // numbers may be missing
	lost     uint64 // records that the tree names and that are nowhere readable
	notes    []string
	problems []Problem
}

// readFile calls visit for every record of a file that can be read: in the order
// of the file's tree first, and then, if that is damaged, in the order of their
// numbers, those that lie beside it. Their positions may be 0, unknown. The error
// says that the file can't be read at all.
func readFile(path string, visit func(Entry, found)) (c fileContents, err error) {
	f, err := look(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	c.bytes, c.state = f.size, stateOf(path, f)
	if f.copied {
		c.notes = append(c.notes, noteCopied)
	}
	p, err := readPages(f, f.size)
	t := tree{visit: visit, seen: map[stretch]*numberSet{}, bad: map[Position]bool{}}
	if err != nil {
		p.problems = append(p.problems, Problem{Place: "head", What: err.Error()})
	} else {
		t.read(p)
	}
	damaged := len(p.problems) > 0
	if p.invalid > 0 {
		c.notes = append(c.notes, "one of its two meta pages is invalid, as after a power failure; the other one is used")
	}
	if damaged || p.invalid > 0 {
		if n := t.salvage(p); n > 0 && !damaged {
			p.problems = append(p.problems, Problem{"head", fmt.Sprintf("%d records are no part of the newest valid state: the meta page that named them is gone, or their commit never ended", n)})
		}
	}
	if t.thinned {
		c.notes = append(c.notes, "it was thinned to make room: some of its sequence numbers were given up")
	}
	c.format, c.thinned, c.lost, c.problems = t.format, t.thinned, uint64(len(t.bad)), p.problems
	if newest(f.File) != p.meta {
		return c, fmt.Errorf("%s was written while it was read; try again", path)
	}
	return c, nil
}

// tree reads the records of one file.
type tree struct {
	visit   func(Entry, found)
	format  int
	thinned bool
	seen    map[stretch]*numberSet
	bad     map[Position]bool // records with a wrong CRC
}

func (t *tree) read(p *pageReader) {
	records := false
	p.walk(p.meta.root, func(e element) {
		switch {
		case bytes.Equal(e.key, bucketFormat) && e.bucket:
			t.format, t.thinned = formatOf(p, e)
		case bytes.Equal(e.key, bucketRecords) && e.bucket:
			records = true
			p.within(e, func(e element) { t.record(p, e) })
		case e.bucket:
			p.within(e, func(element) {})
		}
	})
	if len(p.problems) == 0 {
		p.free()
	}
	if !records {
		p.problem(p.meta.root, "there are no records below it")
	}
}

// formatOf reads the bucket that says of which version a file is.
func formatOf(p *pageReader, e element) (version int, thinned bool) {
	p.within(e, func(e element) {
		if len(e.value) != 1 {
			return
		}
		switch {
		case bytes.Equal(e.key, keyVersion):
			version = int(e.value[0])
		case bytes.Equal(e.key, keyThinned):
			thinned = e.value[0] > 0
		}
	})
	if version == 0 {
		p.problem(e.page, "it names no format version")
	} else if version > formatVersion {
		p.problem(e.page, "it has format version %d, this program knows up to %d", version, formatVersion)
	}
	return version, thinned
}

// keyThinned is in a file whose samples were thinned, with how often.
var keyThinned = []byte("generation")

func (t *tree) record(p *pageReader, e element) {
	if len(e.key) != 8 {
		p.problem(e.page, "%x is no position", e.key)
		return
	}
	position, value := positionOf(e.key), e.value
	if e.bucket {
		value = nil
		p.within(e, func(own element) {
			if bytes.Equal(own.key, keyRecord) {
				value = own.value
			}
		})
	}
	var r record.Record
	if err := r.UnmarshalBinary(value); err != nil {
		p.problem(e.page, "position %d: %v", position, err)
		t.bad[position] = true
		return
	}
	t.note(r.Identity)
	t.visit(Entry{position, r}, byTree)
}

// note enters a record's numbers; it is false if they are there already.
func (t *tree) note(id record.Identity) bool {
	key := stretch{id.Gateway, id.Epoch, id.Stream}
	if t.seen[key] == nil {
		t.seen[key] = &numberSet{}
	}
	return t.seen[key].add(id.First, id.Last)
}

// salvage visits what isn't below the tree, and counts it.
func (t *tree) salvage(p *pageReader) (records int) {
	for _, s := range p.salvage() {
		if !t.note(s.identity) {
			continue
		}
		r, err := s.read(p)
		if err != nil {
			continue
		}
		delete(t.bad, s.position)
		t.visit(Entry{s.position, r}, byPage)
		records++
	}
	return records
}

// numberSet is a set of numbers.
type numberSet struct{ list []interval }

type interval struct{ first, last uint64 }

// add enters first to last, unless one of them is there.
func (r *numberSet) add(first, last uint64) bool {
	at := sort.Search(len(r.list), func(i int) bool { return r.list[i].last >= first })
	if at < len(r.list) && r.list[at].first <= last {
		return false
	}
	if at > 0 && r.list[at-1].last+1 == first {
		r.list[at-1].last = last
		return true
	}
	r.list = slices.Insert(r.list, at, interval{first, last})
	return true
}

func decodeBlock(d *telemetry.Decoder, r record.Record, reuse []telemetry.Sample) (telemetry.TableRef, []telemetry.Sample, error) {
	if record.IsHeld(r.Format) {
		_, _, block, err := record.CutHeld(r.Format, r.Payload)
		if err != nil {
			return telemetry.TableRef{}, nil, err
		}
		return d.Block(block, reuse)
	}
	if !strings.HasPrefix(r.Format, record.FormatBlock) {
		return telemetry.TableRef{}, nil, fmt.Errorf("its payload has the unknown format %q", r.Format)
	}
	return d.Block(r.Payload, reuse)
}

func decodeEvent(r record.Record) (e telemetry.Event, err error) {
	if r.Format != record.FormatEvent {
		return e, fmt.Errorf("its payload has the unknown format %q", r.Format)
	}
	return e, json.Unmarshal(r.Payload, &e)
}
