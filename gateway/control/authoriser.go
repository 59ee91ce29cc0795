// Package control decides who may operate which device, when, and with what
// value: everything that writes to a device goes through one Authoriser, wherever
// it comes from. Nothing may unless it is listed; each attempt is written down, and
// an operation before it begins.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Options are what an Authoriser needs.
type Options struct {
	Enabled bool    // false: everything is refused
	Points  []Point // until Configure
	// Controller operates the devices.
	Controller adapters.Controller
	// Read reads a device now, for an interlock. The samples include its
	// telemetry.ChannelLive.
	Read func(ctx context.Context, device string) ([]telemetry.Sample, error)
	// Audit writes a step down. It returns when that is on disk, and sent if there is a
	// way; an error says that it isn't on disk.
	Audit func(telemetry.Control) error
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
}

const (
	// mostOperations bounds selections and operations of a gateway in a minute.
	mostOperations = 60
	// mostRefusals bounds the refusals in a minute that are written down one by one, and
	// mostStrangers those of who can't operate anything at all.
	mostRefusals, mostStrangers = 60, 10
	// longestName bounds what is kept of names that come from outside, in bytes.
	longestName = 100
)

// Authoriser is the one place that decides. It is safe for concurrent use, and
// carries out one operation at a time: an interlock would be worth nothing if what it
// looks at were operated meanwhile.
type Authoriser struct {
	o Options

	mu         sync.Mutex
	points     map[name]*point
	stopping   bool
	suspended  bool
	busy       *point // of the selection or operation that goes on
	operations limiter
	refusals   limiter
	strangers  limiter
	counts     map[Count]uint64
	running    sync.WaitGroup
}

const isDisabled = "control isn't enabled in the configuration"

type name struct{ device, signal string }

// point is a Point and what goes on with it.
type point struct {
	Point
	operated  time.Time // when its last operation began
	selection *selection
}

// New makes an Authoriser. Points of the same device and signal are a programming
// error.
func New(o Options) *Authoriser {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Authoriser{
		o: o, points: map[name]*point{}, counts: map[Count]uint64{},
		operations: limiter{most: mostOperations}, refusals: limiter{most: mostRefusals}, strangers: limiter{most: mostStrangers},
	}
	a.Configure(o.Points)
	return a
}

// again is how often Await looks.
const again = 20 * time.Millisecond

// Await returns when nothing else goes on that would have the point refused for the
// moment: another operation, a change of the configuration, its interval, or the limit of
// a minute, within which there has to be room for the selection too. It returns as well if
// ctx ends, or the point can't be operated at all.
func (a *Authoriser) Await(ctx context.Context, device, signal string) {
	for !a.free(device, signal) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

func (a *Authoriser) free(device, signal string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.points[name{device, signal}]
	switch {
	case p == nil || a.stopping || !a.o.Enabled:
		return true
	case a.busy != nil || a.suspended:
		return false
	}
	steps, now := 1, a.o.Now()
	if p.Select {
		steps = 2
	}
	return a.operations.room(now) >= steps && (p.operated.IsZero() || !now.Before(p.operated.Add(p.Every)))
}

// Suspend refuses everything until Configure or Resume, as long as it isn't certain
// which configuration the devices are read and written by. What has begun goes on.
func (a *Authoriser) Suspend() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.suspended = true
}

// Resume goes on with what could be operated before.
func (a *Authoriser) Resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.suspended = false
}

// Configure replaces what may be operated. What has begun goes on, every selection is
// over, and what was operated just now still was.
func (a *Authoriser) Configure(points []Point) {
	a.mu.Lock()
	a.suspended = false
	old := a.points
	a.points = map[name]*point{}
	for _, p := range points {
		at := name{p.Device, p.Signal}
		a.points[at] = &point{Point: p}
		if before := old[at]; before != nil {
			a.points[at].operated = before.operated
		}
	}
	var over []attempt
	for _, p := range old {
		if s := p.selection; s != nil && !a.stopping {
			s.timer.Stop()
			p.selection = nil
			over = append(over, s.ended(p, "the configuration was changed"))
		}
	}
	a.running.Add(len(over))
	a.mu.Unlock()
	for _, t := range over {
		a.tell(t, telemetry.ControlDone, "")
		a.running.Done()
	}
}

// Point is the point of that name.
func (a *Authoriser) Point(device, signal string) (Point, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.points[name{device, signal}]; p != nil {
		return p.Point, true
	}
	return Point{}, false
}

// Close refuses everything from now on, and returns when what goes on has ended and
// is written down, or when ctx ends. It may be called again.
func (a *Authoriser) Close(ctx context.Context) {
	a.mu.Lock()
	a.stopping = true
	for _, p := range a.points {
		if p.selection != nil {
			p.selection.timer.Stop()
			p.selection = nil
		}
	}
	a.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		a.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Operate writes a value to a point. Once that has begun it goes on to its end,
// whatever becomes of ctx.
func (a *Authoriser) Operate(ctx context.Context, r Request) Answer {
	t := attempt{action: telemetry.ControlOperate, Request: r, id: record.NewCommandID()}
	p, refused := a.admit(&t)
	if refused != "" {
		return a.refuse(t, refused)
	}
	defer a.release()
	if refused = a.interlocks(ctx, p, &t); refused != "" {
		return a.refuse(t, refused)
	}
	switch {
	case ctx.Err() != nil:
		t.detail = "who asked has gone"
		return a.refuse(t, Abandoned)
	case a.current(p) != nil:
		t.detail = errChanged.Error()
		return a.refuse(t, Unlisted)
	}
	if answer := a.begin(t, telemetry.ControlBegun); answer.Outcome != telemetry.ControlBegun {
		return answer
	}
	a.begun(p)
	if r.Begun != nil {
		r.Begun()
	}
	doing, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnTimeout)
	defer cancel()
	result, err := a.o.Controller.Operate(doing, adapters.Control{
		Device: p.Device, Signal: p.ID, Value: r.Value, Permitted: func() error { return a.current(p) },
	})
	t.old, t.readBack = result.Old, result.ReadBack
	cause := Cause("")
	if err != nil {
		t.detail = err.Error()
		switch {
		case result.Outcome == telemetry.ControlUnconfirmed:
			cause = Mismatch
		case result.Outcome == telemetry.ControlUnknown:
			cause = NoAnswer
		case errors.Is(err, errChanged):
			result.Outcome, cause = telemetry.ControlFailed, Unlisted
		default:
			result.Outcome, cause = telemetry.ControlFailed, DeviceFailed
		}
	}
	return a.finish(t, result.Outcome, cause)
}

const (
	// turnTimeout is how long an operation waits until the device's bus is free.
	turnTimeout = 30 * time.Second
	// interlockTimeout is how long what the interlocks name may take to be read: whoever
	// asked goes by what they saw before.
	interlockTimeout = 30 * time.Second
)

var errChanged = errors.New("the configuration was changed")

// current fails if the point isn't what the configuration says any more.
func (a *Authoriser) current(p *point) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.points[name{p.Device, p.Signal}] != p || a.suspended {
		return errChanged
	}
	return nil
}

// begun says that the point is being operated: what was refused before was no operation,
// after which the next has to wait.
func (a *Authoriser) begun(p *point) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.operated = a.o.Now()
}

// admit lets an attempt go on if everything that is known without asking a device
// allows it. Nothing else goes on until release. A selection that is operated on is
// over, whatever becomes of it.
func (a *Authoriser) admit(t *attempt) (*point, Cause) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.points[name{t.Device, t.Signal}]
	if p != nil {
		t.asset, t.unit = p.Asset, p.Unit
	}
	now := a.o.Now()
	switch {
	case !a.o.Enabled:
		t.detail = isDisabled
		return nil, Disabled
	case p == nil:
		t.detail = "the configuration doesn't list it under control"
		return nil, Unlisted
	case t.Origin == telemetry.ControlRule && !p.ByRules:
		t.detail = "the configuration doesn't say by_rules of it"
		return nil, Unlisted
	case a.stopping:
		return nil, Stopping
	case a.suspended:
		t.detail = "the configuration is being changed"
		return nil, Busy
	case strings.TrimSpace(t.By) == "" || len(t.By) > longestName || strings.ContainsFunc(t.By, unicode.IsControl):
		t.detail = fmt.Sprintf("who asks has a name of 1 to %d bytes, in one line", longestName)
		return nil, NoName
	}
	if err := p.allows(t.Value); err != nil {
		t.detail = err.Error()
		return nil, OutOfRange
	}
	if cause := p.selected(t, now); cause != "" {
		return nil, cause
	}
	switch wait := p.operated.Add(p.Every).Sub(now); {
	case a.busy != nil:
		t.detail = fmt.Sprintf("%s of %s is being operated", a.busy.Signal, a.busy.Device)
		return nil, Busy
	case !p.operated.IsZero() && wait > 0:
		t.detail = fmt.Sprintf("it was operated just now, and may be again in %v", wait.Round(time.Millisecond))
		return nil, TooSoon
	case !a.operations.allow(now):
		t.detail = fmt.Sprintf("%d operations in a minute are the most", mostOperations)
		return nil, TooMany
	}
	if s := p.selection; t.action == telemetry.ControlOperate && s != nil && s.of(t.Request) {
		s.timer.Stop()
		p.selection, t.id = nil, s.id
	}
	a.busy, t.admitted = p, true
	a.running.Add(1)
	return p, ""
}

func same(a, b telemetry.Value) bool {
	x, _ := a.Float()
	y, _ := b.Float()
	return a == b || a.Kind() != b.Kind() && x == y
}

func (a *Authoriser) release() {
	a.mu.Lock()
	a.busy = nil
	a.mu.Unlock()
	a.running.Done()
}

// interlocks decides by what their devices say now.
func (a *Authoriser) interlocks(ctx context.Context, p *point, t *attempt) Cause {
	ctx, cancel := context.WithTimeout(ctx, interlockTimeout)
	defer cancel()
	read := map[string][]telemetry.Sample{}
	for _, i := range p.Interlocks {
		var samples []telemetry.Sample
		for _, device := range i.Devices() {
			if _, done := read[device]; !done {
				got, err := a.o.Read(ctx, device)
				if err != nil {
					t.detail = fmt.Sprintf("%s: %v", i, err)
					return Undecided
				}
				read[device] = got
			}
			samples = append(samples, read[device]...)
		}
		verdict, seen := i.Judge(samples)
		t.detail = fmt.Sprintf("%s: %s", i, seen)
		switch verdict {
		case rules.Blocks:
			return Interlocked
		case rules.Undecided:
			return Undecided
		}
	}
	t.detail = ""
	return ""
}
