package asset

import (
	"context"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/grid"
)

func (l *look) supply(ctx context.Context) error {
	out := &l.out.Supply
	out.Outages = []string{}
	nodes := l.net.NodesOf(l.id)
	if len(nodes) == 0 {
		out.Unknown = NotApplicable
		return nil
	}
	is, err := desk.Operation(ctx, l.store, l.net, nodes)
	if err != nil {
		return err
	}
	supplied := l.net.Supplied(is, nil)
	count := map[network.Supply]int{}
	for _, node := range nodes {
		count[supplied[node]]++
	}
	switch {
	case count[network.Live] == len(nodes):
		out.State = "live"
	case count[network.Dead] == len(nodes):
		out.State = "dead"
	case count[network.Unknown] > 0:
		out.Unknown = Uncertain
	default:
		out.State = "part"
	}
	if point := l.net.PointOf(l.id); point != grid.None {
		return l.pointSupply(ctx, point)
	}
	return nil
}

// pointSupply is whether a service point is out by outages, or by the voltage that is measured
// of it. One that nothing is heard of, or of which all that is heard is bad or old, isn't known to
// have supply.
func (l *look) pointSupply(ctx context.Context, point int) error {
	out := &l.out.Supply
	ids, named, sure, err := desk.OutagesOf(ctx, l.store, l.id)
	if err != nil {
		return err
	}
	out.Outages = ids
	voltage, err := desk.VoltageOf(ctx, l.store, l.net, l.id, l.now)
	if err != nil {
		return err
	}
	why := Why("")
	if out.State == "live" {
		if why, err = l.pointUnknown(ctx, point, voltage); err != nil {
			return err
		}
	}
	switch {
	case sure, voltage == network.Dead:
		out.State, out.Unknown = "dead", ""
	case named:
		out.State, out.Unknown = "", Uncertain
	case why != "":
		out.State, out.Unknown = "", why
	}
	return nil
}

// pointUnknown is why it isn't known of a service point whether it has the supply that its node
// has; "": it is.
func (l *look) pointUnknown(ctx context.Context, point int, voltage network.Supply) (Why, error) {
	told := false
	for _, s := range l.series {
		if !l.heard[s.Gateway] || s.Latest == nil {
			continue
		}
		told = true
		if voltage == "" && desk.IsCurrent(s, l.now) || voltage == network.Live {
			return "", nil
		}
	}
	switch {
	case told:
		return Uncertain, nil
	case len(l.series) > 0:
		return NotHeard, nil
	}
	if t := l.net.TransformerOf(point); t != grid.None {
		by, err := l.store.IsHeardOf(ctx, l.net.EdgeAsset(t).ID)
		if err != nil || by {
			return "", err
		}
	}
	return NotHeard, nil
}
