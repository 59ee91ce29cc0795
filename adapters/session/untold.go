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

// remember asks once who they are.
func (s *Session) remember(ctx context.Context) (untold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untold != nil {
		return s.untold, nil
	}
	list := untold{}
	found, ids, err := s.Known(ctx)
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		if ids[i] != 0 {
			list[f.Name] = earlier{f, ids[i]}
		}
	}
	s.untold = list
	return list, nil
}

// Untold says of the signals that the device told of earlier and hasn't told of again
// that they have no value, once of each that which picks.
func (s *Session) Untold(ctx context.Context, now time.Time, q telemetry.Quality, which func(adapters.Found) bool) ([]telemetry.Sample, error) {
	list, err := s.remember(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var samples []telemetry.Sample
	for name, e := range list {
		if which(e.Found) {
			samples = append(samples, telemetry.Sample{Time: telemetry.MicrosOf(now), Signal: e.signal, Quality: q})
			delete(list, name)
		}
	}
	return samples, nil
}

func all(adapters.Found) bool { return true }

// withUntold adds to a result what has to be said of them: when the device doesn't answer,
// and when it has had the time to tell of all that it has.
func (s *Session) withUntold(ctx context.Context, r Result) ([]telemetry.Sample, error) {
	switch {
	case !s.about.Open || r.Past:
		return r.Samples, nil
	case r.Cause != nil:
		s.answersSince = time.Time{}
	case s.answersSince.IsZero():
		s.answersSince = r.Received
		return r.Samples, nil
	case s.about.ToldWithin == 0 || r.Received.Sub(s.answersSince) < s.about.ToldWithin:
		return r.Samples, nil
	}
	samples, err := s.Untold(ctx, r.Received, Bad(telemetry.NotConnected)|telemetry.Stale, all)
	return append(r.Samples[:len(r.Samples):len(r.Samples)], samples...), err
}
