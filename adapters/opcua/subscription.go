package opcua

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/opcuaconn"
)

// subscription is one at the server (OPC 10000-4, 5.14).
type subscription struct {
	id        uint32
	keepAlive time.Duration // within which something comes
	free      int           // how many more items it takes; belongs to the job that goes on
	tells     bool          // when the address space changes; as free

	heard  time.Time // when something came last
	proven bool      // over this connection something has come
	next   uint32    // sequence number of the message that comes next
	again  int       // how many messages in a row have come for the second time
	// early are messages that came before one that is missing, which may only have been
	// overtaken; until is up to which, without it, messages are known to be missing, and
	// since when.
	early      map[uint32]message
	until      uint32
	since      time.Time
	recovering bool
}

type message struct {
	*ua.NotificationMessage
	received time.Time
}

const (
	// mostItems is how many nodes one subscription gets, if the server states no limit.
	mostItems = 10_000
	// mostNotifications is how many values a server puts into one message: a message has
	// to stay below what opcuaconn takes.
	mostNotifications = 1000
	// shortestLifetime and longestLifetime are for how long a server keeps a subscription
	// that nobody fetches from, and another connection may take over.
	shortestLifetime = time.Minute
	longestLifetime  = time.Hour
	// mostPublishers bounds how many publish requests wait at the server.
	mostPublishers = 10
	// publishAgain is after how long another publish request follows one that has failed.
	publishAgain = time.Second
	// overtaken is how long a message may be missing that others have overtaken.
	overtaken = 500 * time.Millisecond
	// mostMissing is how far messages may be apart from the one that comes next, and how
	// many of those after it are kept; beyond that the numbers mean nothing.
	mostMissing = 200
)

// lifetime is for how long the server's queues last, within bounds.
func (d Device) lifetime() time.Duration {
	return min(max(time.Duration(d.Queue)*d.SampleEvery, shortestLifetime), longestLifetime)
}

// subscribe creates a subscription.
func (l *life) subscribe(ctx context.Context) (*subscription, error) {
	count := uint32(max(1, (l.KeepAlive+l.PublishEvery/2)/l.PublishEvery))
	req := &ua.CreateSubscriptionRequest{
		RequestedPublishingInterval: float64(l.PublishEvery) / float64(time.Millisecond),
		RequestedMaxKeepAliveCount:  count,
		RequestedLifetimeCount:      max(3*count, uint32(l.lifetime()/l.PublishEvery)),
		MaxNotificationsPerPublish:  mostNotifications,
		PublishingEnabled:           true,
	}
	res, err := request[*ua.CreateSubscriptionResponse](ctx, l.link, req)
	if err != nil {
		return nil, fmt.Errorf("create a subscription: %w", err)
	}
	s := &subscription{id: res.SubscriptionID, next: 1, early: map[uint32]message{}, free: mostItems}
	if most := l.Limits.MaxMonitoredItemsPerSub; most > 0 {
		s.free = min(s.free, int(most))
	}
	period := time.Duration(res.RevisedPublishingInterval * float64(time.Millisecond) * float64(res.RevisedMaxKeepAliveCount))
	s.keepAlive = max(period, l.KeepAlive)
	l.post(func() error {
		l.hear(s)
		return nil
	})
	return s, nil
}

// hear fetches what a subscription tells.
func (l *life) hear(s *subscription) {
	s.heard = time.Now()
	l.subscriptions[s.id] = s
	for l.publishers < min(len(l.subscriptions)+1, mostPublishers) {
		l.publishers++
		l.asking.Go(l.publish)
	}
}

// acknowledgements are the messages that have been taken, and of which the server hasn't
// been told so.
type acknowledgements struct {
	mu   sync.Mutex
	list []*ua.SubscriptionAcknowledgement
}

func (a *acknowledgements) add(subscription, sequence uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, &ua.SubscriptionAcknowledgement{SubscriptionID: subscription, SequenceNumber: sequence})
}

func (a *acknowledgements) take() []*ua.SubscriptionAcknowledgement {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.list
	a.list = nil
	return list
}

// fate is what an answer to a publish request means.
type fate uint8

const (
	goOn        fate = iota // another one is sent
	fewer                   // the server has enough of them
	resubscribe             // there are no subscriptions
	redial                  // the connection is no good
)

func (l *life) fateOf(err error) fate {
	var status ua.StatusCode
	switch {
	case err == nil:
		return goOn
	case l.Cause() != nil || l.ctx.Err() != nil:
		return redial
	case errors.Is(err, ua.StatusBadTooManyPublishRequests):
		return fewer
	case isAny(err, []error{ua.StatusBadNoSubscription, ua.StatusBadSubscriptionIDInvalid}):
		return resubscribe
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ua.StatusBadTimeout), errors.Is(err, ua.StatusBadRequestTimeout):
		return goOn
	case errors.As(err, &status) && status != 0:
		return redial
	}
	return goOn // a message that can't be read: that it is missing shows by the next one
}

// publish keeps one publish request at the server.
func (l *life) publish() {
	for {
		ctx, cancel := context.WithTimeout(l.ctx, l.publishTimeout())
		acks := l.acks.take()
		res, err := opcuaconn.Request[*ua.PublishResponse](ctx, l.Conn, &ua.PublishRequest{SubscriptionAcknowledgements: acks})
		cancel()
		received := time.Now()
		what := l.fateOf(err)
		if !l.post(func() error { return l.published(res, err, what, received) }) || what == fewer || what == redial {
			return
		}
		if err != nil { // an answer that comes at once would be asked for without end
			select {
			case <-time.After(publishAgain):
			case <-l.ctx.Done():
			}
		}
	}
}

// publishTimeout is after how long without an answer a publish request counts as lost:
// as each subscription tells something in its keep-alive, and takes one of them, later
// than the watchdog's.
func (l *life) publishTimeout() time.Duration {
	return 4*max(l.KeepAlive, l.PublishEvery, time.Second)*mostPublishers + l.timeout
}

// published takes the answer to a publish request.
func (l *life) published(res *ua.PublishResponse, err error, what fate, received time.Time) error {
	switch what {
	case redial:
		return fmt.Errorf("publish: %w", err)
	case resubscribe:
		return fmt.Errorf("%w: %w", errResubscribe, err)
	case fewer:
		if l.publishers--; l.publishers > 0 {
			l.session.Log().Info("the server takes fewer publish requests", "left", l.publishers)
			return nil
		}
		return fmt.Errorf("publish: %w", err)
	}
	if err != nil {
		l.session.Log().Warn("an answer can't be read", "error", err)
		return nil
	}
	s := l.subscriptions[res.SubscriptionID]
	if s == nil || res.NotificationMessage == nil { // of a subscription that was given up
		return nil
	}
	s.heard, s.proven = received, true
	m := message{res.NotificationMessage, received}
	if len(m.NotificationData) == 0 { // a keep-alive, with the number of the message to come
		if !after(s.next, m.SequenceNumber) {
			return s.missing(m.SequenceNumber, received)
		}
		return nil
	}
	switch {
	case m.SequenceNumber == s.next:
		return l.arrived(s, m)
	case after(m.SequenceNumber, s.next):
		if err := s.missing(m.SequenceNumber, received); err != nil {
			return err
		}
		s.early[m.SequenceNumber] = m
	case s.next-m.SequenceNumber > mostMissing || s.again == mostPublishers: // none that was overtaken can be that old, nor so many
		return s.odd(m.SequenceNumber)
	default: // for the second time
		s.again++
		l.acks.add(s.id, m.SequenceNumber)
	}
	return nil
}

// after reports whether a message comes after another one. Numbers begin again at 1.
func after(a, b uint32) bool { return int32(a-b) > 0 }

func following(sequence uint32) uint32 {
	if sequence++; sequence == 0 {
		sequence = 1
	}
	return sequence
}

// odd is that a message's number doesn't go with those before it.
func (s *subscription) odd(sequence uint32) error {
	return fmt.Errorf("%w: message %d came when %d was to", errResubscribe, sequence, s.next)
}

// missing notes that messages before one are missing, if it isn't the next.
func (s *subscription) missing(before uint32, now time.Time) error {
	switch {
	case before == s.next:
		return nil
	case before-s.next > mostMissing:
		return s.odd(before)
	case s.since.IsZero():
		s.since, s.until = now, before
	case after(before, s.until):
		s.until = before
	}
	return nil
}

// arrived takes the message that comes next, and those that came before it.
func (l *life) arrived(s *subscription, m message) error {
	s.again = 0
	for {
		l.acks.add(s.id, m.SequenceNumber)
		s.next = following(m.SequenceNumber)
		if err := l.notified(m); err != nil {
			return err
		}
		var is bool
		if m, is = s.early[s.next]; !is {
			break
		}
		delete(s.early, s.next)
	}
	if s.since.IsZero() || !after(s.until, s.next) {
		s.since = time.Time{}
	}
	return nil
}

// mind asks for messages of a subscription that have been missing for too long.
func (l *life) mind(s *subscription, now time.Time) {
	if s.since.IsZero() || s.recovering || now.Sub(s.since) < overtaken {
		return
	}
	var lost []uint32
	for n := s.next; after(s.until, n); n = following(n) {
		if _, is := s.early[n]; !is {
			lost = append(lost, n)
		}
	}
	s.recovering = true
	l.asking.Go(func() {
		for _, n := range lost {
			res, err := request[*ua.RepublishResponse](l.ctx, l.link, &ua.RepublishRequest{SubscriptionID: s.id, RetransmitSequenceNumber: n})
			received := time.Now()
			if !l.post(func() error { return l.republished(s, n, res, err, received) }) {
				return
			}
		}
		l.post(func() error {
			s.recovering = false
			return nil
		})
	})
}

// republished takes a message that was missing, or that it is lost.
func (l *life) republished(s *subscription, n uint32, res *ua.RepublishResponse, err error, received time.Time) error {
	switch {
	case n != s.next: // it has come by itself
		return nil
	case l.Cause() != nil:
		return err
	case errors.Is(err, ua.StatusBadSubscriptionIDInvalid):
		return fmt.Errorf("%w: %w", errResubscribe, err)
	case err == nil && res.NotificationMessage != nil && len(res.NotificationMessage.NotificationData) > 0:
		return l.arrived(s, message{res.NotificationMessage, received})
	}
	l.session.Log().Warn("a message of the server is lost; its history is asked for what was in it", "subscription", s.id, "seq", n, "error", err)
	for _, i := range l.items {
		if i.behind.IsZero() && i.state == monitored {
			i.behind = i.last
		}
	}
	if slices.ContainsFunc(l.panel.sources, func(from *source) bool { return from.monitored && from.in == s.id }) {
		l.panel.due = true
	}
	s.next = following(n)
	if m, is := s.early[s.next]; is {
		delete(s.early, s.next)
		return l.arrived(s, m)
	}
	if !after(s.until, s.next) {
		s.since = time.Time{}
	}
	return nil
}

// notified takes what is in a message, also in one that ends its subscription.
func (l *life) notified(m message) error {
	var ended error
	l.received = m.received
	for _, data := range m.NotificationData {
		if data == nil {
			continue
		}
		switch n := data.Value.(type) {
		case *ua.DataChangeNotification:
			for _, v := range n.MonitoredItems {
				if v != nil && v.Value != nil && int64(v.ClientHandle) < int64(len(l.items)) {
					l.take(l.items[v.ClientHandle], v.Value, m.received)
				}
			}
		case *ua.EventNotificationList:
			l.happened(n.Events, m.received)
		case *ua.StatusChangeNotification:
			if n.Status>>30 != 0 {
				ended = fmt.Errorf("%w: %w", errResubscribe, n.Status)
			}
		}
	}
	return cmp.Or(l.flush(), ended)
}
