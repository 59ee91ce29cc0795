package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"
)

// monitor begins to have the server tell of the items that choose says.
func (l *life) monitor(choose func(*item) bool) {
	var list []*ua.MonitoredItemCreateRequest
	for _, i := range l.items {
		if i.asking {
			continue
		}
		if i.id == nil || i.state == refused {
			var err error
			if i.id, err = i.node.on(l.names); err != nil {
				continue
			}
		}
		if !choose(i) {
			continue
		}
		if l.Poll {
			i.state = polled
			continue
		}
		i.asking = true
		list = append(list, l.creation(i))
	}
	if len(list) == 0 {
		return
	}
	l.begin(func(ctx context.Context) error {
		err := l.create(ctx, list)
		l.post(func() error {
			for _, c := range list { // also what was left unanswered
				l.items[c.RequestedParameters.ClientHandle].asking = false
			}
			return nil
		})
		return err
	})
}

// creation asks for a monitored item.
func (l *life) creation(i *item) *ua.MonitoredItemCreateRequest {
	r := &ua.MonitoredItemCreateRequest{
		ItemToMonitor:  &ua.ReadValueID{NodeID: i.id, AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}},
		MonitoringMode: ua.MonitoringModeReporting,
		RequestedParameters: &ua.MonitoringParameters{
			ClientHandle: i.handle, SamplingInterval: float64(l.SampleEvery) / float64(time.Millisecond), QueueSize: l.Queue, DiscardOldest: true,
		},
	}
	if i.deadband > 0 {
		r.RequestedParameters.Filter = ua.NewExtensionObject(&ua.DataChangeFilter{
			Trigger: ua.DataChangeTriggerStatusValue, DeadbandType: uint32(ua.DeadbandTypeAbsolute), DeadbandValue: i.deadband,
		})
	}
	return r
}

// What a server says of an item that it can't give a deadband to, or can't monitor at all.
var (
	noFilter = []error{
		ua.StatusBadMonitoredItemFilterUnsupported, ua.StatusBadMonitoredItemFilterInvalid, ua.StatusBadFilterNotAllowed, ua.StatusBadDeadbandFilterInvalid,
	}
	notMonitored = []error{
		ua.StatusBadTooManyMonitoredItems, ua.StatusBadTooManySubscriptions, ua.StatusBadServiceUnsupported, ua.StatusBadNotSupported, ua.StatusBadNotImplemented,
		ua.StatusBadResourceUnavailable,
	}
)

// create creates monitored items, in as many subscriptions as they need.
func (l *life) create(ctx context.Context, list []*ua.MonitoredItemCreateRequest) error {
	for len(list) > 0 {
		if l.room == nil || l.room.free == 0 {
			s, err := l.subscribe(ctx)
			if isAny(err, notMonitored) {
				l.post(func() error { return l.created(0, list, err) })
				return nil
			}
			if err != nil {
				return err
			}
			l.room = s
		}
		now := list[:min(len(list), l.room.free)]
		list = list[len(now):]
		l.room.free -= len(now)
		if err := l.createIn(ctx, l.room.id, now); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) createIn(ctx context.Context, subscription uint32, list []*ua.MonitoredItemCreateRequest) error {
	var plain []*ua.MonitoredItemCreateRequest // to be tried without a filter
	err := portions(len(list), l.Limits.MaxMonitoredItemsPerCall, func(from, to int) error {
		l.unsure = subscription
		res, err := request[*ua.CreateMonitoredItemsResponse](ctx, l.link, &ua.CreateMonitoredItemsRequest{
			SubscriptionID: subscription, TimestampsToReturn: ua.TimestampsToReturnBoth, ItemsToCreate: list[from:to],
		})
		if err == nil && len(res.Results) != to-from {
			err = errAnswer(len(res.Results), to-from)
		}
		if err != nil {
			return err
		}
		var done []*ua.MonitoredItemCreateRequest
		var results []error
		for n, r := range res.Results {
			c := list[from+n]
			switch {
			case r == nil:
				return errAnswer(n, to-from)
			case c.RequestedParameters.Filter != nil && slices.Contains(noFilter, error(r.StatusCode)):
				c.RequestedParameters.Filter = nil
				plain = append(plain, c)
				continue
			}
			done = append(done, c)
			if r.StatusCode>>30 == 2 {
				results = append(results, r.StatusCode)
			} else {
				results = append(results, nil)
			}
		}
		if l.post(func() error { return l.created(subscription, done, results...) }) {
			l.unsure = 0
		}
		return nil
	})
	switch {
	case errors.Is(err, ua.StatusBadSubscriptionIDInvalid):
		return fmt.Errorf("%w: %w", errResubscribe, err)
	case err != nil:
		return fmt.Errorf("create monitored items: %w", err)
	case len(plain) > 0:
		return l.createIn(ctx, subscription, plain)
	}
	return nil
}

// created takes what came of items; one result may be that of all.
func (l *life) created(subscription uint32, list []*ua.MonitoredItemCreateRequest, results ...error) error {
	for n, c := range list {
		i := l.items[c.RequestedParameters.ClientHandle]
		err := results[min(n, len(results)-1)]
		var status ua.StatusCode
		switch {
		case err == nil:
			i.state, i.told, i.in = monitored, nil, subscription
		case isAny(err, notMonitored):
			i.state = polled
		case errors.As(err, &status) && (i.state != refused || i.told == nil || i.told.Error() != err.Error()):
			l.refuse(i, status, err)
		}
	}
	return nil
}
