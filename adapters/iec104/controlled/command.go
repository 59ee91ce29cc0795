package controlled

import (
	"context"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// selection is a control that a master has selected.
type selection struct {
	by      *session
	command Command
	until   time.Time
}

// untimed is the type of a command without its time.
func untimed(t asdu.Type) asdu.Type {
	if t.Timed() > 0 {
		return t - (asdu.SingleCommandTime - asdu.SingleCommand)
	}
	return t
}

// command takes a command: it is selected, executed, or a selection is given up.
func (v *session) command(ctx context.Context, a *asdu.ASDU, b []byte) {
	s, o := v.server, a.Object(0)
	k := key{a.Address, o.Address}
	control, has := s.table.controls[k]
	switch {
	case !has:
		v.reject(b, asdu.UnknownObject)
		return
	case control.Type != untimed(a.Type):
		v.reject(b, asdu.UnknownType)
		return
	case a.Test: // it mustn't change anything
		v.refuse(b, a.Cause)
		return
	}
	c := Command{Control: control, Object: o, Master: v.remote}
	if a.Type.Timed() > 0 {
		at, right := o.Time.In(s.config.Zone)
		if !right || o.Time.Invalid {
			v.refuse(b, a.Cause)
			return
		}
		c.Time = at
	}
	switch {
	case a.Cause == asdu.Deactivation && v.deselect(k):
		v.accept(b, a.Cause)
	case a.Cause != asdu.Activation:
		v.refuse(b, a.Cause)
	case o.Select:
		if !control.Select || !s.reserve(k, v) {
			v.refuse(b, a.Cause)
			return
		}
		s.executing.Go(func() { v.selectFor(ctx, k, c, b) })
	case !s.begin(k, v, control, o):
		v.refuse(b, a.Cause)
	default:
		s.executing.Go(func() { v.execute(ctx, k, c, b) })
	}
}

// selectFor selects a control for the master.
func (v *session) selectFor(ctx context.Context, k key, c Command, b []byte) {
	s := v.server
	err := s.owner.Select(ctx, c)
	if err != nil {
		s.log.Warn("a selection is refused", "object", k, "master", v.remote, "error", err)
	}
	s.mu.Lock()
	delete(s.running, k)
	if err == nil {
		s.selected[k] = selection{v, c, time.Now().Add(s.config.Select)}
	}
	s.mu.Unlock()
	if !v.say(answer{asdu: mirror(b, asdu.ActivationCon, err != nil)}) && err == nil {
		v.deselect(k)
	}
}

// say has the session answer, and reports whether it is still there.
func (v *session) say(a answer) bool {
	select {
	case v.ended <- a:
		return true
	case <-v.done:
		return false
	}
}

// selects is what of a command has to be the same when it is selected and executed.
func selects(o asdu.Object) asdu.Object {
	return asdu.Object{Address: o.Address, Value: o.Value, Qualifier: o.Qualifier}
}

// execute has a command executed, and says when that has ended.
func (v *session) execute(ctx context.Context, k key, c Command, b []byte) {
	s := v.server
	accepted := false
	err := s.owner.Execute(ctx, c, func() {
		if !accepted {
			accepted = true
			v.say(answer{asdu: mirror(b, asdu.ActivationCon, false)})
		}
	})
	if err != nil {
		s.log.Warn("a command has failed", "object", k, "master", v.remote, "error", err)
	}
	after := s.end(k)
	if !accepted {
		v.say(answer{asdu: mirror(b, asdu.ActivationCon, err != nil)})
	}
	if accepted || err == nil {
		v.say(answer{mirror(b, asdu.ActivationTermin, err != nil), after})
	}
}

// reserve reports whether a control may be selected: nobody else has, and it isn't executed.
// Nobody else does until it is decided.
func (s *Server) reserve(k key, v *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, is := s.selected[k]
	if s.running[k] || is && one.by != v && time.Now().Before(one.until) {
		return false
	}
	s.running[k] = true
	return true
}

// begin reports whether a control may be executed, and notes that it is then. A selection
// serves once.
func (s *Server) begin(k key, v *session, c Control, o asdu.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[k] {
		return false
	}
	if c.Select {
		one, is := s.selected[k]
		if !is || one.by != v {
			return false
		}
		delete(s.selected, k)
		if time.Now().After(one.until) || selects(one.command.Object) != selects(o) {
			return false
		}
	}
	s.running[k] = true
	return true
}

// end notes that a control isn't executed any more, and returns the number of the last event.
func (s *Server) end(k key) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, k)
	return s.events
}

// deselect gives up a selection of the session, and reports whether there was one.
func (v *session) deselect(k key) bool {
	s := v.server
	s.mu.Lock()
	defer s.mu.Unlock()
	one, is := s.selected[k]
	if !is || one.by != v {
		return false
	}
	delete(s.selected, k)
	if time.Now().After(one.until) {
		return false
	}
	s.executing.Go(func() { s.owner.Cancel(one.command) })
	return true
}
