package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/history"
	"github.com/busbar/busbar/cloud/store"
)

type cimQuery struct {
	State string `query:"state" enum:"open,all" default:"open" doc:"open: outages that aren't over, and planned switching that is neither over nor cancelled"`
	Paging
}

type cimDocument struct {
	Link string          `header:"Link"`
	Body json.RawMessage `contentType:"application/json"`
}

func registerCIM(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "export-cim-outages", Method: http.MethodGet, Path: "/api/v1/cim/outages",
		Summary: "Outages as JSON that is shaped like the classes of IEC 61968's CIM", Tags: []string{"Outages"}, Errors: noSuchPage,
		Description: "Experimental: names may change. UnplannedOutage and PlannedOutage, those found last first; the first page has planned switching too, under PlannedOutage. The following pages are in the header Link.",
	}, func(ctx context.Context, q *cimQuery) (*cimDocument, error) {
		page, err := pageOf[desk.Place](q.Paging, "cim-outages")
		if err != nil {
			return nil, err
		}
		now := desk.Now()
		d := cim.Document{Made: now}
		if page.After == nil {
			plans, err := desk.ListPlanned(ctx, o.Store, desk.PlannedFilter{Open: q.State == "open"}, now, store.Page[desk.PlannedPlace]{Limit: mostPlans})
			if err != nil {
				return nil, o.fault(ctx, "list the planned outages", err)
			}
			for _, p := range plans {
				d.Outages = append(d.Outages, history.CIMOfPlan(p))
			}
		}
		_, list, err := desk.List(ctx, o.Store, desk.Filter{Open: q.State == "open"}, page)
		if err != nil {
			return nil, o.fault(ctx, "list the outages", err)
		}
		answer := &cimDocument{}
		list, answer.Link, _ = turned(q.Paging, "cim-outages", list, desk.Outage.Place)
		for _, of := range list {
			d.Outages = append(d.Outages, history.CIMOf(of))
		}
		if answer.Body, err = cim.Write(d); err != nil {
			return nil, o.fault(ctx, "write the outages", err)
		}
		return answer, nil
	})
}

// mostPlans bounds the planned switching that comes with outages.
const mostPlans = 1000
