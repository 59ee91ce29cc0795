package buffer

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Problem is damage and its place in a file.
type Problem struct {
	Place string `json:"place"`
	What  string `json:"what"`
}

// FileState is what a gateway makes of a file.
type FileState string

const (
	FileComplete FileState = "complete"
	FileWritten  FileState = "being written" // by a gateway that runs now
	FileSetAside FileState = "set aside"     // a gateway couldn't read it
)

// File is what one file of a buffer holds.
type File struct {
	Path   string        `json:"path"`
	Stream record.Stream `json:"stream,omitempty"` // none for the bookkeeping, or if no record can be read
	State  FileState     `json:"state"`
	Format int           `json:"format_version"` // 0 if it can't be read
	Bytes  int64         `json:"bytes"`

	First    Position `json:"first_position,omitempty"`
	Last     Position `json:"last_position,omitempty"`
	Records  uint64   `json:"records"`
	Salvaged uint64   `json:"salvaged,omitempty"` // of these, found beside the file's tree
	Lost     uint64   `json:"lost_records,omitempty"`
	// Acknowledged is how many of the records the log had acknowledged when the
	// gateway last wrote that down, which it does every 30 s.
	Acknowledged uint64 `json:"acknowledged"`

	Epochs  []EpochRange     `json:"epochs,omitempty"`
	Samples uint64           `json:"samples"`
	From    telemetry.Micros `json:"from_us,omitempty"` // of the oldest sample or event
	To      telemetry.Micros `json:"to_us,omitempty"`
	Signals []SignalCount    `json:"signals,omitempty"`

	Signatures *Signatures `json:"signatures,omitempty"` // nil: they weren't checked

	Notes    []string  `json:"notes,omitempty"`    // what is worth knowing and no damage
	Problems []Problem `json:"problems,omitempty"` // damage
}

// EpochRange is the sequence numbers of one epoch in a file.
type EpochRange struct {
	Gateway string       `json:"gateway"`
	Epoch   record.Epoch `json:"-"`
	Name    string       `json:"epoch"`
	First   uint64       `json:"seq_first"`
	Last    uint64       `json:"seq_last"`
}

// SignalCount is how many samples of a signal a file holds.
type SignalCount struct {
	Device  string             `json:"device"`
	Name    string             `json:"name"`
	ID      telemetry.SignalID `json:"id"`
	Samples uint64             `json:"samples"`
}

// Inspection reads a buffer's files. It writes nothing and holds no lock, so a
// gateway may run on the same directory.
type Inspection struct {
	Files []string // in the order of their positions; the bookkeeping first

	dir   string
	books books
	keys  map[record.KeyID]ed25519.PublicKey // nil: signatures aren't checked
	// Progress, if set, is told how many bytes of how many have been looked at.
	Progress    func(done, total int64)
	done, total int64
	ranges      map[stretch]*numberSet
}

// Inspect finds the files of a buffer: path is its directory, or a chain's, or
// one file. It fails if there is none.
func Inspect(path string) (*Inspection, error) {
	i := &Inspection{dir: path, ranges: map[stretch]*numberSet{}}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		i.Files = []string{path}
		i.dir = filepath.Dir(path)
	} else if err := i.find(path); err != nil {
		return nil, err
	}
	for _, f := range i.Files {
		if info, err := os.Stat(f); err == nil {
			i.total += info.Size()
		}
	}
	i.books = readBooks(i.dir)
	return i, nil
}

func (i *Inspection) find(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir():
			if path != dir && name != string(record.Events) && name != string(record.Telemetry) {
				return fs.SkipDir
			}
		case strings.HasSuffix(name, unfinishedSuffix):
		case isSegment(name) || isMeta(name):
			i.Files = append(i.Files, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(i.Files) == 0 {
		return fmt.Errorf("%s holds no buffer: there is neither a meta.db nor a q-….db in it", dir)
	}
	slices.SortStableFunc(i.Files, func(a, b string) int {
		return cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/"))
	})
	return nil
}

// LookAtAll looks at every file, and stops between two if ctx ends.
func (i *Inspection) LookAtAll(ctx context.Context, signals bool) ([]File, error) {
	var files []File
	for _, path := range i.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := i.Look(path, signals)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a gateway that runs has removed it
		}
		if err != nil {
			f.Problems = append(f.Problems, Problem{Place: "file", What: err.Error()})
		}
		files = append(files, f)
	}
	return files, nil
}

func isSegment(name string) bool { _, ok := firstPosition(name); return ok }

func isMeta(name string) bool {
	return name == booksName || strings.HasPrefix(name, booksName+brokenSuffix)
}

// firstPosition is the position that a segment's name says, set aside or not.
func firstPosition(path string) (Position, bool) {
	number, ok := strings.CutPrefix(filepath.Base(path), segmentPrefix)
	number, _, isSegment := strings.Cut(number, segmentSuffix)
	if !ok || !isSegment {
		return 0, false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	return Position(n), err == nil
}

// stretch is what sequence numbers are unique in.
type stretch struct {
	gateway string
	epoch   record.Epoch
	stream  record.Stream
}

// Look examines one of the Files: its structure, every record's CRC, and the
// sequence of positions and numbers in it. The error says that it couldn't be
// read at all; damage is among the File's Problems.
func (i *Inspection) Look(path string, withSignals bool) (File, error) {
	defer func() { i.progress(path) }()
	if isMeta(filepath.Base(path)) {
		return i.lookAtBooks(path)
	}
	s := summary{
		file:   File{Path: path, State: FileComplete},
		all:    i,
		counts: map[signalKey]uint64{},
		signal: withSignals,
	}
	c, err := readFile(path, s.add)
	if err != nil {
		return s.file, err
	}
	s.end(c)
	return s.file, nil
}

func (i *Inspection) progress(path string) {
	if info, err := os.Stat(path); err == nil {
		i.done += info.Size()
	}
	if i.Progress != nil {
		i.Progress(i.done, i.total)
	}
}

func (i *Inspection) lookAtBooks(path string) (File, error) {
	f, err := look(path)
	if err != nil {
		return File{Path: path}, err
	}
	defer f.Close()
	file := File{Path: path, Bytes: f.size, State: stateOf(path, f)}
	b, p := parseBooks(f)
	file.Format, file.Problems = b.format, p.problems
	if f.copied {
		file.Notes = append(file.Notes, noteCopied)
	}
	file.Notes = append(file.Notes, fmt.Sprintf("table %016x of %d signals; started %d times", b.table, len(b.signals), b.starts))
	return file, nil
}

const noteCopied = "a gateway is writing it; read from a copy"

func stateOf(path string, f *looked) FileState {
	switch {
	case f.copied:
		return FileWritten
	case strings.Contains(filepath.Base(path), brokenSuffix):
		return FileSetAside
	}
	return FileComplete
}

type signalKey struct {
	table uint64
	id    telemetry.SignalID
}

// summary gathers what a file's records add up to.
type summary struct {
	file    File
	all     *Inspection
	last    Entry
	decoder telemetry.Decoder
	samples []telemetry.Sample
	counts  map[signalKey]uint64
	signal  bool
	gaps    []Problem
}

func (s *summary) problem(at Position, format string, args ...any) {
	s.file.Problems = append(s.file.Problems, Problem{Place: fmt.Sprintf("position %d", at), What: fmt.Sprintf(format, args...)})
}

func (s *summary) add(e Entry, how found) {
	f := &s.file
	f.Records++
	f.Stream = e.Record.Stream
	if how == byPage {
		f.Salvaged++
	} else {
		s.sequence(e)
	}
	if e.Position != 0 {
		if f.First == 0 || e.Position < f.First {
			f.First = e.Position
		}
		f.Last = max(f.Last, e.Position)
		if s.all.books.acknowledged(e.Record.Stream, e.Position) {
			f.Acknowledged++
		}
	}
	s.number(e)
	s.signature(e)
	if err := s.content(e.Record); err != nil {
		s.problem(e.Position, "record %s: %v", e.Record.Identity, err)
	}
}

// sequence compares a record with the one before it in the file.
func (s *summary) sequence(e Entry) {
	before, now := s.last, e.Record.Identity
	s.last = e
	if first, ok := firstPosition(s.file.Path); before.Position == 0 && ok && e.Position < first {
		s.problem(e.Position, "the file's name says that it begins at %d", first)
	}
	if before.Position != 0 && before.Record.Epoch == now.Epoch && before.Record.Last+1 < now.First {
		s.gaps = append(s.gaps, Problem{
			Place: fmt.Sprintf("position %d", e.Position),
			What:  fmt.Sprintf("sequence numbers %d to %d of epoch %s are missing before it", before.Record.Last+1, now.First-1, now.Epoch),
		})
	}
}

// number enters a record's sequence numbers, which no other record may have.
func (s *summary) number(e Entry) {
	id := e.Record.Identity
	key := stretch{id.Gateway, id.Epoch, id.Stream}
	if s.all.ranges[key] == nil {
		s.all.ranges[key] = &numberSet{}
	}
	if !s.all.ranges[key].add(id.First, id.Last) {
		s.problem(e.Position, "another record has numbers of %s too", id)
	}
	for n := range s.file.Epochs {
		r := &s.file.Epochs[n]
		if r.Gateway == id.Gateway && r.Epoch == id.Epoch {
			r.First, r.Last = min(r.First, id.First), max(r.Last, id.Last)
			return
		}
	}
	s.file.Epochs = append(s.file.Epochs, EpochRange{id.Gateway, id.Epoch, id.Epoch.String(), id.First, id.Last})
}

func (s *summary) content(r record.Record) error {
	if r.Stream == record.Events {
		e, err := decodeEvent(r)
		if err == nil {
			s.span(e.Time)
		}
		return err
	}
	table, samples, err := decodeBlock(&s.decoder, r, s.samples)
	if err != nil {
		return err
	}
	s.samples = samples
	s.file.Samples += uint64(len(samples))
	for n := range samples {
		if !sinceBoot(samples[n]) {
			s.span(samples[n].Time)
		}
		if s.signal {
			s.counts[signalKey{table.Table, samples[n].Signal}]++
		}
	}
	return nil
}

func (s *summary) span(t telemetry.Micros) {
	if s.file.From == 0 || t < s.file.From {
		s.file.From = t
	}
	if s.file.To == 0 || t > s.file.To {
		s.file.To = t
	}
}

func (s *summary) end(c fileContents) {
	f := &s.file
	f.Bytes, f.State, f.Format, f.Lost = c.bytes, c.state, c.format, c.lost
	f.Problems = append(c.problems, f.Problems...)
	if !c.thinned {
		f.Problems = append(f.Problems, s.gaps...)
	}
	f.Notes = c.notes
	keys := slices.SortedFunc(maps.Keys(s.counts), func(a, b signalKey) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.id, b.id))
	})
	for _, k := range keys {
		signal := s.all.books.signal(k.table, k.id)
		f.Signals = append(f.Signals, SignalCount{signal.Device, signal.Name, k.id, s.counts[k]})
	}
}
