package gateway

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// supply is the gateway's own supply: it tells when that fails, and when it is back,
// be it in another process.
type supply struct {
	configured bool // something says whether it is there
	clock      *clock.Clock
	buffer     *buffer.Buffer
	tell       func(telemetry.Event) error // sends an event at once
	active     func() []rules.Active
	log        *slog.Logger
	unsaved    chan struct{} // holds one if save has something to do

	mu      sync.Mutex
	known   bool     // whether it is there
	runtime *float64 // of the battery, in s
	failed  *failedSupply
	back    time.Time // since when it is there again, of a failure whose end isn't told; zero: it isn't
	untold  time.Time // since when it isn't there, of a failure that couldn't be told; zero: none
}

// failedSupply is a failure that was told and whose end wasn't.
type failedSupply struct {
	Since     telemetry.Micros `json:"since_us"`
	Boot      string           `json:"boot"`
	SinceBoot telemetry.Micros `json:"since_boot_us"`
	Unset     bool             `json:"unset,omitempty"` // so was the clock of Since
}

// newSupply goes on with a failure that an earlier process has told of.
func newSupply(configured bool, c *clock.Clock, b *buffer.Buffer, tell func(telemetry.Event) error, active func() []rules.Active, log *slog.Logger) *supply {
	s := &supply{configured: configured, clock: c, buffer: b, tell: tell, active: active, log: log, unsaved: make(chan struct{}, 1)}
	notes, err := b.MainsNotes()
	if err == nil && len(notes) > 0 {
		err = json.Unmarshal(notes, &s.failed)
	}
	if err != nil {
		log.Error("whether the supply had failed can't be read; its return isn't told if it had", "error", err)
	}
	return s
}

// mostGasped bounds the names of the alarms in a last gasp, in bytes: it is to be short.
const mostGasped = 256

// lasts takes how long the battery lasts.
func (s *supply) lasts(seconds float64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runtime = nil; known {
		s.runtime = &seconds
	}
}

// is takes whether the supply is there, since an instant of this process.
func (s *supply) is(there bool, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = true
	switch {
	case !there && s.failed == nil && s.untold.IsZero():
		s.gasp(at)
	case !there:
		s.back = time.Time{}
	case !s.untold.IsZero(): // nobody was told that it wasn't there
		s.untold = time.Time{}
	case s.failed != nil && s.back.IsZero():
		s.back = at
		s.restore()
	}
}

// unknown takes that nothing says whether the supply is there. Nothing follows from
// that.
func (s *supply) unknown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = false
}

// gasp says at once that the supply has failed. Only then it is noted: there may be no
// time for both, and who isn't told of the end sees the next start. What can't be told is
// tried again by settle.
func (s *supply) gasp(at time.Time) {
	now := s.clock.Now()
	boot := s.clock.Boot().String()
	failed := &failedSupply{
		Since: s.clock.At(at), Boot: boot, SinceBoot: s.clock.SinceBoot() - telemetry.Micros(time.Since(at).Microseconds()),
		Unset: s.clock.Stats().State == telemetry.ClockUnset,
	}
	g := telemetry.LastGasp{Boot: boot, Runtime: s.runtime}
	g.Active, g.Unlisted = gasped(s.active())
	if err := s.tell(telemetry.Event{Kind: telemetry.SupplyFailed, Time: failed.Since, Decided: now, LastGasp: &g}); err != nil {
		if s.untold.IsZero() {
			s.log.Error("that the supply has failed can't be told; it is tried again", "error", err)
		}
		s.untold = at
		return
	}
	s.failed, s.back, s.untold = failed, time.Time{}, time.Time{}
	s.log.Warn("the gateway's supply has failed", "since", failed.Since.Time())
	s.changed()
}

// gasped are the alarms that a last gasp names, and how many more there are.
func gasped(active []rules.Active) (named []telemetry.ActiveAlarm, unlisted int) {
	left := mostGasped
	for i, a := range active {
		if left -= len(a.Rule) + len(a.Asset) + len(a.Device); left < 0 {
			return named, len(active) - i
		}
		named = append(named, telemetry.ActiveAlarm{Rule: a.Rule, Asset: a.Asset, Device: a.Device})
	}
	return named, 0
}

// settle tells of a failure that couldn't be told when it came, and of a return whose
// time wasn't known then.
func (s *supply) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.untold.IsZero() {
		s.gasp(s.untold)
	}
	if s.failed != nil && !s.back.IsZero() {
		s.restore()
	}
}

// restore says that the supply is back. Where a clock that isn't set would have to say
// for how long it was away, that is awaited for a while.
func (s *supply) restore() {
	f := s.failed
	r := telemetry.Restoration{Since: f.Since, Boot: f.Boot}
	unset := f.Unset || s.clock.Stats().State == telemetry.ClockUnset
	switch passed := time.Since(s.back); {
	case f.Boot == s.clock.Boot().String():
		away := int64(s.clock.SinceBoot() - telemetry.Micros(passed.Microseconds()) - f.SinceBoot)
		r.Away = &away
	case !unset:
		away := int64(max(0, s.clock.At(s.back)-f.Since))
		r.Away = &away
	case !f.Unset && passed < unsetTooLong:
		return
	}
	if err := s.tell(telemetry.Event{Kind: telemetry.SupplyRestored, Time: s.clock.At(s.back), Decided: s.clock.Now(), Restored: &r}); err != nil {
		s.log.Error("that the supply is back can't be told", "error", err)
		return
	}
	s.log.Info("the gateway's supply is back", "failed", f.Since.Time())
	s.failed, s.back = nil, time.Time{}
	s.changed()
}

func (s *supply) changed() {
	select {
	case s.unsaved <- struct{}{}:
	default:
	}
}

// finish saves what isn't yet.
func (s *supply) finish() {
	select {
	case <-s.unsaved:
		s.save()
	default:
	}
}

// save notes for the next process whether the supply has failed.
func (s *supply) save() {
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	var notes []byte
	var err error
	if failed != nil {
		notes, err = json.Marshal(failed)
	}
	if err == nil {
		err = s.buffer.SaveMainsNotes(notes)
	}
	if err != nil {
		s.log.Warn("whether the supply has failed can't be noted", "error", err)
	}
}

// report says how the supply is.
func (s *supply) report(r *status.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.configured:
		r.Supply = status.SupplyUnwatched
	case !s.untold.IsZero():
		r.Supply = status.SupplyFailed
		r.Problems = append(r.Problems, "the gateway's own supply has failed, and that can't be told")
	case s.failed != nil && s.back.IsZero():
		r.Supply = status.SupplyFailed
		r.Problems = append(r.Problems, fmt.Sprintf("the gateway's own supply has failed at %s", s.failed.Since.Time().Format(time.RFC3339)))
	case !s.known:
		r.Supply = status.SupplyUnknown
		r.Problems = append(r.Problems, "nothing says whether the gateway's own supply is there (gateway.mains), so there would be no last gasp")
	default:
		r.Supply = status.SupplyThere
	}
}
