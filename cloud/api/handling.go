package api

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/telemetry"
)

// Deed is who keeps an alarm from being announced, or ends that, and why.
type Deed struct {
	By     string `json:"by,omitempty" maxLength:"80" doc:"Who does it; where people sign in it is who has, whatever this says" example:"Ana"`
	Reason string `json:"reason" maxLength:"1000" doc:"Why; not empty" example:"The meter is being changed"`
}

func (d Deed) of(ctx context.Context) (alarm.Deed, error) {
	out := alarm.Deed{At: telemetry.MicrosOf(time.Now()), By: cmp.Or(access.From(ctx).Name, strings.TrimSpace(d.By)), Reason: strings.TrimSpace(d.Reason)}
	switch {
	case out.By == "":
		return out, huma.Error422UnprocessableEntity("by: a name is missing")
	case out.Reason == "":
		return out, huma.Error422UnprocessableEntity("reason: it is missing")
	}
	return out, nil
}

type shelving struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		Deed
		Seconds int64 `json:"seconds" minimum:"1" maximum:"31622400" doc:"For how long; limits say how long at most" example:"3600"`
	}
}

type handling struct {
	ID   string `path:"id" maxLength:"64"`
	Body Deed
}

type shelfList struct {
	Body struct {
		Shelves []alarm.Shelf `json:"shelves" doc:"Those that began first first"`
		Limits  []ShelfLimit  `json:"limits" doc:"One for each priority, critical first"`
	}
}

// ShelfLimit is for how long alarms of a priority may be shelved.
type ShelfLimit struct {
	Priority telemetry.Priority `json:"priority" enum:"low,medium,high,critical"`
	Seconds  int64              `json:"seconds" doc:"0: they may not be shelved"`
}

var priorities = []telemetry.Priority{telemetry.Critical, telemetry.High, telemetry.Medium, telemetry.Low}

// handlingErrors are what the operations answer beside the alarm.
var handlingErrors = []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict,
	http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}

func registerHandling(api huma.API, o Options) {
	limits := o.Limits
	if limits == nil {
		limits = alarm.DefaultLimits
	}
	huma.Register(api, huma.Operation{
		OperationID: "list-shelves", Method: http.MethodGet, Path: "/api/v1/alarm-shelves",
		Summary: "What is shelved or out of service", Tags: []string{"Alarms"},
	}, func(ctx context.Context, _ *struct{}) (*shelfList, error) {
		list, err := alarm.Shelves(ctx, o.Store)
		if err != nil {
			return nil, o.fault(ctx, "list what is shelved", err)
		}
		answer := &shelfList{}
		answer.Body.Shelves = list
		for _, p := range priorities {
			answer.Body.Limits = append(answer.Body.Limits, ShelfLimit{p, int64(limits[p] / time.Second)})
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "shelve-alarm", Method: http.MethodPost, Path: "/api/v1/alarms/{id}/shelve",
		Summary: "Shelve an alarm for some time", Tags: []string{"Alarms"}, Errors: handlingErrors,
		Description: "Its condition, which is its gateway, rule, asset and device, isn't announced until the time is over; alarms that it raises meanwhile are shelved too. " +
			"One that is shelved already is shelved anew.",
	}, func(ctx context.Context, q *shelving) (*alarmAnswer, error) {
		d, err := q.Body.of(ctx)
		if err != nil {
			return nil, err
		}
		return o.handled(ctx, "shelve the alarm")(alarm.Shelve(ctx, o.Store, q.ID, time.Duration(q.Body.Seconds)*time.Second, limits, d))
	})

	for _, operation := range []struct {
		id, path, summary, what string
		do                      func(context.Context, string, alarm.Deed) (alarm.Alarm, error)
	}{
		{"unshelve-alarm", "unshelve", "End the shelving of an alarm", "unshelve the alarm",
			func(ctx context.Context, id string, d alarm.Deed) (alarm.Alarm, error) {
				return alarm.Unshelve(ctx, o.Store, id, d)
			}},
		{"take-alarm-out-of-service", "out-of-service", "Take an alarm out of service until somebody returns it", "take the alarm out of service",
			func(ctx context.Context, id string, d alarm.Deed) (alarm.Alarm, error) {
				return alarm.TakeOutOfService(ctx, o.Store, id, d)
			}},
		{"return-alarm-to-service", "in-service", "Return an alarm to service", "return the alarm to service",
			func(ctx context.Context, id string, d alarm.Deed) (alarm.Alarm, error) {
				return alarm.ReturnToService(ctx, o.Store, id, d)
			}},
	} {
		huma.Register(api, huma.Operation{
			OperationID: operation.id, Method: http.MethodPost, Path: "/api/v1/alarms/{id}/" + operation.path,
			Summary: operation.summary, Tags: []string{"Alarms"}, Errors: handlingErrors,
		}, func(ctx context.Context, q *handling) (*alarmAnswer, error) {
			d, err := q.Body.of(ctx)
			if err != nil {
				return nil, err
			}
			return o.handled(ctx, operation.what)(operation.do(ctx, q.ID, d))
		})
	}
}

func (o Options) handled(ctx context.Context, what string) func(alarm.Alarm, error) (*alarmAnswer, error) {
	return func(a alarm.Alarm, err error) (*alarmAnswer, error) {
		if err != nil {
			return nil, o.alarmFault(ctx, what, err)
		}
		return &alarmAnswer{a}, nil
	}
}
