package opcua

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gopcua/opcua/ua"
)

// monitorAlarms has the server tell of the conditions and events of those sources that it
// doesn't yet.
func (l *life) monitorAlarms() {
	type want struct {
		*source
		node *ua.NodeID
		err  error // why there is none
	}
	var list []want
	for _, s := range l.panel.sources {
		if s.monitored || s.asking {
			continue
		}
		node, err := s.Node.on(l.names)
		s.asking = true
		list = append(list, want{s, node, err})
	}
	if len(list) == 0 {
		return
	}
	l.begin(func(ctx context.Context) error {
		for _, w := range list {
			in, err := uint32(0), w.err
			if err == nil {
				in, err = l.createAlarms(ctx, w.source, w.node)
			}
			if err != nil && (l.Cause() != nil || ctx.Err() != nil || errors.Is(err, errResubscribe)) {
				return err
			}
			if l.post(func() error {
				w.asking = false
				l.alarmsMonitored(w.source, in, err)
				return nil
			}) && err == nil {
				l.unsure = 0
			}
		}
		return nil
	})
}

// alarmsMonitored takes whether a source is monitored, and in which subscription.
func (l *life) alarmsMonitored(s *source, in uint32, err error) {
	if err == nil {
		s.in, s.monitored, s.told = in, true, nil
		l.panel.asked, l.panel.due = time.Time{}, true
		l.session.Log().Info("alarms and events are told", "node", s.Node.String(), "fields", len(s.fields))
		return
	}
	if s.told == nil || s.told.Error() != err.Error() {
		s.told = err
		l.session.Log().Warn("the server doesn't tell of alarms and events; it is asked again", "node", s.Node.String(), "cause", err)
	}
	status := ua.StatusBadNodeIDUnknown
	if !errors.Is(err, errNoNamespace) && !errors.As(err, &status) {
		status = ua.StatusBadTimeout
	}
	for _, c := range l.panel.conditions {
		if c.source == s {
			l.show(c, false, status, time.Time{}, time.Now())
		}
	}
}

// filterRefused is what a server says that doesn't take an event filter.
var filterRefused = append([]error{ua.StatusBadEventFilterInvalid, ua.StatusBadFilterOperatorInvalid, ua.StatusBadFilterOperatorUnsupported, ua.StatusBadFilterOperandInvalid, ua.StatusBadContentFilterInvalid}, noFilter...)

// createAlarms has a node tell of its events, with as many fields as the server knows of.
func (l *life) createAlarms(ctx context.Context, s *source, node *ua.NodeID) (in uint32, err error) {
	if l.room == nil {
		if l.room, err = l.subscribe(ctx); err != nil {
			l.room = nil
			return 0, err
		}
	}
	fields, from := allFields(), s.Severity
	for {
		now := fields
		l.post(func() error { // an event may come before the answer
			s.fields = now
			return nil
		})
		result, err := l.createEvents(ctx, s.handle, node, eventFilter(fields, from))
		switch known := result.known(fields); {
		case err == nil:
			return l.room.id, nil
		case !isAny(err, filterRefused):
			return 0, err
		case len(known) > 0 && len(known) < len(fields):
			fields = known
		case from > 1: // it may be the comparison, and we compare too
			from = 0
		case len(fields) > int(severityField)+1:
			fields = slices.DeleteFunc(slices.Clone(fields), func(f eventField) bool { return f > severityField })
		default:
			return 0, err
		}
	}
}

type filterResult struct{ *ua.EventFilterResult }

// known are those of fields that the server hasn't refused.
func (r filterResult) known(fields []eventField) (list []eventField) {
	if r.EventFilterResult == nil || len(r.SelectClauseResults) != len(fields) {
		return nil
	}
	for n, f := range fields {
		if r.SelectClauseResults[n]>>30 != 2 {
			list = append(list, f)
		}
	}
	return list
}

// createEvents creates the item of a node's events.
func (l *life) createEvents(ctx context.Context, handle uint32, node *ua.NodeID, filter *ua.EventFilter) (result filterResult, err error) {
	l.unsure = l.room.id
	res, err := request[*ua.CreateMonitoredItemsResponse](ctx, l.link, &ua.CreateMonitoredItemsRequest{
		SubscriptionID: l.room.id, TimestampsToReturn: ua.TimestampsToReturnBoth,
		ItemsToCreate: []*ua.MonitoredItemCreateRequest{{
			ItemToMonitor:  &ua.ReadValueID{NodeID: node, AttributeID: ua.AttributeIDEventNotifier, DataEncoding: &ua.QualifiedName{}},
			MonitoringMode: ua.MonitoringModeReporting,
			RequestedParameters: &ua.MonitoringParameters{
				ClientHandle: handle, QueueSize: max(l.Queue, alarmQueue), DiscardOldest: true, Filter: ua.NewExtensionObject(filter),
			},
		}},
	})
	switch {
	case errors.Is(err, ua.StatusBadSubscriptionIDInvalid):
		return result, errors.Join(errResubscribe, err)
	case err != nil:
		return result, err
	case len(res.Results) != 1 || res.Results[0] == nil:
		return result, errAnswer(len(res.Results), 1)
	}
	r := res.Results[0]
	if r.FilterResult != nil {
		result.EventFilterResult, _ = r.FilterResult.Value.(*ua.EventFilterResult)
	}
	if r.StatusCode>>30 == 2 {
		l.unsure = 0
		return result, r.StatusCode
	}
	return result, nil
}
