package gateway

import (
	"log/slog"
	"sync"

	"github.com/busbar/busbar/gateway/account"
	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/clock"
	"github.com/busbar/busbar/telemetry"
)

// accounts is the buffer.Ledger of a gateway: it tells by events what the
// ledger has counted, once the counts are committed.
type accounts struct {
	events, telemetry *buffer.Chain
	log               *slog.Logger
	clock             *clock.Clock
	held              held

	mu        sync.Mutex
	ledger    *account.Ledger
	stated    uint64 // the changes in the state that State returned last
	committed uint64 // the changes in the state that is on disk
	unheld    bool   // samples were counted that aren't committed
	known     bool   // the time
	leftOut   bool
	failing   bool
}

func newAccounts(o account.Options, c *clock.Clock, b *buffer.Buffer, log *slog.Logger) *accounts {
	return &accounts{ledger: account.New(o), clock: c, events: b.Events, telemetry: b.Telemetry, log: log}
}

// restore goes on from what the process before had counted. Without its state,
// the quarter-hours that it hadn't told of have no account.
func (a *accounts) restore(state []byte, earlier []telemetry.Committed) {
	a.held.start(a.telemetry.End(), a.telemetry.End())
	if len(state) == 0 {
		return
	}
	through, err := a.ledger.Restore(state, earlier)
	if err != nil {
		a.log.Error("the accounts of the process before can't be restored; its last quarter-hours will be unknown", "error", err)
		return
	}
	a.held.start(min(buffer.Position(through), a.telemetry.End()), a.telemetry.End())
}

// places are where the devices are that it was made with.
func (a *accounts) places() []account.Place {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.Places()
}

// change goes on with other devices, whose places it returns.
func (a *accounts) change(devices []account.Device) []account.Place {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.Change(a.clock.Now(), devices)
}

// downSince is when the process before was last known to run, 0 if that isn't
// known.
func (a *accounts) downSince() telemetry.Micros {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.Alive()
}

// reading says that the devices are read from at on, and that nobody read them
// before. It is called when the time is known: until then there is no account of
// the present. Polls that wait for the time in records are counted first, since
// those before this process were not down.
func (a *accounts) reading(at telemetry.Micros) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.held.polls {
		a.ledger.CountDown(at)
	}
	a.known = true
}

// placed says when the gateway's boot began, once that is known: what was discarded
// since then and counts from the boot gets its quarter-hours.
func (a *accounts) placed(boot telemetry.Micros) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.Place(a.clock.Now(), boot)
}

// Count implements buffer.Ledger.
func (a *accounts) Count(samples []telemetry.Sample, slots []account.Slot) {
	if len(samples) == 0 && len(slots) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.Count(a.clock.Now(), samples, slots)
	a.held.note(samples, slots)
	if leftOut := a.ledger.LeftOut() > 0; leftOut && !a.leftOut {
		a.leftOut = true
		a.log.Warn("samples are in no account, as their times can't be true or are of long ago")
	}
	a.unheld = true
}

// AppendPolls implements buffer.Ledger.
func (a *accounts) AppendPolls(dst []byte, slots []account.Slot) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.AppendPolls(dst, slots)
}

// Discard implements buffer.Ledger.
func (a *accounts) Discard(samples []telemetry.Sample, slots []account.Slot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.Discard(a.clock.Now(), samples, slots)
}

// State implements buffer.Ledger. Without samples there is a commit only for
// what is to be told next.
func (a *accounts) State(idle bool) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if a.known {
		a.ledger.Tick(now)
	}
	if idle && a.held.through <= a.held.sendable && (a.ledger.Changes() == a.committed || !a.ledger.AnyDue(now)) {
		return nil
	}
	return a.state(now)
}

func (a *accounts) state(now telemetry.Micros) []byte {
	if a.clock.Stats().State == telemetry.ClockUnset {
		now = 0 // nobody is to be told that it was alive then
	}
	a.stated = a.ledger.Changes()
	a.held.state(a.telemetry.End())
	return a.ledger.AppendState(nil, now, uint64(a.held.stated))
}

// Committed implements buffer.Ledger.
func (a *accounts) Committed() {
	a.mu.Lock()
	a.committed, a.unheld = a.stated, false
	a.held.committed()
	a.mu.Unlock()
	a.tell(false)
}

// tell commits the accounts that are due, or all, as events. What can't be
// committed is told later, though it may have been told by then.
func (a *accounts) tell(all bool) {
	a.mu.Lock()
	now := a.clock.Now()
	var due []telemetry.Account
	if a.ledger.Changes() == a.committed { // else something in them isn't on disk
		due = a.ledger.Due(now, all)
	}
	a.mu.Unlock()
	if len(due) == 0 {
		return
	}
	var items []buffer.Item
	for i := range due {
		item, err := eventItem(telemetry.Event{
			Kind: telemetry.SamplesCounted, Time: due[i].From, Decided: now, Clock: a.clock.Reading(now), Account: &due[i],
		})
		if err != nil {
			a.log.Error("an account can't be written", "from", due[i].From, "error", err)
			return
		}
		items = append(items, item)
	}
	err := a.events.Enter(items)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failing != (err != nil) && err != nil {
		a.log.Error("accounts can't be committed; they are tried again", "error", err)
	}
	if a.failing = err != nil; !a.failing {
		a.ledger.Told(now)
	}
}

// finish tells of everything that was committed until the gateway stopped, also
// of the quarter-hour that isn't over, and commits that it was told.
func (a *accounts) finish(telemetryChain *buffer.Chain) {
	a.mu.Lock()
	unheld, state := a.unheld, a.state(a.clock.Now())
	a.mu.Unlock()
	if unheld {
		a.log.Error("the last samples were not committed, so the next start tells what became of those before")
		return
	}
	if err := telemetryChain.Commit(nil, state); err != nil {
		a.log.Error("the accounts can't be committed; the next start tells them", "error", err)
		return
	}
	a.mu.Lock()
	a.committed = a.stated
	a.held.committed()
	a.mu.Unlock()
	a.tell(true)
	a.mu.Lock()
	state = a.state(a.clock.Now())
	a.mu.Unlock()
	if err := telemetryChain.Commit(nil, state); err != nil {
		a.log.Warn("that the accounts were told can't be committed; the next start tells them again", "error", err)
	}
}
