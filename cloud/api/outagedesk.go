package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

type crewList struct {
	Body struct {
		Crews []desk.Crew `json:"crews" doc:"By id"`
	}
}

type crewAnswer struct{ Body desk.Crew }

type crewSaving struct {
	ID   string `path:"id" minLength:"1" maxLength:"64" pattern:"^[0-9A-Za-z._-]+$"`
	Body struct {
		Name    string `json:"name" maxLength:"100"`
		State   string `json:"state" enum:"available,suspended,off-duty" doc:"While it has an outage, its state follows from that"`
		Comment string `json:"comment,omitempty" maxLength:"1000"`
		By      string `json:"by,omitempty" maxLength:"80" doc:"Who says so; where people sign in it is who has, whatever this says"`
	}
}

type callsQuery struct {
	Outage string `query:"outage" maxLength:"128" doc:"Only those from its service points while they were in it, or up to an hour before it was found"`
	Paging
}

type callList struct {
	Link string `header:"Link"`
	Body struct {
		Calls []desk.Call `json:"calls" doc:"Newest first"`
		Next
	}
}

type callAnswer struct{ Body desk.Call }

type callTaking struct {
	Body struct {
		ServicePoint string `json:"service_point" minLength:"1" maxLength:"128"`
		Says         string `json:"says" enum:"no-supply,supply-back,other" doc:"The first two are evidence"`
		Text         string `json:"text,omitempty" maxLength:"1000"`
		By           string `json:"by,omitempty" maxLength:"80" doc:"Who takes the call; where people sign in it is who has, whatever this says"`
	}
}

type switchingList struct {
	Link string `header:"Link"`
	Body struct {
		Switching []desk.Switching `json:"switching" doc:"By asset"`
		Next
	}
}

type switchingAnswer struct{ Body desk.Switching }

type operating struct {
	Asset string `path:"asset" minLength:"1" maxLength:"128"`
	Body  struct {
		Position string           `json:"position,omitempty" enum:"open,closed,normal," doc:"normal: nobody says any more; empty: as before"`
		Phases   string           `json:"phases,omitempty" pattern:"^[ABC]*$" maxLength:"3" doc:"That are open; empty: all" example:"B"`
		Cut      *bool            `json:"cut,omitempty" nullable:"true" doc:"Whether the conductor is cut; null: as before"`
		Tag      *string          `json:"tag,omitempty" maxLength:"200" nullable:"true" doc:"Why it may not be operated; empty: it may again; null: as before"`
		Since    telemetry.Micros `json:"since_us,omitempty" minimum:"0" doc:"When it was operated, in the last 24 hours; 0: now"`
		Comment  string           `json:"comment" minLength:"1" maxLength:"1000" doc:"Why"`
		By       string           `json:"by,omitempty" maxLength:"80" doc:"Who says so; where people sign in it is who has, whatever this says"`
	}
}

type wording struct {
	Body struct {
		Says    string `json:"says" enum:"out,supplied" doc:"Whether it has supply"`
		Asset   string `json:"asset" minLength:"1" maxLength:"128" doc:"A service point"`
		Comment string `json:"comment,omitempty" maxLength:"1000"`
		By      string `json:"by,omitempty" maxLength:"80" doc:"Who says so; where people sign in it is who has, whatever this says"`
	}
}

type wordAnswer struct{ Body desk.Word }

// longestSince is how long ago something may have been operated that is entered now.
const longestSince = 24 * time.Hour

// addNormal says how switches are in normal operation, if there is a network that says so.
func (o Options) addNormal(ctx context.Context, current *network.Holder, list []desk.Switching) {
	n, err := current.Current(ctx)
	if err != nil {
		return
	}
	for i := range list {
		edge := n.EdgeOf(list[i].Asset)
		if edge == grid.None {
			continue
		}
		list[i].Normal = "closed"
		if e := n.Edge(edge); e.Kind == grid.KindSwitch && n.Model().Switches[e.Index].NormallyOpen {
			list[i].Normal = "open"
		}
	}
}

func registerOutageDesk(api huma.API, o Options) {
	current := network.NewHolder(o.Store)
	huma.Register(api, huma.Operation{
		OperationID: "list-crews", Method: http.MethodGet, Path: "/api/v1/crews",
		Summary: "Crews, and which outage each has", Tags: []string{"Outages"},
	}, func(ctx context.Context, _ *struct{}) (*crewList, error) {
		list, err := desk.Crews(ctx, o.Store)
		if err != nil {
			return nil, o.fault(ctx, "list the crews", err)
		}
		answer := &crewList{}
		answer.Body.Crews = list
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "put-crew", Method: http.MethodPut, Path: "/api/v1/crews/{id}",
		Summary: "Add a crew, or say what it is called and whether it is there", Tags: []string{"Outages"}, Errors: changing,
	}, func(ctx context.Context, q *crewSaving) (*crewAnswer, error) {
		by, err := whoActs(ctx, q.Body.By)
		if err != nil {
			return nil, err
		}
		c, err := desk.SaveCrew(ctx, o.Store, desk.Crew{ID: q.ID, Name: strings.TrimSpace(q.Body.Name), State: q.Body.State, Comment: q.Body.Comment, By: by, At: desk.Now()})
		if err != nil {
			return nil, o.deskFault(ctx, "keep the crew", err)
		}
		return &crewAnswer{c}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-calls", Method: http.MethodGet, Path: "/api/v1/calls",
		Summary: "What customers have said", Tags: []string{"Outages"}, Errors: noSuchPage,
	}, func(ctx context.Context, q *callsQuery) (*callList, error) {
		page, err := pageOf[int64](q.Paging, "calls")
		if err != nil {
			return nil, err
		}
		list, err := desk.Calls(ctx, o.Store, q.Outage, page)
		if err != nil {
			return nil, o.deskFault(ctx, "list the calls", err)
		}
		answer := &callList{}
		answer.Body.Calls, answer.Link, answer.Body.Next = turned(q.Paging, "calls", list, func(c desk.Call) int64 { return c.ID })
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "add-call", Method: http.MethodPost, Path: "/api/v1/calls",
		Summary: "Keep what a customer says", Tags: []string{"Outages"}, Errors: changing,
	}, func(ctx context.Context, q *callTaking) (*callAnswer, error) {
		by, err := whoActs(ctx, q.Body.By)
		if err != nil {
			return nil, err
		}
		c, err := desk.AddCall(ctx, o.Store, desk.Call{At: desk.Now(), ServicePoint: q.Body.ServicePoint, Says: q.Body.Says, Text: q.Body.Text, By: by})
		if err != nil {
			return nil, o.deskFault(ctx, "keep the call", err)
		}
		return &callAnswer{c}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-switching", Method: http.MethodGet, Path: "/api/v1/switching",
		Summary: "How the network is operated, where it isn't as its model says", Tags: []string{"Outages"}, Errors: noSuchPage,
		Description: "Switches that are measured and not in their normal position, and what operators have said of lines, switches and transformers: positions, cuts and tags.",
	}, func(ctx context.Context, q *Paging) (*switchingList, error) {
		page, err := pageOf[string](*q, "switching")
		if err != nil {
			return nil, err
		}
		list, err := desk.Switchings(ctx, o.Store, page)
		if err != nil {
			return nil, o.fault(ctx, "list what is operated", err)
		}
		o.addNormal(ctx, current, list)
		answer := &switchingList{}
		answer.Body.Switching, answer.Link, answer.Body.Next = turned(*q, "switching", list, func(s desk.Switching) string { return s.Asset })
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "put-switching", Method: http.MethodPut, Path: "/api/v1/switching/{asset}",
		Summary: "Say how a line, switch or transformer is operated", Tags: []string{"Outages"}, Errors: changing,
		Description: "It moves nothing: it says what people have done. A switch whose position is measured is as it is measured.",
	}, func(ctx context.Context, q *operating) (*switchingAnswer, error) {
		by, err := whoActs(ctx, q.Body.By)
		if err != nil {
			return nil, err
		}
		var phases grid.Phases
		if q.Body.Phases != "" && phases.UnmarshalText([]byte(q.Body.Phases)) != nil {
			return nil, huma.Error422UnprocessableEntity("phases: each of A, B and C once")
		}
		now := desk.Now()
		if since := q.Body.Since; since != 0 && (since > now || since < now-telemetry.Micros(longestSince.Microseconds())) {
			return nil, huma.Error422UnprocessableEntity("since_us isn't within the last 24 hours")
		}
		s, err := desk.Operate(ctx, o.Store, desk.Operated{Asset: q.Asset, Since: q.Body.Since, Position: q.Body.Position, Phases: q.Body.Phases, Cut: q.Body.Cut, Tag: q.Body.Tag,
			Comment: strings.TrimSpace(q.Body.Comment), By: by, At: now})
		if err != nil {
			return nil, o.deskFault(ctx, "keep what is operated", err)
		}
		answer := []desk.Switching{s}
		o.addNormal(ctx, current, answer)
		return &switchingAnswer{answer[0]}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "add-evidence", Method: http.MethodPost, Path: "/api/v1/evidence",
		Summary: "Say that a service point has supply, or hasn't", Tags: []string{"Outages"}, Errors: changing,
		Description: "What a crew has seen there, or an operator knows. It counts more than what meters tell.",
	}, func(ctx context.Context, q *wording) (*wordAnswer, error) {
		by, err := whoActs(ctx, q.Body.By)
		if err != nil {
			return nil, err
		}
		w := desk.Word{Asset: q.Body.Asset, Out: q.Body.Says == "out", Comment: q.Body.Comment, By: by, At: desk.Now()}
		if err := desk.Say(ctx, o.Store, w); err != nil {
			return nil, o.deskFault(ctx, "keep what was seen", err)
		}
		return &wordAnswer{w}, nil
	})
}
