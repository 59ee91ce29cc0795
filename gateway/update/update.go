package update

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/firmware-config/bundle"
	"github.com/busbar/busbar/telemetry"
)

// Options are what updates need of the machine.
type Options struct {
	Slots Slots
	// Keys are those of whom bundles are taken; nil: of nobody.
	Keys bundle.Keys
	Dir  string // on the data partition, for updates alone
	// Reboot has the machine restart soon, in order. It says the argument to the firmware.
	Reboot func(argument string)
	// Limit has the machine restart after a while, whatever hangs; 0 lifts that.
	Limit func(time.Duration)
	// Free is how many bytes are free where Dir is.
	Free func() (int64, error)
	Log  *slog.Logger

	hold time.Duration // 0 means the constant
}

// Updater installs versions, and confirms or gives up the one that runs. It outlives the
// gateway, which may not come up with what is on trial. Its methods may be called from
// several goroutines.
type Updater struct {
	o          Options
	started    time.Time
	gathering  sync.Mutex // held while a bundle comes
	installing sync.Mutex // held while one is verified and staged

	mu      sync.Mutex
	journal journal
	trial   bool
	within  time.Duration
	tried   bool   // a gateway has run since the start, or failed to: the deadline stands
	lacking string // why the version on trial isn't confirmed yet
	mayPass bool   // and whether that may be otherwise at another time
	problem string // of the channel or the last fetch; "": none
	refused *Refusal

	// Of the goroutine that follows the channel:
	fault refusal // of what it offered last
	cuts  int     // fetches since anything came
	said  string  // what was wrong when it looked last; "": nothing
}

const (
	// hold is how long nothing may be lacking before a version is confirmed.
	hold = 30 * time.Second
	// Within is how long a version has to prove itself that can't read the configuration.
	Within = 10 * time.Minute
	// grace is how much later than a restart was due the watchdog makes one.
	grace = 2 * time.Minute
	look  = time.Second
)

// Open finds out what the last start has made of an update.
func Open(o Options) (*Updater, error) {
	if o.hold == 0 {
		o.hold = hold
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	u := &Updater{o: o, started: time.Now(), within: Within, lacking: "no gateway has run"}
	var err error
	if u.journal, err = readJournal(o.Dir); err != nil {
		o.Log.Error("what is known of updates can't be read; it begins anew", "error", err)
	}
	others, err := o.Slots.Others()
	if err != nil {
		return nil, fmt.Errorf("update: read the slots: %w", err)
	}
	running := o.Slots.Running()
	if u.trial = u.journal.settle(running, others, time.Now()); u.trial {
		o.Limit(Within + grace)
		o.Log.Warn("this version is on trial", "version", running.Version, "slot", running.Number, "starts_left", running.Left)
	} else {
		o.Limit(0)
	}
	if last := u.journal.Last; last != nil && !last.Told && !last.Confirmed {
		o.Log.Error("an update was rolled back", "version", last.Version, "cause", last.Cause)
	}
	if err := u.journal.write(o.Dir); err != nil { // a version on trial is to be left all the same
		o.Log.Error("what becomes of updates can't be noted", "error", err)
	}
	return u, nil
}

// OnTrial reports whether the running version isn't confirmed.
func (u *Updater) OnTrial() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.trial
}

// Guard gives up a version that isn't confirmed in time, whether a gateway runs or not,
// until ctx ends.
func (u *Updater) Guard(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for u.OnTrial() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		u.mu.Lock()
		due, cause, mayPass := u.trial && time.Since(u.started) > u.within, u.lacking, u.mayPass
		u.mu.Unlock()
		if due {
			u.giveUp(cause, mayPass)
			return
		}
	}
}

// Opening says that a gateway goes on looking through what an earlier process has left: the
// time in which a version has to prove itself begins after it. That holds for the first that
// does: one that fails and is tried again would put off its end for ever.
func (u *Updater) Opening() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.trial || u.tried {
		return
	}
	u.started = time.Now()
	u.o.Limit(u.within + grace)
}

// Lacks says why the version isn't confirmed; of one that isn't on trial that is nothing.
func (u *Updater) Lacks(why string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tried, u.lacking, u.mayPass = true, why, false
}

// giveUp leaves the version to the loader, which takes it up as often as it has starts left.
func (u *Updater) giveUp(cause string, mayPass bool) {
	u.o.Log.Error("this version hasn't proved itself in time and is left", "version", u.o.Slots.Running().Version, "cause", cause)
	err := u.change(func(j *journal) {
		if j.Attempt != nil {
			j.Attempt.Cause = strings.ToValidUTF8(cause[:min(len(cause), mostCause)], "")
			j.Attempt.Passing = mayPass
		}
	})
	if err != nil {
		u.o.Log.Error("why the version is left can't be noted", "error", err)
	}
	u.o.Reboot("")
}

// change changes the journal, also on the medium.
func (u *Updater) change(f func(*journal)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.journal)
	return u.journal.write(u.o.Dir)
}

// Health is how a gateway does.
type Health struct {
	Writable     bool     // the buffer takes what is read
	Acknowledged bool     // the log has acknowledged something since the start
	Devices      []string // that are configured
	Answering    []string // of those, that have answered since the start, and still do
}

// Gateway is the one that runs.
type Gateway interface {
	Health() Health
	// Tell has the buffer keep an event.
	Tell(telemetry.Event) error
	Now() time.Time // as far as that is known
}

// lacks is what a version on trial hasn't proved yet.
func (a *attempt) lacks(h Health, allowOffline bool) (list []string) {
	if !h.Writable {
		list = append(list, "the buffer can't be written")
	}
	if !h.Acknowledged && !allowOffline {
		list = append(list, "the log has acknowledged nothing")
	}
	for _, device := range a.Devices {
		if slices.Contains(h.Devices, device) && !slices.Contains(h.Answering, device) {
			list = append(list, fmt.Sprintf("device %s answered before and doesn't", device))
		}
		if len(list) == mostLacking {
			return append(list, "and more")
		}
	}
	return list
}

const (
	mostLacking = 10
	mostCause   = 1000 // bytes
)

// Policy is what the configuration says about updates.
type Policy struct {
	Gateway      string // its id
	Zone         string
	Source       *Source
	Window       bundle.Window
	AllowOffline bool
	Within       time.Duration // that a version has to prove itself
}

// Run confirms the version that runs when the gateway proves itself with it, tells what came
// of the update before, and follows the channel, until ctx ends.
func (u *Updater) Run(ctx context.Context, g Gateway, p Policy) {
	u.mu.Lock()
	u.tried, u.within = true, p.Within
	trial, left := u.trial, p.Within-time.Since(u.started)
	u.mu.Unlock()
	if trial {
		u.o.Limit(left + grace)
		if !u.prove(ctx, g, p) {
			return
		}
	}
	u.tell(ctx, g)
	if p.Source != nil {
		u.follow(ctx, g, p)
	}
}

// prove returns true when the version is confirmed, and false when ctx has ended.
func (u *Updater) prove(ctx context.Context, g Gateway, p Policy) bool {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	well := time.Now()
	for {
		health := g.Health()
		u.mu.Lock()
		lacks := u.journal.Attempt.lacks(health, p.AllowOffline)
		u.lacking, u.mayPass = strings.Join(lacks, "; "), true
		u.mu.Unlock()
		switch {
		case len(lacks) > 0:
			well = time.Now()
		case time.Since(well) >= u.o.hold:
			err := u.confirm(g.Now())
			if err == nil {
				return true
			}
			u.o.Log.Error("the version can't be confirmed", "error", err)
			u.Lacks(fmt.Sprintf("it can't be confirmed: %v", err))
			well = time.Now()
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

func (u *Updater) confirm(now time.Time) error {
	if err := u.o.Slots.Confirm(); err != nil {
		return err
	}
	u.o.Limit(0)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.trial = false
	u.journal.confirmed(now)
	u.o.Log.Info("this version is confirmed", "version", u.journal.Last.Version)
	if err := u.journal.write(u.o.Dir); err != nil { // the next start finds it out
		u.o.Log.Error("that the version is confirmed can't be noted", "error", err)
	}
	return nil
}

// tell has the log know what came of the last update, and then removes the slot of one that
// was rolled back, which shows that it was.
func (u *Updater) tell(ctx context.Context, g Gateway) {
	u.mu.Lock()
	last := u.journal.Last
	u.mu.Unlock()
	if last == nil || last.Told {
		return
	}
	now := g.Now()
	e := telemetry.Event{Kind: telemetry.UpdateConfirmed, Time: telemetry.MicrosOf(now), Decided: telemetry.MicrosOf(now),
		Update: &telemetry.Update{Version: last.Version, From: last.From, Epoch: last.Epoch, Cause: last.Cause}}
	if !last.Confirmed {
		e.Kind = telemetry.UpdateRolledBack
	}
	for ctx.Err() == nil {
		err := g.Tell(e)
		if err == nil {
			break
		}
		u.o.Log.Error("what came of an update can't be told yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * look):
		}
	}
	var err error
	if !last.Confirmed && last.Slot != u.o.Slots.Running().Number {
		err = u.o.Slots.Drop(last.Slot)
	}
	err = errors.Join(err, u.change(func(j *journal) { j.Last.Told = true }))
	if err != nil {
		u.o.Log.Error("an update that was rolled back can't be cleared away", "error", err)
	}
}
