package session

import (
	"context"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// untold are the signals that a device told of before the session began, and hasn't told
// of again, by name. Until it does, nobody else says that they have no value.
type untold map[string]earlier

type earlier struct {
	adapters.Found
	signal telemetry.SignalID
}

// remember finds out who they are, before the device is read. It fails if ctx ends.
func (s *Session) remember(ctx context.Context) error {
	r, keeps := s.sink.(adapters.Registrar)
	if !keeps || !s.about.Open {
		return nil
	}
	found, ids, err := r.Known(ctx, s.about.ID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untold = untold{}
	for i, f := range found {
		if ids[i] != 0 {
			s.untold[f.Name] = earlier{f, ids[i]}
		}
	}
	return nil
}

// Earlier are the signals that the device told of before the session began and hasn't
// told of again, in no order.
func (s *Session) Earlier() []adapters.Found {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]adapters.Found, 0, len(s.untold))
	for _, e := range s.untold {
		list = append(list, e.Found)
	}
	return list
}

// Untold says of those of them that which picks that they have no value, once of each.
func (s *Session) Untold(now time.Time, q telemetry.Quality, which func(adapters.Found) bool) []telemetry.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	var samples []telemetry.Sample
	for name, e := range s.untold {
		if which(e.Found) {
			samples = append(samples, telemetry.Sample{Time: telemetry.MicrosOf(now), Signal: e.signal, Quality: q})
			delete(s.untold, name)
		}
	}
	return samples
}

func all(adapters.Found) bool { return true }

// withUntold adds to a result what has to be said of them: when the device doesn't answer,
// and when it has had the time to tell of all that it has.
func (s *Session) withUntold(r Result) []telemetry.Sample {
	switch {
	case r.Past:
		return r.Samples
	case r.Cause != nil:
	case s.answersSince.IsZero():
		s.answersSince = r.Received
		return r.Samples
	case s.about.ToldWithin == 0 || r.Received.Sub(s.answersSince) < s.about.ToldWithin:
		return r.Samples
	}
	samples := s.Untold(r.Received, Bad(telemetry.NotConnected)|telemetry.Stale, all)
	return append(r.Samples[:len(r.Samples):len(r.Samples)], samples...)
}
