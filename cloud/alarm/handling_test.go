package alarm

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// shop is a database with alarms of one gateway, without a log.
type shop struct {
	*watch
	next int
}

func newShop(t *testing.T) *shop {
	s := &shop{watch: newWatch(t)}
	identitytest.Enrol(t, s.store, "gw")
	return s
}

// raise raises an alarm of the rule overload on an asset.
func (s *shop) raise(asset string, priority telemetry.Priority, told telemetry.Micros) (id string) {
	s.Helper()
	s.next++
	id = fmt.Sprintf("a%d", s.next)
	s.change(Change{Action: Raised, At: told, Decided: told, Gateway: "gw", Told: told, Alarm: s.of(id, asset, priority)})
	return id
}

func (s *shop) of(id, asset string, priority telemetry.Priority) telemetry.AlarmChange {
	return telemetry.AlarmChange{ID: id, Rule: "overload", Asset: asset, Device: "meter", Priority: priority, Summary: "too much"}
}

func (s *shop) clear(id, asset string, at telemetry.Micros) {
	s.Helper()
	s.change(Change{Action: Cleared, At: at, Gateway: "gw", Told: at, Alarm: s.of(id, asset, telemetry.High)})
}

func (s *shop) change(c Change) {
	s.Helper()
	s.write(func(t *store.Tx) error {
		_, err := change(t, c.Alarm.ID, c)
		return err
	})
}

func (s *shop) write(do func(*store.Tx) error) {
	s.Helper()
	if err := s.store.Write(s.Context(), do); err != nil {
		s.Fatal(err)
	}
}

func (s *shop) get(id string) (Alarm, []Entry) {
	s.Helper()
	a, history, err := Get(s.Context(), s.store, id)
	if err != nil {
		s.Fatal(err)
	}
	return a, history
}

func (s *shop) listed() string {
	s.Helper()
	_, list := s.list(true)
	text := ""
	for _, a := range list {
		text += a.ID + " "
	}
	return text
}

const minute = telemetry.Micros(60_000_000)

func TestShelvingHoldsForTheConditionAndEnds(t *testing.T) {
	s := newShop(t)
	start := telemetry.MicrosOf(at(0))
	first := s.raise("feeder-1", telemetry.High, start)
	other := s.raise("feeder-2", telemetry.High, start)
	ana := Deed{At: start + minute, By: "Ana", Reason: "the meter is being changed"}
	for lasting, limits := range map[time.Duration]Limits{9 * time.Hour: DefaultLimits, time.Second: {telemetry.High: 0}} {
		var limit *LimitError
		if _, err := Shelve(t.Context(), s.store, first, lasting, limits, ana); !errors.As(err, &limit) || limit.Priority != telemetry.High {
			t.Errorf("shelved for %s: %v", lasting, err)
		}
	}
	if _, err := Shelve(t.Context(), s.store, "none", time.Hour, DefaultLimits, ana); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	a, err := Shelve(t.Context(), s.store, first, time.Hour, DefaultLimits, ana)
	if err != nil {
		t.Fatal(err)
	}
	until := ana.At + 60*minute
	if h := a.Handling; h == nil || h.State != Shelved || h.By != "Ana" || h.Reason != ana.Reason || h.Until == nil || *h.Until != until || !a.Active || a.Acknowledged || a.Unannounced {
		t.Fatalf("%+v", a)
	}

	// Its next occurrence is shelved too, and nobody is told of it; that of another asset isn't.
	s.clear(first, "feeder-1", start+2*minute)
	if _, err := Acknowledge(t.Context(), s.store, first, "Ana", "", start+2*minute); err != nil {
		t.Fatal(err)
	}
	if got := s.listed(); got != other+" "+first+" " {
		t.Errorf("a shelved condition has left the list: %s", got)
	}
	second := s.raise("feeder-1", telemetry.High, start+3*minute)
	if a, _ := s.get(second); a.Handling == nil || *a.Handling.Until != until || !a.Unannounced {
		t.Errorf("the next occurrence: %+v", a)
	}
	if a, _ := s.get(other); a.Handling != nil || a.Unannounced {
		t.Errorf("another asset: %+v", a)
	}
	if got := s.listed(); got != second+" "+other+" " {
		t.Errorf("listed %s", got)
	}
	shelves, err := Shelves(t.Context(), s.store)
	if err != nil || len(shelves) != 1 || shelves[0].Alarm != second || shelves[0].By != "Ana" {
		t.Errorf("%+v, %v", shelves, err)
	}

	// It ends by itself, and what is active then is announced.
	for _, now := range []telemetry.Micros{until - 1, until} {
		if err := expire(t.Context(), s.store, now); err != nil {
			t.Fatal(err)
		}
		if a, _ := s.get(second); (a.Handling != nil) != (now < until) {
			t.Errorf("at %d of %d: %+v", now, until, a)
		}
	}
	a, history := s.get(second)
	last := history[len(history)-1]
	if a.Unannounced || last.Action != Unshelved || last.By != "cloud" || last.At != until {
		t.Errorf("%+v %+v", a, last)
	}
	page := store.Page[int64]{Limit: 10}
	rows, err := s.store.AuditRows(t.Context(), page)
	if err != nil || len(rows) != 4 || rows[0].Action != "unshelve" || rows[0].By != "cloud" || rows[2].Action != "shelve" || rows[2].Subject != "alarm "+first || rows[2].By != "Ana" {
		t.Errorf("audit %+v, %v", rows, err)
	}
	if _, err := s.store.VerifyAudit(t.Context(), store.AuditHead{}); err != nil {
		t.Error(err)
	}
	if got := s.announced(); got != fmt.Sprint([]string{"raised a1", "raised a2", "unshelved a3"}) {
		t.Errorf("announced %s", got)
	}
	if _, err := Unshelve(t.Context(), s.store, second, ana); !errors.Is(err, ErrNotShelved) {
		t.Error(err)
	}
}

// announced is the transitions by which alarms asked for attention.
func (s *shop) announced() string {
	s.Helper()
	list, err := Annunciations(s.Context(), s.store, 0, 1<<62, 100)
	if err != nil {
		s.Fatal(err)
	}
	texts := []string{}
	for _, a := range list {
		texts = append(texts, string(a.Action)+" "+a.Alarm)
	}
	return fmt.Sprint(texts)
}

func TestOutOfServiceLastsUntilSomebodyEndsIt(t *testing.T) {
	s := newShop(t)
	start := telemetry.MicrosOf(at(0))
	id := s.raise("feeder-1", telemetry.Critical, start)
	ana := Deed{At: start + minute, By: "Ana", Reason: "rebuilt until spring"}
	if _, err := Shelve(t.Context(), s.store, id, time.Hour, DefaultLimits, ana); err != nil {
		t.Fatal(err)
	}
	a, err := TakeOutOfService(t.Context(), s.store, id, ana)
	if err != nil || a.Handling == nil || a.Handling.State != OutOfService || a.Handling.Until != nil {
		t.Fatalf("%+v, %v", a, err)
	}
	for want, do := range map[error]func() (Alarm, error){
		ErrOutOfService: func() (Alarm, error) { return Shelve(t.Context(), s.store, id, time.Hour, DefaultLimits, ana) },
		ErrNotShelved:   func() (Alarm, error) { return Unshelve(t.Context(), s.store, id, ana) },
	} {
		if _, err := do(); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if err := expire(t.Context(), s.store, start+1_000_000*minute); err != nil {
		t.Fatal(err)
	}
	ben := Deed{At: start + 2*minute, By: "Ben", Reason: "it is spring"}
	if a, err = ReturnToService(t.Context(), s.store, id, ben); err != nil || a.Handling != nil || !a.Active {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err = ReturnToService(t.Context(), s.store, id, ben); !errors.Is(err, ErrInService) {
		t.Error(err)
	}
}

func TestSuppressedByAnotherAlarm(t *testing.T) {
	s := newShop(t)
	start := telemetry.MicrosOf(at(0))
	parent := s.raise("T1", telemetry.Critical, start)
	child := s.raise("meter-1", telemetry.High, start)
	for range 2 { // the second time says nothing new
		s.write(func(tx *store.Tx) error { return Suppress(tx, []string{child}, parent, "fed by T1", start+minute) })
	}
	a, history := s.get(child)
	if a.SuppressedBy != parent || !a.Quiet() || !a.Active || len(history) != 2 {
		t.Fatalf("%+v %+v", a, history)
	}
	// Both reasons have to end before it is announced again.
	if _, err := Shelve(t.Context(), s.store, child, time.Hour, DefaultLimits, Deed{start + minute, "Ana", "r"}); err != nil {
		t.Fatal(err)
	}
	s.write(func(tx *store.Tx) error { return Unsuppress(tx, []string{child}, "T1 is back", start+2*minute) })
	if got := s.announced(); got != fmt.Sprint([]string{"raised a1", "raised a2"}) {
		t.Errorf("announced while shelved: %s", got)
	}
	if _, err := Unshelve(t.Context(), s.store, child, Deed{start + 3*minute, "Ana", ""}); err != nil {
		t.Fatal(err)
	}
	if got := s.announced(); got != fmt.Sprint([]string{"raised a1", "raised a2", "unshelved a2"}) {
		t.Errorf("announced %s", got)
	}
}

// What an outage stood for isn't announced for a moment when its supply is back, and is
// when it lasts.
func TestWhatAnOutageStoodForWaitsForItsEnd(t *testing.T) {
	s := newShop(t)
	start := telemetry.MicrosOf(at(0))
	child := s.raise("meter-1", telemetry.High, start)
	o := OfOutage{ID: "o1", Began: start, At: start + 5*minute, Priority: telemetry.High}
	s.write(func(tx *store.Tx) error {
		if err := RaiseOutage(tx, o); err != nil {
			return err
		}
		return Suppress(tx, []string{child}, IDOfOutage(o.ID), "fed by it", o.At)
	})
	before := s.announced()
	o.At = start + 20*minute
	s.write(func(tx *store.Tx) error { return FreeOutage(tx, o, true) })
	for _, c := range []struct {
		after telemetry.Micros
		want  bool
	}{{minute / 2, false}, {minute, true}} {
		if err := release(t.Context(), s.store, o.At+c.after); err != nil {
			t.Fatal(err)
		}
		if told := s.announced() != before; told != c.want {
			t.Errorf("%d µs after it: announced %s", c.after, s.announced())
		}
	}
}

func TestChattering(t *testing.T) {
	s := newShop(t)
	start := telemetry.MicrosOf(at(0))
	at := func(seconds int) telemetry.Micros { return start + telemetry.Micros(seconds)*1_000_000 }
	for i, c := range []struct {
		at     int
		marked int // 0: it isn't
	}{{0, 0}, {30, 0}, {61, 0}, {80, 80}, {200, 80}} {
		id := s.raise("feeder-1", telemetry.High, at(c.at))
		a, _ := s.get(id)
		want := telemetry.Micros(0)
		if c.marked > 0 {
			want = at(c.marked)
		}
		if a.Chattered != want {
			t.Errorf("raise %d, after %d s: chattered at %d, want %d", i, c.at, a.Chattered, want)
		}
		s.clear(id, "feeder-1", at(c.at)+1)
	}
	if a, _ := s.get(s.raise("feeder-2", telemetry.High, at(81))); a.Chattered != 0 {
		t.Errorf("another asset chatters: %+v", a)
	}
}

// An outage's alarm is of no gateway, and has a zone all the same.
func TestWhoIsOfAZoneSeesItsOutages(t *testing.T) {
	s := newShop(t)
	start := telemetry.MicrosOf(at(0))
	err := s.store.Write(t.Context(), func(t *store.Tx) error {
		if _, err := t.Exec(`INSERT INTO grid_zone (zone, within) VALUES ('north', 'north'), ('south', 'south')`); err != nil {
			return err
		}
		return RaiseOutage(t, OfOutage{ID: "o1", Zone: "north", Asset: "f1", Priority: telemetry.High, Summary: "out", Began: start, At: start})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Shelve(t.Context(), s.store, IDOfOutage("o1"), time.Hour, DefaultLimits, Deed{At: start + minute, By: "Ana", Reason: "known"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		zone string
		want int
	}{{"north", 1}, {"south", 0}} {
		ctx := store.InZones(t.Context(), []string{c.zone})
		told, err := Annunciations(ctx, s.store, 0, 1<<62, 10)
		if err != nil || len(told) != c.want || len(told) > 0 && told[0].Zone != c.zone {
			t.Errorf("%s: told %+v, %v", c.zone, told, err)
		}
		shelves, err := Shelves(ctx, s.store)
		if err != nil || len(shelves) != c.want || len(shelves) > 0 && shelves[0].Zone != c.zone {
			t.Errorf("%s: shelved %+v, %v", c.zone, shelves, err)
		}
	}
}
