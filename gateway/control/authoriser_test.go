package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// field is the devices, and what is written down.
type field struct {
	mu      sync.Mutex
	earthed telemetry.Sample
	readErr error
	result  adapters.Controlled
	err     error
	hold    chan struct{} // operations wait until it is closed; nil: they don't
	began   chan struct{}
	// selecting: selections wait as well.
	selecting bool
	turn      func() // is called before it is asked whether an operation is still permitted
	permitted error  // the answer to that

	operated, selected []adapters.Control
	audit              []telemetry.Control
	auditErr           error
}

func (f *field) Select(_ context.Context, c adapters.Control) (adapters.Controlled, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.selected = append(f.selected, c)
	if f.selecting {
		f.began <- struct{}{}
		<-f.hold
	}
	return f.result, f.err
}

func (f *field) Operate(ctx context.Context, c adapters.Control) (adapters.Controlled, error) {
	f.mu.Lock()
	f.operated = append(f.operated, c)
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		f.began <- struct{}{}
		<-hold
	}
	if err := ctx.Err(); err != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed}, err
	}
	if f.turn != nil {
		f.turn()
	}
	if f.permitted = c.Permitted(); f.permitted != nil {
		return adapters.Controlled{Outcome: telemetry.ControlFailed}, fmt.Errorf("nothing was written: %w", f.permitted)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.result, f.err
}

func (f *field) read(_ context.Context, device string) ([]telemetry.Sample, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []telemetry.Sample{f.earthed}, f.readErr
}

func (f *field) write(c telemetry.Control) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.auditErr != nil {
		return f.auditErr
	}
	f.audit = append(f.audit, c)
	return nil
}

// told is what was written down, in short.
func (f *field) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, c := range f.audit {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Action, c.Outcome, c.Cause)))
	}
	return list
}

var on, off = telemetry.BoolValue(true), telemetry.BoolValue(false)

// newField has a breaker that is to be selected and is interlocked, and a set point
// that is written directly.
func newField(t *testing.T, change func(*Options)) (*field, *Authoriser) {
	t.Helper()
	f := &field{
		earthed: telemetry.Sample{Signal: 7, Value: off, Time: 1}, began: make(chan struct{}, 1),
		result: adapters.Controlled{Outcome: telemetry.ControlDone, Old: off, ReadBack: on},
	}
	lock, problem := rules.CompileInterlock("not Earthed", rules.Target{Device: "bay-2"}, rules.Model{
		Gateway: "gw", Devices: []rules.Device{{ID: "bay-2", Asset: "a"}},
		Signals: []telemetry.Signal{{ID: 7, Device: "bay-2", Name: "Earthed", Unit: "1", Asset: "a", Kind: telemetry.State}},
	})
	if problem != nil {
		t.Fatal(problem)
	}
	o := Options{
		Enabled: true, Controller: f, Read: f.read, Audit: f.write, Log: slog.New(slog.DiscardHandler),
		Points: []Point{
			{Device: "bay-1", Signal: "Pos", ID: 1, Asset: "a", Unit: "1", Bool: true, Max: 1, Select: true, SelectFor: 30 * time.Second, Every: 10 * time.Second, Interlocks: []*rules.Interlock{lock}},
			{Device: "bay-1", Signal: "SetW", ID: 2, Unit: "kW", Min: -5, Max: 100, SelectFor: 30 * time.Second, Every: time.Second},
			{Device: "bay-1", Signal: "Tap", ID: 3, Unit: "1", OneOf: []float64{1, 2}, SelectFor: 30 * time.Second},
		},
	}
	if change != nil {
		change(&o)
	}
	return f, New(o)
}

func ask(signal string, v telemetry.Value, by, selection string) Request {
	return Request{Device: "bay-1", Signal: signal, Value: v, Origin: telemetry.ControlLocal, By: by, Selection: selection}
}

// expect fails unless the answer is this, and the last thing written down says so.
func (f *field) expect(t *testing.T, what string, a Answer, outcome telemetry.ControlOutcome, cause Cause) {
	t.Helper()
	if a.Outcome != outcome || a.Cause != cause {
		t.Errorf("%s: %s %s (%s), expected %s %s", what, a.Outcome, a.Cause, a.Detail, outcome, cause)
	}
	told := f.told()
	if want := strings.TrimSpace(fmt.Sprintf("%s %s", outcome, cause)); len(told) == 0 || !strings.HasSuffix(told[len(told)-1], want) {
		t.Errorf("%s: written down is %q, expected %s", what, told, want)
	}
}

const refused, done, failed = telemetry.ControlRefused, telemetry.ControlDone, telemetry.ControlFailed

// Each reason for a refusal, and that nothing reaches the device then.
func TestRefusals(t *testing.T) {
	bad := telemetry.Sample{Signal: 7, Value: off, Quality: telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)}
	for _, c := range []struct {
		name    string
		options func(*Options)
		field   func(*field)
		request Request
		cause   Cause
		detail  string
	}{
		{"control is off", func(o *Options) { o.Enabled = false }, nil, ask("SetW", on, "Ana", ""), Disabled, "isn't enabled"},
		{"a signal that isn't listed", nil, nil, ask("V", on, "Ana", ""), Unlisted, "doesn't list it"},
		{"a device that isn't there", nil, nil, Request{Device: "bay-9", Signal: "Pos", Value: on, By: "Ana"}, Unlisted, ""},
		{"nobody", nil, nil, ask("SetW", on, " ", ""), NoName, ""},
		{"a name of two lines", nil, nil, ask("SetW", on, "Ana\nlevel=INFO", ""), NoName, ""},
		{"a long name", nil, nil, ask("SetW", on, strings.Repeat("a", 101), ""), NoName, ""},
		{"too much", nil, nil, ask("SetW", telemetry.FloatValue(100.1), "Ana", ""), OutOfRange, "100.1, expected -5 to 100"},
		{"too little", nil, nil, ask("SetW", telemetry.FloatValue(-5.1), "Ana", ""), OutOfRange, "-5.1, expected -5 to 100"},
		{"no number", nil, nil, ask("SetW", telemetry.TextValue("1"), "Ana", ""), OutOfRange, "no number"},
		{"no value", nil, nil, ask("SetW", telemetry.Value{}, "Ana", ""), OutOfRange, "no number"},
		{"not a number", nil, nil, ask("SetW", telemetry.FloatValue(nan()), "Ana", ""), OutOfRange, "no number"},
		{"not one of them", nil, nil, ask("Tap", telemetry.IntValue(3), "Ana", ""), OutOfRange, "expected one of [1 2]"},
		{"not selected", nil, nil, ask("Pos", on, "Ana", ""), NotSelected, "selected first"},
		{"a selection that isn't there", nil, nil, ask("SetW", on, "Ana", "x"), NotSelected, "over"},
		{"it can't be written down", nil, func(f *field) { f.auditErr = errors.New("disk full") }, ask("SetW", on, "Ana", ""), NoAudit, "disk full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, a := newField(t, c.options)
			if c.field != nil {
				c.field(f)
			}
			answer := a.Operate(t.Context(), c.request)
			if answer.Outcome != refused || answer.Cause != c.cause || !strings.Contains(answer.Detail, c.detail) {
				t.Errorf("%+v", answer)
			}
			if told := f.told(); c.cause != NoAudit && !slices.Equal(told, []string{"operate refused " + string(c.cause)}) {
				t.Errorf("written down: %q", told)
			}
			if len(f.operated)+len(f.selected) > 0 {
				t.Error("it reached the device")
			}
			if n := a.Stats().Counts[Count{telemetry.ControlOperate, refused}]; n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
	for _, c := range []struct {
		name   string
		field  func(*field)
		cause  Cause
		detail string
	}{
		{"interlocked", func(f *field) { f.earthed.Value = on }, Interlocked, "not Earthed: Earthed of bay-2 is true"},
		{"bad quality", func(f *field) { f.earthed = bad }, Undecided, "not Earthed: Earthed of bay-2 is bad (timeout)"},
		{"the device is away", func(f *field) { f.readErr = errors.New("no answer") }, Undecided, "not Earthed: no answer"},
		{"it brings another signal", func(f *field) { f.earthed.Signal = 8 }, Undecided, "wasn't read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Already when it is selected.
			f, a := newField(t, nil)
			c.field(f)
			answer := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
			f.expect(t, "select", answer, refused, c.cause)
			if answer.Detail != c.detail && !strings.Contains(answer.Detail, c.detail) {
				t.Errorf("%+v", answer)
			}
			// And when it has become so since.
			f, a = newField(t, nil)
			selected := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
			f.expect(t, "select", selected, done, "")
			c.field(f)
			f.expect(t, "operate", a.Operate(t.Context(), ask("Pos", on, "Ana", selected.ID)), refused, c.cause)
			if len(f.operated) > 0 {
				t.Error("it reached the device")
			}
			// The selection is over.
			f.earthed = telemetry.Sample{Signal: 7, Value: off}
			if again := a.Operate(t.Context(), ask("Pos", on, "Ana", selected.ID)); again.Outcome != refused {
				t.Errorf("%+v", again)
			}
		})
	}
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}

// A selection belongs to one person, one origin and one value, and serves once.
func TestSelectBeforeOperate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a := newField(t, nil)
		s := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
		f.expect(t, "select", s, done, "")
		if s.Old != off || s.ID == "" || !s.Expires.Equal(time.Now().Add(30*time.Second)) || len(f.operated) != 0 || len(f.selected) != 1 {
			t.Errorf("%+v", s)
		}
		if sel := a.Stats().Selected; len(sel) != 1 || sel[0].By != "Ana" || sel[0].Signal != "Pos" {
			t.Errorf("%+v", sel)
		}
		f.expect(t, "another selects", a.Select(t.Context(), ask("Pos", on, "Ben", "")), refused, OtherSelected)
		f.expect(t, "another operates", a.Operate(t.Context(), ask("Pos", on, "Ben", "")), refused, OtherSelected)
		f.expect(t, "another operates with the id", a.Operate(t.Context(), ask("Pos", on, "Ben", s.ID)), refused, OtherSelected)
		other := ask("Pos", on, "Ana", s.ID)
		other.Origin = telemetry.ControlMaster
		f.expect(t, "from elsewhere", a.Operate(t.Context(), other), refused, OtherSelected)
		f.expect(t, "without the id", a.Operate(t.Context(), ask("Pos", on, "Ana", "")), refused, OtherSelected)
		f.expect(t, "another value", a.Operate(t.Context(), ask("Pos", off, "Ana", s.ID)), refused, OtherValue)
		f.expect(t, "another cancels", a.Cancel(ask("Pos", on, "Ben", s.ID)), refused, NotSelected)
		if len(f.operated) != 0 {
			t.Fatal("it reached the device")
		}
		got := a.Operate(t.Context(), ask("Pos", telemetry.IntValue(1), "Ana", s.ID)) // the same value
		f.expect(t, "operate", got, done, "")
		if got.ID != s.ID || got.Old != off || got.ReadBack != on || len(f.operated) != 1 {
			t.Errorf("%+v", got)
		}
		last := f.audit[len(f.audit)-2:]
		if last[0].Outcome != telemetry.ControlBegun || last[1].Outcome != done || last[0].ID != s.ID || last[1].ID != s.ID || last[1].Requested != "1" ||
			last[1].Old != "false" || last[1].ReadBack != "true" || last[1].Asset != "a" || last[1].By != "Ana" || last[1].Origin != telemetry.ControlLocal {
			t.Errorf("%+v", last)
		}
		f.expect(t, "again", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, NotSelected)

		time.Sleep(10 * time.Second)
		s = a.Select(t.Context(), ask("Pos", on, "Ana", ""))
		f.expect(t, "select", s, done, "")
		f.expect(t, "cancel", a.Cancel(ask("Pos", telemetry.Value{}, "Ana", s.ID)), done, "")
		f.expect(t, "operate what was cancelled", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, NotSelected)
		f.expect(t, "cancel again", a.Cancel(ask("Pos", telemetry.Value{}, "Ana", s.ID)), refused, NotSelected)

		s = a.Select(t.Context(), ask("Pos", on, "Ana", ""))
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		if told := f.told(); told[len(told)-1] != "expire done" {
			t.Errorf("%q", told)
		}
		if last := f.audit[len(f.audit)-1]; last.ID != s.ID || last.By != "Ana" || last.Requested != "true" {
			t.Errorf("%+v", last)
		}
		f.expect(t, "operate what has run out", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, NotSelected)
		f.expect(t, "select what has run out", a.Select(t.Context(), ask("Pos", on, "Ben", "")), done, "")
		if len(f.operated) != 1 {
			t.Errorf("%+v", f.operated)
		}
	})
}

// The timer of a selection may be late; its end isn't.
func TestASelectionEndsInTime(t *testing.T) {
	now := time.Now()
	f, a := newField(t, func(o *Options) { o.Now = func() time.Time { return now } })
	s := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	now = now.Add(30*time.Second + 1)
	f.expect(t, "operate", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, NotSelected)
}

// A direct point that somebody has selected is theirs as well.
func TestADirectPointMayBeSelected(t *testing.T) {
	f, a := newField(t, nil)
	s := a.Select(t.Context(), ask("SetW", telemetry.IntValue(50), "Ana", ""))
	f.expect(t, "select", s, done, "")
	f.expect(t, "another", a.Operate(t.Context(), ask("SetW", telemetry.IntValue(60), "Ben", "")), refused, OtherSelected)
	f.expect(t, "operate", a.Operate(t.Context(), ask("SetW", telemetry.IntValue(50), "Ana", s.ID)), done, "")
}

func TestLimits(t *testing.T) {
	now := time.Now()
	f, a := newField(t, func(o *Options) { o.Now = func() time.Time { return now } })
	set := func() Answer { return a.Operate(t.Context(), ask("SetW", on, "Ana", "")) }
	f.expect(t, "first", set(), done, "")
	now = now.Add(time.Second - 1)
	f.expect(t, "too soon", set(), refused, TooSoon)
	now = now.Add(1)
	f.expect(t, "in time", set(), done, "")
	// A point without an interval has the gateway's limit.
	for range mostOperations - 2 {
		f.expect(t, "within the limit", a.Operate(t.Context(), ask("Tap", on, "Ana", "")), done, "")
	}
	f.expect(t, "beyond the limit", a.Operate(t.Context(), ask("Tap", on, "Ana", "")), refused, TooMany)
	f.expect(t, "a selection beyond it", a.Select(t.Context(), ask("Tap", on, "Ana", "")), refused, TooMany)
	now = now.Add(time.Minute)
	f.expect(t, "a minute later", a.Operate(t.Context(), ask("Tap", on, "Ana", "")), done, "")
}

// Whoever may ask can't fill the disk with refusals, and who may not even less.
func TestRefusalsAreBounded(t *testing.T) {
	now := time.Now()
	f, a := newField(t, func(o *Options) { o.Now = func() time.Time { return now } })
	for range 500 {
		a.Operate(t.Context(), ask("V", on, "Ana", ""))
		a.Refuse(telemetry.ControlOperate, ask("Pos", on, "Ana", ""), Unauthorised, "")
	}
	if n := len(f.told()); n != mostRefusals+mostStrangers {
		t.Errorf("%d are written down", n)
	}
	if n := a.Stats().Counts[Count{telemetry.ControlOperate, refused}]; n != 1000 {
		t.Errorf("%d counted", n)
	}
	now = now.Add(time.Minute)
	f.expect(t, "a minute later", a.Operate(t.Context(), ask("V", on, "Ana", "")), refused, Unlisted)
}

// One thing at a time: what an interlock looks at isn't operated meanwhile.
func TestOneAtATime(t *testing.T) {
	f, a := newField(t, nil)
	f.hold = make(chan struct{})
	first := make(chan Answer)
	go func() { first <- a.Operate(t.Context(), ask("SetW", on, "Ana", "")) }()
	<-f.began
	f.expect(t, "another point", a.Operate(t.Context(), ask("Tap", on, "Ben", "")), refused, Busy)
	f.expect(t, "a selection", a.Select(t.Context(), ask("Pos", on, "Ben", "")), refused, Busy)
	close(f.hold)
	if got := <-first; got.Outcome != done {
		t.Errorf("%+v", got)
	}
	f.hold = nil
	f.expect(t, "afterwards", a.Operate(t.Context(), ask("Tap", on, "Ben", "")), done, "")
}

// What came of it is told as it is, to who asks and in the record.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		outcome telemetry.ControlOutcome
		err     error
		cause   Cause
	}{
		{done, nil, ""},
		{failed, errors.New("illegal data address"), DeviceFailed},
		{telemetry.ControlUnconfirmed, errors.New("shows 7"), Mismatch},
		{telemetry.ControlUnknown, errors.New("it may have been executed"), NoAnswer},
		{"", errors.New("a device without a word"), DeviceFailed},
	} {
		f, a := newField(t, nil)
		f.result, f.err = adapters.Controlled{Outcome: c.outcome, Old: off}, c.err
		want := c.outcome
		if want == "" {
			want = failed
		}
		got := a.Operate(t.Context(), ask("SetW", on, "Ana", ""))
		f.expect(t, string(want), got, want, c.cause)
		if told := f.told(); len(told) != 2 || told[0] != "operate begun" {
			t.Errorf("%q", told)
		}
		if c.err != nil && got.Detail != c.err.Error() {
			t.Errorf("%+v", got)
		}
	}
	f, a := newField(t, nil)
	f.err = errors.New("no answer")
	got := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	f.expect(t, "select", got, failed, DeviceFailed)
	if len(a.Stats().Selected) != 0 {
		t.Error("it is selected")
	}
}

// Who asked may go once it has begun, and it isn't begun for who has gone.
func TestWhoAskedHasGone(t *testing.T) {
	f, a := newField(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.expect(t, "gone", a.Operate(ctx, ask("SetW", on, "Ana", "")), refused, Abandoned)
	f, a = newField(t, nil)
	f.hold = make(chan struct{})
	ctx, cancel = context.WithCancel(t.Context())
	answer := make(chan Answer)
	go func() { answer <- a.Operate(ctx, ask("SetW", on, "Ana", "")) }()
	<-f.began
	cancel()
	close(f.hold)
	f.expect(t, "goes", <-answer, done, "")
}

// A gateway that stops waits for what goes on, begins nothing, and writes nothing
// down behind its end.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, a := newField(t, nil)
		a.Select(t.Context(), ask("Pos", on, "Ana", ""))
		f.hold = make(chan struct{})
		answer := make(chan Answer)
		go func() { answer <- a.Operate(t.Context(), ask("SetW", on, "Ana", "")) }()
		<-f.began
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a.Close(brief)
		if brief.Err() == nil {
			t.Error("it didn't wait")
		}
		n := len(f.told())
		if got := a.Operate(t.Context(), ask("Tap", on, "Ben", "")); got.Outcome != refused || got.Cause != Stopping {
			t.Errorf("%+v", got)
		}
		a.Cancel(ask("Pos", on, "Ana", "x"))
		if len(f.told()) != n {
			t.Errorf("%q", f.told())
		}
		close(f.hold)
		if got := <-answer; got.Outcome != done {
			t.Errorf("%+v", got)
		}
		a.Close(t.Context())
		n = len(f.told())
		if f.told()[n-1] != "operate done" {
			t.Errorf("%q", f.told())
		}
		time.Sleep(time.Hour) // past the end of the selection
		if len(f.told()) != n {
			t.Errorf("%q", f.told())
		}
	})
}
