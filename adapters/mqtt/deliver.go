package mqtt

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

// take reads messages, and while there are signals that were found, those that come
// behind them: registering is dear. It returns those that wait for the disk. What it has
// read is good also if the connection fails.
func (l *listener) take(ctx context.Context, conn *mqttconn.Conn, got []mqttconn.Received, in *mqttconn.Arrivals) (unacknowledged []message, err error) {
	var until time.Time
	for {
		var kept []mqttconn.Received
		for _, m := range got {
			if !l.onDisk.has(m) {
				l.reader.take(m)
			}
			switch {
			case m.QoS == 0 || l.apart:
			case m.Retained && len(unacknowledged) == 0 && l.acks.empty():
				// The next connection gets it again in any case, and the broker sends no more
				// than a few messages that aren't acknowledged.
				kept = append(kept, m)
			default:
				unacknowledged = append(unacknowledged, remember(m))
			}
		}
		if err := conn.Acknowledge(kept); err != nil {
			return unacknowledged, err
		}
		in.Next()
		now := time.Now()
		if until.IsZero() {
			until = now.Add(gatherFor)
		}
		if len(l.reader.fresh) == 0 || len(l.reader.batch) >= mostGathered || now.After(until) {
			return unacknowledged, nil
		}
		timer := time.NewTimer(quiet)
		select {
		case more, ok := <-in.Messages:
			timer.Stop()
			if !ok {
				return unacknowledged, in.Err()
			}
			got = more
		case <-timer.C:
			return unacknowledged, nil
		case <-ctx.Done():
			timer.Stop()
			return unacknowledged, nil
		}
	}
}

// deliver delivers what take has read. committed, if it isn't nil, is for who waits for
// the disk.
func (l *listener) deliver(ctx context.Context, committed func(bool)) error {
	r := l.reader
	if len(r.fresh) > 0 {
		ids, err := l.session.Register(ctx, r.toRegister())
		if err != nil {
			abandon(committed)
			return fmt.Errorf("register signals: %w", err)
		}
		r.register(ids)
	}
	l.complain()
	now := time.Now()
	if len(r.past)+len(r.batch) > 0 {
		l.any, l.came = true, now
		if l.quiet {
			l.quiet = false
			l.session.Log().Info("messages come again")
		}
	}
	if len(r.past) > 0 {
		past := session.Result{Samples: r.past, Received: now, Cause: l.cause(), Past: true}
		past.Committed, committed = both(committed)
		if err := l.session.Deliver(ctx, past); err != nil {
			abandon(past.Committed)
			return err
		}
	}
	if len(r.batch) == 0 {
		r.delivered()
		if committed != nil {
			committed(true) // there is nothing else to keep of them
		}
		return l.available(ctx)
	}
	result := session.Result{Samples: r.batch, Received: now, Cause: l.cause(), Committed: committed}
	// What was placed behind another value of the same moment isn't later than that.
	for _, s := range r.batch {
		if later := s.Time - telemetry.MicrosOf(result.Received); later > 0 && s.Quality.TimeQuality() == telemetry.GatewayTime {
			result.Received = result.Received.Add(time.Duration(later) * time.Microsecond)
		}
	}
	if err := l.session.Deliver(ctx, result); err != nil {
		abandon(committed)
		return err
	}
	r.delivered()
	return l.available(ctx)
}

// abandon is that nothing that was to be kept ever will be.
func abandon(committed func(bool)) {
	if committed != nil {
		committed(false)
	}
}

// both is committed for two deliveries, each of which has to be on disk.
func both(committed func(bool)) (one, other func(bool)) {
	if committed == nil {
		return nil, nil
	}
	var left atomic.Int32
	left.Store(2)
	each := func(is bool) {
		if !is {
			left.Store(0)
			committed(false)
		} else if left.Add(-1) == 0 {
			committed(true)
		}
	}
	return each, each
}

// available says when the device, or one of many sources, has gone, and when the device
// is there again.
func (l *listener) available(ctx context.Context) error {
	gone, back := l.reader.takeTurned()
	if len(gone) > 0 {
		if err := l.lacking(ctx, l.cause(), func(p *point) bool { return slices.Contains(gone, p.source) }); err != nil {
			return err
		}
		now := time.Now()
		untold := l.session.Untold(now, session.Bad(telemetry.NotConnected)|telemetry.Stale, func(f adapters.Found) bool {
			return slices.ContainsFunc(gone, func(s *source) bool { return l.reader.tells(s, f) })
		})
		if len(untold) > 0 {
			if err := l.session.Deliver(ctx, session.Result{Samples: untold, Received: now, Cause: l.cause()}); err != nil {
				return err
			}
		}
	}
	now, was := time.Now(), l.offline
	l.offline = l.reader.whole.gone()
	switch {
	case l.offline && !was:
		return l.lacking(ctx, l.cause(), func(p *point) bool { return p.source != nil })
	case was && !l.offline || len(back) > 0:
		return l.session.Deliver(ctx, session.Result{Received: now, Samples: l.reader.restore(now), Cause: l.cause()})
	}
	return nil
}

// complain says what payloads aren't what was expected, now and then.
func (l *listener) complain() {
	if l.reader.malformed != "" && time.Since(l.broken) >= noticed {
		l.broken = time.Now()
		l.session.Log().Warn("a message isn't what was expected", "error", l.reader.malformed)
	}
	l.reader.malformed = ""
	if l.reader.leftOut != "" && !l.leftOut {
		l.leftOut = true
		l.session.Log().Warn("topics aren't read whose name another signal has, or none can have, or that are too many", "topic", l.reader.leftOut)
	}
}
