package opcua

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// watch is a device that is being read, over all of its connections. It belongs to the
// goroutine of Run.
type watch struct {
	Device
	session *session.Session
	items   []*item // by client handle
	index   map[itemKey]*item
	used    map[string]bool // names of signals
	written map[Node]bool   // whose own value has a signal that is written down
	full    bool            // the server has had more nodes than are followed
	panel   panel
	left    []*subscription // of the connection before, which the server may still have
	gaps    []*gap          // whose history hasn't been read
	started time.Time       // the server, by its word, when it had them
	alone   bool            // subscriptions that were taken over from it have told nothing
	cause   string          // why there is no connection, as it was told last
}

// item is what a server is asked to tell of: the value of a node, which one signal or
// several lie in.
type item struct {
	itemKey
	handle  uint32
	name    string // of its first signal, for people
	signals []*sampler
	found   *variable // it is followed; nil: it is configured
	last    time.Time // by its source, of the newest value that was delivered

	// On the present connection:
	id     *ua.NodeID
	state  state
	asking bool      // it is going to be monitored, or that is being asked for
	in     uint32    // the subscription that it is monitored in
	behind time.Time // what came after that is missing, and looked for in the history; zero: nothing
	told   error     // why a value can't be taken, as it was told last
}

type itemKey struct {
	node     Node
	deadband float64 // in the unit of the node's value
	follow   bool    // it isn't written down
}

// state is how an item's values come.
type state uint8

const (
	asked     state = iota // nothing is known yet
	monitored              // the server tells of changes
	polled                 // it is read in each period, as the server doesn't monitor it
	nameless               // it is followed, and none of its signals has got an id
	refused                // it has none
)

func newWatch(d Device, s *session.Session) *watch {
	w := &watch{Device: d, session: s, index: map[itemKey]*item{}, written: map[Node]bool{}, panel: newPanel(d)}
	for _, p := range d.Points {
		steps, err := p.Element.steps()
		if err != nil {
			panic(err) // it has been checked
		}
		key := itemKey{node: p.Node}
		if p.Element == "" {
			key.deadband = p.Deadband / math.Abs(p.Scale)
			w.written[p.Node] = true
		}
		i := w.item(key)
		if i.name == "" {
			i.name = p.Name
		}
		i.signals = append(i.signals, &sampler{steps: steps, scale: p.Scale, offset: p.Offset, bool: p.Bool, signal: p.Signal})
	}
	return w
}

// item is that of a key, which is made if there is none.
func (w *watch) item(key itemKey) *item {
	i, known := w.index[key]
	if !known {
		i = &item{itemKey: key, handle: uint32(len(w.items))}
		w.items = append(w.items, i)
		w.index[key] = i
	}
	return i
}

// Between attempts to connect, the wait doubles from the first to the last of these, each
// drawn between half of it and all of it.
const (
	firstWait = time.Second
	lastWait  = 10 * time.Second
	// settled is how long a connection has to have lasted for the next wait to be the first.
	settled = time.Minute
)

// Run implements session.Device.
func (d Device) Run(ctx context.Context, s *session.Session) {
	w := newWatch(d, s)
	if len(d.Alarms) > 0 && w.remember(ctx) != nil {
		return
	}
	wait := firstWait
	for first := true; ; first = false {
		lasted, err := w.connected(ctx)
		if ctx.Err() != nil {
			return
		}
		if lasted > settled {
			wait = firstWait
		}
		switch text := err.Error(); {
		case first || lasted > 0:
			if s.Deliver(ctx, w.failed(err)) != nil { // the session tells why
				return
			}
			w.cause = text
		case text != w.cause:
			s.Log().Warn("no connection", "error", err)
			w.cause = text
		}
		if !w.idle(ctx, wait/2+rand.N(wait/2), err) {
			return
		}
		wait = min(2*wait, lastWait)
	}
}

// idle waits, and meanwhile says that the device doesn't answer. It returns false when
// ctx ends.
func (w *watch) idle(ctx context.Context, wait time.Duration, cause error) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	return w.until(ctx, timer.C, cause)
}

// until is idle until something happens.
func (w *watch) until(ctx context.Context, done <-chan time.Time, cause error) bool {
	alive := time.NewTicker(adapters.LiveEvery / 4)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return true
		case a := <-w.session.Asked():
			a.Answer(session.Result{Received: time.Now(), Cause: cause})
		case now := <-alive.C:
			if w.session.LiveDue(now) && w.session.Deliver(ctx, session.Result{Received: now, Cause: cause}) != nil {
				return false
			}
		}
	}
}

var errConnecting = errors.New("the connection is being made")

// connected connects and reads until the connection fails. lasted is 0 if there was none.
func (w *watch) connected(ctx context.Context) (lasted time.Duration, err error) {
	type dialled struct {
		link *link
		err  error
	}
	made := make(chan dialled, 1)
	done := make(chan time.Time)
	go func() {
		l, err := dial(ctx, w.Device, w.session.Log())
		made <- dialled{l, err}
		close(done)
	}()
	if !w.until(ctx, done, errConnecting) {
		if d := <-made; d.link != nil {
			d.link.Abort()
		}
		return 0, ctx.Err()
	}
	d := <-made
	if d.err != nil {
		return 0, d.err
	}
	began := time.Now()
	w.cause = ""
	w.links.connected(w.ID, d.link)
	defer func() {
		w.links.disconnected(w.ID)
		if ctx.Err() != nil { // nobody takes the subscriptions over
			goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			d.link.Close(goodbye)
		} else {
			d.link.Abort()
		}
	}()
	err = w.read(ctx, d.link)
	return max(time.Since(began), 1), err
}

// mostResubscriptions is how often in a row a connection is gone on with that has lost
// its subscriptions.
const mostResubscriptions = 3

// read reads over a connection until it fails.
func (w *watch) read(ctx context.Context, l *link) error {
	for tries := 0; ; tries++ {
		began := time.Now()
		err := newLife(w, l).run(ctx)
		if time.Since(began) > settled {
			tries = 0
		}
		if !errors.Is(err, errResubscribe) || tries == mostResubscriptions || ctx.Err() != nil {
			return err
		}
		w.session.Log().Warn("the subscriptions are made anew", "cause", err)
		if errors.Is(err, errSilent) && w.session.Deliver(ctx, w.failed(err)) != nil {
			return ctx.Err()
		}
	}
}

// failed is that no signal has a value any more.
func (w *watch) failed(cause error) session.Result {
	q := session.Bad(reasonOf(cause)) | telemetry.Stale
	r := session.Result{Received: time.Now(), Cause: cause}
	for _, i := range w.items {
		for _, s := range i.signals {
			r.Samples = append(r.Samples, telemetry.Sample{Time: telemetry.MicrosOf(r.Received), Signal: s.signal, Quality: q})
		}
	}
	r.Samples = append(r.Samples, w.panel.fail(r.Received, q)...)
	return r
}

// reasonOf is what an error of a whole device says of its signals.
func reasonOf(err error) telemetry.Reason {
	var status ua.StatusCode
	switch {
	case errors.Is(err, errSilent), errors.Is(err, context.DeadlineExceeded):
		return telemetry.Timeout
	case errors.As(err, &status) && status != 0:
		return reason(status & codeMask)
	}
	return telemetry.NotConnected
}

// Read implements session.Device.
func (d Device) Read(ctx context.Context) session.Result {
	l, err := dial(ctx, d, nil)
	if err != nil {
		return session.Result{Received: time.Now(), Cause: err}
	}
	defer func() {
		goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		l.Close(goodbye)
	}()
	w := newWatch(d, nil)
	return l.readAll(ctx, wanted(w.items, l.Namespaces))
}

// want is an item to be read, apart from what the goroutine of Run changes of it.
type want struct {
	id      *ua.NodeID
	err     error // why it has none
	signals []*sampler
}

func wanted(items []*item, namespaces []string) []want {
	list := make([]want, len(items))
	for n, i := range items {
		list[n].id, list[n].err = i.node.on(namespaces)
		list[n].signals = append([]*sampler(nil), i.signals...)
	}
	return list
}

// readAll reads nodes now.
func (l *link) readAll(ctx context.Context, wants []want) session.Result {
	for {
		r := session.Result{}
		values, err := l.values(ctx, wants)
		r.Received = time.Now()
		if err != nil {
			r.Cause = fmt.Errorf("read: %w", err)
			return r
		}
		for n, v := range values {
			for _, s := range wants[n].signals {
				sample, _ := l.sample(s, v, r.Received)
				r.Samples = append(r.Samples, sample)
			}
		}
		if learned, err := l.learnWanted(ctx); err != nil || !learned {
			return r
		}
	}
}

// values are those of nodes; of what isn't there the status says so.
func (l *link) values(ctx context.Context, wants []want) ([]*ua.DataValue, error) {
	values := make([]*ua.DataValue, len(wants))
	var ids []*ua.ReadValueID
	var places []int
	for n, w := range wants {
		if w.err != nil {
			values[n] = &ua.DataValue{Status: ua.StatusBadNodeIDUnknown}
			continue
		}
		ids = append(ids, &ua.ReadValueID{NodeID: w.id, AttributeID: ua.AttributeIDValue})
		places = append(places, n)
	}
	err := l.read(ctx, ids, func(i int, v *ua.DataValue) { values[places[i]] = v })
	return values, err
}
