package opcua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// gap is a time of which an item's values are missing: between two that came.
type gap struct {
	item     *item
	id       *ua.NodeID
	signals  []*sampler
	from, to time.Time
}

const (
	// mostHistoryNodes is how many nodes' history is asked for at once: an answer has to
	// stay below what opcuaconn takes.
	mostHistoryNodes = 20
	// mostHistoryValues is how many values of one node come in one answer.
	mostHistoryValues = 1000
	// mostHistoryAnswers bounds the answers about one node, of a server that doesn't come
	// to an end.
	mostHistoryAnswers = 10_000

	accessHistory = 4 // bit of the attribute AccessLevel: its history can be read
)

// miss has the history asked for what lies between two values.
func (l *life) miss(i *item, from, to time.Time) {
	if !l.History {
		return
	}
	l.gaps = append(l.gaps, gap{i, i.id, append([]*sampler(nil), i.signals...), from, to})
	if len(l.gaps) > 1 {
		return // the job takes them all
	}
	l.begin(func(ctx context.Context) error {
		taken := make(chan []gap, 1)
		if !l.post(func() error {
			taken <- l.gaps
			l.gaps = nil
			return nil
		}) {
			return ctx.Err()
		}
		return l.fill(ctx, <-taken)
	})
}

// fill delivers what is missing, as far as the server has it.
func (l *life) fill(ctx context.Context, gaps []gap) error {
	nodes := make([]*ua.NodeID, len(gaps))
	for n, g := range gaps {
		nodes[n] = g.id
	}
	access, err := l.attributes(ctx, nodes, ua.AttributeIDUserAccessLevel)
	if err != nil {
		return err
	}
	var kept []gap
	for n, g := range gaps {
		if level, is := access[n].(uint8); is && level&accessHistory != 0 {
			kept = append(kept, g)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	began, values := time.Now(), 0
	limit := l.Limits.MaxNodesPerHistoryReadData
	if limit == 0 || limit > mostHistoryNodes {
		limit = mostHistoryNodes
	}
	if points := l.Limits.MaxHistoryContinuationPoints; points > 0 {
		limit = min(limit, points)
	}
	err = portions(len(kept), limit, func(from, to int) error {
		n, err := l.fillSome(ctx, kept[from:to])
		values += n
		return err
	})
	if err != nil && l.Cause() == nil && ctx.Err() == nil {
		l.session.Log().Warn("the server's history can't be read", "nodes", len(kept), "error", err)
		err = nil
	}
	l.session.Log().Info("what was missed has been read from the server's history", "nodes", len(kept), "values", values, "took", time.Since(began).Round(time.Millisecond))
	return err
}

// fillSome asks for the history of gaps together, until there is no more.
func (l *life) fillSome(ctx context.Context, gaps []gap) (values int, err error) {
	start, end := gaps[0].from, gaps[0].to
	for _, g := range gaps {
		if g.from.Before(start) {
			start = g.from
		}
		if g.to.After(end) {
			end = g.to
		}
	}
	asked := make([]*ua.HistoryReadValueID, len(gaps))
	of := append([]gap(nil), gaps...)
	for n, g := range of {
		asked[n] = &ua.HistoryReadValueID{NodeID: g.id, DataEncoding: &ua.QualifiedName{}}
	}
	for range mostHistoryAnswers {
		res, err := request[*ua.HistoryReadResponse](ctx, l.link, &ua.HistoryReadRequest{
			TimestampsToReturn: ua.TimestampsToReturnBoth,
			HistoryReadDetails: &ua.ExtensionObject{
				TypeID: ua.NewFourByteExpandedNodeID(0, id.ReadRawModifiedDetails_Encoding_DefaultBinary), EncodingMask: ua.ExtensionObjectBinary,
				Value: &ua.ReadRawModifiedDetails{StartTime: start, EndTime: end, NumValuesPerNode: mostHistoryValues},
			},
			NodesToRead: asked,
		})
		if err == nil && len(res.Results) != len(asked) {
			err = errAnswer(len(res.Results), len(asked))
		}
		if err != nil && values > 0 { // nothing is to be asked for again
			err = fmt.Errorf("after %d values: %v", values, err)
		}
		if err != nil {
			return values, err
		}
		var more []*ua.HistoryReadValueID
		var moreOf []gap
		for n, r := range res.Results {
			if r == nil {
				continue
			}
			count := l.past(of[n], historyOf(r))
			values += count
			if len(r.ContinuationPoint) > 0 && r.StatusCode>>30 != 2 {
				more = append(more, &ua.HistoryReadValueID{NodeID: of[n].id, DataEncoding: &ua.QualifiedName{}, ContinuationPoint: r.ContinuationPoint})
				moreOf = append(moreOf, of[n])
			} else if r.StatusCode>>30 == 2 && r.StatusCode != ua.StatusBadNoData {
				l.session.Log().Warn("the history of a node can't be read", "signal", of[n].item.name, "error", r.StatusCode)
			}
		}
		if len(more) == 0 {
			return values, nil
		}
		asked, of = more, moreOf
	}
	return values, errors.New("the server's history doesn't come to an end")
}

func historyOf(r *ua.HistoryReadResult) []*ua.DataValue {
	if r.HistoryData == nil {
		return nil
	}
	if h, is := r.HistoryData.Value.(*ua.HistoryData); is {
		return h.DataValues
	}
	return nil
}

// past delivers values of a gap. Those at its ends have come before.
func (l *life) past(g gap, values []*ua.DataValue) int {
	received := time.Now()
	var samples []telemetry.Sample
	for _, v := range values {
		if v == nil {
			continue
		}
		for _, s := range g.signals {
			sample, _ := l.sample(s, v, received)
			at := sample.Time.Time()
			if sample.Quality.TimeQuality() == telemetry.DeviceTime && at.After(g.from) && at.Before(g.to) {
				samples = append(samples, sample)
			}
		}
	}
	if len(samples) == 0 {
		return 0
	}
	l.post(func() error {
		return l.session.Deliver(l.ctx, session.Result{Samples: samples, Received: received, Past: true})
	})
	return len(samples)
}
