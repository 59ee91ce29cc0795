// Package notify tells other systems of alarms: webhooks and mail of each change, in order
// and at least once, or of what nobody has acknowledged after some time, and Alertmanagers
// of what is active.
package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
)

// Config says who is told.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default
	// Console is the address of the console as others reach it, which alerts lead to; "":
	// they lead nowhere.
	Console       string
	Webhooks      []Webhook
	Mails         []Mail
	Alertmanagers []Alertmanager
}

// Runner tells them. Each has a goroutine of its own, so none waits for another, and no
// queue but the stream of facts.
type Runner struct {
	cfg           Config
	pace          pace
	followers     []*follower
	alertmanagers []*pusher
}

// pace is how long is waited for what. Tests wait less.
type pace struct {
	outgoing.Backoff
	late  time.Duration // a change that waits for longer is told of
	again time.Duration // before an alert is sent again
}

var ordinary = pace{outgoing.Ordinary, 24 * time.Hour, time.Minute}

// New reads the certificate authorities; secrets are read at each delivery.
func New(cfg Config) (*Runner, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	r := &Runner{cfg: cfg, pace: ordinary}
	for _, w := range cfg.Webhooks {
		h, err := newHook(r, w)
		if err != nil {
			return nil, err
		}
		r.followers = append(r.followers, h)
	}
	for _, m := range cfg.Mails {
		f, err := newMailer(r, m)
		if err != nil {
			return nil, err
		}
		r.followers = append(r.followers, f)
	}
	for _, a := range cfg.Alertmanagers {
		p, err := newPusher(r, a)
		if err != nil {
			return nil, err
		}
		r.alertmanagers = append(r.alertmanagers, p)
	}
	return r, nil
}

// Run works until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { r.followAll(ctx) })
	for _, p := range r.alertmanagers {
		running.Go(func() { p.run(ctx) })
	}
	running.Wait()
}

// followAll forgets the targets that are gone and serves the others.
func (r *Runner) followAll(ctx context.Context) {
	var names []string
	for _, h := range r.followers {
		names = append(names, h.name)
	}
	r.untilItWorks(ctx, "the targets", func() error {
		gone, err := r.cfg.Store.KeepNotifyTargets(ctx, names)
		for _, g := range gone {
			r.cfg.Logger.Warn("a target isn't in the configuration any more, and is forgotten", "target", g.Name, "behind", g.Behind)
		}
		return err
	})
	var running sync.WaitGroup
	for _, h := range r.followers {
		running.Go(func() { h.run(ctx) })
	}
	running.Wait()
}

// untilItWorks repeats what fails while the database does.
func (r *Runner) untilItWorks(ctx context.Context, what string, do func() error) {
	for failed := false; ctx.Err() == nil; failed = true {
		err := do()
		if err == nil {
			return
		}
		if !failed && ctx.Err() == nil {
			r.cfg.Logger.Error("can't go on with "+what+", trying again", "error", err)
		}
		outgoing.Sleep(ctx, 2*time.Second)
	}
}

// Stats is what became of what one target was sent, since the Runner was made.
type Stats struct {
	Target    string    // as the configuration calls it
	Kind      string    // webhook, mail or alertmanager
	Delivered uint64    // changes, or alerts each time
	Failed    uint64    // attempts that are made again
	Refused   uint64    // changes or alerts that were given up
	Failing   time.Time // since when nothing can be delivered; zero: it can
}

// Stats may be called at any time.
func (r *Runner) Stats() []Stats {
	var list []Stats
	for _, h := range r.followers {
		list = append(list, h.snapshot())
	}
	for _, p := range r.alertmanagers {
		list = append(list, p.snapshot())
	}
	return list
}

type counters struct {
	mu    sync.Mutex
	stats Stats
}

func (c *counters) update(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
