// Package gateway is the edge runtime: it reads devices, evaluates rules, keeps
// what it read on disk, and forwards it to the log.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/gateway/control"
	"github.com/busbar/busbar/gateway/counter"
	"github.com/busbar/busbar/gateway/deadband"
	"github.com/busbar/busbar/gateway/forward"
	"github.com/busbar/busbar/gateway/identity"
	"github.com/busbar/busbar/gateway/journal"
	"github.com/busbar/busbar/gateway/ntp"
	"github.com/busbar/busbar/gateway/status"
	"github.com/busbar/busbar/gateway/update"
	"github.com/busbar/busbar/gateway/uplink"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Options are what a gateway needs beside its configuration.
type Options struct {
	Version string
	Dir     string // that the configuration's file names are relative to
	Log     *slog.Logger
	Kernel  clock.Kernel // nil: this machine's
	// File is where the configuration was read from, and Source what was there; "" and
	// nothing for a gateway that wasn't started with a file.
	File   string
	Source Source
	// Refused says why that isn't what File holds; "" if it is.
	Refused string
	// Journal has the last lines of Log; nil: nobody keeps them.
	Journal *journal.Journal
	// Show, unless it is nil, is told where other machines find the status page, and what
	// they need for it.
	Show func(address string, a status.Access)
	// Alive, unless it is nil, is called at least once a second by the goroutine that
	// evaluates and hands on what was read, for who has to know that it goes on. It
	// mustn't block.
	Alive func()
	// SetClock sets this machine's wall clock forward, or back if by is negative; nil: the
	// gateway leaves it alone.
	SetClock func(by time.Duration) error
	// Opening, unless it is nil, is called as often as New has looked through another part of
	// what an earlier process has left, which can take long when its power was cut.
	Opening func()
	// Updates brings new versions onto a machine of the gateway's own; nil: something else does.
	Updates *update.Updater

	quarter telemetry.Micros // length of an account's interval; 0 means telemetry.Quarter
	settle  telemetry.Micros // how long it is quiet before it is told; 0 means the default

	heartbeat time.Duration // 0 means the constant
	tell      time.Duration // how often the buffer is told of; 0 means the constant
}

// Gateway is a configured gateway that holds its buffer open.
type Gateway struct {
	config  gatewayconfig.Config // that it was started with; what is live may have changed
	options Options
	log     *slog.Logger

	identity *identity.Identity
	buffer   *buffer.Buffer
	clock    *clock.Clock
	ntp      *ntp.Client // nil: no servers are asked
	field    *field
	found    *found
	live     atomic.Pointer[live]
	trials   trials
	pipeline *pipeline
	self     *self
	accounts *accounts
	links    *links
	lanes    forward.Lanes
	births   forward.Sink
	sinks    []forward.Sink // all of them
	uplink   *uplink.Connection
	commands *commands // nil: none are read
	control  *control.Authoriser
	scanning sync.Map // the addresses of the endpoints that are being scanned

	explaining sync.Mutex // one question about rules is answered at a time

	controlToken string // "": nobody on this machine may operate
}

// drainTime is how long a stopping gateway waits for the log to acknowledge
// the last records. What isn't acknowledged by then stays in the buffer.
const drainTime = 5 * time.Second

// New reads the gateway's key, or makes it at the first start, opens the buffer
// and prepares everything that can fail because of the configuration.
func New(config gatewayconfig.Config, o Options) (*Gateway, error) {
	g := &Gateway{config: config, options: o, log: o.Log.With("gateway", config.Gateway.ID)}
	if err := g.identify(); err != nil {
		return nil, err
	}
	var err error
	g.buffer, err = buffer.Open(buffer.Options{
		Dir: config.Buffer.Path.In(o.Dir), Gateway: config.Gateway.ID,
		MaxSize: int64(config.Buffer.MaxSize), ReserveForEvents: int64(config.Buffer.ReserveForEvents),
		Sign: g.identity.Sign, Damaged: g.declareDamage, Now: func() telemetry.Micros { return g.clock.Now() }, Progress: o.Opening, Log: g.log,
	})
	if err != nil {
		return nil, err
	}
	if err := g.prepare(); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *Gateway) identify() error {
	path := g.config.Gateway.Key.In(g.options.Dir)
	i, made, err := identity.Open(path, g.config.Gateway.ID)
	if err != nil {
		return err
	}
	if made {
		g.log.Warn("a key was made for this gateway; the cloud takes nothing from it until that is enrolled there",
			"path", path, "key_id", i.KeyID(), "public_key", record.FormatPublicKey(i.PublicKey()))
	}
	g.identity = i
	return nil
}

func (g *Gateway) prepare() error {
	g.clock = newClock(g.buffer, g.config.Time, g.options.Kernel, g.identity.Sign, g.log)
	g.ntp = newNTP(g.config.Time.NTP, g.clock, g.log)
	g.found = newFound(filepath.Join(g.config.Buffer.Path.In(g.options.Dir), foundName), g.log)
	devices, err := g.define(g.config)
	if err != nil {
		g.log.Error("new signals can't be written down; until they are, samples are kept in memory", "error", err)
	}
	now := setting{config: g.config, devices: devices, source: g.options.Source}
	g.live.Store(now.live())
	g.trials.refuse(g.options.Refused)
	if g.field, err = newField(devices, g.log); err != nil {
		return err
	}
	engine, err := g.compile(now)
	if err != nil {
		return err
	}
	g.restore(engine)
	g.accounts = newAccounts(account.Options{
		Epoch: g.buffer.Epoch(), Devices: devices.accounted(), Quarter: g.options.quarter, Settle: g.options.settle,
	}, g.clock, g.buffer, g.log)
	g.accounts.restore(g.buffer.Telemetry.State(), g.buffer.Earlier())
	writer := g.buffer.NewWriter(time.Duration(g.config.Buffer.CommitEvery), g.declareLost, g.accounts)
	writer.Boot = g.clock.Boot()
	g.pipeline = newPipeline(engine, g.clock, devices.counters(), g.buffer.Events, writer, devices.index(g.accounts.places()), g.log)
	g.pipeline.alive = g.options.Alive
	g.pipeline.filter = deadband.New(devices.limits())
	g.pipeline.table = g.buffer.Table()
	g.pipeline.watch = counter.NewWatch(devices.watched())
	g.restoreCounters(g.pipeline.watch)
	g.restoreOperations(now.config.Rules)
	g.pipeline.assetOf = g.assetOf
	g.restoreNoted()
	g.pipeline.publish()
	g.preparePublisher()
	g.prepareEdgeNode(devices.model.Signals)
	active := func() []rules.Active { return *g.pipeline.active.Load() }
	g.self = &self{
		sink: g.pipeline, clock: g.clock, ids: devices.selfIDs(), report: g.buffer.Report, version: g.options.Version, every: cmp.Or(g.options.tell, tellEvery),
		supply: newSupply(g.config.Gateway.Mains != nil, g.clock, g.buffer, g.hold, active, g.log),
	}
	g.config.Devices, g.config.Assets, g.config.Rules = nil, nil, nil // what may change is in live
	g.options.Source = Source{}
	if err := g.prepareControl(devices); err != nil {
		return err
	}
	if err := g.prepareStation(devices); err != nil {
		return err
	}
	if err := g.prepareLanes(); err != nil {
		return err
	}
	return g.prepareCommands()
}

// restore continues the alarms that were active when the last process ended. A
// gateway that can't still watches its feeders.
func (g *Gateway) restore(engine *rules.Engine) {
	state := g.buffer.Events.State()
	if len(state) == 0 {
		return
	}
	if err := engine.Restore(state, time.Now()); err != nil {
		g.log.Error("the state of the rules can't be restored; alarms that are active end, and those that still hold are raised again", "error", err)
	}
}

// declareLost enters into the ledger what the buffer gave up.
func (g *Gateway) declareLost(losses []telemetry.Loss) error {
	now := g.clock.Now()
	var items []buffer.Item
	for i := range losses {
		item, err := g.item(telemetry.Event{Kind: telemetry.SamplesLost, Time: now, Decided: now, Loss: &losses[i]})
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	return g.buffer.Events.Enter(items)
}

// declareDamage reports a file of the buffer that was set aside.
func (g *Gateway) declareDamage(d telemetry.Damage) error {
	now := g.clock.Now()
	item, err := g.item(telemetry.Event{Kind: telemetry.BufferDamaged, Time: now, Decided: now, Damage: &d})
	if err == nil {
		err = g.buffer.Events.Enter([]buffer.Item{item})
	}
	if errors.Is(err, buffer.ErrHeld) {
		return nil
	}
	return err
}

// hold sends an event at once. Nothing waits for its commit.
func (g *Gateway) hold(e telemetry.Event) error {
	item, err := g.item(e)
	if err != nil {
		return err
	}
	return g.buffer.Events.Hold([]buffer.Item{item}, nil)
}

// item is an event that says which clock gave its times.
func (g *Gateway) item(e telemetry.Event) (buffer.Item, error) {
	e.Clock = g.clock.Reading(e.Decided)
	return eventItem(e)
}

// Run reads and forwards until ctx ends, then stops in the order of a sample's
// path, so that nothing that was read is left behind. It closes the buffer.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.close()
	started := time.Now()
	if err := g.tellStart(); err != nil {
		g.log.Error("the start can't be committed; it is sent, kept in memory and tried again", "error", err)
	}
	g.tellAccounts(started)
	g.log.Info("gateway started", "version", g.options.Version, "devices", len(g.live.Load().config.Devices), "key_id", g.identity.KeyID())

	// Each stage outlives the one before it.
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeping()
	forwarding, stopForwarding := context.WithCancel(keeping)
	writing, stopWriting := context.WithCancel(forwarding)
	evaluating, stopEvaluating := context.WithCancel(writing)
	reading, stopReading := context.WithCancel(evaluating)
	g.trials.begin(reading)

	var keeper, forwarders, writer, evaluator, reader sync.WaitGroup
	keeper.Go(func() { g.buffer.Events.KeepCommitting(keeping, g.pipeline.tellDisk) })
	if g.ntp != nil {
		forwarders.Go(func() { g.ntp.Run(forwarding) })
	}
	forwarders.Go(func() { g.runLanes(forwarding) })
	g.serveStatus(forwarding, source{g, started}, &forwarders)
	if g.config.Forward.Uplink != nil && g.config.Forward.Uplink.TokenFile != "" {
		forwarders.Go(func() { g.enrol(forwarding) })
	}
	if g.pipeline.publisher != nil {
		forwarders.Go(func() { g.pipeline.publisher.Run(forwarding) })
	}
	if g.pipeline.values != nil {
		forwarders.Go(func() { g.pipeline.values.Run(forwarding) })
	}
	if g.pipeline.edge != nil {
		forwarders.Go(func() { g.pipeline.edge.Run(forwarding) })
	}
	if g.pipeline.station != nil {
		forwarders.Go(func() { g.pipeline.station.Run(forwarding) })
	}
	writer.Go(func() { g.pipeline.writer.Run(writing) })
	writer.Go(func() { g.watchClock(writing, started) })
	writer.Go(func() { g.watchDisk(writing) })
	writer.Go(func() { g.tellAlive(writing) })
	evaluator.Go(func() { g.pipeline.run(evaluating) })
	reader.Go(func() {
		if err := g.field.Run(reading, inlet{g.self, g}); err != nil {
			g.log.Error("reading devices ended", "error", err)
		}
	})
	reader.Go(func() { g.runOperations(reading) })
	reader.Go(func() { g.self.run(reading) })
	if g.commands != nil {
		reader.Go(func() { g.commands.run(reading) })
	}
	if g.options.Updates != nil {
		reader.Go(func() { g.runUpdates(reading) })
	}

	<-ctx.Done()
	g.log.Info("gateway stopping")
	g.endControl(keeping)
	stopReading()
	reader.Wait()
	g.self.supply.finish()
	g.control.Close(keeping)
	g.trials.end()
	stopEvaluating()
	evaluator.Wait()
	stopWriting()
	writer.Wait()
	g.tellAccounts(started)
	g.accounts.finish(g.buffer.Telemetry)
	if err := g.tellStop(); err != nil {
		g.log.Error("the stop can't be committed; it is sent", "error", err)
	}
	draining, cancel := context.WithTimeout(forwarding, drainTime)
	defer cancel()
	drained := g.lanes.Events.Drained(draining) && g.lanes.Telemetry.Drained(draining)
	stopForwarding()
	forwarders.Wait()
	stopKeeping()
	keeper.Wait()
	if held := g.buffer.Events.Stats().Held; held > 0 {
		g.log.Error("events end with the process that were never committed", "count", held)
	}
	g.log.Info("gateway stopped", "drained", drained,
		"waiting", g.buffer.Telemetry.Stats().Waiting+g.buffer.Events.Stats().Waiting)
	return nil
}

// sendBirths calls sent when the log has acknowledged the signal table, as far as
// that is on disk, and sends it again when it has grown, until ctx ends.
func (g *Gateway) sendBirths(ctx context.Context, sent func()) {
	table := g.buffer.Table()
	for first := true; ; first = false {
		changes := table.Changes()
		ref, signals := table.Saved()
		if len(signals) > 0 {
			err := forward.Births(ctx, g.births, record.Birth{
				Gateway: g.config.Gateway.ID, Site: g.config.Gateway.Site, Zone: g.config.Gateway.Zone,
				Table: fmt.Sprintf("%016x", ref.Table), Version: ref.Version, Signals: signals,
			}, g.identity.SignBirth, g.log)
			if err != nil {
				return
			}
		}
		if first {
			sent()
		}
		if table.WaitChanged(ctx, changes) != nil {
			return
		}
	}
}

// mostNamed bounds the active alarms that a start names, so that the log takes it.
const mostNamed = 10_000

// tellStart commits the start before anything of this process is sent, so that the
// next one can tell that there was this one.
func (g *Gateway) tellStart() error {
	l := g.lifecycle(g.buffer.Earlier())
	l.Presence = g.presence()
	if active := g.pipeline.engine.ActiveIDs(); len(active) <= mostNamed {
		l.ActiveAlarms = active
	}
	if g.clock.Stats().State != telemetry.ClockUnset {
		l.DownSince = g.accounts.downSince()
	}
	now := g.clock.Now()
	item, err := eventItem(telemetry.Event{Kind: telemetry.GatewayStarted, Time: now, Decided: now, Lifecycle: l})
	if err != nil {
		return err
	}
	if err = g.buffer.Events.Commit([]buffer.Item{item}, nil); err != nil {
		err = errors.Join(err, g.buffer.Events.Hold([]buffer.Item{item}, nil))
	}
	return err
}

// tellStop says how far this process has come, its stop included.
func (g *Gateway) tellStop() error {
	committed := g.buffer.Committed()
	for i := range committed {
		if committed[i].Stream == string(record.Events) {
			committed[i].Count = g.buffer.Events.Stats().Numbered + 1
		}
	}
	now := g.clock.Now()
	item, err := eventItem(telemetry.Event{Kind: telemetry.GatewayStopped, Time: now, Decided: now, Lifecycle: g.lifecycle(committed)})
	if err == nil {
		err = g.buffer.Events.Hold([]buffer.Item{item}, nil)
	}
	if err != nil {
		return err
	}
	return g.buffer.Events.CommitHeld()
}

func (g *Gateway) lifecycle(committed []telemetry.Committed) *telemetry.Lifecycle {
	return &telemetry.Lifecycle{Version: g.options.Version, Start: g.buffer.Starts(), Committed: committed}
}

func (g *Gateway) close() {
	for _, s := range g.sinks {
		s.Close()
	}
	if g.commands != nil {
		g.commands.source.Close()
	}
	if g.uplink != nil {
		g.uplink.Close()
	}
	if g.clock != nil {
		if err := g.clock.Close(); err != nil {
			g.log.Warn("the time can't be noted", "error", err)
		}
	}
	if err := g.buffer.Close(); err != nil {
		g.log.Error("closing the buffer", "error", err)
	}
}
