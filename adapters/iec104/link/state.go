// Package link is a connection of IEC 60870-5-104 from either end: numbering,
// acknowledgement, timers, start and stop (60870-5-104, clause 5). State decides and
// knows neither clock nor network; Conn drives it over a connection.
package link

import (
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters/iec104/apdu"
)

// Config is the parameters of a connection, which both ends have to agree on in part: w of
// one end must not be more than k of the other, nor t2 of one more than t1 of the other.
type Config struct {
	T1 time.Duration // until what was sent has to be acknowledged
	T2 time.Duration // until what has come is acknowledged; less than T1
	T3 time.Duration // without anything from the other end, until it is asked whether it is there
	K  int           // how much may be sent that isn't acknowledged
	W  int           // how much may have come that isn't
	// Hold is that what has come is acknowledged when it was released, at least as far as t2
	// allows: the other end keeps it as long.
	Hold bool
}

// Default is what the standard proposes.
var Default = Config{T1: 15 * time.Second, T2: 10 * time.Second, T3: 20 * time.Second, K: 12, W: 8}

// Check says what is wrong with the parameters.
func (c Config) Check() error {
	switch {
	case c.T1 <= 0 || c.T2 <= 0 || c.T3 <= 0:
		return fmt.Errorf("iec104: t1 %v, t2 %v, t3 %v, expected times above 0", c.T1, c.T2, c.T3)
	case c.T2 >= c.T1:
		return fmt.Errorf("iec104: t2 %v isn't less than t1, %v", c.T2, c.T1)
	case c.K < 1 || c.K >= apdu.Modulo:
		return fmt.Errorf("iec104: k %d, expected 1 to %d", c.K, apdu.Modulo-1)
	case c.W < 1 || c.W >= apdu.Modulo:
		return fmt.Errorf("iec104: w %d, expected 1 to %d", c.W, apdu.Modulo-1)
	}
	return nil
}

// Role is which end it is.
type Role uint8

const (
	Controlling Role = iota // starts and stops
	Controlled
)

// Why a connection has to be closed. Errors wrap one of these, or are those of apdu.
var (
	ErrSequence    = errors.New("iec104: a frame is missing or comes twice")
	ErrAcknowledge = errors.New("iec104: something is acknowledged that wasn't sent")
	ErrNotStarted  = errors.New("iec104: information comes on a connection that isn't started")
	ErrRole        = errors.New("iec104: the other end is the same kind of station")
	ErrT1          = errors.New("iec104: no acknowledgement within t1")
)

// Event is what came of a frame.
type Event uint8

const (
	Nothing Event = iota
	Data          // the frame has an ASDU that is to be taken
	Started       // from now on ASDUs may be sent
	Stopped       // from now on none may
)

// State is one end of a connection. It isn't safe for concurrent use. What has to be sent
// after a call is what Output returns.
type State struct {
	config Config
	role   Role

	started  bool
	stopping bool // STOPDT is under way: nothing is sent any more, what comes is taken

	sent     uint16 // N(S) of the next frame to be sent
	acked    uint16 // the oldest one that isn't acknowledged
	received uint16 // N(S) of the next frame that comes
	released uint16 // as far as it may know of that
	told     uint16 // what the other end knows of that

	sentAt []time.Time // of those between acked and sent, by number modulo k
	cameAt []time.Time // of those between told and received
	heard  time.Time

	asked map[apdu.Function]time.Time // what was asked by U frames, and when
	out   []byte

	// Ignored counts confirmations of what nobody has asked for.
	Ignored uint64
}

// New is a connection as it is made, stopped.
func New(c Config, role Role, now time.Time) *State {
	return &State{config: c, role: role, heard: now, sentAt: make([]time.Time, c.K), asked: map[apdu.Function]time.Time{}}
}

// IsStarted reports whether ASDUs may be sent.
func (s *State) IsStarted() bool { return s.started && !s.stopping }

// CanSend reports whether Send takes an ASDU now.
func (s *State) CanSend() bool { return s.IsStarted() && distance(s.acked, s.sent) < s.config.K }

// Unacknowledged is how many ASDUs were sent that the other end doesn't say to have got.
func (s *State) Unacknowledged() int { return distance(s.acked, s.sent) }

// distance is how many numbers lie from one to another one.
func distance(from, to uint16) int { return int((to - from) & (apdu.Modulo - 1)) }

func next(n uint16) uint16 { return (n + 1) & (apdu.Modulo - 1) }

// Output is what is to be sent, in bytes. It is the State's own, and taken with this call.
func (s *State) Output() []byte {
	out := s.out
	s.out = s.out[:0]
	return out
}

// emit adds a frame, which acknowledges what has come.
func (s *State) emit(f apdu.Frame) error {
	if f.Format != apdu.U {
		f.Receive = s.received
		if s.config.Hold {
			f.Receive = s.released
		}
		n := copy(s.cameAt, s.cameAt[distance(s.told, f.Receive):])
		s.told, s.cameAt = f.Receive, s.cameAt[:n]
	}
	var err error
	s.out, err = f.Append(s.out)
	return err
}

func (s *State) emitU(f apdu.Function) { s.emit(apdu.Frame{Format: apdu.U, Function: f}) }

// Start asks the controlled station to begin.
func (s *State) Start(now time.Time) { s.ask(apdu.StartAct, now) }

// Stop asks it to stop, after it has been told of all that came, or may be told of. It confirms
// that when it knows that all has come: to Hold, what comes meanwhile has to be released.
func (s *State) Stop(now time.Time) {
	if !s.started {
		return
	}
	s.acknowledge()
	s.stopping = true
	s.ask(apdu.StopAct, now)
}

// Test asks the other end whether it is there.
func (s *State) Test(now time.Time) { s.ask(apdu.TestAct, now) }

func (s *State) ask(f apdu.Function, now time.Time) {
	if _, asked := s.asked[f]; !asked {
		s.asked[f] = now
		s.emitU(f)
	}
}

// Send sends an ASDU. It is an error unless CanSend.
func (s *State) Send(asdu []byte, now time.Time) error {
	if !s.CanSend() {
		return errors.New("iec104: nothing may be sent now")
	}
	if err := s.emit(apdu.Frame{Format: apdu.I, Send: s.sent, ASDU: asdu}); err != nil {
		return err
	}
	s.sentAt[int(s.sent)%s.config.K] = now
	s.sent = next(s.sent)
	return nil
}

// Receive takes a frame. After an error the connection has to be closed.
func (s *State) Receive(f apdu.Frame, now time.Time) (Event, error) {
	s.heard = now
	if f.Format == apdu.U {
		return s.function(f.Function, now)
	}
	event := Nothing
	if f.Format == apdu.I {
		switch {
		case !s.started:
			return Nothing, ErrNotStarted
		case f.Send != s.received:
			return Nothing, fmt.Errorf("%w: number %d, expected %d", ErrSequence, f.Send, s.received)
		}
		event = Data
	}
	if distance(s.acked, f.Receive) > distance(s.acked, s.sent) {
		return Nothing, fmt.Errorf("%w: number %d, of %d to %d", ErrAcknowledge, f.Receive, s.acked, s.sent)
	}
	s.acked = f.Receive
	if event == Data {
		s.received = next(s.received)
		s.cameAt = append(s.cameAt, now)
		if !s.config.Hold {
			s.released = s.received
		}
		if distance(s.told, s.released) >= s.config.W || s.stopping {
			s.acknowledge()
		}
	}
	if s.role == Controlled && s.stopping && s.acked == s.sent {
		s.stopped()
		s.emitU(apdu.StopCon)
		if event == Nothing {
			event = Stopped
		}
	}
	return event, nil
}

func (s *State) stopped() { s.started, s.stopping = false, false }

// Release says that the first so many of all ASDUs that have come may be acknowledged; at
// once, or when it is time.
func (s *State) Release(count uint64, atOnce bool) {
	to := uint16(count & (apdu.Modulo - 1))
	if distance(s.released, to) <= distance(s.released, s.received) {
		s.released = to
	}
	if atOnce || distance(s.told, s.released) >= s.config.W {
		s.acknowledge()
	}
}

// acknowledge tells the other end what has come, as far as it may know and doesn't.
func (s *State) acknowledge() {
	if s.told != s.released {
		s.emit(apdu.Frame{Format: apdu.S})
	}
}

// function takes a U frame.
func (s *State) function(f apdu.Function, now time.Time) (Event, error) {
	switch f {
	case apdu.TestAct:
		s.emitU(apdu.TestCon)
		return Nothing, nil
	case apdu.StartAct, apdu.StopAct:
		if s.role == Controlling {
			return Nothing, fmt.Errorf("%w: it sends %v", ErrRole, f)
		}
		if f == apdu.StartAct {
			s.started, s.stopping = true, false
			s.emitU(apdu.StartCon)
			return Started, nil
		}
		s.acknowledge()
		if s.acked != s.sent { // it is confirmed when what was sent has been
			s.stopping = true
			return Nothing, nil
		}
		s.stopped()
		s.emitU(apdu.StopCon)
		return Stopped, nil
	}
	act := map[apdu.Function]apdu.Function{apdu.StartCon: apdu.StartAct, apdu.StopCon: apdu.StopAct, apdu.TestCon: apdu.TestAct}[f]
	if _, asked := s.asked[act]; !asked {
		s.Ignored++
		return Nothing, nil
	}
	delete(s.asked, act)
	switch f {
	case apdu.StartCon:
		s.started, s.stopping = true, false
		return Started, nil
	case apdu.StopCon:
		s.stopped()
		return Stopped, nil
	}
	return Nothing, nil
}

// Tick does what is due. After an error the connection has to be closed.
func (s *State) Tick(now time.Time) error {
	if s.acked != s.sent && now.Sub(s.sentAt[int(s.acked)%s.config.K]) >= s.config.T1 {
		return fmt.Errorf("%w, %v: of %d sent, from number %d on", ErrT1, s.config.T1, s.Unacknowledged(), s.acked)
	}
	for f, at := range s.asked {
		if now.Sub(at) >= s.config.T1 {
			return fmt.Errorf("%w, %v: of %v", ErrT1, s.config.T1, f)
		}
	}
	if len(s.cameAt) > 0 && now.Sub(s.cameAt[0]) >= s.config.T2 {
		s.force(now)
		s.acknowledge()
	}
	if now.Sub(s.heard) >= s.config.T3 {
		s.Test(now)
	}
	return nil
}

// force releases what has waited for t2: the other end would take the connection for dead.
func (s *State) force(now time.Time) {
	for n, at := range s.cameAt {
		if to := (s.told + uint16(n) + 1) & (apdu.Modulo - 1); now.Sub(at) >= s.config.T2 && distance(s.released, to) == 1 {
			s.released = to
		}
	}
}

// Deadline is when Tick has something to do, unless something happens before.
func (s *State) Deadline() time.Time {
	var first time.Time
	least := func(at time.Time) {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if s.acked != s.sent {
		least(s.sentAt[int(s.acked)%s.config.K].Add(s.config.T1))
	}
	for _, at := range s.asked {
		least(at.Add(s.config.T1))
	}
	if len(s.cameAt) > 0 {
		least(s.cameAt[0].Add(s.config.T2))
	}
	if _, asked := s.asked[apdu.TestAct]; !asked {
		least(s.heard.Add(s.config.T3))
	}
	return first
}

// Postpone moves all that is expected of the other end by the time for which nobody has
// listened to it.
func (s *State) Postpone(by time.Duration) {
	s.heard = s.heard.Add(by)
	for i := range s.sentAt {
		s.sentAt[i] = s.sentAt[i].Add(by)
	}
	for f, at := range s.asked {
		s.asked[f] = at.Add(by)
	}
}
