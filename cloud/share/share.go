// Package share divides work among the processes that run on one database: each has as
// many parts of it as any other, give or take one, and a part has one of them at a time.
// What is of one part only is done by one, and the others stand by.
//
// That is for speed and quiet. It isn't what keeps two from doing the same: a process
// that doesn't know yet that it has lost a part is fenced by what it writes, as
// store.Tx.Advance does it.
package share

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/store"
)

// Config says what is divided.
type Config struct {
	Store *store.Store
	Work  string // its name: who names the same divides the same
	// Parts is how many there are. It is asked now and then: they may become more. Nil: 1.
	Parts  func(context.Context) (int, error)
	Logger *slog.Logger
}

// Division is a process's place in it.
type Division struct {
	cfg   Config
	mu    sync.Mutex
	state State
}

// State is what a process has.
type State struct {
	Share   store.Share
	Members int // processes that are there, with this one
	// Idle is when this one was last seen to be there and to have nothing to do.
	Idle time.Time
	// Took is since when it has its share, if that is any. After an error both are as
	// they were, and there is no share.
	Took time.Time
}

// New prepares it.
func New(cfg Config) *Division { return &Division{cfg: cfg} }

// State may be asked for at any time.
func (d *Division) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

func (d *Division) set(s State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = s
}

// lose forgets the share.
func (d *Division) lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = State{Idle: d.state.Idle, Took: d.state.Took}
}

const (
	lookEvery  = time.Second
	countEvery = 30 * time.Second
	countTime  = 5 * time.Second // that it may take
	mostCauses = 10              // to log until the work is shared again: texts may hold ports that are never the same
)

// Run has the work done until ctx ends. Do gets the share and does its work until its own
// ctx ends, which is when the share changes, or can't be known any more: it then brings to
// an end what it has begun, and returns, before others get what it had. It isn't called
// without any parts. With a store that isn't Shared, all of the work is this process's.
func (d *Division) Run(ctx context.Context, do func(ctx context.Context, mine store.Share)) {
	if !d.cfg.Store.Shared() {
		do(ctx, store.Share{})
		return
	}
	causes := map[string]bool{}
	for {
		err := d.take(ctx, do, func() { clear(causes) })
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); !causes[text] && len(causes) < mostCauses {
			causes[text] = true
			d.cfg.Logger.Warn("the work can't be shared, trying again", "work", d.cfg.Work, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}

// take is a membership: from joining to the first error, or the end of ctx.
func (d *Division) take(ctx context.Context, do func(context.Context, store.Share), ok func()) error {
	// First, or whoever can't count would have others give up parts.
	parts, err := d.count(ctx)
	if err != nil {
		return err
	}
	counted := time.Now()
	member, err := d.cfg.Store.Join(ctx, d.cfg.Work)
	if err != nil {
		return err
	}
	defer member.Leave()
	w := worker{do: do}
	defer d.lose()
	defer w.stop() // before the parts are given back
	for {
		if time.Since(counted) >= countEvery {
			if n, err := d.count(ctx); err == nil {
				parts = n
			}
			counted = time.Now()
		}
		if err := d.balance(ctx, member, &w, parts); err != nil {
			return err
		}
		ok()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

func (d *Division) count(ctx context.Context) (int, error) {
	if d.cfg.Parts == nil {
		return 1, nil
	}
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	return d.cfg.Parts(ctx)
}

// balance gives back what is too much, or takes what is free and too little.
func (d *Division) balance(ctx context.Context, member *store.Member, w *worker, parts int) error {
	rank, members, taken, err := member.Look(ctx)
	if err != nil {
		return err
	}
	due := parts / members
	if rank < parts%members {
		due++
	}
	want := slices.DeleteFunc(slices.Clone(w.share.Parts), func(p int) bool { return p >= parts })
	want = want[:min(len(want), due)]
	var got []int
	for p := 0; p < parts && len(want)+len(got) < due; p++ {
		if taken[p] {
			continue
		}
		mine, err := member.Take(ctx, p)
		if err != nil {
			return err
		}
		if mine {
			got = append(got, p)
		}
	}
	next := store.Share{Of: parts, Parts: append(want, got...)}
	slices.Sort(next.Parts)
	state := State{Share: next, Members: members, Took: d.State().Took}
	if len(next.Parts) == 0 {
		state.Idle, state.Took = time.Now(), time.Time{}
	}
	if w.share.Of == next.Of && slices.Equal(w.share.Parts, next.Parts) {
		d.set(state)
		return nil
	}
	before := w.share.Parts
	w.stop()
	for _, p := range before {
		if !slices.Contains(next.Parts, p) {
			if err := member.Give(ctx, p); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.cfg.Logger.Info("sharing the work", "work", d.cfg.Work, "parts", fmt.Sprint(next.Parts), "of", parts, "processes", members)
	if len(next.Parts) > 0 {
		state.Took = time.Now()
	}
	d.set(state)
	w.start(ctx, next)
	return nil
}

// worker is the work that is under way.
type worker struct {
	do    func(context.Context, store.Share)
	share store.Share
	end   func() // ends it, and waits for that; nil: nothing is under way
}

func (w *worker) start(ctx context.Context, share store.Share) {
	w.share = share
	if len(share.Parts) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.do(ctx, share)
	}()
	w.end = func() { cancel(); <-ended }
}

func (w *worker) stop() {
	if w.end != nil {
		w.end()
		w.end = nil
	}
}
