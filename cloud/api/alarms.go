package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/telemetry"
)

type alarmsQuery struct {
	State string `query:"state" enum:"open,all" default:"open" doc:"open: active or not acknowledged, whatever their age; all: newest first"`
	Limit int    `query:"limit" minimum:"1" maximum:"10000" default:"500" doc:"Of all; open alarms are never cut off"`
}

type alarmList struct {
	Body struct {
		Seq    int64         `json:"seq" doc:"The stream's sequence number that this list is as of"`
		Alarms []alarm.Alarm `json:"alarms"`
	}
}

type alarmID struct {
	ID string `path:"id" maxLength:"64"`
}

// AlarmDetail is an alarm and what has happened to it.
type AlarmDetail struct {
	alarm.Alarm
	History []alarm.Entry `json:"history" doc:"Oldest first"`
}

type alarmDetail struct{ Body AlarmDetail }

type acknowledgement struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		By      string `json:"by" minLength:"1" maxLength:"80" doc:"Who takes notice of the alarm" example:"Ana"`
		Comment string `json:"comment,omitempty" maxLength:"1000"`
	}
}

type alarmAnswer struct{ Body alarm.Alarm }

func registerAlarms(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-alarms", Method: http.MethodGet, Path: "/api/v1/alarms",
		Summary: "Alarms", Tags: []string{"Alarms"},
	}, func(ctx context.Context, q *alarmsQuery) (*alarmList, error) {
		seq, alarms, err := alarm.List(ctx, o.Store, q.State == "open", q.Limit)
		if err != nil {
			return nil, o.fault(ctx, "list the alarms", err)
		}
		answer := &alarmList{}
		answer.Body.Seq, answer.Body.Alarms = seq, alarms
		if alarms == nil {
			answer.Body.Alarms = []alarm.Alarm{}
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "get-alarm", Method: http.MethodGet, Path: "/api/v1/alarms/{id}",
		Summary: "One alarm and its history", Tags: []string{"Alarms"}, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *alarmID) (*alarmDetail, error) {
		a, history, err := alarm.Get(ctx, o.Store, q.ID)
		if err != nil {
			return nil, o.alarmFault(ctx, "read the alarm", err)
		}
		return &alarmDetail{AlarmDetail{a, history}}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "acknowledge-alarm", Method: http.MethodPost, Path: "/api/v1/alarms/{id}/acknowledge",
		Summary: "Acknowledge an alarm", Tags: []string{"Alarms"},
		Description: "Says that someone has taken notice. It holds for this occurrence: the next one asks again.",
		Errors:      []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, q *acknowledgement) (*alarmAnswer, error) {
		by := strings.TrimSpace(q.Body.By)
		if by == "" {
			return nil, huma.Error422UnprocessableEntity("by: a name is missing")
		}
		a, err := alarm.Acknowledge(ctx, o.Store, q.ID, by, strings.TrimSpace(q.Body.Comment), telemetry.MicrosOf(time.Now()))
		if err != nil {
			return nil, o.alarmFault(ctx, "acknowledge the alarm", err)
		}
		if o.Acknowledged != nil {
			o.Acknowledged(a)
		}
		return &alarmAnswer{a}, nil
	})
}

func (o Options) alarmFault(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(err, alarm.ErrNotFound):
		return huma.Error404NotFound("there is no such alarm")
	case errors.Is(err, alarm.ErrAlreadyAcknowledged):
		return huma.Error409Conflict("the alarm has been acknowledged already")
	}
	return o.fault(ctx, what, err)
}
