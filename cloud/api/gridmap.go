package api

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// GridMap is where the assets of the network are: of each kind a list for each property,
// all in the same order. A place is x0 + x times step, and y0 + y times step, in the
// network's coordinates.
type GridMap struct {
	Version     int64            `json:"version"`
	AsOf        telemetry.Micros `json:"as_of_us"`
	Coordinates string           `json:"coordinates" enum:"local,wgs84"`
	X0          float64          `json:"x0"`
	Y0          float64          `json:"y0"`
	Step        float64          `json:"step"`
	Feeders     []string         `json:"feeders" doc:"Their ids, to which the numbers among points point"`
	Points      MapPoints        `json:"points" doc:"Service points, each behind what supplies it in normal operation"`
	Lines       MapLines         `json:"lines"`
	Devices     MapDevices       `json:"devices" doc:"Switches and transformers"`
	Substations MapSubstations   `json:"substations"`
	Nowhere     MapNowhere       `json:"nowhere" doc:"How many have no position, nor anything near them"`
}

// MapPoints are service points.
type MapPoints struct {
	ID        []string `json:"id"`
	X         []int32  `json:"x"`
	Y         []int32  `json:"y"`
	Customers []int32  `json:"customers"`
	Feeder    []int32  `json:"feeder" doc:"In feeders; -1: none"`
}

// MapLines are lines from one place to another.
type MapLines struct {
	ID  []string `json:"id"`
	X   []int32  `json:"x"`
	Y   []int32  `json:"y"`
	ToX []int32  `json:"to_x"`
	ToY []int32  `json:"to_y"`
	Low []bool   `json:"low" doc:"Of at most 1 kV"`
}

// MapDevices are switches and transformers.
type MapDevices struct {
	ID   []string `json:"id"`
	X    []int32  `json:"x"`
	Y    []int32  `json:"y"`
	Kind []string `json:"kind" doc:"switch or transformer"`
	Open []bool   `json:"open" doc:"It is open in normal operation"`
}

// MapSubstations are substations.
type MapSubstations struct {
	ID   []string `json:"id"`
	Name []string `json:"name"`
	X    []int32  `json:"x"`
	Y    []int32  `json:"y"`
}

// MapNowhere counts what a map can't show.
type MapNowhere struct {
	Points  int `json:"points"`
	Lines   int `json:"lines"`
	Devices int `json:"devices"`
}

// mapSteps is how many steps a map has along its longer side: 0.1 m of a thousand
// kilometres.
const mapSteps = 10_000_000

type mapQuery struct {
	Known string `header:"If-None-Match"`
}

type mapAnswer struct {
	ETag  string `header:"ETag"`
	Cache string `header:"Cache-Control"`
	Body  GridMap
}

func registerGridMap(api huma.API, o Options) {
	current := network.NewHolder(o.Store)
	huma.Register(api, huma.Operation{
		OperationID: "get-grid-map", Method: http.MethodGet, Path: "/api/v1/grid/map",
		Summary: "Where everything is", Tags: []string{"Network"},
		Description: "It changes with the network only, as its ETag does. Who is of some zones sees the assets of these and of the zones within them.",
		Errors:      []int{http.StatusNotModified, http.StatusNotFound},
	}, func(ctx context.Context, q *mapQuery) (*mapAnswer, error) {
		now, sees, whose, err := o.networkSeen(ctx, current)
		if err != nil {
			return nil, o.noNetwork(ctx, "draw the map", err)
		}
		tag := fmt.Sprintf(`"%d-%x-%x"`, now.Version, now.AsOf, whose)
		if strings.Contains(q.Known, tag) {
			return nil, huma.ErrorWithHeaders(huma.Status304NotModified(), http.Header{"Etag": {tag}, "Cache-Control": {"private, no-cache"}})
		}
		return &mapAnswer{tag, "private, no-cache", gridMapOf(now, sees)}, nil
	})

	var order pointOrder
	registerGridHeard(api, o, current, &order)
	registerGridSupply(api, o, current, &order)
	huma.Register(api, huma.Operation{
		OperationID: "get-one-line", Method: http.MethodGet, Path: "/api/v1/assets/{id}/one-line",
		Summary: "The one-line diagram of a feeder, or of the one that supplies an asset", Tags: []string{"Network"},
		Description: "In normal operation, from the source down. What is behind a transformer of the feeder is counted, not drawn. Assets of other zones are neither named nor counted.",
		Errors:      []int{http.StatusNotFound},
	}, func(ctx context.Context, q *assetID) (*oneLineAnswer, error) {
		now, sees, _, err := o.networkSeen(ctx, current)
		if err != nil {
			return nil, o.noNetwork(ctx, "draw the feeder", err)
		}
		d := now.OneLine(q.ID, sees)
		if d == nil {
			return nil, huma.Error404NotFound("there is no feeder of that id, nor one that supplies that asset")
		}
		out, err := o.oneLineOf(ctx, d)
		if err != nil {
			return nil, o.fault(ctx, "draw the feeder", err)
		}
		return &oneLineAnswer{out}, nil
	})
}

func (o Options) noNetwork(ctx context.Context, what string, err error) error {
	if errors.Is(err, store.ErrNoGrid) {
		return huma.Error404NotFound(store.ErrNoGrid.Error())
	}
	return o.fault(ctx, what, err)
}

// networkSeen is the network in use, which zones of it are seen, and a number that
// differs with these.
func (o Options) networkSeen(ctx context.Context, current *network.Holder) (n *network.Network, sees func(zone string) bool, whose uint64, err error) {
	if n, err = current.Current(ctx); err != nil {
		return nil, nil, 0, err
	}
	zones, all, err := o.Store.AssetZones(ctx)
	if err != nil {
		return nil, nil, 0, err
	}
	if !all {
		h := fnv.New64a()
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			fmt.Fprintf(h, "%q", zone)
		}
		whose = h.Sum64()
	}
	return n, func(zone string) bool { return all || zones[zone] }, whose, nil
}

func gridMapOf(n *network.Network, sees func(zone string) bool) GridMap {
	m := n.Map(sees)
	lo, hi := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	widen := func(p grid.Position) {
		lo[0], lo[1] = min(lo[0], p.X), min(lo[1], p.Y)
		hi[0], hi[1] = max(hi[0], p.X), max(hi[1], p.Y)
	}
	for _, list := range [][]network.Placed{m.Points, m.Devices} {
		for _, p := range list {
			widen(p.At)
		}
	}
	for _, l := range m.Lines {
		widen(l.From)
		widen(l.To)
	}
	for _, s := range m.Substations {
		widen(s.At)
	}
	out := GridMap{Version: n.Version, AsOf: n.AsOf, Coordinates: n.Model().Coordinates.String(), Step: 1, Feeders: []string{},
		Nowhere: MapNowhere{m.PointsNowhere, m.LinesNowhere, m.DevicesNowhere}}
	if lo[0] <= hi[0] {
		out.X0, out.Y0 = lo[0], lo[1]
		if side := max(hi[0]-lo[0], hi[1]-lo[1]); side > 0 {
			out.Step = side / mapSteps
		}
	}
	x := func(p grid.Position) int32 { return int32(math.Round((p.X - out.X0) / out.Step)) }
	y := func(p grid.Position) int32 { return int32(math.Round((p.Y - out.Y0) / out.Step)) }

	np, nl, nd, ns := len(m.Points), len(m.Lines), len(m.Devices), len(m.Substations)
	out.Points = MapPoints{make([]string, 0, np), make([]int32, 0, np), make([]int32, 0, np), make([]int32, 0, np), make([]int32, 0, np)}
	out.Lines = MapLines{make([]string, 0, nl), make([]int32, 0, nl), make([]int32, 0, nl), make([]int32, 0, nl), make([]int32, 0, nl), make([]bool, 0, nl)}
	out.Devices = MapDevices{make([]string, 0, nd), make([]int32, 0, nd), make([]int32, 0, nd), make([]string, 0, nd), make([]bool, 0, nd)}
	out.Substations = MapSubstations{make([]string, 0, ns), make([]string, 0, ns), make([]int32, 0, ns), make([]int32, 0, ns)}
	number := map[string]int32{}
	for _, p := range m.Points {
		point := n.Point(p.Index)
		feeder := int32(-1)
		if f := n.Normal().Feeder(point.Node); f != grid.None {
			id := n.Feeder(f).ID
			known, ok := number[id]
			if !ok {
				known = int32(len(out.Feeders))
				number[id], out.Feeders = known, append(out.Feeders, id)
			}
			feeder = known
		}
		out.Points.ID = append(out.Points.ID, n.PointAsset(p.Index).ID)
		out.Points.X, out.Points.Y = append(out.Points.X, x(p.At)), append(out.Points.Y, y(p.At))
		out.Points.Customers, out.Points.Feeder = append(out.Points.Customers, int32(point.Customers)), append(out.Points.Feeder, feeder)
	}
	for _, l := range m.Lines {
		e := n.Edge(l.Edge)
		v := n.Model().Lines[e.Index].Voltage
		out.Lines.ID = append(out.Lines.ID, n.EdgeAsset(l.Edge).ID)
		out.Lines.X, out.Lines.Y = append(out.Lines.X, x(l.From)), append(out.Lines.Y, y(l.From))
		out.Lines.ToX, out.Lines.ToY = append(out.Lines.ToX, x(l.To)), append(out.Lines.ToY, y(l.To))
		out.Lines.Low = append(out.Lines.Low, v > 0 && v <= 1000)
	}
	for _, d := range m.Devices {
		out.Devices.ID = append(out.Devices.ID, n.EdgeAsset(d.Index).ID)
		out.Devices.X, out.Devices.Y = append(out.Devices.X, x(d.At)), append(out.Devices.Y, y(d.At))
		out.Devices.Kind = append(out.Devices.Kind, network.KindName(n.Edge(d.Index).Kind))
		out.Devices.Open = append(out.Devices.Open, n.Normal().Conducts(d.Index) == 0)
	}
	for _, s := range m.Substations {
		of := &n.Model().Substations[s.Index]
		out.Substations.ID, out.Substations.Name = append(out.Substations.ID, of.ID), append(out.Substations.Name, of.Name)
		out.Substations.X, out.Substations.Y = append(out.Substations.X, x(s.At)), append(out.Substations.Y, y(s.At))
	}
	return out
}
