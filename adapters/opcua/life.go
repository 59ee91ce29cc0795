package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

var (
	// errResubscribe is that the connection is good and the subscriptions aren't.
	errResubscribe = errors.New("the server has given the subscriptions up")
	// errSilent is that the server is connected and says nothing.
	errSilent = errors.New("the server is connected, but says nothing any more")
	// errEnded is said to who asks while the connection is given up.
	errEnded = errors.New("the connection was given up meanwhile")
)

// life is how a device is read over one connection, as long as its subscriptions last.
// What isn't said to be otherwise belongs to the goroutine of run; others ask and wait for
// answers, and have run do what follows from them.
type life struct {
	*watch
	*link
	names []string // the server's namespaces

	ctx    context.Context
	posts  chan func() error
	asking sync.WaitGroup
	jobs   []job // to be done one after another
	busy   bool

	subscriptions map[uint32]*subscription
	publishers    int
	acks          acknowledgements // safe for concurrent use
	old           []*subscription  // of the connection before
	handed        bool             // the server has said which of them it hands over
	remade        bool             // what the server has lost of them

	// Of the job that goes on:
	room   *subscription // that takes more items
	unsure uint32        // the subscription in which items were asked for, without an answer
	tells  bool          // there is one that tells when the address space changes

	began      time.Time
	heard      time.Time // when the server last told its time
	clock      time.Time // which was that
	clockAsked bool
	stands     int  // how often in a row it was the same
	running    bool // it says that it runs

	looking   bool // for what is to be followed
	lookAgain bool // once that has been done
	recalling bool // what is missing is going to be read
	retrying  bool // what was refused is going to be asked for

	reading  bool          // the polled items are being read
	again    []*item       // to be read when the structures in them are known
	fresh    []freshSignal // found, and not registered
	batch    []telemetry.Sample
	received time.Time // of the batch
}

// job is a longer piece of work, in a goroutine of its own.
type job func(ctx context.Context) error

func newLife(w *watch, l *link) *life {
	return &life{watch: w, link: l, names: l.Namespaces, posts: make(chan func() error), subscriptions: map[uint32]*subscription{}, old: w.left, running: true}
}

// post has run do something. It returns false if that has ended.
func (l *life) post(do func() error) bool {
	select {
	case l.posts <- do:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// begin has a job done after those before it.
func (l *life) begin(j job) {
	l.jobs = append(l.jobs, j)
	l.next()
}

func (l *life) next() {
	if l.busy || len(l.jobs) == 0 {
		return
	}
	j := l.jobs[0]
	l.jobs, l.busy = slices.Delete(l.jobs, 0, 1), true // which lets go of what was asked for
	l.asking.Go(func() {
		err := j(l.ctx)
		l.post(func() error {
			l.busy = false
			l.next()
			if err != nil && l.Cause() == nil && !errors.Is(err, errResubscribe) {
				l.session.Log().Warn("a request fails", "error", err)
				return nil // what depends on it shows in tell, and whether the server lives in check
			}
			return err
		})
	})
}

const (
	// retryEvery is how often it is tried again to get what the server refuses.
	retryEvery = time.Minute
	// patience is how many keep-alives a server may be silent.
	patience = 3
)

// run reads until the connection fails, its subscriptions do, or ctx ends.
func (l *life) run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	l.ctx = ctx
	defer func() {
		stop()
		l.asking.Wait()
		l.leave(err)
	}()
	l.began = time.Now()
	l.heard = l.began
	for _, i := range l.items {
		i.asking = false
		l.renew(i)
		if i.found != nil {
			l.rediscover(i)
		}
	}
	l.resume()
	l.begin(l.start)
	l.session.Log().Info("connected", "signals", len(l.Points), "nodes", len(l.items))
	watchdog := time.NewTicker(max(l.KeepAlive/4, 10*time.Millisecond))
	defer watchdog.Stop()
	ask := time.NewTicker(min(l.KeepAlive, max(l.SessionTimeout/2, time.Second))) // which keeps the session, too
	defer ask.Stop()
	poll := time.NewTicker(l.PublishEvery)
	defer poll.Stop()
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	follow := time.NewTicker(l.FollowEvery)
	defer follow.Stop()
	l.askTime()
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.Lost():
			return l.Cause()
		case do := <-l.posts:
			err = do()
		case a := <-l.session.Asked():
			wants := wanted(l.items, l.names)
			l.asking.Go(func() { a.Answer(l.readFor(a, wants)) })
		case now := <-watchdog.C:
			err = l.check(now)
		case <-ask.C:
			l.askTime()
		case <-poll.C:
			l.poll()
		case <-retry.C:
			l.retry()
		case <-follow.C:
			l.follow()
		}
		if err == nil {
			err = l.flush()
		}
		if err != nil {
			return err
		}
		// While we couldn't take anything, nothing was heard.
		if held := time.Since(began); held > l.KeepAlive/2 {
			l.heard = l.heard.Add(held)
			for _, s := range l.subscriptions {
				s.heard = s.heard.Add(held)
			}
		}
	}
}

// renew has an item begin anew.
func (l *life) renew(i *item) {
	var err error
	i.id, err = i.node.on(l.names)
	i.state, i.behind, i.told = asked, i.last, nil
	switch {
	case err != nil:
		l.refuse(i, ua.StatusBadNodeIDUnknown, err)
	case i.found != nil && i.found.nameless():
		i.state = nameless
	}
}

// start is the first job.
func (l *life) start(ctx context.Context) error {
	if err := l.takeOver(ctx); err != nil {
		return err
	}
	l.post(func() error {
		l.monitor(func(i *item) bool { return i.state == asked })
		l.begin(l.verify)
		if len(l.Follow) > 0 && !l.Poll {
			l.begin(l.watchModel)
		}
		l.tendAlarms()
		l.recall()
		l.follow()
		return nil
	})
	return ctx.Err()
}

// tell says how much of what was asked for comes.
func (l *life) tell() error {
	var n [refused + 1]int
	var first *item
	for _, i := range l.items {
		n[i.state]++
		if i.state == refused && first == nil {
			first = i
		}
	}
	switch {
	case n[asked] > 0 && len(l.jobs) > 0: // they are being asked for
		return nil
	case n[asked] > 0:
		return fmt.Errorf("the server left %d nodes of %d unanswered", n[asked], len(l.items))
	}
	l.poll()
	l.session.Log().Info("subscribed", "monitored", n[monitored], "polled", n[polled], "refused", n[refused], "subscriptions", len(l.subscriptions))
	if first != nil {
		l.session.Log().Warn("the server refuses nodes; they are tried again", "refused", n[refused], "first", first.name, "node", first.node.String(), "cause", first.told)
	}
	return nil
}

// refuse says why an item has no value.
func (l *life) refuse(i *item, status ua.StatusCode, cause error) {
	i.state, i.told = refused, cause
	at := time.Now()
	for _, s := range i.signals {
		l.batch = append(l.batch, telemetry.Sample{Time: telemetry.MicrosOf(at), Signal: s.signal, Quality: quality(status)})
	}
}

// flush delivers what has come together, and says that the device lives.
func (l *life) flush() error {
	now := time.Now()
	if len(l.batch) == 0 && !l.session.LiveDue(now) {
		return nil
	}
	if l.received.IsZero() {
		l.received = now
	}
	r := session.Result{Samples: l.batch, Received: l.received}
	l.batch, l.received = l.batch[:0], time.Time{}
	return l.session.Deliver(l.ctx, r)
}

// readFor reads for somebody who asks, until they have gone.
func (l *life) readFor(a session.Ask, wants []want) session.Result {
	ctx, cancel := context.WithCancel(a.Context())
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	r := l.readAll(ctx, wants)
	if l.ctx.Err() != nil && errors.Is(r.Cause, context.Canceled) {
		r.Cause = errEnded
	}
	return r
}

// askTime asks the server for its time, if it isn't being asked.
func (l *life) askTime() {
	if l.clockAsked {
		return
	}
	l.clockAsked = true
	l.asking.Go(func() {
		at, running, err := l.now(l.ctx)
		l.post(func() error {
			l.clockAsked = false
			return l.told(at, running, err)
		})
	})
}

// told takes the server's time.
func (l *life) told(at time.Time, running bool, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil // the watchdog decides
	case err != nil:
		return err
	}
	if running != l.running {
		l.running = running
		l.session.Log().Warn("the server's state has changed", "running", running)
	}
	if at.IsZero() || !at.Equal(l.clock) {
		l.stands = 0
	} else if l.stands++; l.stands == patience { // it may have none: what it sends says whether it lives
		l.session.Log().Warn("the server's clock stands", "time", at.UTC().Format(time.RFC3339Nano))
	}
	l.clock, l.heard = at, time.Now()
	return nil
}

// check notices a server that is silent, and messages that are missing.
func (l *life) check(now time.Time) error {
	if silent := now.Sub(l.heard); silent > patience*l.KeepAlive {
		return fmt.Errorf("%w: not its time in %v", errSilent, silent.Round(time.Millisecond))
	}
	for _, s := range l.subscriptions {
		if silent := now.Sub(s.heard); silent > patience*s.keepAlive {
			err := fmt.Errorf("%w: no notification and no keep-alive in %v", errSilent, silent.Round(time.Millisecond))
			if now.Sub(l.heard) < 2*l.KeepAlive { // it answers all the same
				err = fmt.Errorf("%w: %w", errResubscribe, err)
			}
			return err
		}
		l.mind(s, now)
	}
	l.refresh()
	return nil
}

// poll reads what the server doesn't monitor.
func (l *life) poll() {
	if l.reading {
		return
	}
	var items []*item
	for _, i := range l.items {
		if i.state == polled {
			items = append(items, i)
		}
	}
	if len(items) == 0 {
		return
	}
	l.reading = true
	l.ask(items, func() { l.reading = false })
}

// retry asks again for what was refused.
func (l *life) retry() {
	if len(l.fresh) > 0 { // they may have been refused their ids
		l.begin(l.register)
	}
	l.tendAlarms()
	if l.retrying || !slices.ContainsFunc(l.items, func(i *item) bool { return i.state == refused }) {
		return
	}
	l.retrying = true
	l.begin(func(ctx context.Context) error {
		names, err := l.namespaces(ctx)
		l.post(func() error {
			if l.retrying = false; err == nil {
				l.names = names
				l.monitor(func(i *item) bool { return i.state == refused })
			}
			return nil
		})
		return err
	})
}

// take takes a value of an item.
func (l *life) take(i *item, v *ua.DataValue, received time.Time) {
	if i.found != nil {
		l.takeFound(i, v, received)
		return
	}
	for _, s := range i.signals {
		if !l.put(i, s, v, received) {
			return
		}
	}
}

// put makes a sample of a value. It returns false if the value has to be read again.
func (l *life) put(i *item, s *sampler, v *ua.DataValue, received time.Time) bool {
	sample, err := l.sample(s, v, received)
	if errors.Is(err, errUnknownStructure) && l.wanting() {
		l.readAgain(i)
		return false
	}
	if err != nil && (i.told == nil || i.told.Error() != err.Error()) {
		i.told = err
		l.session.Log().Warn("a value can't be taken", "signal", i.name, "node", i.node.String(), "error", err)
	}
	l.batch = append(l.batch, sample)
	l.note(i, sample)
	return true
}

// readAgain has an item read once the structures that its value is made of are known.
func (l *life) readAgain(i *item) {
	if slices.Contains(l.again, i) {
		return
	}
	if l.again = append(l.again, i); len(l.again) > 1 {
		return
	}
	l.begin(func(ctx context.Context) error {
		if _, err := l.learnWanted(ctx); err != nil {
			return err
		}
		l.post(func() error {
			items := l.again
			l.again = nil
			l.ask(items, nil)
			return nil
		})
		return nil
	})
}

// ask reads items now; then is called when their values have been taken.
func (l *life) ask(items []*item, then func()) {
	wants := wanted(items, l.names)
	l.asking.Go(func() {
		values, err := l.values(l.ctx, wants)
		received := time.Now()
		l.post(func() error {
			if err != nil {
				return err
			}
			l.received = received
			for n, v := range values {
				l.take(items[n], v, received)
			}
			if then != nil {
				then()
			}
			return nil
		})
	})
}

// note takes up until when an item's values are known, and has what is missing before
// this one looked for.
func (l *life) note(i *item, s telemetry.Sample) {
	if s.Quality.TimeQuality() != telemetry.DeviceTime {
		return
	}
	at := s.Time.Time()
	switch {
	case !i.behind.IsZero() && at.After(i.behind):
		l.miss(i, i.behind, at)
	case overflown(s) && at.Before(l.began) && !i.last.IsZero() && at.After(i.last): // of a queue that was too short for the time without a connection
		l.miss(i, i.last, at)
	}
	i.behind = time.Time{}
	if at.After(i.last) {
		i.last = at
	}
}
