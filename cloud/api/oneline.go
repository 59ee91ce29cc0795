package api

import (
	"context"
	"strings"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
)

// OneLine is the drawing of a feeder: nodes in rows from the source down, and what is
// between them.
type OneLine struct {
	Feeder   string          `json:"feeder"`
	Head     string          `json:"head" doc:"Through what all of it is supplied"`
	Columns  int             `json:"columns"`
	Rows     int             `json:"rows"`
	Nodes    []OneLineNode   `json:"nodes" doc:"Each behind what supplies it"`
	Branches []OneLineBranch `json:"branches"`
	Ties     []OneLineTie    `json:"ties" doc:"Open switches at the nodes"`
	More     int             `json:"more" doc:"Nodes that are left out, for there are too many"`
	Series   []Series        `json:"series" doc:"Measured of the feeder itself"`
}

// OneLineNode is a node, and where it is drawn.
type OneLineNode struct {
	ID            string `json:"id" doc:"Empty: it is of another zone"`
	Name          string `json:"name"`
	Busbar        bool   `json:"busbar"`
	Column        int    `json:"column"`
	Row           int    `json:"row"`
	ServicePoints int    `json:"service_points" doc:"At it, or behind it if what is behind it isn't drawn"`
	Customers     int64  `json:"customers"`
	Counted       bool   `json:"counted" doc:"What is behind it isn't drawn"`
}

// OneLineBranch is a line, switch or transformer between two nodes.
type OneLineBranch struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Kind     string   `json:"kind" enum:"line,switch,transformer"`
	Type     string   `json:"type"`
	From     int      `json:"from" doc:"Of the nodes, from 0"`
	To       int      `json:"to"`
	InLoop   bool     `json:"in_loop"`
	Position *Series  `json:"position" doc:"Of a switch; null: nothing shows it"`
	Series   []Series `json:"series" doc:"Voltages, currents and power measured of it"`
}

// OneLineTie is a switch that is open in normal operation.
type OneLineTie struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Type      string  `json:"type"`
	At        int     `json:"at" doc:"The node, from 0"`
	Within    int     `json:"within" doc:"The node of this drawing at its other end; -1: none"`
	Other     string  `json:"other" doc:"The feeder at its other end; empty: none, or one of another zone"`
	OtherNode string  `json:"other_node"`
	Position  *Series `json:"position" doc:"null: nothing shows it"`
}

type oneLineAnswer struct{ Body OneLine }

// mostBranchSeries bounds those that are written at a branch.
const mostBranchSeries = 8

func (o Options) oneLineOf(ctx context.Context, d *network.OneLine) (out OneLine, err error) {
	out = OneLine{Feeder: d.Feeder, Head: d.Head, Columns: d.Columns, Rows: d.Rows, More: d.More,
		Nodes: make([]OneLineNode, len(d.Nodes)), Branches: make([]OneLineBranch, len(d.Branches)), Ties: make([]OneLineTie, len(d.Ties))}
	for i, n := range d.Nodes {
		out.Nodes[i] = OneLineNode{n.ID, n.Name, n.Busbar, n.Column, n.Row, n.ServicePoints, n.Customers, n.Counted}
	}
	if _, out.Series, err = o.measuredAt(ctx, d.Feeder, store.Telemetered{}); err != nil {
		return out, err
	}
	for i, b := range d.Branches {
		v := OneLineBranch{ID: b.ID, Name: b.Name, Kind: b.Kind, Type: b.Type, From: b.From, To: b.To, InLoop: b.InLoop}
		if v.Position, v.Series, err = o.measuredAt(ctx, b.ID, b.Position); err != nil {
			return out, err
		}
		out.Branches[i] = v
	}
	for i, t := range d.Ties {
		v := OneLineTie{ID: t.ID, Name: t.Name, Type: t.Type, At: t.At, Within: t.Within, Other: t.Other, OtherNode: t.OtherNode}
		if v.Position, _, err = o.measuredAt(ctx, t.ID, t.Position); err != nil {
			return out, err
		}
		out.Ties[i] = v
	}
	return out, nil
}

// measuredAt is what shows the position of an asset, and its voltages, currents and power.
func (o Options) measuredAt(ctx context.Context, asset string, position store.Telemetered) (shows *Series, values []Series, err error) {
	list, err := o.Store.SeriesAt(ctx, asset, position, mostAssetSeries)
	if err != nil {
		return nil, nil, err
	}
	values = []Series{}
	for _, s := range list {
		switch electrical := strings.HasPrefix(s.Name, "PhV.") || strings.HasPrefix(s.Name, "PPV.") || strings.HasPrefix(s.Name, "A.") || s.Name == "TotW"; {
		case position.Name != "" && s.Name == position.Name && (position.Device == "" || s.Device == position.Device) && (position.Gateway == "" || s.Gateway == position.Gateway):
			of := seriesOf(s)
			shows = &of // the newest, of several
		case electrical && len(values) < mostBranchSeries:
			values = append(values, seriesOf(s))
		}
	}
	return shows, values, nil
}
