// Package journal keeps the last lines of a gateway's log in memory, for who can't see
// where they are written to.
package journal

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
)

// most bounds what is kept, in bytes.
const most = 256 << 10

// Journal is the last lines of a log. It is safe for concurrent use.
type Journal struct {
	mu    sync.Mutex
	lines [][]byte
	size  int
	first uint64 // the number of lines[0]: how many were given up
	more  chan struct{}
}

// New makes a journal and a log that writes into it as well as to log.
func New(log *slog.Logger) (*Journal, *slog.Logger) {
	j := &Journal{more: make(chan struct{})}
	options := &slog.HandlerOptions{Level: leveled{log.Handler()}}
	return j, slog.New(slog.NewMultiHandler(log.Handler(), slog.NewTextHandler(j, options)))
}

// leveled is the least level that a handler takes.
type leveled struct{ slog.Handler }

// Level implements slog.Leveler.
func (l leveled) Level() slog.Level {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if l.Enabled(context.Background(), level) {
			return level
		}
	}
	return slog.LevelError
}

// Write implements io.Writer: it takes one line.
func (j *Journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines, j.size = append(j.lines, bytes.Clone(line)), j.size+len(line)
	for j.size > most && len(j.lines) > 1 {
		j.size -= len(j.lines[0])
		j.lines[0] = nil
		j.lines, j.first = j.lines[1:], j.first+1
	}
	close(j.more)
	j.more = make(chan struct{})
	return len(line), nil
}

// From is the lines from a number on, of which those may be missing that were given up,
// the number of the next one, and what is closed when that has come.
func (j *Journal) From(number uint64) (text []byte, next uint64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	next = j.first + uint64(len(j.lines))
	if number < next {
		text = bytes.Join(j.lines[max(number, j.first)-j.first:], nil)
	}
	return text, next, j.more
}
