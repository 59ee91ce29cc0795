package control

import (
	"context"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

func TestSuspend(t *testing.T) {
	f, a := newField(t, nil)
	s := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	a.Suspend()
	f.expect(t, "operate", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, Busy)
	f.expect(t, "select", a.Select(t.Context(), ask("Tap", on, "Ana", "")), refused, Busy)
	a.Resume()
	a.o.Read = func(ctx context.Context, device string) ([]telemetry.Sample, error) {
		a.Suspend()
		return f.read(ctx, device)
	}
	f.expect(t, "in between", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, Unlisted)
	if len(f.operated) != 0 {
		t.Error("it reached the device")
	}
	position, _ := a.Point("bay-1", "Tap")
	a.Configure([]Point{position})
	f.expect(t, "configured", a.Operate(t.Context(), ask("Tap", on, "Ana", "")), done, "")
}

func TestConfigure(t *testing.T) {
	now := time.Now()
	f, a := newField(t, func(o *Options) { o.Now = func() time.Time { return now } })
	s := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	f.expect(t, "operate", a.Operate(t.Context(), ask("SetW", on, "Ana", "")), done, "")
	position, _ := a.Point("bay-1", "Pos")
	setpoint, _ := a.Point("bay-1", "SetW")
	setpoint.Max = 10
	a.Configure([]Point{position, setpoint})
	if told := f.told(); told[len(told)-1] != "expire done" || f.audit[len(f.audit)-1].Detail != "the configuration was changed" {
		t.Errorf("%q", told)
	}
	f.expect(t, "what was selected", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, NotSelected)
	f.expect(t, "what isn't listed any more", a.Operate(t.Context(), ask("Tap", on, "Ana", "")), refused, Unlisted)
	f.expect(t, "beyond the new bounds", a.Operate(t.Context(), ask("SetW", telemetry.IntValue(11), "Ana", "")), refused, OutOfRange)
	f.expect(t, "just operated", a.Operate(t.Context(), ask("SetW", on, "Ana", "")), refused, TooSoon)
	now = now.Add(time.Second)
	f.expect(t, "as configured", a.Operate(t.Context(), ask("SetW", on, "Ana", "")), done, "")

	// A configuration that comes while a point is being selected.
	f.hold = make(chan struct{})
	f.selecting = true
	answer := make(chan Answer)
	go func() { answer <- a.Select(t.Context(), ask("Pos", on, "Ana", "")) }()
	<-f.began
	a.Configure([]Point{position})
	close(f.hold)
	s = <-answer
	f.hold, f.selecting = nil, false
	f.expect(t, "selected before", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, NotSelected)
	if len(a.Stats().Selected) != 0 || a.Stats().Points != 1 {
		t.Errorf("%+v", a.Stats())
	}

	// And one that comes while the interlocks of an operation are being read.
	s = a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	n := len(f.operated)
	a.o.Read = func(ctx context.Context, device string) ([]telemetry.Sample, error) {
		if _, limited := ctx.Deadline(); !limited {
			t.Error("reading it may take as long as it likes")
		}
		a.Configure([]Point{setpoint})
		return f.read(ctx, device)
	}
	f.expect(t, "in between", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, Unlisted)
	if len(f.operated) != n {
		t.Error("it reached the device")
	}
}

func TestAnOperationThatWaitsIsOfItsConfiguration(t *testing.T) {
	f, a := newField(t, nil)
	position, _ := a.Point("bay-1", "SetW")
	now := time.Now()
	a.o.Now = func() time.Time { now = now.Add(time.Minute); return now }
	for what, change := range map[string]func(){
		"another configuration": func() { a.Configure([]Point{position}) },
		"one that is coming":    a.Suspend,
	} {
		a.Configure([]Point{position})
		f.permitted = nil
		f.turn = change
		got := a.Operate(t.Context(), ask("SetW", on, "Ana", ""))
		f.expect(t, what, got, failed, Unlisted)
		if f.permitted == nil || got.Detail != "nothing was written: the configuration was changed" {
			t.Errorf("%s: %+v", what, got)
		}
	}
}
