package meter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec62056"
	"github.com/busbar/busbar/adapters/p1"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/adapters/sml"
	"github.com/busbar/busbar/telemetry"
)

const (
	// soonest and latest bound how long it waits until it connects again.
	soonest, latest = time.Second, 30 * time.Second
	// warnEvery bounds how often it is said that telegrams can't be read.
	warnEvery = time.Minute
)

// running is a meter that is read.
type running struct {
	Device
	session   *session.Session
	registers *registers
	zone      *time.Location
	gone      bool // that it isn't read has been said of its registers
	warned    time.Time
	spoilt    int // telegrams that couldn't be read, since warned
}

// Run implements session.Device.
func (d Device) Run(ctx context.Context, s *session.Session) {
	zone, err := time.LoadLocation(d.Zone)
	if err != nil {
		zone = time.UTC // it has been checked
	}
	r := &running{Device: d, session: s, registers: newRegisters(d, s), zone: zone}
	if d.Protocol == IEC62056 {
		r.ask(ctx)
		return
	}
	for pause := soonest; ctx.Err() == nil; pause = min(2*pause, latest) {
		err := r.listen(ctx, func() { pause = soonest })
		if ctx.Err() != nil || r.away(ctx, err) != nil || !r.wait(ctx, pause, err) {
			return
		}
	}
}

// Read implements session.Device: the registers that have signals of their own names.
func (d Device) Read(ctx context.Context) session.Result {
	zone, err := time.LoadLocation(d.Zone)
	if err != nil {
		zone = time.UTC
	}
	r := &running{Device: d, registers: newRegisters(d, nil), zone: zone}
	var t reading
	if d.Protocol == IEC62056 {
		t, err = r.readOut(ctx)
	} else {
		t, err = r.first(ctx)
	}
	if err != nil {
		return d.About().Failed(err, session.Bad(reasonOf(err)))
	}
	if _, err := r.registers.take(ctx, t); err != nil {
		return d.About().Failed(err, session.Bad(telemetry.Timeout))
	}
	return session.Result{Received: t.at, Samples: r.registers.latest()}
}

func reasonOf(err error) telemetry.Reason {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	return telemetry.Timeout
}

// away says that the meter isn't read: of its registers once, and of itself again and again.
func (r *running) away(ctx context.Context, cause error) error {
	now := time.Now()
	result := session.Result{Received: now, Cause: cause}
	switch {
	case !r.gone:
		r.gone = true
		result.Samples = r.registers.lacking(now, reasonOf(cause))
	case !r.session.LiveDue(now):
		return nil
	}
	return r.session.Deliver(ctx, result)
}

// wait waits until the next try, and answers who asks meanwhile. It returns false if ctx ends.
func (r *running) wait(ctx context.Context, pause time.Duration, cause error) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case a := <-r.session.Asked():
			a.Answer(session.Result{Received: time.Now(), Cause: cause})
		case <-timer.C:
			return true
		}
	}
}

// told is what has come of a meter: a reading, or why there is none.
type told struct {
	reading
	err error
}

// listen takes what the meter sends until the line fails, nothing comes for too long, or ctx
// ends. heard is called when something has come that can be read.
func (r *running) listen(ctx context.Context, heard func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readings := make(chan told)
	ended := make(chan error, 1)
	go func() {
		ended <- r.receive(ctx, func(t told) {
			select {
			case readings <- t:
			case <-ctx.Done():
			}
		})
	}()
	finish := func(err error) error {
		cancel()
		<-ended
		return err
	}
	silence := time.NewTimer(r.Timeout)
	defer silence.Stop()
	spoilt := false
	for {
		select {
		case <-ctx.Done():
			return finish(ctx.Err())
		case err := <-ended:
			return err
		case a := <-r.session.Asked():
			a.Answer(session.Result{Received: time.Now(), Samples: r.registers.latest()})
		case <-silence.C:
			if spoilt {
				return finish(&failure{telemetry.Malformed, fmt.Errorf("nothing that can be read comes for %v", r.Timeout)})
			}
			return finish(&failure{telemetry.Timeout, fmt.Errorf("nothing comes for %v", r.Timeout)})
		case t := <-readings:
			if t.err != nil {
				spoilt = true
				r.warn(t.err)
				continue
			}
			spoilt = false
			silence.Reset(r.Timeout)
			heard()
			if err := r.deliver(ctx, t.reading); err != nil {
				return finish(err)
			}
		}
	}
}

func (r *running) deliver(ctx context.Context, t reading) error {
	samples, err := r.registers.take(ctx, t)
	if err != nil {
		return err
	}
	r.gone = false
	result := session.Result{Received: t.at, Samples: samples, Disturbances: disturbances(t.registers)}
	if t.trusted() { // else nobody knows when they were
		result.Interruptions = t.failures
	}
	return r.session.Deliver(ctx, result)
}

// warn says now and then that something can't be read.
func (r *running) warn(err error) {
	r.spoilt++
	if now := time.Now(); now.Sub(r.warned) >= warnEvery {
		r.session.Log().Warn("what the meter sends can't be read", "error", err, "times", r.spoilt)
		r.warned, r.spoilt = now, 0
	}
}

// splitter finds whole telegrams in what comes.
type splitter interface {
	Write(data []byte, do func(telegram []byte, err error))
}

// receive gives what the meter sends until the line fails or ctx ends.
func (r *running) receive(ctx context.Context, do func(told)) error {
	split, err := r.splitter()
	if err != nil {
		return &failure{telemetry.NotConnected, err}
	}
	c, _, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	chunk := make([]byte, 4096)
	for ctx.Err() == nil {
		n, err := c.Read(chunk)
		at := time.Now()
		split.Write(chunk[:n], func(telegram []byte, err error) {
			t := told{err: err}
			if err == nil {
				t.reading, t.err = r.parse(telegram)
			}
			t.at = at
			do(t)
		})
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return ctx.Err()
			}
			return &failure{telemetry.NotConnected, fmt.Errorf("the line was closed: %w", err)}
		}
	}
	return ctx.Err()
}

func (r *running) splitter() (splitter, error) {
	if r.Protocol == SML {
		return &sml.Splitter{}, nil
	}
	d, err := r.decrypter()
	if err != nil {
		return nil, err
	}
	if d != nil {
		return d, nil
	}
	return &p1.Splitter{}, nil
}

func (r *running) parse(telegram []byte) (reading, error) {
	if r.Protocol == SML {
		registers, err := sml.Parse(nil, telegram)
		return reading{registers: registers}, err
	}
	t, err := p1.Parse(telegram, r.zone)
	if err != nil {
		return reading{}, err
	}
	out := reading{registers: t.Registers, clock: t.Time}
	for _, f := range t.Failures {
		out.failures = append(out.failures, adapters.Interruption{From: f.End.Add(-f.Lasted), To: f.End})
	}
	return out, nil
}

// first is the first reading that comes.
func (r *running) first(ctx context.Context) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	var first *reading
	var spoilt error
	err := r.receive(ctx, func(t told) {
		switch {
		case t.err != nil:
			spoilt = t.err
		case first == nil:
			first = &t.reading
			cancel()
		}
	})
	switch {
	case first != nil:
		return *first, nil
	case spoilt != nil:
		return reading{}, &failure{telemetry.Malformed, spoilt}
	case errors.Is(err, context.DeadlineExceeded):
		return reading{}, &failure{telemetry.Timeout, fmt.Errorf("nothing comes for %v", r.Timeout)}
	}
	return reading{}, err
}

// ask reads the meter out again and again until ctx ends.
func (r *running) ask(ctx context.Context) {
	due := time.NewTimer(0)
	defer due.Stop()
	live := time.NewTicker(adapters.LiveEvery / 4)
	defer live.Stop()
	var last error
	for {
		var asked *session.Ask
		select {
		case <-ctx.Done():
			return
		case a := <-r.session.Asked():
			asked = &a
		case now := <-live.C:
			if r.session.LiveDue(now) && r.session.Deliver(ctx, session.Result{Received: now, Cause: last}) != nil {
				return
			}
			continue
		case <-due.C:
			due.Reset(r.ReadEvery)
		}
		t, err := r.readOut(ctx)
		if ctx.Err() != nil {
			return
		}
		last = err
		if err == nil {
			err = r.deliver(ctx, t)
		} else {
			err = r.away(ctx, err)
		}
		if err != nil {
			return
		}
		if asked != nil {
			asked.Answer(session.Result{Received: time.Now(), Samples: r.registers.latest(), Cause: last})
		}
	}
}

// readOut asks the meter once for all that it tells.
func (r *running) readOut(ctx context.Context) (reading, error) {
	c, e, err := r.dial(ctx)
	if err != nil {
		return reading{}, err
	}
	defer c.Close()
	fastest := e.Line.Baud
	if e.Path != "" {
		fastest = iec62056.Fastest
	}
	out, err := iec62056.Read(ctx, c, iec62056.Options{Address: r.Address, Baud: e.Line.Baud, Fastest: fastest, Timeout: r.Timeout})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil:
		return reading{}, &failure{telemetry.Timeout, err}
	case err != nil:
		return reading{}, &failure{telemetry.Malformed, err}
	}
	return reading{registers: out.Registers, at: time.Now()}, nil
}
