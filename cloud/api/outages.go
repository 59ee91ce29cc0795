package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

type outagesQuery struct {
	State  string `query:"state" enum:"open,all,suspected,probable,confirmed,assigned,en-route,on-site,repaired,restored,verified,completed,dismissed,merged" default:"open" doc:"open: those that aren't completed, dismissed or merged"`
	Feeder string `query:"feeder" maxLength:"512" doc:"Only on this feeder"`
	Zone   string `query:"zone" maxLength:"512" doc:"Only in this zone and in those within it"`
	Paging
}

type outageList struct {
	Link string `header:"Link"`
	Body struct {
		Seq     int64         `json:"seq" doc:"The stream's sequence number that this page is as of"`
		Outages []desk.Outage `json:"outages" doc:"Those found last first"`
		Next
	}
}

// OutageID names an outage in a path.
type OutageID struct {
	ID string `path:"id" maxLength:"128"`
}

type outagePage struct {
	OutageID
	Paging
}

// OutageDetail is an outage, what has become of it, and what it stands for.
type OutageDetail struct {
	desk.Outage
	Timeline []desk.OutageEntry `json:"timeline" doc:"Oldest first; the newest 1000"`
	Steps    []desk.Step        `json:"steps" doc:"By which supply came back, oldest first"`
	Needing  desk.Needing       `json:"needing" doc:"Of the customers out now, those that need supply more than others, as busbar-cloud import customers has said"`
	Children []alarm.Alarm      `json:"children" doc:"The alarms that its alarm stands for, those raised last first; at most 200, without their inputs"`
}

type outageDetail struct{ Body OutageDetail }

type outageAnswer struct{ Body desk.Outage }

type outageSummary struct{ Body desk.Summary }

type pointList struct {
	Link string `header:"Link"`
	Body struct {
		Points []desk.Point `json:"points" doc:"By id"`
		Next
	}
}

type evidenceList struct {
	Link string `header:"Link"`
	Body struct {
		Evidence []desk.Evidence `json:"evidence" doc:"Newest first: of each conclusion the newest pieces"`
		Next
	}
}

// outageStep is what an operator does with an outage.
type outageStep struct {
	OutageID
	Body struct {
		Action   lifecycle.Action `json:"action" enum:"confirm,assign,unassign,en-route,on-site,repaired,restored,verify,complete,dismiss,merge,split,edit,estimate,note"`
		Revision int64            `json:"revision,omitempty" minimum:"0" doc:"Of the outage that was seen: refused if it has changed since; 0: whatever it is"`
		By       string           `json:"by,omitempty" maxLength:"80" doc:"Who does it; where people sign in it is who has, whatever this says"`
		Comment  string           `json:"comment,omitempty" maxLength:"1000" doc:"Why; required to dismiss, unassign, merge, split or note, to edit what is completed, and to say that supply is back or verified"`
		Crew     string           `json:"crew,omitempty" maxLength:"64" doc:"With assign"`
		Into     string           `json:"into,omitempty" maxLength:"128" doc:"With merge: the outage that it is part of"`
		Devices  []string         `json:"devices,omitempty" maxItems:"20" doc:"With split: the lines, switches or transformers that have opened"`
		P50      telemetry.Micros `json:"p50_us,omitempty" doc:"With estimate: supply is back by then with a probability of 50 %"`
		P80      telemetry.Micros `json:"p80_us,omitempty" doc:"With estimate: of 80 %"`
		Cause    string           `json:"cause,omitempty" maxLength:"64" doc:"With edit or complete, as the other two: a code"`
		Failure  string           `json:"failure,omitempty" maxLength:"64"`
		Remedy   string           `json:"remedy,omitempty" maxLength:"64"`
	}
}

type outageCodes struct {
	Body struct {
		Causes   []lifecycle.Code `json:"causes"`
		Failures []lifecycle.Code `json:"failures"`
		Remedies []lifecycle.Code `json:"remedies"`
	}
}

// changing is what operations answer that change something.
var changing = []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict,
	http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}

const mostChildren = 200

func registerOutages(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-outages", Method: http.MethodGet, Path: "/api/v1/outages",
		Summary: "Outages", Tags: []string{"Outages"}, Errors: noSuchPage,
		Description: "Who is of some zones sees the outages whose device is of these or of the zones within them.",
	}, func(ctx context.Context, q *outagesQuery) (*outageList, error) {
		page, err := pageOf[desk.Place](q.Paging, "outages")
		if err != nil {
			return nil, err
		}
		filter := desk.Filter{Open: q.State == "open", Feeder: q.Feeder, Zone: q.Zone}
		if q.State != "open" && q.State != "all" {
			filter.State = lifecycle.State(q.State)
		}
		seq, list, err := desk.List(ctx, o.Store, filter, page)
		if err != nil {
			return nil, o.fault(ctx, "list the outages", err)
		}
		answer := &outageList{}
		answer.Body.Seq = seq
		answer.Body.Outages, answer.Link, answer.Body.Next = turned(q.Paging, "outages", list, desk.Outage.Place)
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "sum-up-outages", Method: http.MethodGet, Path: "/api/v1/outage-summary",
		Summary: "How many outages go on, and how many customers are without supply", Tags: []string{"Outages"},
	}, func(ctx context.Context, _ *struct{}) (*outageSummary, error) {
		sum, err := desk.Summarise(ctx, o.Store)
		if err != nil {
			return nil, o.fault(ctx, "sum up the outages", err)
		}
		return &outageSummary{sum}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "get-outage", Method: http.MethodGet, Path: "/api/v1/outages/{id}",
		Summary: "One outage, what has become of it, and its alarms", Tags: []string{"Outages"}, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *OutageID) (*outageDetail, error) {
		of, entries, steps, err := desk.Get(ctx, o.Store, q.ID)
		if err != nil {
			return nil, o.deskFault(ctx, "read the outage", err)
		}
		detail := OutageDetail{Outage: of, Timeline: entries, Steps: steps, Children: []alarm.Alarm{}}
		if detail.Needing, err = desk.NeedingOf(ctx, o.Store, q.ID); err != nil {
			return nil, o.fault(ctx, "count the customers of the outage", err)
		}
		if of.Alarm != "" {
			if detail.Children, err = alarm.StoodFor(ctx, o.Store, of.Alarm, mostChildren); err != nil {
				return nil, o.fault(ctx, "list the alarms of the outage", err)
			}
			for i := range detail.Children {
				detail.Children[i].Inputs = []alarm.Input{}
			}
		}
		return &outageDetail{detail}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-outage-points", Method: http.MethodGet, Path: "/api/v1/outages/{id}/points",
		Summary: "The service points that are or were without supply in an outage", Tags: []string{"Outages"}, Errors: noSuchPage,
		Description: "Those of zones that aren't seen aren't listed.",
	}, func(ctx context.Context, q *outagePage) (*pointList, error) {
		page, err := pageOf[string](q.Paging, "outage-points")
		if err != nil {
			return nil, err
		}
		list, err := desk.Points(ctx, o.Store, q.ID, page)
		if err != nil {
			return nil, o.deskFault(ctx, "list the service points", err)
		}
		answer := &pointList{}
		answer.Body.Points, answer.Link, answer.Body.Next = turned(q.Paging, "outage-points", list, func(p desk.Point) string { return p.ID })
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-outage-evidence", Method: http.MethodGet, Path: "/api/v1/outages/{id}/evidence",
		Summary: "What an outage rests on", Tags: []string{"Outages"}, Errors: noSuchPage,
	}, func(ctx context.Context, q *outagePage) (*evidenceList, error) {
		page, err := pageOf[int64](q.Paging, "outage-evidence")
		if err != nil {
			return nil, err
		}
		list, err := desk.EvidenceOf(ctx, o.Store, q.ID, page)
		if err != nil {
			return nil, o.deskFault(ctx, "list the evidence", err)
		}
		answer := &evidenceList{}
		answer.Body.Evidence, answer.Link, answer.Body.Next = turned(q.Paging, "outage-evidence", list, func(e desk.Evidence) int64 { return e.Seq })
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "act-on-outage", Method: http.MethodPost, Path: "/api/v1/outages/{id}/actions",
		Summary: "Take a step with an outage", Tags: []string{"Outages"}, Errors: changing,
		Description: "confirm, assign, en-route, on-site, repaired, restored, verify and complete lead from one state to the next; complete needs cause, failure and remedy. " +
			"merge says that the outage is part of another one. split says that not its device has opened, but others: it is entered as closed and they as open, each is an outage, and this one is the largest of them. " +
			"What isn't possible in the outage's state is refused with 409, and why.",
	}, func(ctx context.Context, q *outageStep) (*outageAnswer, error) {
		by, err := whoActs(ctx, q.Body.By)
		if err != nil {
			return nil, err
		}
		step := lifecycle.Step{Action: q.Body.Action, At: desk.Now(), By: by, Why: strings.TrimSpace(q.Body.Comment), Crew: q.Body.Crew, Devices: q.Body.Devices, Into: q.Body.Into,
			Expected: lifecycle.Estimated{P50: q.Body.P50, P80: q.Body.P80}, Report: lifecycle.Report{Cause: q.Body.Cause, Failure: q.Body.Failure, Remedy: q.Body.Remedy}}
		of, err := desk.Act(ctx, o.Store, q.ID, q.Body.Revision, step)
		if err != nil {
			return nil, o.deskFault(ctx, "take the step", err)
		}
		return &outageAnswer{of}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-outage-codes", Method: http.MethodGet, Path: "/api/v1/outage-codes",
		Summary: "By which codes cause, failure and remedy are entered", Tags: []string{"Outages"},
	}, func(context.Context, *struct{}) (*outageCodes, error) {
		answer := &outageCodes{}
		answer.Body.Causes, answer.Body.Failures, answer.Body.Remedies = lifecycle.Causes, lifecycle.Failures, lifecycle.Remedies
		return answer, nil
	})
}

// whoActs is who has signed in, or else who they say they are.
func whoActs(ctx context.Context, said string) (string, error) {
	by := cmp.Or(access.From(ctx).Name, strings.TrimSpace(said))
	if by == "" {
		return "", huma.Error422UnprocessableEntity("by: a name is missing")
	}
	return by, nil
}

func (o Options) deskFault(ctx context.Context, what string, err error) error {
	var refused *lifecycle.Refused
	switch {
	case errors.As(err, &refused):
		return huma.Error409Conflict(refused.Error())
	case errors.Is(err, desk.ErrNotFound):
		return huma.Error404NotFound("there is no such outage")
	case errors.Is(err, desk.ErrNoPlan):
		return huma.Error404NotFound("there is no such planned outage")
	case errors.Is(err, desk.ErrNoCrew):
		return huma.Error404NotFound("there is no such crew")
	case errors.Is(err, desk.ErrNoAsset), errors.Is(err, store.ErrNoAsset), errors.Is(err, store.ErrNoGrid):
		return huma.Error404NotFound("there is no such asset")
	}
	for _, conflict := range []error{desk.ErrRevision, desk.ErrCrewBusy, desk.ErrMeasured, desk.ErrTagged, desk.ErrCancelled, desk.ErrPast} {
		if errors.Is(err, conflict) {
			return huma.Error409Conflict(conflict.Error())
		}
	}
	return o.fault(ctx, what, err)
}
