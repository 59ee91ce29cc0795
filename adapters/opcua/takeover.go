package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// leave keeps what the server may still have when the connection has failed: the
// subscriptions that have told something over it, and those before it, as long as nothing
// says that they are gone.
func (l *life) leave(err error) {
	if l.left = l.old; !l.handed {
		return
	}
	l.left = nil
	if errors.Is(err, errResubscribe) {
		l.giveUp()
		return
	}
	for _, s := range l.subscriptions {
		if s.id == l.unsure || !s.proven && !slices.Contains(l.old, s) {
			continue
		}
		s.proven = false
		s.early, s.since, s.recovering = map[uint32]message{}, time.Time{}, false
		l.left = append(l.left, s)
	}
}

// giveUp has the server forget the subscriptions, and with them the publish requests that
// wait there: an answer to one of those would be lost to the subscriptions that follow.
func (l *life) giveUp() {
	var given []*subscription
	for _, s := range l.subscriptions {
		if slices.Contains(l.old, s) && !s.proven && time.Since(s.heard) > patience*s.keepAlive {
			l.alone = true
		}
		given = append(given, s)
	}
	if len(given) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), time.Second)
	defer cancel()
	_, _ = request[*ua.DeleteSubscriptionsResponse](ctx, l.link, &ua.DeleteSubscriptionsRequest{SubscriptionIDs: idsOf(given)})
}

func idsOf(list []*subscription) []uint32 {
	ids := make([]uint32, len(list))
	for n, s := range list {
		ids[n] = s.id
	}
	return ids
}

// takeOver has this connection's session go on with the subscriptions of the one before,
// with what the server has kept for them (OPC 10000-4, 5.14.7). Those that it hasn't any
// more, or doesn't hand over, are made anew.
func (l *life) takeOver(ctx context.Context) error {
	left, before, started := l.old, l.started, time.Time{}
	values, err := l.attributes(ctx, []*ua.NodeID{ua.NewNumericNodeID(0, id.Server_ServerStatus_StartTime)}, ua.AttributeIDValue)
	if err == nil {
		started, _ = values[0].(time.Time)
	}
	if !started.Equal(before) || l.alone {
		left = nil // what has these ids since the server has started again isn't ours
	}
	res := &ua.TransferSubscriptionsResponse{}
	if err == nil && len(left) > 0 {
		res, err = request[*ua.TransferSubscriptionsResponse](ctx, l.link, &ua.TransferSubscriptionsRequest{SubscriptionIDs: idsOf(left)})
		if err == nil && len(res.Results) != len(left) {
			err = errAnswer(len(res.Results), len(left))
		}
	}
	if err != nil && (l.Cause() != nil || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		res = &ua.TransferSubscriptionsResponse{}
		l.session.Log().Info("the server doesn't hand subscriptions over; they are made anew", "cause", err)
	}
	for n, r := range res.Results {
		if s := left[n]; r != nil && r.StatusCode>>30 != 2 {
			l.room, l.tells = s, l.tells || s.tells
		}
	}
	l.post(func() error {
		l.handed, l.started = true, started
		for n, r := range res.Results {
			if r == nil {
				continue
			}
			if err := l.goOn(left[n], r); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

// goOn goes on with a subscription that has been handed over, if it has.
func (l *life) goOn(s *subscription, r *ua.TransferResult) error {
	if r.StatusCode>>30 == 2 {
		l.session.Log().Info("the server doesn't hand a subscription over; it is made anew", "subscription", s.id, "cause", r.StatusCode)
		return nil
	}
	l.hear(s)
	for _, i := range l.items {
		if i.in == s.id && i.id != nil {
			i.state = monitored
		}
	}
	for _, from := range l.panel.sources {
		from.monitored = from.monitored || from.in == s.id
	}
	for _, seq := range r.AvailableSequenceNumbers {
		if after(s.next, seq) {
			continue // it has come
		}
		if err := s.missing(following(seq), s.heard.Add(-overtaken)); err != nil {
			return err
		}
	}
	l.session.Log().Info("the subscription goes on", "subscription", s.id, "kept", len(r.AvailableSequenceNumbers))
	return nil
}

// verify asks the server which items it has, as far as it says that, has those made anew
// that are missing, and then says how much of what was asked for comes.
func (l *life) verify(ctx context.Context) error {
	subscriptions := make(chan []uint32, 1)
	if !l.post(func() error {
		var ids []uint32
		for id := range l.subscriptions {
			ids = append(ids, id)
		}
		subscriptions <- ids
		return nil
	}) {
		return ctx.Err()
	}
	for _, subscription := range <-subscriptions {
		handles, err := l.itemsOf(ctx, subscription)
		if err != nil {
			return err
		}
		if handles == nil {
			continue
		}
		l.post(func() error {
			l.missed(subscription, handles)
			return nil
		})
	}
	l.post(l.tell)
	return nil
}

// itemsOf is the client handles of the items that a subscription has at the server; nil if
// that doesn't say.
func (l *link) itemsOf(ctx context.Context, subscription uint32) ([]uint32, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	res, err := l.Call(ctx, &ua.CallRequest{MethodsToCall: []*ua.CallMethodRequest{{
		ObjectID: ua.NewNumericNodeID(0, id.Server), MethodID: ua.NewNumericNodeID(0, id.Server_GetMonitoredItems),
		InputArguments: []*ua.Variant{ua.MustVariant(subscription)},
	}}})
	if err != nil {
		if l.Cause() != nil || ctx.Err() != nil {
			return nil, fmt.Errorf("ask for the items of a subscription: %w", err)
		}
		return nil, nil
	}
	if len(res.Results) != 1 || res.Results[0] == nil || res.Results[0].StatusCode != ua.StatusOK || len(res.Results[0].OutputArguments) != 2 {
		return nil, nil
	}
	handles, _ := res.Results[0].OutputArguments[1].Value().([]uint32)
	return handles, nil
}

// missed has those items made anew that a subscription should have and hasn't.
func (l *life) missed(subscription uint32, handles []uint32) {
	if l.remade {
		return
	}
	slices.Sort(handles)
	n := 0
	for _, i := range l.items {
		if i.state != monitored || i.in != subscription {
			continue
		}
		if _, has := slices.BinarySearch(handles, i.handle); !has {
			i.state = asked
			n++
		}
	}
	for _, s := range l.panel.sources {
		if _, has := slices.BinarySearch(handles, s.handle); s.monitored && s.in == subscription && !has {
			s.monitored = false
			n++
		}
	}
	if n > 0 {
		l.remade = true // once: some servers don't count right
		l.session.Log().Warn("the server has lost nodes of a subscription; they are asked for again", "subscription", subscription, "nodes", n)
		l.monitor(func(i *item) bool { return i.state == asked })
		l.tendAlarms()
		l.begin(l.verify)
	}
}
