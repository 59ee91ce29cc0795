package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/history"
	"github.com/busbar/busbar/cloud/outage/reported"
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

type cimReport struct {
	System   string `path:"system" minLength:"1" maxLength:"64" pattern:"^[0-9A-Za-z._-]+$" doc:"What the other system is called here"`
	Complete bool   `query:"complete" doc:"The document has all outages of the system that go on: what it lacks is gone"`
	By       string `query:"by" maxLength:"80" doc:"Who says so; where people sign in it is who has, whatever this says"`
	Body     json.RawMessage
}

type cimTaken struct{ Body reported.Taken }

type reportedQuery struct {
	State  string `query:"state" enum:"open,all" default:"open" doc:"open: those that go on or are to come, as far as their system has said"`
	System string `query:"system" maxLength:"64" doc:"Only those of this system"`
	Paging
}

type reportedList struct {
	Link string `header:"Link"`
	Body struct {
		Reported []reported.ReportedOutage `json:"reported_outages" doc:"What began last first"`
		Next
	}
}

// mostCIM is in bytes.
const mostCIM = 32 << 20

func registerReported(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "report-cim-outages", Method: http.MethodPut, Path: "/api/v1/cim/outages/{system}",
		Summary: "Take outages that another system knows of", Tags: []string{"Outages"}, MaxBodyBytes: mostCIM,
		Errors: []int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		Description: "Experimental: names may change. The body is as the operation export-cim-outages answers. They are listed beside ours and change nothing of them. The same again changes nothing; what a later document of the system has said of an outage stays, by timeStamp; " +
			"what comes back under the id of one of ours is left out.",
	}, func(ctx context.Context, q *cimReport) (*cimTaken, error) {
		by, err := whoActs(ctx, q.By)
		if err != nil {
			return nil, err
		}
		d, err := cim.Read(q.Body)
		if err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
		n, err := reported.Take(ctx, o.Store, reported.Report{System: q.System, Document: d, Complete: q.Complete, By: by, At: desk.Now()})
		if err != nil {
			return nil, o.fault(ctx, "take the outages", err)
		}
		return &cimTaken{n}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-reported-outages", Method: http.MethodGet, Path: "/api/v1/reported-outages",
		Summary: "Outages that other systems report", Tags: []string{"Outages"}, Errors: noSuchPage,
		Description: "Who is of some zones sees those whose equipment, or else feeder, the network has in one of these or in a zone within them.",
	}, func(ctx context.Context, q *reportedQuery) (*reportedList, error) {
		page, err := pageOf[reported.Place](q.Paging, "reported-outages")
		if err != nil {
			return nil, err
		}
		list, err := reported.List(ctx, o.Store, reported.Filter{Open: q.State == "open", System: q.System}, desk.Now(), page)
		if err != nil {
			return nil, o.fault(ctx, "list the outages that others report", err)
		}
		answer := &reportedList{}
		answer.Body.Reported, answer.Link, answer.Body.Next = turned(q.Paging, "reported-outages", list, reported.ReportedOutage.Place)
		return answer, nil
	})
}

// mostPlans bounds the planned switching that comes with outages.
const mostPlans = 1000
