package api

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Asset is a part of the network, under the id that gateways name. What it doesn't say
// itself is of the network in normal operation.
type Asset struct {
	ID           string            `json:"id"`
	Kind         string            `json:"kind" enum:"zone,substation,node,source,feeder,line,switch,transformer,service_point"`
	Name         string            `json:"name"`
	Type         string            `json:"type" doc:"Of a node, line or switch what it is; of a service point how urgent its supply is" example:"breaker"`
	Zone         string            `json:"zone" doc:"Its own, or that of its substation, or else of what supplies it; empty: none"`
	Parent       string            `json:"parent,omitempty" doc:"The zone that contains a zone"`
	Substation   string            `json:"substation" doc:"The one that it is in"`
	Feeder       string            `json:"feeder" doc:"The one that supplies it, of a substation if one does"`
	Transformer  string            `json:"transformer" doc:"The nearest one that supplies it"`
	Phases       string            `json:"phases" example:"ABC"`
	Customers    *int64            `json:"customers,omitempty" doc:"Of a service point"`
	Voltage      *float64          `json:"voltage_v" doc:"Nominal, between phases, of a transformer that of its higher side; null: not known"`
	RatedPower   *float64          `json:"rated_power_va,omitempty"`
	RatedCurrent *float64          `json:"rated_current_a,omitempty"`
	Position     *AssetPosition    `json:"position,omitempty" doc:"Not there: not known"`
	ValidFrom    *telemetry.Micros `json:"valid_from_us,omitempty" doc:"When it began to be part of the network, if not always"`
	ValidTo      *telemetry.Micros `json:"valid_to_us,omitempty" doc:"The first instant at which it no longer is"`
}

// AssetPosition is a place in the network's coordinates.
type AssetPosition struct {
	X float64 `json:"x" doc:"With coordinates wgs84 the longitude"`
	Y float64 `json:"y" doc:"With coordinates wgs84 the latitude"`
}

func assetOf(a store.GridAsset) Asset {
	number := func(v sql.NullFloat64) *float64 {
		if !v.Valid {
			return nil
		}
		return &v.Float64
	}
	out := Asset{ID: a.ID, Kind: a.Kind, Name: a.Name, Type: a.Type, Zone: a.Zone, Parent: a.Parent, Substation: a.Substation, Feeder: a.Feeder,
		Transformer: a.Transformer, Phases: a.Phases, Voltage: number(a.Voltage), RatedPower: number(a.RatedPower), RatedCurrent: number(a.RatedCurrent),
		ValidFrom: known(a.ValidFrom), ValidTo: known(a.ValidTo)}
	if a.X.Valid && a.Y.Valid {
		out.Position = &AssetPosition{a.X.Float64, a.Y.Float64}
	}
	if a.Kind == "service_point" {
		out.Customers = &a.Customers
	}
	return out
}

// AssetRef names an asset.
type AssetRef struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Connection is a node of an asset, and what else is there.
type Connection struct {
	Node   string     `json:"node"`
	Assets []AssetRef `json:"assets" doc:"At most 1000"`
}

// AssetDetail is an asset, what is around it, and what is measured of it.
type AssetDetail struct {
	Asset
	Properties  map[string]string `json:"properties" doc:"What the model says of it, by the keys and in the units of docs/grid.md"`
	Connections []Connection      `json:"connections" doc:"Its nodes, and what is connected to it there"`
	SuppliedBy  []AssetRef        `json:"supplied_by" doc:"In normal operation: lines, switches and transformers, the nearest first, and the source last; at most 1000. Of a substation if it is supplied at one node"`
	Energised   string            `json:"energised" doc:"The phases that have supply in normal operation, of what is at a node" example:"ABC"`
	InLoop      bool              `json:"in_loop" doc:"It is part of a loop, so what is behind it has another supply"`
	Behind      AssetBehind       `json:"behind"`
	Series      []Series          `json:"series" doc:"Whose asset it is, and of a switch the one of its position; by gateway, device and name, at most 1000"`
	Alarms      []alarm.Alarm     `json:"alarms" doc:"The active ones whose asset it is, those raised last first; at most 100"`
}

// AssetBehind is what is supplied through an asset in normal operation: of a service point
// itself, of a substation all that is supplied through its equipment, of a zone what is in it.
type AssetBehind struct {
	ServicePoints int   `json:"service_points"`
	Customers     int64 `json:"customers"`
}

type assetsQuery struct {
	Kind       string `query:"kind" enum:"zone,substation,node,source,feeder,line,switch,transformer,service_point" doc:"Only of this kind"`
	Zone       string `query:"zone" maxLength:"512" doc:"Only in this zone and in those within it"`
	Substation string `query:"substation" maxLength:"512" doc:"Only in this substation"`
	Feeder     string `query:"feeder" maxLength:"512" doc:"Only what this feeder supplies in normal operation"`
	Text       string `query:"text" maxLength:"512" doc:"Only with this somewhere in their id or name, letters from A to Z in whichever case"`
	Unmeasured bool   `query:"unmeasured" doc:"Only those that no series is of; without kind, of these the feeders, switches, transformers and service points"`
	Paging
}

type assetList struct {
	Link string `header:"Link"`
	Body struct {
		Assets []Asset `json:"assets" doc:"By id"`
		Next
	}
}

type assetID struct {
	ID string `path:"id" maxLength:"512"`
}

type assetDetail struct{ Body AssetDetail }

const (
	mostAssetSeries = 1000
	mostAssetAlarms = 100
)

func registerAssets(api huma.API, o Options) {
	current := network.NewHolder(o.Store)
	huma.Register(api, huma.Operation{
		OperationID: "list-assets", Method: http.MethodGet, Path: "/api/v1/assets",
		Summary: "What the network is made of", Tags: []string{"Network"},
		Description: "What is part of the network now, nodes that equipment names included. Who is of some zones sees the assets of these and of the zones within them.",
		Errors:      noSuchPage,
	}, func(ctx context.Context, q *assetsQuery) (*assetList, error) {
		page, err := pageOf[string](q.Paging, "assets")
		if err != nil {
			return nil, err
		}
		filter := store.GridFilter{Kind: q.Kind, Zone: q.Zone, Substation: q.Substation, Feeder: q.Feeder, Text: q.Text, Unmeasured: q.Unmeasured}
		list, err := o.Store.GridAssets(ctx, filter, page)
		if err != nil {
			return nil, o.fault(ctx, "list the assets", err)
		}
		answer := &assetList{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "assets", list, func(a store.GridAsset) string { return a.ID })
		answer.Body.Assets = make([]Asset, len(list))
		for i, a := range list {
			answer.Body.Assets[i] = assetOf(a)
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "get-asset", Method: http.MethodGet, Path: "/api/v1/assets/{id}",
		Summary: "One asset, what supplies it, what is behind it, and what is measured there", Tags: []string{"Network"},
		Description: "Assets of other zones are neither named nor counted, but where the asset itself names them.",
		Errors:      []int{http.StatusNotFound},
	}, func(ctx context.Context, q *assetID) (*assetDetail, error) {
		detail, err := o.assetDetail(ctx, current, q.ID)
		if errors.Is(err, store.ErrNoAsset) || errors.Is(err, store.ErrNoGrid) {
			return nil, huma.Error404NotFound("there is no such asset")
		}
		if err != nil {
			return nil, o.fault(ctx, "look at the asset", err)
		}
		return &assetDetail{detail}, nil
	})
}

func (o Options) assetDetail(ctx context.Context, current *network.Holder, id string) (out AssetDetail, err error) {
	row, err := o.Store.GridAsset(ctx, id)
	if err != nil {
		return out, err
	}
	now, err := current.Current(ctx)
	if err != nil {
		return out, err
	}
	zones, all, err := o.Store.AssetZones(ctx)
	if err != nil {
		return out, err
	}
	v := now.View(id, func(zone string) bool { return all || zones[zone] })
	if v == nil {
		return out, store.ErrNoAsset // it has gone meanwhile
	}
	out = AssetDetail{Asset: assetOf(row), Properties: v.Properties, Connections: make([]Connection, len(v.Connections)), SuppliedBy: refsOf(v.SuppliedBy),
		Energised: v.Energised.String(), InLoop: v.InLoop, Behind: AssetBehind(v.Behind)}
	if out.Properties == nil {
		out.Properties = map[string]string{}
	}
	for i, c := range v.Connections {
		out.Connections[i] = Connection{c.Node, refsOf(c.Assets)}
	}
	series, err := o.Store.SeriesAt(ctx, id, v.Position, mostAssetSeries)
	if err != nil {
		return out, err
	}
	out.Series = make([]Series, len(series))
	for i, s := range series {
		out.Series[i] = seriesOf(s)
	}
	if out.Alarms, err = alarm.ActiveAt(ctx, o.Store, id, mostAssetAlarms); out.Alarms == nil {
		out.Alarms = []alarm.Alarm{}
	}
	return out, err
}

func refsOf(list []network.Ref) []AssetRef {
	out := make([]AssetRef, len(list))
	for i, r := range list {
		out[i] = AssetRef(r)
	}
	return out
}
