package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// openChain surveys the chain in dir. The first commit begins a new segment in it.
// It fails only if a newer version of the program has written there.
func openChain(dir string, stream record.Stream, b *Buffer, o Options) (*Chain, error) {
	c := &Chain{
		dir: dir, gateway: o.Gateway, epoch: b.epoch, stream: stream, segmentSize: o.SegmentSize, sign: o.Sign,
		ready: func() error { return b.meta.readyFor(stream) }, damaged: b.noteDamage,
		saved: b.saved[stream].done, space: b.space, reading: b.reading,
		log: o.Log.With("stream", stream), grown: make(chan struct{}), holding: make(chan struct{}, 1), counts: map[record.Epoch]uint64{},
	}
	if c.lane = telemetryLane; stream == record.Events {
		c.lane = eventsLane
		c.segmentSize = min(c.segmentSize, b.space.reserve/4)
	}
	c.allocation = allocationFor(c.segmentSize)
	found, err := c.survey(o.Progress)
	switch {
	case errors.Is(err, errNewer):
		return nil, err
	case err != nil:
		c.blind = err
		c.last = behindAll()
		c.done.add(1, c.last)
		c.log.Error("the chain can't be read; nothing is committed to it until it can", "path", dir, "error", err)
		return c, nil
	}
	c.enter(found)
	c.recall(found.shut, o.Progress)
	if err := c.sweep(); err != nil {
		c.log.Error("the chain can't be put in order; it is tried again", "path", dir, "error", err)
	}
	return c, nil
}

// behindAll is a position behind every record that an earlier process can have
// committed: no file has so many, and later starts begin later, unless the clock
// stands where it stood at theirs. Then prepare finds it.
func behindAll() Position { return farthest/2 + Position(telemetry.MicrosOf(time.Now())) }

// prepare looks whether there may be a commit. It reads a chain that couldn't be read.
func (c *Chain) prepare() error {
	if err := c.ready(); err != nil {
		return err
	}
	if c.blind == nil {
		return nil
	}
	found, err := c.survey(func() {})
	if err != nil {
		return err
	}
	for _, s := range found.segments {
		if s.last > c.last {
			return fmt.Errorf("its records reach position %d, behind those that are held from %d on; the next start goes on from there", s.last, c.last)
		}
	}
	c.enter(found)
	c.log.Info("the chain can be read")
	if err := c.sweep(); err != nil {
		c.log.Error("the chain can't be put in order; it is tried again", "path", c.dir, "error", err)
	}
	return nil
}

// surveyed is what a survey finds.
type surveyed struct {
	segments []*segment
	aside    []Position // where files begin that can't be read
	shut     []Position // and those that can't be opened, which another start may
	damaged  []*segment // still to be set aside
	broken   int        // files that were set aside
	absent   bool       // there is no directory, and none can be made
	strange  int64      // bytes of what isn't the chain's, or was set aside
}

// survey reads what is in the chain's directory. progress is called after each file.
func (c *Chain) survey(progress func()) (surveyed, error) {
	var f surveyed
	names, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return f, fmt.Errorf("buffer: %w", err)
	}
	f.absent = err != nil && makeDir(c.dir) != nil
	for _, entry := range names {
		path := filepath.Join(c.dir, entry.Name())
		if strings.HasSuffix(entry.Name(), unfinishedSuffix) {
			if os.Remove(path) != nil {
				f.strange += sizeAt(path)
			}
			continue
		}
		first, suffix, ok := parseName(entry.Name())
		switch {
		case entry.IsDir():
		case !ok:
			f.strange += sizeAt(path) // somebody else's
		case suffix == segmentSuffix:
			s, err := survey(path, first)
			progress()
			switch {
			case err == nil:
				f.segments = append(f.segments, &s)
			case errors.Is(err, errNewer):
				return f, err
			case errors.Is(err, errDamaged):
				s.unreadable, s.cause = first, err
				f.aside, f.damaged = append(f.aside, first), append(f.damaged, &s)
			default:
				c.log.Error("a segment can't be opened; what is in it waits for the next start", "path", path, "error", err)
				f.shut = append(f.shut, first)
				f.strange += s.size
			}
		case strings.HasPrefix(suffix, segmentSuffix+brokenSuffix):
			f.broken++
			f.strange += sizeAt(path)
			f.aside = append(f.aside, first)
		}
	}
	slices.SortFunc(f.segments, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	for i, s := range f.segments[:max(0, len(f.segments)-1)] {
		if next := f.segments[i+1]; next.start.known && next.start.epoch == next.before.epoch && next.before == s.start {
			s.end = next.start
		}
	}
	return f, nil
}

// enter makes what was found the chain's.
func (c *Chain) enter(f surveyed) {
	for _, s := range append(slices.Clone(f.segments), f.damaged...) {
		c.space.settle(c.lane, 0, s.size)
	}
	c.space.settleAside(f.strange)
	c.mu.Lock()
	defer c.mu.Unlock()
	done := slices.Clone(c.saved)
	last := Position(0)
	if n := len(done); n > 0 {
		last = done[n-1].last
	}
	if n := len(f.segments); n > 0 {
		last = max(last, f.segments[n-1].last)
	}
	for _, first := range f.shut {
		if first > last {
			last = first + mostInFile
		}
	}
	if c.blind != nil { // records are held behind c.last, and some may be acknowledged
		for _, s := range c.done {
			if s.last > c.last {
				done.add(max(s.first, c.last+1), s.last)
			}
		}
		last = max(last, c.last)
		c.blind = nil
	}
	c.absent = f.absent
	c.segments, c.leaving, c.broken = f.segments, f.damaged, f.broken+len(f.shut)
	c.done, c.last = done, last
	c.missLostCommits()
	c.settle(f)
	c.retire()
}

// missLostCommits finds files that end before the one that was begun behind them: a
// damaged meta page makes a file read as before its last commits.
func (c *Chain) missLostCommits() {
	for i, s := range c.segments[:max(0, len(c.segments)-1)] {
		next := c.segments[i+1]
		if s.generation > 0 || !s.end.known || next.start.epoch != s.start.epoch || s.last+1 >= next.first {
			continue
		}
		if lost := c.done.without(s.last+1, next.first-1); len(lost) > 0 {
			s.unreadable, s.cause = s.last+1, fmt.Errorf("%w: it ends at position %d, and the next file begins at %d", errDamaged, s.last, next.first)
			c.log.Error("the newest records of a segment are gone", "path", s.path, "error", s.cause)
			for _, l := range lost {
				c.missing.add(l.first, l.last)
			}
		}
	}
}

// mostInFile is more records than a file can hold.
const mostInFile Position = 1 << 32

// parseName splits the name of a segment's file into its position and what is
// behind that.
func parseName(name string) (first Position, suffix string, ok bool) {
	rest, isSegment := strings.CutPrefix(name, segmentPrefix)
	digits, suffix, found := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	return Position(n), "." + suffix, isSegment && found && err == nil && n > 0
}

// settle decides what became of the positions that no segment has. Those of a file
// that is damaged are missing, and those of one that can't be opened are left
// alone; any other file is gone because nobody needs it.
func (c *Chain) settle(f surveyed) {
	next := Position(1)
	settle := func(last Position) {
		for _, gap := range c.unreadIn(next, last) {
			gone := gap.last + 1
			for _, first := range slices.Concat(f.aside, f.shut) {
				if first >= gap.first && first <= gap.last {
					gone = min(gone, first)
				}
			}
			c.done.add(gap.first, gone-1)
			for gone <= gap.last {
				until, shut := gap.last, slices.Contains(f.shut, gone)
				for _, first := range slices.Concat(f.aside, f.shut) {
					if first > gone && first <= until {
						until = first - 1
					}
				}
				if shut {
					c.apart.add(gone, until)
				} else {
					c.missing.add(gone, until)
				}
				gone = until + 1
			}
		}
	}
	for _, s := range c.segments {
		settle(s.first - 1)
		next = s.last + 1
	}
	settle(c.last)
}

// epochsRecalled bounds the epochs that recall looks for: more starts without a
// record acknowledged are a process that is started again and again.
const epochsRecalled = 100

// recall finds how far the epochs of earlier processes have come, and the newest
// state that they left. All of them that are on disk, and not the newest alone: a
// process that was killed before its start was committed has told of none. It ends
// at a file that can't be read, one of those at the positions shut or another: who
// knows how far the epoch had come that is before it.
func (c *Chain) recall(shut []Position, progress func()) {
	for i := len(c.segments) - 1; i >= 0 && len(c.counts) < epochsRecalled; i-- {
		s := c.segments[i]
		if slices.ContainsFunc(shut, func(at Position) bool { return at > s.first }) || s.unreadable > 0 {
			break
		}
		if _, known := c.counts[s.start.epoch]; s.last < s.first || s.start.known && known {
			continue
		}
		f, err := openFile(s.path)
		if err != nil {
			c.log.Error("segment can't be read", "path", s.path, "error", err)
			break
		}
		progress()
		var newest record.Identity
		err = scan(f.DB, s.last, s.last, func(e Entry) bool { newest = e.Record.Identity; return false })
		if f.end(err); err != nil || newest.Gateway == "" {
			c.log.Error("the newest record of a segment can't be read", "path", s.path, "error", err)
			break
		}
		c.counts[newest.Epoch] = max(c.counts[newest.Epoch], newest.Last+1)
	}
	for i := len(c.segments) - 1; i >= 0 && len(c.state) == 0; i-- {
		state, err := readState(c.segments[i].path)
		progress()
		if err != nil {
			c.log.Error("the newest state can't be read, an older one is used", "path", c.segments[i].path, "error", err)
		}
		c.state = state
	}
}

// setAside renames a segment that can't be read, so that a person can look at
// it and the chain goes on without it. It is never deleted.
func (c *Chain) setAside(path string, cause error) error {
	to := path + brokenSuffix
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s%s-%d", path, brokenSuffix, n)
	}
	if err := os.Rename(path, to); err != nil {
		return fmt.Errorf("buffer: set aside unreadable segment: %w", err)
	}
	c.mu.Lock()
	c.broken++
	c.mu.Unlock()
	c.damaged(filepath.Join(filepath.Base(c.dir), filepath.Base(to)), cause)
	c.log.Error("segment is unreadable and was set aside", "path", to, "error", cause)
	return nil
}
