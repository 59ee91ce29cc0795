package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/telemetry"
)

// trials are how a gateway comes to run with another configuration. One is tried at a
// time: it is applied, and watched until the devices that had delivered data deliver
// again, and the buffer takes what they say. If they don't within a while, the
// gateway goes back by itself. One that has held waits to be kept: what counts at
// the next start is the file, so it lasts if the file says the same. Until then,
// a gateway that is killed starts with the old one.
type trials struct {
	mu  sync.Mutex // held while something is tried, kept or taken back
	ctx context.Context

	pending *pending // has held, and isn't kept yet
	stop    func() bool

	refusedMu sync.Mutex
	refused   string // of the file, why the gateway doesn't run with it
}

// pending is a configuration that runs and isn't kept.
type pending struct {
	was     *live
	to      setting
	by      string
	began   telemetry.Micros
	changes []gatewayconfig.Change
}

// Trial is what Try is asked for.
type Trial struct {
	Config gatewayconfig.Config
	Source Source // that it was read from
	By     string // who asks
	// Wait is how long devices that delivered data before have to do so again.
	Wait time.Duration
}

// Outcome is what came of a trial.
type Outcome = status.Outcome

var (
	errBusy       = errors.New("another configuration is being tried")
	errNotRunning = errors.New("the gateway isn't running yet, or is stopping")
	errStopped    = errors.New("the gateway stops while it tries the configuration, and will start with the one before")
)

// begin says that there is something to be changed, until ctx ends.
func (t *trials) begin(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx = ctx
}

// end waits for what is tried. What isn't kept ends with the process.
func (t *trials) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop != nil {
		t.stop()
	}
	t.ctx = nil
}

// over forgets the pending one, if there is one: its files and signals take much memory.
func (t *trials) over() {
	if t.stop != nil {
		t.stop()
	}
	t.pending, t.stop = nil, nil
}

func (t *trials) refuse(why string) {
	t.refusedMu.Lock()
	defer t.refusedMu.Unlock()
	t.refused = why
}

func (t *trials) problem() string {
	t.refusedMu.Lock()
	defer t.refusedMu.Unlock()
	return t.refused
}

// keepWithin is how long one that has held waits to be kept.
const keepWithin = 30 * time.Second

// Try runs the gateway with another configuration and returns when that has held, or
// when the gateway has gone back to the one before, which the outcome says. One that
// has held is to be kept: see Keep. On an error nothing has changed: another trial
// goes on, or parts differ that take a restart, which it names.
func (g *Gateway) Try(t Trial) (Outcome, error) {
	if !g.trials.mu.TryLock() {
		return Outcome{}, errBusy
	}
	defer g.trials.mu.Unlock()
	return g.try(t)
}

func (g *Gateway) try(t Trial) (Outcome, error) {
	ctx := g.trials.ctx
	switch {
	case ctx == nil || ctx.Err() != nil:
		return Outcome{}, errNotRunning
	case g.trials.pending != nil:
		return Outcome{}, errBusy
	}
	was := g.live.Load()
	p := &pending{
		was: was, to: setting{config: t.Config, source: t.Source}, by: t.By,
		began: g.clock.Now(), changes: t.Config.Changes(was.setting().config),
	}
	if restarts := gatewayconfig.Restarts(p.changes); len(restarts) > 0 {
		return Outcome{}, needsRestart(restarts)
	}
	var notes []string
	if len(p.changes) > 0 {
		expected := g.expected(ctx, p, t.Wait)
		g.log.Info("another configuration is tried", "by", t.By, "changes", len(p.changes), "wait", t.Wait)
		if err := g.apply(ctx, p.to); ctx.Err() != nil {
			return Outcome{}, errStopped
		} else if err != nil {
			return Outcome{}, err
		}
		causes := g.watch(ctx, expected, t.Wait)
		if ctx.Err() != nil {
			return Outcome{}, errStopped
		}
		if len(causes) > 0 {
			g.takeBack(ctx, p, causes)
			return Outcome{Causes: causes}, nil
		}
		notes = g.silentNew(ctx, p)
	}
	g.trials.pending = p
	g.trials.stop = time.AfterFunc(keepWithin, func() { g.keptInTime(p) }).Stop
	return Outcome{Held: true, Unchanged: len(p.changes) == 0, Notes: notes}, nil
}

func needsRestart(changes []gatewayconfig.Change) error {
	var list []string
	for _, c := range changes {
		list = append(list, c.Name())
	}
	return fmt.Errorf("%s can't change while the gateway runs: that needs a restart, and nothing was changed", strings.Join(list, ", "))
}

// Keep makes the configuration last that has held and has this hash: the file holds
// it now. On an error it will be taken back, unless it is kept in time.
func (g *Gateway) Keep(hash string) error {
	if !g.trials.mu.TryLock() {
		return errBusy
	}
	defer g.trials.mu.Unlock()
	p := g.trials.pending
	if p == nil || hash != p.to.source.hash() {
		return errors.New("there is no such configuration to be kept: it was kept already, or taken back")
	}
	if err := g.inFile(p); err != nil {
		return err
	}
	g.keep(p)
	return nil
}

// inFile reports whether a start would find the configuration.
func (g *Gateway) inFile(p *pending) error {
	if g.options.File == "" {
		return nil
	}
	_, source, err := readSource(g.options.File)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(source.Text, p.to.source.Text):
		return fmt.Errorf("%s doesn't hold it", g.options.File)
	case source.fingerprint() != p.to.source.fingerprint():
		return fmt.Errorf("a profile of %s has changed since it was tried", g.options.File)
	}
	return nil
}

// keptInTime takes back what nobody has kept.
func (g *Gateway) keptInTime(p *pending) {
	g.trials.mu.Lock()
	defer g.trials.mu.Unlock()
	if g.trials.pending != p || g.trials.ctx == nil {
		return
	}
	if err := g.inFile(p); err != nil {
		g.takeBack(g.trials.ctx, p, []string{fmt.Sprintf("it has held, and nobody has kept it within %v: %v", keepWithin, err)})
		return
	}
	g.keep(p)
}

// keep makes a configuration last that has held.
func (g *Gateway) keep(p *pending) {
	g.trials.over()
	g.trials.refuse("")
	g.dropMark()
	if len(p.changes) == 0 {
		g.log.Info("the configuration is the one that runs", "by", p.by)
		now := *p.was
		now.files = newPacker().source(p.to.source)
		g.live.Store(&now)
		return
	}
	g.settle(g.trials.ctx)
	g.log.Info("the configuration has held and is kept", "by", p.by, "devices", len(p.to.config.Devices))
	g.tellConfiguration(telemetry.ConfigurationApplied, p, "")
}

// takeBack runs the gateway with the configuration before.
func (g *Gateway) takeBack(ctx context.Context, p *pending, causes []string) {
	g.trials.over()
	if len(p.changes) == 0 {
		return
	}
	cause := strings.Join(causes, "; ")
	g.log.Error("the configuration hasn't held and is rolled back", "by", p.by, "cause", cause)
	if err := g.apply(ctx, p.was.setting()); err != nil {
		if ctx.Err() == nil {
			g.log.Error("the configuration before can't be applied again; a restart does it", "error", err)
		}
		return
	}
	g.settle(ctx)
	g.tellConfiguration(telemetry.ConfigurationRolledBack, p, cause)
}

// Bounds of what an event says of a configuration.
const (
	mostListed = 100
	mostCause  = 1000
)

func (g *Gateway) tellConfiguration(kind telemetry.EventKind, p *pending, cause string) {
	r := telemetry.Reconfiguration{Before: p.was.source().hash(), After: p.to.source.hash(), By: p.by, Cause: cause[:min(len(cause), mostCause)]}
	list := func(to *[]string, device string) {
		switch {
		case slices.Contains(*to, device):
		case len(*to) < mostListed:
			*to = append(*to, device)
		default:
			r.Unlisted++
		}
	}
	counted := ""
	for _, c := range p.changes {
		device, is := strings.CutPrefix(c.What, "device ")
		if !is || device == counted {
			continue
		}
		counted = device
		switch {
		case c.Key != "":
			list(&r.Changed, device)
		case c.To == "added":
			list(&r.Added, device)
		default:
			list(&r.Removed, device)
		}
	}
	r.Cause = strings.ToValidUTF8(r.Cause, "")
	err := g.hold(telemetry.Event{Kind: kind, Time: p.began, Decided: g.clock.Now(), Configuration: &r})
	if err != nil {
		g.log.Error("what became of the configuration can't be told", "error", err)
	}
}
