package mqtt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/mqttconn"
	"github.com/busbar/busbar/telemetry"
)

const (
	// keepAlive is after how long of silence the broker is asked whether it is there.
	keepAlive = 10 * time.Second
	// soonest and latest bound how long it waits until it connects again.
	soonest, latest = time.Second, 30 * time.Second
	// lasting is how long a connection has to last before the next is made as soon as
	// after the first: two clients with one id drive each other away.
	lasting = 30 * time.Second
	// lookEvery is how often it is looked what has become stale.
	lookEvery = 500 * time.Millisecond
	// noticed is after how long without any message it is said that none comes.
	noticed = time.Minute
	// gatherFor is how long signals that were found are gathered before they are
	// registered together, and quiet how long without another one.
	gatherFor, quiet = time.Second, 50 * time.Millisecond
	// mostGathered bounds the messages of one delivery.
	mostGathered = 10_000
	// farewell is how long a device that ends waits for the disk.
	farewell = 3 * time.Second
	// lookFor is how long somebody waits who reads once.
	lookFor = 3 * time.Second
)

var (
	errSilent  = errors.New("connected, but nothing comes")
	errOffline = errors.New("the source says that it is offline")
	errLost    = errors.New("samples couldn't be kept; the broker is to send them again")
)

// Run implements session.Device.
func (d Device) Run(ctx context.Context, s *session.Session) {
	l := &listener{Device: d, reader: newReader(d), session: s, onDisk: &onDisk{}}
	pause := time.Duration(0)
	for {
		began := time.Now()
		connected, err := l.connected(ctx)
		if ctx.Err() != nil {
			return
		}
		if connected { // if it is made again at once, there is no gap
			s.Log().Warn("connection lost", "error", err)
		} else if l.away(ctx, err) != nil {
			return
		}
		switch {
		case connected && time.Since(began) >= lasting:
			pause = soonest / 2
		case pause == 0:
			pause = soonest
		default:
			pause = min(2*pause, latest)
		}
		if !l.pause(ctx, pause/2+rand.N(pause)) {
			return
		}
	}
}

// listener is a device that is listened to.
type listener struct {
	Device
	reader  *reader
	session *session.Session
	onDisk  *onDisk // of the session that the broker keeps
	acks    *acks   // of the connection

	gone    bool      // no value is current, and that was said
	refused error     // all subscriptions are
	began   time.Time // the connection
	came    time.Time
	quiet   bool // and it was said that nothing comes
	offline bool // the source, and it was said
	any     bool // something has come by this connection
	leftOut bool // it was said that a topic isn't read
	broken  time.Time
}

// away says once that no value is current, and again and again that the device doesn't
// live.
func (l *listener) away(ctx context.Context, cause error) error {
	if l.gone {
		return l.alive(ctx, time.Now(), cause)
	}
	l.gone = true
	return l.lacking(ctx, cause, func(*point) bool { return true })
}

// lacking says that signals have no value, since who publishes them isn't connected.
func (l *listener) lacking(ctx context.Context, cause error, which func(*point) bool) error {
	now := time.Now()
	r := session.Result{Received: now, Cause: cause}
	for _, p := range l.reader.points {
		if p.signal != 0 && which(p) {
			r.Samples = append(r.Samples, p.lack(now, session.Bad(telemetry.NotConnected)))
		}
	}
	return l.session.Deliver(ctx, r)
}

// alive says whether the device lives, if it is time to.
func (l *listener) alive(ctx context.Context, now time.Time, cause error) error {
	if !l.session.LiveDue(now) {
		return nil
	}
	return l.session.Deliver(ctx, session.Result{Received: now, Cause: cause})
}

// pause waits until the next try, and answers who asks meanwhile.
func (l *listener) pause(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case a := <-l.session.Asked():
			a.Answer(l.current())
		case <-timer.C:
			return true
		}
	}
}

// current is what is known of all signals.
func (l *listener) current() session.Result {
	r := session.Result{Received: time.Now()}
	for _, p := range l.reader.points {
		switch {
		case p.signal == 0:
		case p.told:
			r.Samples = append(r.Samples, p.last)
		default:
			r.Samples = append(r.Samples, telemetry.Sample{Time: telemetry.MicrosOf(r.Received), Signal: p.signal, Quality: session.Bad(telemetry.Timeout)})
		}
	}
	return r
}

func (d Device) dial(ctx context.Context) (*mqttconn.Conn, error) {
	config := d.Connection
	if d.apart {
		config.ClientID = fmt.Sprintf("%.100s-%08x", config.ClientID, rand.Uint32())
	}
	return mqttconn.Dial(ctx, config, mqttconn.Options{Dir: d.Dir, Session: d.QoS > 0, KeepAlive: keepAlive})
}

// subscribe subscribes to everything, and returns what the broker refuses.
func (d Device) subscribe(ctx context.Context, conn *mqttconn.Conn, s *session.Session) (refused []string, err error) {
	filters := d.filters()
	granted, err := conn.Subscribe(ctx, filters)
	if err != nil {
		return nil, err
	}
	var less []string
	for i, f := range filters {
		switch {
		case granted[i] == mqttconn.Refused:
			refused = append(refused, strings.TrimPrefix(f.Topic, "$share/"+d.SharedGroup+"/"))
		case granted[i] < f.QoS:
			less = append(less, f.Topic)
		}
	}
	if len(refused) > 0 && s != nil {
		s.Log().Warn("the broker refuses subscriptions", "topics", some(refused))
	}
	if len(less) > 0 && s != nil {
		s.Log().Warn("the broker grants QoS 0 only; what is published while nobody is connected is lost", "topics", some(less))
	}
	return refused, nil
}

// some is a list for people.
func some(topics []string) string {
	const most = 5
	if n := len(topics); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(topics[:most], ", "), n-most)
	}
	return strings.Join(topics, ", ")
}

// connected connects and listens until the connection fails or ctx ends. made says that
// there was one.
func (l *listener) connected(ctx context.Context) (made bool, err error) {
	conn, err := l.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Abort()
	if !conn.SessionPresent() { // its ids begin anew
		l.onDisk = &onDisk{}
	}
	l.acks = newAcks(l.onDisk)
	// Before it subscribes: what the broker has kept of the session comes at once.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := conn.Arrivals(ctx)
	refused, err := l.Device.subscribe(ctx, conn, l.session)
	if err != nil {
		return false, err
	}
	if err := l.session.Deliver(ctx, l.beginning(conn, refused)); err != nil {
		return true, err
	}
	err = l.listen(ctx, conn, in)
	if ctx.Err() != nil {
		l.leave(conn)
	}
	return true, err
}

// beginning is that there is a connection, over which some subscriptions are refused.
func (l *listener) beginning(conn *mqttconn.Conn, refused []string) session.Result {
	now := time.Now()
	l.began, l.gone, l.refused, l.quiet, l.came, l.any, l.offline = now, false, nil, false, now, false, false
	if len(refused) == len(l.filters()) {
		l.refused = fmt.Errorf("subscribe to %s: %w", some(refused), mqttconn.ErrRefused)
	}
	result := session.Result{Received: now, Cause: l.cause()}
	for _, p := range l.reader.points {
		p.heard = now
		if slices.ContainsFunc(refused, func(filter string) bool { return covers(filter, p.topic) }) && p.signal != 0 {
			result.Samples = append(result.Samples, p.lack(now, session.Bad(telemetry.Refused)))
		}
	}
	l.session.Log().Info("connected", "session_kept", conn.SessionPresent())
	return result
}

// cause is why the device doesn't live; nil if it does.
func (l *listener) cause() error {
	switch {
	case l.refused != nil:
		return l.refused
	case l.reader.whole.gone():
		return errOffline
	case l.quiet && l.StaleAfter > 0:
		return fmt.Errorf("%w for %v", errSilent, l.StaleAfter)
	}
	return nil
}

// listen delivers what comes until the connection fails or ctx ends.
func (l *listener) listen(ctx context.Context, conn *mqttconn.Conn, in *mqttconn.Arrivals) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		messages, lost := in.Messages, (<-chan struct{})(nil)
		if l.acks.full() {
			messages, lost = nil, conn.Lost()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a := <-l.session.Asked():
			a.Answer(l.current())
		case <-lost:
			return conn.Cause()
		case <-l.acks.room:
		case <-l.acks.ready:
			if err := l.acknowledge(conn); err != nil {
				return err
			}
		case got, ok := <-messages:
			if !ok {
				return in.Err()
			}
			unacknowledged, failed := l.take(ctx, conn, got, in)
			if err := l.deliver(ctx, l.acks.expect(unacknowledged)); err != nil {
				l.reader.drop()
				return err
			}
			if failed != nil {
				return failed
			}
		case now := <-look.C:
			if err := l.look(ctx, now); err != nil {
				return err
			}
		}
	}
}

func (l *listener) acknowledge(conn *mqttconn.Conn) error {
	messages, lost := l.acks.due()
	if err := conn.Acknowledge(messages); err != nil {
		return err
	}
	if lost {
		return errLost
	}
	return nil
}

// look says what has become stale, and that nothing comes.
func (l *listener) look(ctx context.Context, now time.Time) error {
	// Without a promise, it is only strange that nothing comes at all.
	fell := !l.quiet && (l.StaleAfter > 0 || !l.any) && now.Sub(l.came) >= cmp.Or(l.StaleAfter, noticed)
	if fell {
		l.quiet = true
		l.session.Log().Warn(errSilent.Error(), "since", l.came.Format(time.RFC3339), "topics", some(topics(l.filters())))
	}
	result := session.Result{Received: now, Cause: l.cause()}
	for _, p := range l.reader.points {
		if p.staleAfter == 0 || p.stale || p.signal == 0 || now.Sub(p.heard) < p.staleAfter {
			continue
		}
		p.stale = true
		result.Samples = append(result.Samples, p.lack(now, session.Bad(telemetry.Timeout)|telemetry.Stale))
	}
	untold := l.session.Untold(now, session.Bad(telemetry.Timeout)|telemetry.Stale, func(f adapters.Found) bool {
		if f.Follow < 0 || f.Follow >= len(l.Follow) {
			return false
		}
		after := l.Follow[f.Follow].StaleAfter
		return after > 0 && now.Sub(l.began) >= after
	})
	result.Samples = append(result.Samples, untold...)
	if len(result.Samples) > 0 || fell {
		return l.session.Deliver(ctx, result)
	}
	return l.alive(ctx, now, result.Cause)
}

func topics(filters []mqttconn.Filter) (list []string) {
	for _, f := range filters {
		list = append(list, f.Topic)
	}
	return list
}

// leave acknowledges what the disk still takes, and says goodbye.
func (l *listener) leave(conn *mqttconn.Conn) {
	limit := time.NewTimer(farewell)
	defer limit.Stop()
	for !l.acks.empty() {
		select {
		case <-l.acks.ready:
			if l.acknowledge(conn) != nil {
				return
			}
		case <-limit.C:
			return
		}
	}
	conn.Close()
}

// Read implements session.Device.
func (d Device) Read(ctx context.Context) session.Result {
	d = d.Apart()
	conn, err := d.dial(ctx)
	if err != nil {
		return d.About().Failed(err, session.Bad(telemetry.NotConnected))
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	refused, err := d.subscribe(ctx, conn, nil)
	if err == nil && len(refused) == len(d.filters()) {
		err = fmt.Errorf("subscribe to %s: %w", some(refused), mqttconn.ErrRefused)
	}
	if err != nil {
		return d.About().Failed(err, session.Bad(telemetry.Refused))
	}
	l := &listener{Device: d, reader: newReader(d)}
	for {
		messages, err := conn.Receive(ctx)
		if err != nil {
			r := l.current()
			if ctx.Err() == nil {
				r.Cause = err
			}
			return r
		}
		for _, m := range messages {
			l.reader.take(m)
		}
		l.reader.delivered()
		if !slices.ContainsFunc(l.reader.points, func(p *point) bool { return p.found == nil && !p.told }) && len(d.Follow) == 0 {
			return l.current()
		}
	}
}
