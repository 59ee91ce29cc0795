package notify

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Choice is what a target is told of.
type Choice struct {
	Match   Match
	Changes []alarm.Action // none: all
	// After, if it isn't 0, restricts it to alarms that are still active when they have asked
	// for attention for so long, and that nobody has acknowledged or keeps quiet.
	After time.Duration
	// Gather is for how long is waited for further changes, which are told together; 0: each
	// is told by itself.
	Gather time.Duration
}

// Unattended is what a target with After is told of.
const Unattended alarm.Action = "unacknowledged"

// follower tells a target of changes in their order, at least once. How far it has come is
// in the database.
type follower struct {
	*Runner
	counters
	Choice
	name string
	kind string
	post func(context.Context, []alarm.Told) error // of one change, or with Gather of some
	at   store.NotifyTarget
	late time.Time // when it was told that the target is far behind
}

func newFollower(r *Runner, kind, name string, c Choice, post func(context.Context, []alarm.Told) error) *follower {
	return &follower{Runner: r, Choice: c, name: name, kind: kind, post: post, counters: counters{stats: Stats{Target: name, Kind: kind}}}
}

const (
	changesAtOnce = 100
	lookEvery     = time.Minute
	moveTime      = 10 * time.Second
)

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		f.untilItWorks(ctx, f.kind+" "+f.name, func() (err error) {
			f.at, err = f.cfg.Store.NotifyTarget(ctx, f.name)
			return err
		})
		f.setFailing(f.at.Failing)
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, store.ErrFenced): // another process has told it
			outgoing.Sleep(ctx, time.Second)
		default:
			f.cfg.Logger.Error(f.kind+" stopped, trying again", "target", f.name, "error", err)
			outgoing.Sleep(ctx, 2*time.Second)
		}
	}
}

// follow delivers what comes, until ctx ends or the database fails, or another process
// has told the target of something.
func (f *follower) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := f.cfg.Store.FactsChanged()
		list, err := alarm.Changes(ctx, f.cfg.Store, f.at.After, changesAtOnce)
		if err != nil {
			return err
		}
		if f.Gather > 0 && slices.ContainsFunc(list, f.wants) {
			outgoing.Sleep(ctx, f.Gather)
			if list, err = alarm.Changes(ctx, f.cfg.Store, f.at.After, changesAtOnce); err != nil {
				return err
			}
		}
		if err := f.takeAll(ctx, list); err != nil {
			return err
		}
		if len(list) > 0 {
			// What the target isn't told of is passed over here, in one step.
			if last := list[len(list)-1].Seq; last > f.at.After {
				if err := f.move(ctx, store.NotifyTarget{Name: f.name, After: last}); err != nil {
					return err
				}
			}
			continue
		}
		timer := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
	return ctx.Err()
}

// wants reports whether a target is told of a change. An alarm that was never announced is
// none for others.
func (f *follower) wants(c alarm.Told) bool {
	if c.Alarm.Unannounced || !f.Match.fits(c.Alarm) {
		return false
	}
	if f.After > 0 {
		return c.Announced
	}
	return len(f.Changes) == 0 || slices.Contains(f.Changes, c.Action)
}

func (f *follower) takeAll(ctx context.Context, list []alarm.Told) error {
	var together []alarm.Told
	for _, c := range list {
		if !f.wants(c) {
			continue
		}
		if f.After > 0 {
			still, err := f.unattended(ctx, &c)
			if err != nil {
				return err
			}
			if !still {
				continue
			}
		}
		if f.Gather > 0 {
			together = append(together, c)
			continue
		}
		if err := f.take(ctx, []alarm.Told{c}); err != nil {
			return err
		}
	}
	if len(together) == 0 {
		return ctx.Err()
	}
	return f.take(ctx, together)
}

// unattended waits until a change is old enough, and makes it what is told then, if the
// alarm still asks for attention. Changes come in the order in which they are due.
func (f *follower) unattended(ctx context.Context, c *alarm.Told) (bool, error) {
	outgoing.Sleep(ctx, time.Until(c.Told.Moment().Add(f.After)))
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	now, _, err := alarm.Get(ctx, f.cfg.Store, c.Alarm.ID)
	if errors.Is(err, alarm.ErrNotFound) {
		return false, nil
	}
	if err != nil || !now.Active || now.Acknowledged || now.Quiet() || now.Decided != c.Alarm.Decided {
		return false, err
	}
	c.Action, c.Alarm = Unattended, now
	return true, nil
}

func (f *follower) take(ctx context.Context, list []alarm.Told) error {
	last := list[len(list)-1]
	for n := 0; ; n++ {
		err := f.post(ctx, list)
		var failure *outgoing.Failure
		switch {
		case err == nil:
			if n > 0 || f.at.Failing != 0 {
				f.cfg.Logger.Info(f.kind+" delivered again", "target", f.name, "seq", last.Seq)
			}
			f.update(func(s *Stats) { s.Delivered += uint64(len(list)) })
			return f.move(ctx, store.NotifyTarget{Name: f.name, After: last.Seq})
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &failure) && failure.Final:
			var refused []store.Refusal
			for _, c := range list {
				f.cfg.Logger.Error(f.kind+" refused for good", "target", f.name, "seq", c.Seq, "alarm", c.Alarm.ID, "change", string(c.Action), "error", err)
				refused = append(refused, store.Refusal{Fact: c.Seq, At: telemetry.MicrosOf(time.Now()), Cause: err.Error()})
			}
			f.update(func(s *Stats) { s.Refused += uint64(len(list)) })
			return f.move(ctx, store.NotifyTarget{Name: f.name, After: last.Seq}, refused...)
		}
		f.update(func(s *Stats) { s.Failed++ })
		if err := f.fails(ctx, last, n, err); err != nil {
			return err
		}
		outgoing.Sleep(ctx, f.pace.Wait(n, err))
	}
}

// fails keeps since when, and says so once, and again for each day.
func (f *follower) fails(ctx context.Context, c alarm.Told, n int, cause error) error {
	now := time.Now()
	if f.at.Failing == 0 {
		if err := f.move(ctx, store.NotifyTarget{Name: f.name, After: f.at.After, Failing: telemetry.MicrosOf(now)}); err != nil {
			return err
		}
	}
	since := f.at.Failing.Time()
	if n == 0 {
		f.cfg.Logger.Warn(f.kind+" can't be delivered, trying again", "target", f.name, "seq", c.Seq, "since", since, "error", cause)
	}
	if now.Sub(since) > f.pace.late && now.Sub(f.late) > f.pace.late {
		f.late = now
		f.cfg.Logger.Error("a "+f.kind+" has waited for long: its target is far behind", "target", f.name, "since", since, "error", cause)
	}
	return nil
}

// move keeps how far the target has been told, also of what was delivered while ctx ended.
func (f *follower) move(ctx context.Context, to store.NotifyTarget, refused ...store.Refusal) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), moveTime)
	defer cancel()
	if err := f.cfg.Store.MoveNotifyTarget(ctx, f.at, to, refused...); err != nil {
		return err
	}
	f.at = to
	f.setFailing(to.Failing)
	return nil
}

func (f *follower) setFailing(since telemetry.Micros) {
	f.update(func(s *Stats) {
		s.Failing = time.Time{}
		if since != 0 {
			s.Failing = since.Time()
		}
	})
}
