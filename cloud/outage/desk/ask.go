package desk

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
)

const (
	// askFor is how long a gateway may take to answer.
	askFor = 15 * time.Second
	// asking is how many questions are asked at once.
	asking = 8
)

// ask puts questions without waiting: what there is no room for is asked again.
func (s *session) ask(asks []outage.Ask) {
	if s.cfg.Ping == nil {
		return
	}
	for _, a := range asks {
		select {
		case s.asks <- a:
		default:
		}
	}
}

// answerAsks puts questions to gateways. That one answers, and what of its devices, comes as an event;
// that it doesn't is kept here.
func (s *session) answerAsks(ctx context.Context) {
	var running sync.WaitGroup
	for range asking {
		running.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case a := <-s.asks:
					if a.Gateway != "" {
						s.answer(ctx, a)
					}
				}
			}
		})
	}
	running.Wait()
}

// answer asks a gateway: to read its meters at the points that the question is about, or
// else whether it is there.
func (s *session) answer(ctx context.Context, a outage.Ask) {
	limited, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	devices, err := s.metersAt(limited, a)
	if err == nil && len(devices) == 0 {
		err = s.cfg.Ping(limited, a.Gateway)
	} else if err == nil {
		err = s.readAll(limited, a.Gateway, devices)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	err = s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		return evidence.Note(t, evidence.Observation{Comment: err.Error(),
			Evidence: outage.Evidence{Kind: outage.PingUnanswered, Gateway: a.Gateway, Arrival: int64(Now())}})
	})
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.Warn("that a gateway doesn't answer can't be kept", "gateway", a.Gateway, "error", err)
	}
}

// readAll has devices read, all at once: the gateway reads one after the other where they
// share a bus. The error is that of the first one that it hasn't answered about.
func (s *session) readAll(ctx context.Context, gateway string, devices []string) (err error) {
	var reading sync.WaitGroup
	var mu sync.Mutex
	for _, device := range devices {
		reading.Go(func() {
			if failed := s.cfg.Read(ctx, gateway, device); failed != nil {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					err = failed
				}
			}
		})
	}
	reading.Wait()
	return err
}

// metersAt are the devices by which the gateway measures at the points that a question is
// about.
func (s *session) metersAt(ctx context.Context, a outage.Ask) (devices []string, err error) {
	if s.cfg.Read == nil {
		return nil, nil
	}
	err = s.cfg.Store.Read(ctx, func(t *store.Tx) error {
		for _, point := range a.Points {
			err := t.Each(func(r *sql.Rows) error {
				var device string
				err := r.Scan(&device)
				devices = append(devices, device)
				return err
			}, `SELECT DISTINCT device FROM series WHERE gateway = ? AND asset = ? ORDER BY 1`, a.Gateway, point)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return devices, err
}
