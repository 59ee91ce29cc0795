package forward

import (
	"context"
	"io"
	"sync"

	"github.com/busbar/busbar/telemetry/record"
)

// Spare is a sink that open makes when it is first used.
func Spare(open func() (Sink, error)) Sink { return &spare{open: open} }

type spare struct {
	open func() (Sink, error)

	mu     sync.Mutex
	sink   Sink // nil: it wasn't used so far
	closed bool
}

func (s *spare) Produce(m record.Message, done func(error)) {
	s.mu.Lock()
	if s.sink == nil && !s.closed {
		sink, err := s.open()
		if err != nil {
			s.mu.Unlock()
			done(err)
			return
		}
		s.sink = sink
	}
	sink := s.sink
	s.mu.Unlock()
	if sink == nil {
		done(io.ErrClosedPipe)
		return
	}
	sink.Produce(m, done)
}

func (s *spare) opened() Sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sink
}

// Check asks a sink that there is.
func (s *spare) Check(ctx context.Context) error {
	if sink := s.opened(); sink != nil {
		return sink.Check(ctx)
	}
	return nil
}

// Warm keeps a sink open that there is.
func (s *spare) Warm(ctx context.Context) {
	if sink := s.opened(); sink != nil {
		sink.Warm(ctx)
	}
}

// Close closes a sink that there is; none is made afterwards.
func (s *spare) Close() {
	s.mu.Lock()
	sink := s.sink
	s.closed = true
	s.mu.Unlock()
	if sink != nil {
		sink.Close()
	}
}
