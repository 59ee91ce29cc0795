package opcua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"github.com/busbar/busbar/adapters/session"
	"github.com/busbar/busbar/telemetry"
)

// gap is a time of which an item's values are missing: between two that came. It is kept
// over connections until the server's history has been read to its end.
type gap struct {
	item     *item
	signals  []*sampler
	from, to time.Time
}

// reading is a gap as it was when its history was asked for.
type reading struct {
	gap
	of *gap
	id *ua.NodeID
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

	// mostGaps bounds what is to be asked for.
	mostGaps = 100_000
	// together is how far apart gaps that are asked for together may begin.
	together = time.Minute

	accessHistory = 4 // bit of the attribute AccessLevel: its history can be read
)

// miss has the history asked for what lies between two values.
func (l *life) miss(i *item, from, to time.Time) {
	if !l.History {
		return
	}
	if len(l.gaps) == mostGaps {
		l.session.Log().Warn("more is missing than is asked for; what is missing for the longest time is left out", "gaps", mostGaps)
		l.gaps = l.gaps[mostGaps/2:]
	}
	l.gaps = append(l.gaps, &gap{i, slices.Clone(i.signals), from, to})
	l.recall()
}

// recall reads what is missing, unless that is being done.
func (l *life) recall() {
	if len(l.gaps) == 0 || l.recalling {
		return
	}
	l.recalling = true
	l.begin(func(ctx context.Context) error {
		taken := make(chan []reading, 1)
		if !l.post(func() error {
			l.recalling = false
			var list []reading
			for _, g := range l.gaps {
				if id, err := g.item.node.on(l.names); err == nil {
					list = append(list, reading{*g, g, id})
				}
			}
			taken <- list
			return nil
		}) {
			return ctx.Err()
		}
		return l.fill(ctx, <-taken)
	})
}

// filled forgets gaps.
func (l *life) filled(gaps ...reading) {
	l.post(func() error {
		done := map[*gap]bool{}
		for _, g := range gaps {
			done[g.of] = true
		}
		l.gaps = slices.DeleteFunc(l.gaps, func(g *gap) bool { return done[g] })
		return nil
	})
}

// fill delivers what is missing, as far as the server has it.
func (l *life) fill(ctx context.Context, gaps []reading) error {
	nodes := make([]*ua.NodeID, len(gaps))
	for n, g := range gaps {
		nodes[n] = g.id
	}
	access, err := l.attributes(ctx, nodes, ua.AttributeIDUserAccessLevel)
	if err != nil {
		return err
	}
	var kept, without []reading
	for n, g := range gaps {
		if level, is := access[n].(uint8); is && level&accessHistory != 0 {
			kept = append(kept, g)
		} else {
			without = append(without, g)
		}
	}
	l.filled(without...)
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
	slices.SortStableFunc(kept, func(a, b reading) int { return a.from.Compare(b.from) })
	for from, to := 0, 0; from < len(kept) && err == nil; from = to {
		for to < len(kept) && kept[to].from.Sub(kept[from].from) <= together {
			to++
		}
		some := kept[from:to]
		err = portions(len(some), limit, func(from, to int) error {
			n, err := l.fillSome(ctx, some[from:to])
			values += n
			return err
		})
	}
	if err != nil && l.Cause() == nil && ctx.Err() == nil {
		if !errors.Is(err, context.DeadlineExceeded) { // else the line may be gone
			l.filled(kept...)
		}
		l.session.Log().Warn("the server's history can't be read", "nodes", len(kept), "values", values, "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	l.session.Log().Info("what was missed has been read from the server's history", "nodes", len(kept), "values", values, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// fillSome asks for the history of gaps together, until there is no more.
func (l *life) fillSome(ctx context.Context, gaps []reading) (values int, err error) {
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
	of := slices.Clone(gaps)
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
		if err != nil && values > 0 && isAny(err, tooLarge) { // nothing is to be asked for again
			err = fmt.Errorf("after %d values: %v", values, err)
		}
		if err != nil {
			return values, err
		}
		var more []*ua.HistoryReadValueID
		var moreOf, done []reading
		for n, r := range res.Results {
			if r == nil {
				r = &ua.HistoryReadResult{}
			}
			count := l.past(of[n], historyOf(r))
			values += count
			if len(r.ContinuationPoint) > 0 && r.StatusCode>>30 != 2 {
				more = append(more, &ua.HistoryReadValueID{NodeID: of[n].id, DataEncoding: &ua.QualifiedName{}, ContinuationPoint: r.ContinuationPoint})
				moreOf = append(moreOf, of[n])
				continue
			}
			done = append(done, of[n])
			if r.StatusCode>>30 == 2 && r.StatusCode != ua.StatusBadNoData {
				l.session.Log().Warn("the history of a node can't be read", "signal", of[n].item.name, "error", r.StatusCode)
			}
		}
		l.filled(done...)
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
func (l *life) past(g reading, values []*ua.DataValue) int {
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
		for _, s := range samples {
			if at := s.Time.Time(); at.After(g.of.from) { // what comes of it over another connection comes after that
				g.of.from = at
			}
		}
		return l.session.Deliver(l.ctx, session.Result{Samples: samples, Received: received, Past: true})
	})
	return len(samples)
}
