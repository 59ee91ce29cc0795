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

	"github.com/busbar/busbar/telemetry/record"
)

// openChain surveys the chain in dir. The first commit begins a new segment in it.
func openChain(dir string, stream record.Stream, b *Buffer, o Options) (*Chain, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	c := &Chain{
		dir: dir, gateway: o.Gateway, epoch: b.epoch, stream: stream, segmentSize: o.SegmentSize, sign: o.Sign,
		damaged: b.noteDamage, done: slices.Clone(b.saved[stream].done), space: b.space, reading: b.reading,
		log: o.Log.With("stream", stream), grown: make(chan struct{}), holding: make(chan struct{}, 1),
	}
	if c.lane = telemetryLane; stream == record.Events {
		c.lane = eventsLane
		c.segmentSize = min(c.segmentSize, b.space.reserve/4)
	}
	c.allocation = allocationFor(c.segmentSize)
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	var aside []Position
	for _, entry := range names {
		path := filepath.Join(dir, entry.Name())
		if strings.HasSuffix(entry.Name(), unfinishedSuffix) {
			os.Remove(path)
			continue
		}
		first, suffix, ok := parseName(entry.Name())
		switch {
		case entry.IsDir():
		case !ok:
			c.space.setAside(c.lane, sizeAt(path)) // somebody else's
			c.space.settle(c.lane, 0, sizeAt(path))
		case suffix == segmentSuffix:
			s, err := survey(path, first)
			if errors.Is(err, errDamaged) {
				aside = append(aside, first)
				c.space.setAside(c.lane, s.size) // which hadn't counted for the lane
				c.space.settle(c.lane, 0, s.size)
				err = c.setAside(path, err)
			} else if err == nil {
				c.segments = append(c.segments, &s)
				c.space.settle(c.lane, 0, s.size)
			}
			if err != nil {
				return nil, err
			}
		case strings.HasPrefix(suffix, segmentSuffix+brokenSuffix):
			c.broken++
			c.space.setAside(c.lane, sizeAt(path))
			c.space.settle(c.lane, 0, sizeAt(path))
			aside = append(aside, first)
		}
	}
	slices.SortFunc(c.segments, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	for i, s := range c.segments[:max(0, len(c.segments)-1)] {
		if next := c.segments[i+1]; next.start.known && next.start.epoch == next.before.epoch && next.before == s.start {
			s.end = next.start
		}
	}
	if n := len(c.done); n > 0 {
		c.last = c.done[n-1].last
	}
	if n := len(c.segments); n > 0 {
		c.last = max(c.last, c.segments[n-1].last)
	}
	c.settle(aside)
	c.recall()
	c.mu.Lock()
	c.retire()
	c.mu.Unlock()
	c.sweep()
	return c, nil
}

// parseName splits the name of a segment's file into its position and what is
// behind that.
func parseName(name string) (first Position, suffix string, ok bool) {
	rest, isSegment := strings.CutPrefix(name, segmentPrefix)
	digits, suffix, found := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	return Position(n), "." + suffix, isSegment && found && err == nil && n > 0
}

// settle decides what became of the positions that no file has. Those of a file
// that was set aside are missing; any other file is gone because nobody needs it.
func (c *Chain) settle(aside []Position) {
	next := Position(1)
	settle := func(last Position) {
		for _, gap := range c.done.without(next, last) {
			gone := gap.last + 1
			for _, first := range aside {
				if first >= gap.first && first <= gap.last {
					gone = min(gone, first)
				}
			}
			c.done.add(gap.first, gone-1)
			c.missing.add(gone, gap.last)
		}
	}
	for _, s := range c.segments {
		settle(s.first - 1)
		next = s.last + 1
	}
	settle(c.last)
}

// recall finds the newest record and the newest state that earlier processes
// left.
func (c *Chain) recall() {
	for i := len(c.segments) - 1; i >= 0 && c.newest.Gateway == ""; i-- {
		s := c.segments[i]
		if s.last < s.first {
			continue
		}
		f, err := openFile(s.path)
		if err != nil {
			c.log.Error("segment can't be read", "path", s.path, "error", err)
			continue
		}
		err = scan(f.DB, s.last, s.last, func(e Entry) bool { c.newest = e.Record.Identity; return false })
		if f.end(err); err != nil {
			c.log.Error("segment can't be read", "path", s.path, "error", err)
		}
	}
	for i := len(c.segments) - 1; i >= 0 && len(c.state) == 0; i-- {
		state, err := readState(c.segments[i].path)
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
