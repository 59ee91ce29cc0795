package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry/record"
)

// openChain surveys the chain in dir and begins a new segment in it.
func openChain(dir string, gateway string, epoch record.Epoch, stream record.Stream, released Position, segmentSize int64, log *slog.Logger) (*Chain, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	c := &Chain{
		dir: dir, gateway: gateway, epoch: epoch, stream: stream,
		segmentSize: segmentSize, released: released, handedOut: released,
		log: log.With("stream", stream), grown: make(chan struct{}),
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	for _, entry := range names {
		if strings.HasSuffix(entry.Name(), unfinishedSuffix) {
			os.Remove(filepath.Join(dir, entry.Name()))
			continue
		}
		number, ok := strings.CutPrefix(entry.Name(), segmentPrefix)
		if number, isSegment := strings.CutSuffix(number, segmentSuffix); ok && isSegment {
			if err := c.take(filepath.Join(dir, entry.Name()), number); err != nil {
				return nil, err
			}
		}
		if strings.Contains(entry.Name(), brokenSuffix) {
			c.broken++
		}
	}
	slices.SortFunc(c.segments, func(a, b segment) int { return cmp.Compare(a.first, b.first) })
	c.recall()
	last := c.released
	if n := len(c.segments); n > 0 {
		last = max(last, c.segments[n-1].last)
	}
	if err := c.begin(last + 1); err != nil {
		return nil, err
	}
	return c, c.Release(c.released)
}

// take surveys one file of an earlier process.
func (c *Chain) take(path, number string) error {
	first, err := strconv.ParseUint(number, 10, 64)
	if err != nil || first == 0 {
		return nil
	}
	s, err := survey(path, Position(first))
	switch {
	case errors.Is(err, errDamaged):
		return c.setAside(s, err)
	case err != nil:
		return err
	}
	c.segments = append(c.segments, s)
	return nil
}

// recall finds the newest record and the newest state that earlier processes
// left.
func (c *Chain) recall() {
	for i := len(c.segments) - 1; i >= 0 && c.newest.Gateway == ""; i-- {
		s := c.segments[i]
		if s.last < s.first {
			continue
		}
		db, err := openDB(s.path, true)
		if err != nil {
			c.log.Error("segment can't be read", "path", s.path, "error", err)
			continue
		}
		_, err = scan(db, s.last-1, func(e Entry) bool { c.newest = e.Record.Identity; return true })
		if closeUnless(db, err); err != nil {
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
func (c *Chain) setAside(s segment, cause error) error {
	to := s.path + brokenSuffix
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s%s-%d", s.path, brokenSuffix, n)
	}
	if err := os.Rename(s.path, to); err != nil {
		return fmt.Errorf("buffer: set aside unreadable segment: %w", err)
	}
	c.broken++
	c.log.Error("segment is unreadable and was set aside", "path", to, "error", cause)
	return nil
}

// begin starts a new segment whose first record will be at position first, and
// carries the state over into it. On an error the chain is as before.
func (c *Chain) begin(first Position) error {
	path := filepath.Join(c.dir, fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix))
	if n := len(c.segments); n > 0 && c.segments[n-1].path == path {
		return c.replaceEmpty(path)
	}
	db, err := createSegment(path, c.state)
	if err != nil {
		return err
	}
	c.swap(db)
	c.segments = append(c.segments, segment{path: path, first: first, last: first - 1})
	return nil
}

// replaceEmpty begins a segment in the place of one that holds nothing.
func (c *Chain) replaceEmpty(path string) error {
	db, err := createSegment(path, c.state)
	if err != nil {
		return err
	}
	c.swap(db)
	current := c.current()
	*current = segment{path: path, first: current.first, last: current.last}
	return nil
}

func (c *Chain) swap(db *bolt.DB) {
	if c.writing != nil {
		if err := c.writing.Close(); err != nil {
			c.log.Warn("closing a segment", "error", err)
		}
	}
	c.writing = db
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("buffer: sync %s: %w", dir, err)
	}
	return nil
}
