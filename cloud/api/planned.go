package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/telemetry"
)

type plannedQuery struct {
	State  string `query:"state" enum:"open,all" default:"open" doc:"open: those that are neither over nor cancelled"`
	Device string `query:"device" maxLength:"128" doc:"Only those of this device"`
	Paging
}

type plannedList struct {
	Link string `header:"Link"`
	Body struct {
		Planned []desk.Planned `json:"planned_outages" doc:"What begins last first"`
		Next
	}
}

// PlannedID names planned switching in a path.
type PlannedID struct {
	ID string `path:"id" maxLength:"64"`
}

// PlannedDetail is planned switching and what has become of it.
type PlannedDetail struct {
	desk.Planned
	History []desk.PlannedEntry `json:"history" doc:"Oldest first; the newest 1000"`
}

type plannedDetail struct{ Body PlannedDetail }

type plannedAnswer struct{ Body desk.Planned }

// Plan is what is planned.
type Plan struct {
	Devices []string         `json:"devices" minItems:"1" maxItems:"100" doc:"Lines, switches, transformers and service points that are without supply or opened"`
	From    telemetry.Micros `json:"from_us" minimum:"0"`
	Until   telemetry.Micros `json:"until_us" minimum:"0" doc:"The first instant at which it is over"`
	Reason  string           `json:"reason" minLength:"1" maxLength:"1000" doc:"What is done"`
	By      string           `json:"by,omitempty" maxLength:"80" doc:"Who says so; where people sign in it is who has, whatever this says"`
}

type planning struct {
	DryRun bool `query:"dry_run" doc:"Keep nothing, and answer what it would be"`
	Body   Plan
}

type replanning struct {
	PlannedID
	Body struct {
		Plan
		Revision int64  `json:"revision,omitempty" minimum:"0" doc:"Of the one that was seen: refused if it has changed since; 0: whatever it is"`
		Comment  string `json:"comment,omitempty" maxLength:"1000" doc:"Why it is changed"`
	}
}

type cancelling struct {
	PlannedID
	Body struct {
		Revision int64  `json:"revision,omitempty" minimum:"0" doc:"Of the one that was seen: refused if it has changed since; 0: whatever it is"`
		Comment  string `json:"comment" minLength:"1" maxLength:"1000" doc:"Why"`
		By       string `json:"by,omitempty" maxLength:"80" doc:"Who says so; where people sign in it is who has, whatever this says"`
	}
}

// planned is what a request plans.
func (p Plan) planned(ctx context.Context) (of desk.Planned, err error) {
	by, err := whoActs(ctx, p.By)
	if err != nil {
		return of, err
	}
	if p.Until <= p.From {
		return of, huma.Error422UnprocessableEntity("until_us isn't after from_us")
	}
	return desk.Planned{Devices: p.Devices, From: p.From, Until: p.Until, Reason: strings.TrimSpace(p.Reason), By: by, At: desk.Now()}, nil
}

func registerPlanned(api huma.API, o Options) {
	current := network.NewHolder(o.Store)
	huma.Register(api, huma.Operation{
		OperationID: "list-planned-outages", Method: http.MethodGet, Path: "/api/v1/planned-outages",
		Summary: "Switching that is planned", Tags: []string{"Outages"}, Errors: noSuchPage,
		Description: "Who is of some zones sees that of which the first device is of these or of the zones within them.",
	}, func(ctx context.Context, q *plannedQuery) (*plannedList, error) {
		page, err := pageOf[desk.PlannedPlace](q.Paging, "planned-outages")
		if err != nil {
			return nil, err
		}
		list, err := desk.ListPlanned(ctx, o.Store, desk.PlannedFilter{Open: q.State == "open", Device: q.Device}, desk.Now(), page)
		if err != nil {
			return nil, o.fault(ctx, "list the planned outages", err)
		}
		answer := &plannedList{}
		answer.Body.Planned, answer.Link, answer.Body.Next = turned(q.Paging, "planned-outages", list, desk.Planned.Place)
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "get-planned-outage", Method: http.MethodGet, Path: "/api/v1/planned-outages/{id}",
		Summary: "Planned switching, and what has become of it", Tags: []string{"Outages"}, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *PlannedID) (*plannedDetail, error) {
		p, history, err := desk.GetPlanned(ctx, o.Store, q.ID, desk.Now())
		if err != nil {
			return nil, o.deskFault(ctx, "read the planned outage", err)
		}
		return &plannedDetail{PlannedDetail{p, history}}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "add-planned-outage", Method: http.MethodPost, Path: "/api/v1/planned-outages",
		Summary: "Enter switching that is planned", Tags: []string{"Outages"}, Errors: changing,
		Description: "Outages of its devices, and of what is supplied through them, that begin in its time are planned, and nobody is told of them unless they last longer than it.",
	}, func(ctx context.Context, q *planning) (*plannedAnswer, error) {
		p, err := q.Body.planned(ctx)
		if err != nil {
			return nil, err
		}
		n, err := current.Current(ctx)
		if err == nil {
			p, err = desk.Plan(ctx, o.Store, n, p, q.DryRun)
		}
		if err != nil {
			return nil, o.deskFault(ctx, "keep the planned outage", err)
		}
		return &plannedAnswer{p}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "put-planned-outage", Method: http.MethodPut, Path: "/api/v1/planned-outages/{id}",
		Summary: "Change switching that is planned", Tags: []string{"Outages"}, Errors: changing,
	}, func(ctx context.Context, q *replanning) (*plannedAnswer, error) {
		p, err := q.Body.planned(ctx)
		if err != nil {
			return nil, err
		}
		p.ID = q.ID
		n, err := current.Current(ctx)
		if err == nil {
			p, err = desk.Replan(ctx, o.Store, n, p, q.Body.Revision, strings.TrimSpace(q.Body.Comment))
		}
		if err != nil {
			return nil, o.deskFault(ctx, "keep the planned outage", err)
		}
		return &plannedAnswer{p}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "cancel-planned-outage", Method: http.MethodPost, Path: "/api/v1/planned-outages/{id}/cancel",
		Summary: "Cancel switching that is planned", Tags: []string{"Outages"}, Errors: changing,
		Description: "An outage of it that goes on isn't planned any more.",
	}, func(ctx context.Context, q *cancelling) (*plannedAnswer, error) {
		by, err := whoActs(ctx, q.Body.By)
		if err != nil {
			return nil, err
		}
		p, err := desk.Cancel(ctx, o.Store, q.ID, q.Body.Revision, by, strings.TrimSpace(q.Body.Comment), desk.Now())
		if err != nil {
			return nil, o.deskFault(ctx, "cancel the planned outage", err)
		}
		return &plannedAnswer{p}, nil
	})
}
