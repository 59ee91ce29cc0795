package alarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// fleet raises and clears the alarms about gateways that aren't heard from, by the
// rules of the library's file fleet. What it knows follows from the database; a session
// has its own.
//
// A gateway is silent when nothing has come from it for three of its heartbeats. Only
// time counts in which the log was read to its end, so that neither a cloud nor a log
// that was away makes gateways silent: behind a gap, each counts anew, and none is
// taken to be alive before it is heard.
type fleet struct {
	store    *store.Store
	log      *slog.Logger
	flush    time.Duration // for which telemetry waits to be stored, by which gateways are heard
	engine   *rules.Engine
	compiled time.Time // when, and how long it took
	took     time.Duration
	placed   []place                      // what the engine was compiled for
	told     map[string][]telemetry.Value // the states of each gateway, as the engine has them
	version  int64                        // of the engine's state in the database
	// The log has been read to its end from since until through, without a gap.
	since, through telemetry.Micros
}

// place is what of a gateway's presence the rules are compiled for.
type place struct {
	number                        int64
	gateway, site, feeder, uplink string
}

const (
	heartbeats = 3 // without any, a gateway is silent

	judgeEvery = time.Second

	// longestGap is for how long, beyond a flush, the log may not be read to its end
	// without starting anew to wait for gateways. A batch that takes long, or an
	// election, isn't one.
	longestGap = 15 * time.Second

	// lapsedAfter is how long a gateway that has fallen silent speaks for its
	// neighbours: no supply is expected to be away for longer without repair.
	lapsedAfter = 4 * time.Hour

	// compileShare is how many times as long as the last one a change of the gateways
	// waits to be compiled: that takes seconds for ten thousand of them.
	compileShare = 20

	// mostOnSupply bounds the gateways that judge each other, since each looks at all
	// of them. No feeder has as many.
	mostOnSupply = 200

	// mostChanges bounds what one transaction changes: alarms of gateways wait for it.
	mostChanges = 200

	// mostFleetInputs bounds the values that an alarm about a gateway shows, its own first.
	mostFleetInputs = 30
)

// The states of a gateway, as the rules name them.
var fleetSignals = []string{telemetry.ChannelLive, "LastGasp", "Stopped", "Lapsed"}

// notePresence keeps what an event says of its gateway. One that is taken again is of
// another time: it says where a gateway belongs of which nothing else is known.
func notePresence(t *store.Tx, e event) error {
	gateway, said := e.record.Gateway, e.Presence
	if e.Kind == telemetry.GatewayStarted {
		said = e.Lifecycle.Presence
	}
	if e.aside != 0 {
		if said == nil {
			return nil
		}
		return t.AddPresence(gateway, *said)
	}
	switch e.Kind {
	case telemetry.GatewayStarted:
		if err := errors.Join(t.MarkStopped(gateway, false), t.MarkLastGasp(gateway, 0)); err != nil {
			return err
		}
		if said == nil {
			return t.ForgetPresence(gateway) // an older program has followed
		}
	case telemetry.GatewayStopped:
		return t.MarkStopped(gateway, true)
	case telemetry.SupplyFailed:
		return t.MarkLastGasp(gateway, e.Time)
	case telemetry.SupplyRestored:
		return t.MarkLastGasp(gateway, 0)
	case telemetry.GatewayAlive:
	default:
		return nil
	}
	return t.SavePresence(gateway, *said)
}

// watch judges every second until ctx ends, or something fails: the fleet is then of no
// more use. through is as judge takes it.
func (f *fleet) watch(ctx context.Context, through func() time.Time) error {
	ticker := time.NewTicker(judgeEvery)
	defer ticker.Stop()
	for {
		if err := f.judge(ctx, through(), time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// judge brings the alarms up to date. through is up to when the log was read to its
// end; while that isn't known, or lies back, nothing is concluded. The state of the
// rules is saved with what they conclude from it, so a process beside this one
// concludes nothing twice.
func (f *fleet) judge(ctx context.Context, through, now time.Time) error {
	gateways, err := f.store.Presences(ctx)
	if err != nil {
		return err
	}
	if err := f.follow(telemetry.MicrosOf(through)); err != nil {
		return err
	}
	if f.since == 0 || telemetry.MicrosOf(now).Sub(f.through) > f.gap() {
		return nil
	}
	if err := f.compile(ctx, gateways, now); err != nil {
		return err
	}
	samples, turned := f.observe(gateways, telemetry.MicrosOf(now))
	if due := f.engine.NextDeadline(); len(samples) == 0 && len(turned) == 0 && (due.IsZero() || now.Before(due)) {
		return nil
	}
	var work []func(*store.Tx) error
	for _, g := range gateways {
		if since, did := turned[g.Gateway]; did {
			work = append(work, func(t *store.Tx) error {
				if err := noteHearing(t, g, since != 0, telemetry.MicrosOf(now)); err != nil {
					return err
				}
				return t.MarkSilent(g.Gateway, since)
			})
		}
	}
	emit := func(e telemetry.Event) {
		work = append(work, func(t *store.Tx) error { return f.tell(t, e) })
	}
	f.engine.Update(now, samples, emit)
	f.engine.Tick(now, emit)
	return f.commit(ctx, work)
}

// commit does the work in transactions that hold nobody else up for long, and saves the
// state of the rules with the last one: what was told without it, by a process that was
// killed then, is ended and told anew.
func (f *fleet) commit(ctx context.Context, work []func(*store.Tx) error) error {
	for len(work) > mostChanges {
		err := f.store.Write(ctx, func(t *store.Tx) error {
			if err := t.HoldFleetState(f.version); err != nil {
				return err
			}
			return do(t, work[:mostChanges])
		})
		if err != nil {
			return err
		}
		work = work[mostChanges:]
	}
	saved := f.version
	err := f.store.Write(ctx, func(t *store.Tx) error {
		if err := do(t, work); err != nil || !f.engine.Changed() {
			return err
		}
		saved = f.version + 1
		return t.SaveFleetState(f.engine.State(), f.version)
	})
	f.version = saved
	return err
}

func do(t *store.Tx, work []func(*store.Tx) error) error {
	for _, each := range work {
		if err := each(t); err != nil {
			return err
		}
	}
	return nil
}

// observe is what the rules don't know yet, and which gateways have become silent, and
// since when, or are heard again. Who is heard comes first, or somebody would be judged
// by a silence that is over.
func (f *fleet) observe(gateways []store.Presence, at telemetry.Micros) (samples []telemetry.Sample, turned map[string]telemetry.Micros) {
	turned = map[string]telemetry.Micros{}
	var others []telemetry.Sample
	latest := at + telemetry.Micros(f.gap().Microseconds())
	for _, g := range gateways {
		// A clock that was ahead has left times that mean nothing.
		if g.Heard > latest {
			g.Heard = 0
		}
		if g.Silent > latest {
			g.Silent, turned[g.Gateway] = 0, 0
		}
		state := f.stateOf(g)
		switch {
		case state == silent && (g.Silent == 0 || g.Heard > g.Silent):
			turned[g.Gateway] = f.through
		case state == alive && g.Silent != 0:
			turned[g.Gateway] = 0
		}
		values := []telemetry.Value{{}, telemetry.BoolValue(g.LastGasp != 0), telemetry.BoolValue(g.Stopped),
			telemetry.BoolValue(state == silent && g.Silent != 0 && f.through.Sub(g.Silent) > lapsedAfter)}
		if state != unheard {
			values[0] = telemetry.BoolValue(state == alive)
		}
		if slices.Equal(values, f.told[g.Gateway]) {
			continue
		}
		f.told[g.Gateway] = values
		of := &others
		if state == alive && g.LastGasp == 0 {
			of = &samples
		}
		if g.LastGasp != 0 {
			// The alarm's time, unless the rules know something later.
			*of = append(*of, telemetry.Sample{Signal: fleetSignal(g.Number, 1), Time: g.LastGasp, Value: values[1]})
		}
		for n, v := range values {
			*of = append(*of, telemetry.Sample{Signal: fleetSignal(g.Number, n), Time: at, Value: v})
		}
	}
	return append(samples, others...), turned
}

// errSetBack ends a session: what it has told the rules lies in the future.
var errSetBack = errors.New("this machine's clock was set back")

// follow takes up to when the log has been read.
func (f *fleet) follow(through telemetry.Micros) error {
	switch {
	case through <= 0:
		return nil // it hasn't yet
	case through < f.through:
		return errSetBack
	case f.since == 0 || through.Sub(f.through) > f.gap():
		f.since = through
	}
	f.through = through
	return nil
}

// gap is how old what is known of the log may be.
func (f *fleet) gap() time.Duration { return longestGap + f.flush }

// hearing is whether a gateway is heard from.
type hearing int

const (
	unheard hearing = iota // neither heard since the log is followed, nor missed for long enough
	alive
	silent
)

func (f *fleet) stateOf(g store.Presence) hearing {
	heard := min(g.Heard, max(f.through, f.since))
	switch {
	case g.Silent != 0 && g.Heard <= g.Silent:
		return silent
	case f.since == 0:
		return unheard
	case int64(f.through-max(heard, f.since)) > heartbeats*g.Every+f.flush.Microseconds():
		return silent
	case g.Heard >= f.since:
		return alive
	}
	return unheard
}

// compile makes an engine for the gateways where they are now, which goes on where the
// last one was, of this session or of the one before.
func (f *fleet) compile(ctx context.Context, gateways []store.Presence, now time.Time) (err error) {
	placed := make([]place, len(gateways))
	for i, g := range gateways {
		placed[i] = place{g.Number, g.Gateway, g.Site, g.Feeder, g.Uplink}
	}
	if f.engine != nil && (slices.Equal(placed, f.placed) || time.Since(f.compiled) < compileShare*f.took) {
		return nil
	}
	defer func(began time.Time) { f.compiled, f.took = time.Now(), time.Since(began) }(time.Now())
	use := []rules.Rule{{Use: "fleet"}}
	if len(gateways) == 0 {
		use = nil // the rules would fit nothing
	}
	engine, problems := rules.Compile(use, fleetModel(gateways))
	if len(problems) > 0 {
		return fmt.Errorf("alarm: the rules about gateways: %w", problems[0])
	}
	if f.engine != nil {
		engine.Continue(f.engine)
		engine.Settle()
	} else {
		var state []byte
		if state, f.version, err = f.store.FleetState(ctx); err != nil {
			return err
		}
		if state != nil {
			if err := engine.Restore(state, now); err != nil {
				f.log.Error("the alarms about gateways end, and those that still hold are raised again", "error", err)
			}
		}
		if err := f.end(ctx, engine.ActiveIDs(), telemetry.MicrosOf(now)); err != nil {
			return err
		}
	}
	f.engine, f.placed, f.told = engine, placed, map[string][]telemetry.Value{}
	return nil
}

// fleetModel is the gateways as the rules see them: each a device on its feeder, or
// else its site, reached by its uplink.
func fleetModel(gateways []store.Presence) rules.Model {
	m := rules.Model{Gateway: "cloud"}
	on := map[string]int{}
	for _, g := range gateways {
		on[supplyOf(g)]++
	}
	for _, g := range gateways {
		d := rules.Device{ID: g.Gateway, Asset: cmp.Or(g.Feeder, g.Site, g.Gateway), Supply: supplyOf(g), Bus: g.Uplink}
		if on[d.Supply] > mostOnSupply {
			d.Supply = ""
		}
		m.Devices = append(m.Devices, d)
		for n, name := range fleetSignals {
			m.Signals = append(m.Signals, telemetry.Signal{ID: fleetSignal(g.Number, n), Device: d.ID, Asset: d.Asset, Name: name, Unit: "1", Kind: telemetry.State})
		}
	}
	return m
}

// supplyOf tells a feeder from a site of the same name.
func supplyOf(g store.Presence) string {
	switch {
	case g.Feeder != "":
		return "feeder " + g.Feeder
	case g.Site != "":
		return "site " + g.Site
	}
	return ""
}

// fleetSignal is the id of the gateway's n-th signal, which it keeps.
func fleetSignal(number int64, n int) telemetry.SignalID {
	return telemetry.SignalID(number)*telemetry.SignalID(len(fleetSignals)) + telemetry.SignalID(n)
}

// FleetID begins the ids of these alarms, which no gateway may use.
const FleetID = "fleet-"

func ofFleet(id string) bool { return strings.HasPrefix(id, FleetID) }

// tell makes an event of the rules a change of an alarm.
func (f *fleet) tell(t *store.Tx, e telemetry.Event) error {
	c := Change{Action: Raised, At: e.Time, Decided: e.Decided, Gateway: e.Alarm.Device, Alarm: *e.Alarm, By: "cloud"}
	if e.Kind == telemetry.AlarmCleared {
		c.Action = Cleared
	}
	c.Alarm.ID = FleetID + c.Alarm.ID
	c.Alarm.Inputs = c.Alarm.Inputs[:min(len(c.Alarm.Inputs), mostFleetInputs)]
	_, err := change(t, c.Alarm.ID, c)
	return err
}

// end clears the alarms about gateways that the rules don't know to be active, as they
// don't know any whose state couldn't be read.
func (f *fleet) end(ctx context.Context, active []string, at telemetry.Micros) error {
	return f.store.Write(ctx, func(t *store.Tx) error {
		list, err := read(t, selectAlarm+`WHERE (a.active OR NOT a.acknowledged) AND a.active AND substr(a.id, 1, length(?)) = ?`, FleetID, FleetID)
		for _, a := range list {
			if err == nil && !slices.Contains(active, strings.TrimPrefix(a.ID, FleetID)) {
				_, err = change(t, a.ID, Change{Action: Cleared, At: max(at, a.Raised), Gateway: a.Gateway, By: "cloud"})
			}
		}
		return err
	})
}
