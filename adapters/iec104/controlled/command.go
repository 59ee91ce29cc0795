package controlled

import (
	"context"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
)

// selection is a control that a master has selected.
type selection struct {
	by     *session
	object asdu.Object // without its time
	until  time.Time
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
	case a.Cause == asdu.Deactivation && s.deselect(k, v):
		v.accept(b, a.Cause)
	case a.Cause != asdu.Activation:
		v.refuse(b, a.Cause)
	case o.Select:
		if !control.Select || !s.free(k, v) || s.owner.Accept(c) != nil {
			v.refuse(b, a.Cause)
			return
		}
		s.mu.Lock()
		s.selected[k] = selection{v, selects(o), time.Now().Add(s.config.Select)}
		s.mu.Unlock()
		v.accept(b, a.Cause)
	case !s.begin(k, v, control, o):
		v.refuse(b, a.Cause)
	default:
		if s.owner.Accept(c) != nil {
			s.end(k)
			v.refuse(b, a.Cause)
			return
		}
		v.accept(b, a.Cause)
		s.executing.Go(func() { v.execute(ctx, k, c, b) })
	}
}

// selects is what of a command has to be the same when it is selected and executed.
func selects(o asdu.Object) asdu.Object {
	return asdu.Object{Address: o.Address, Value: o.Value, Qualifier: o.Qualifier}
}

// execute has a command executed, and says when that has ended.
func (v *session) execute(ctx context.Context, k key, c Command, b []byte) {
	s := v.server
	err := s.owner.Execute(ctx, c)
	if err != nil {
		s.log.Warn("a command has failed", "object", k, "master", v.remote, "error", err)
	}
	after := s.end(k)
	select {
	case v.ended <- answer{mirror(b, asdu.ActivationTermin, err != nil), after}:
	case <-v.done:
	}
}

// free reports whether a control may be selected: nobody else has, and it isn't executed.
func (s *Server) free(k key, v *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, is := s.selected[k]
	return !s.running[k] && (!is || one.by == v || time.Now().After(one.until))
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
		if time.Now().After(one.until) || one.object != selects(o) {
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
func (s *Server) deselect(k key, v *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, is := s.selected[k]
	if !is || one.by != v {
		return false
	}
	delete(s.selected, k)
	return time.Now().Before(one.until)
}
