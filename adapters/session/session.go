package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// Result is what one reading of a device brought, or what it sent by itself.
type Result struct {
	// Samples are one a point, in configured order, with a value or the reason why
	// there is none; what a device sends by itself may be fewer. A result without any says
	// only whether the device lives, and counts as no poll.
	Samples  []telemetry.Sample
	Received time.Time
	// Cause is why the device didn't answer; nil if it did.
	Cause error
	// Past, Committed, Interruptions and Disturbances are adapters.Batch's.
	Past          bool
	Committed     func(bool)
	Interruptions []adapters.Interruption
	Disturbances  []adapters.Disturbances
}

// Failed is the result of a device that didn't answer, every point of which has the
// quality.
func (a About) Failed(cause error, q telemetry.Quality) Result {
	r := Result{Received: time.Now(), Cause: cause, Samples: make([]telemetry.Sample, len(a.Points))}
	for i, p := range a.Points {
		r.Samples[i] = telemetry.Sample{Time: telemetry.MicrosOf(r.Received), Signal: p.Signal, Quality: q}
	}
	return r
}

// Bad is the quality of a point that has no value.
func Bad(reason telemetry.Reason) telemetry.Quality {
	return telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, reason)
}

// Session is a device that is being read. Only the goroutine of its Run delivers.
type Session struct {
	about About
	log   *slog.Logger
	stats *counters
	asks  chan Ask
	ended chan struct{} // closed when nobody answers any more

	sink adapters.Sink
	stop context.CancelFunc // nil before it begins

	silent       int // results in a row without an answer
	spared       telemetry.Reason
	live         bool
	liveSent     time.Time // zero before the first result
	answersSince time.Time // when the device answered first; zero: it hasn't

	mu     sync.Mutex
	last   adapters.Last // without Quality
	points []lastQuality // in the order of their signals
	untold untold
}

// lastQuality is that of the last sample of a point, if there was one.
type lastQuality struct {
	signal  telemetry.SignalID
	quality telemetry.Quality
	told    bool
}

// Ask is somebody who wants the device to be read now, ahead of what is scheduled.
type Ask struct {
	ctx    context.Context
	answer chan<- Result // takes one without a receiver
}

// Answer gives what was read.
func (a Ask) Answer(r Result) { a.answer <- r }

// Context ends when nobody waits for the answer any more.
func (a Ask) Context() context.Context { return a.ctx }

func newSession(about About, log *slog.Logger) *Session {
	s := &Session{
		about: about, log: log.With("device", about.ID, "endpoint", about.Where), stats: &counters{},
		points: make([]lastQuality, len(about.Points)), asks: make(chan Ask), ended: make(chan struct{}),
	}
	for i, p := range about.Points {
		s.points[i].signal = p.Signal
	}
	slices.SortFunc(s.points, func(a, b lastQuality) int { return cmp.Compare(a.signal, b.signal) })
	return s
}

func (s *Session) begin(sink adapters.Sink, stop context.CancelFunc) {
	s.sink = sink
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = stop
}

// Asked brings those who want the device to be read now.
func (s *Session) Asked() <-chan Ask { return s.asks }

// Log is for what the device's protocol has to tell.
func (s *Session) Log() *slog.Logger { return s.log }

var errStopped = errors.New("the gateway has stopped reading")

// ask has the running device read; running is false if it doesn't run.
func (s *Session) ask(ctx context.Context) (r Result, running bool) {
	s.mu.Lock()
	running = s.stop != nil
	s.mu.Unlock()
	if !running {
		return Result{}, false
	}
	answer := make(chan Result, 1)
	select {
	case s.asks <- Ask{ctx, answer}:
	case <-ctx.Done():
		return Result{Cause: ctx.Err()}, true
	case <-s.ended:
		return Result{Cause: errStopped}, true
	}
	select {
	case r := <-answer:
		return r, true
	case <-ctx.Done():
		return Result{Cause: ctx.Err()}, true
	case <-s.ended:
		return Result{Cause: errStopped}, true
	}
}

// Register is adapters.Registrar's, for this device. Where nobody keeps signals that a
// device tells of itself, none gets an id.
func (s *Session) Register(ctx context.Context, found []adapters.Found) ([]telemetry.SignalID, error) {
	r, keeps := s.sink.(adapters.Registrar)
	if !keeps {
		return make([]telemetry.SignalID, len(found)), nil
	}
	ids, err := r.Register(ctx, s.about.ID, found)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range found {
		delete(s.untold, f.Name)
	}
	if len(s.untold) == 0 {
		s.untold = nil // a map keeps its memory
	}
	return ids, nil
}

// Poll reads a device in every slot of its period until ctx ends, and whenever
// somebody asks.
func (s *Session) Poll(ctx context.Context, every time.Duration, read func(context.Context) Result) {
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case a := <-s.asks:
			a.Answer(readFor(ctx, a, read))
			continue
		case <-timer.C:
		}
		batch := adapters.Batch{}
		if missed := time.Since(due) / every; missed > 0 {
			due = due.Add(missed * every)
			if s.silent > 0 {
				batch.Spared, batch.SparedFor = int(missed), s.spared
			} else {
				batch.Missed = int(missed)
				s.stats.missed.Add(uint64(missed))
			}
		}
		r := read(ctx)
		if ctx.Err() != nil {
			return
		}
		// The wall clock may have been set since the slot was planned.
		batch.Due = r.Received.Add(due.Sub(r.Received))
		due = due.Add(every)
		if r.Cause == nil && r.Received.After(due) {
			s.stats.late.Add(1)
		}
		if s.deliver(ctx, batch, r) != nil {
			return
		}
	}
}

// readFor reads until whoever asked has gone, or ctx ends.
func readFor(ctx context.Context, a Ask, read func(context.Context) Result) Result {
	asked, cancel := context.WithCancel(a.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return read(asked)
}

// Deliver takes what a device sends by itself. It fails only when ctx ends.
func (s *Session) Deliver(ctx context.Context, r Result) error {
	return s.deliver(ctx, adapters.Batch{}, r)
}

func (s *Session) deliver(ctx context.Context, b adapters.Batch, r Result) error {
	s.count(r)
	b.Device, b.Received, b.Samples, b.Past, b.Committed = s.about.ID, r.Received, s.withUntold(r), r.Past, r.Committed
	b.Interruptions, b.Disturbances = r.Interruptions, r.Disturbances
	if s.observe(r, b.Due.IsZero()) {
		s.liveSent = r.Received
		b.Samples = append(b.Samples, telemetry.Sample{
			Time: telemetry.MicrosOf(r.Received), Value: telemetry.BoolValue(s.live), Signal: s.about.Live,
		})
	}
	err := s.sink.Deliver(ctx, b)
	s.note(r)
	return err
}

// observe takes what a result says about the device's life and logs what changed. It
// reports whether the live signal is due. What a device says by itself decides alone.
func (s *Session) observe(r Result, alone bool) bool {
	first, was := s.liveSent.IsZero(), s.live
	switch {
	case r.Cause == nil:
		s.live = true
	case alone || s.silent >= adapters.DeadAfter:
		s.live = false
	}
	changed := first || s.live != was
	if changed && s.live {
		s.log.Info("device answers")
	} else if changed {
		s.log.Warn("device doesn't answer", "error", r.Cause)
	}
	return changed || s.LiveDue(r.Received)
}

// LiveDue reports whether it is time to say again whether the device lives.
func (s *Session) LiveDue(now time.Time) bool { return now.Sub(s.liveSent) >= adapters.LiveEvery }

func (s *Session) count(r Result) {
	c := s.stats
	if r.Cause == nil {
		c.lastAnswer.Store(r.Received.UnixMicro())
	}
	if len(r.Samples) == 0 { // it says only whether the device lives
		return
	}
	var good uint64
	for _, v := range r.Samples {
		if v.Quality.Validity() == telemetry.Good {
			good++
		}
	}
	c.polls.Add(1)
	c.values.Add(good)
	if good > 0 {
		c.delivered.Add(1)
	}
	if r.Cause == nil {
		s.silent = 0
		return
	}
	s.silent++
	s.spared = r.Samples[0].Quality.Reason()
	c.failed.Add(1)
	if s.spared == telemetry.Timeout {
		c.timeouts.Add(1)
	}
}

func (s *Session) note(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.Polled, s.last.Cause = true, r.Cause
	for _, v := range r.Samples {
		if p := s.point(v.Signal); p != nil {
			p.quality, p.told = v.Quality, true
		}
	}
}

// point is the quality of a point; nil if the signal is none.
func (s *Session) point(signal telemetry.SignalID) *lastQuality {
	i, known := slices.BinarySearchFunc(s.points, signal, func(p lastQuality, id telemetry.SignalID) int { return cmp.Compare(p.signal, id) })
	if !known {
		return nil
	}
	return &s.points[i]
}

func (s *Session) lastResult() adapters.Last {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last
	last.Quality = make(map[string]telemetry.Quality, len(s.points))
	for _, p := range s.about.Points {
		if q := s.point(p.Signal); q.told {
			last.Quality[p.Name] = q.quality
		}
	}
	return last
}
