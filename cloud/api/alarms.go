package api

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

type alarmsQuery struct {
	State string `query:"state" enum:"open,all" default:"open" doc:"open: active or not acknowledged, whatever their age, and the newest of each condition that is shelved or out of service"`
	Paging
}

type alarmList struct {
	Link string `header:"Link"`
	Body struct {
		Seq    int64         `json:"seq" doc:"The stream's sequence number that this page is as of"`
		Alarms []alarm.Alarm `json:"alarms" doc:"Those raised last first"`
		Next
	}
}

type eventsQuery struct {
	Gateway string `query:"gateway" maxLength:"256" doc:"Only of this gateway's alarms"`
	Paging
}

type eventList struct {
	Link string `header:"Link"`
	Body struct {
		Events []alarm.Transition `json:"events" doc:"Newest first"`
		Next
	}
}

type alarmID struct {
	ID string `path:"id" maxLength:"64"`
}

// AlarmDetail is an alarm and what has happened to it.
type AlarmDetail struct {
	alarm.Alarm
	History []alarm.Entry `json:"history" doc:"Oldest first; the newest 1000"`
}

type alarmDetail struct{ Body AlarmDetail }

// CapturedSignal is the samples of one signal around the raising of an alarm.
type CapturedSignal struct {
	Series    telemetry.SignalID `json:"series" doc:"0 until births have named it"`
	Device    string             `json:"device"`
	Name      string             `json:"name"`
	Unit      string             `json:"unit"`
	Kind      telemetry.Kind     `json:"kind" enum:"gauge,counter,state," doc:"Empty until births have named it"`
	States    telemetry.States   `json:"states,omitempty" doc:"What its values are called, by value"`
	Flags     map[string]string  `json:"flags,omitempty" doc:"What the bits of its values are called, by their number from 0"`
	Samples   []Sample           `json:"samples" doc:"By time"`
	Truncated bool               `json:"truncated" doc:"There were more before the first, which the gateway had no room for"`
}

type captureAnswer struct {
	Body struct {
		From    telemetry.Micros `json:"from_us"`
		To      telemetry.Micros `json:"to_us"`
		Signals []CapturedSignal `json:"signals"`
	}
}

func capturedSignalOf(s store.CapturedSignal) CapturedSignal {
	of := seriesOf(s.Series)
	out := CapturedSignal{
		Series: of.ID, Device: s.Device, Name: s.Name, Unit: s.Unit, Kind: of.Kind, States: of.States, Flags: of.Flags,
		Samples: make([]Sample, len(s.Samples)), Truncated: s.Truncated,
	}
	named := telemetry.Signal{States: s.Series.States, Flags: s.Series.Flags}
	for i, sample := range s.Samples {
		out.Samples[i] = Sample{T: sample.Time, V: sample.Value, Q: cmp.Or(sample.Quality, "good")}
		if v := sample.Value; v != nil && *v == math.Trunc(*v) && math.Abs(*v) <= 1<<53 {
			out.Samples[i].State = named.InWords(telemetry.IntValue(int64(*v)))
		}
	}
	return out
}

type acknowledgement struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		By      string  `json:"by,omitempty" maxLength:"80" doc:"Who takes notice of the alarm; where people sign in it is who has, whatever this says" example:"Ana"`
		Comment *string `json:"comment,omitempty" maxLength:"1000" nullable:"true"`
	}
}

type alarmAnswer struct{ Body alarm.Alarm }

func registerAlarms(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-alarms", Method: http.MethodGet, Path: "/api/v1/alarms",
		Summary: "Alarms", Tags: []string{"Alarms"},
		Errors: noSuchPage,
	}, func(ctx context.Context, q *alarmsQuery) (*alarmList, error) {
		page, err := pageOf[alarm.Place](q.Paging, "alarms")
		if err != nil {
			return nil, err
		}
		seq, alarms, err := alarm.List(ctx, o.Store, q.State == "open", page)
		if err != nil {
			return nil, o.fault(ctx, "list the alarms", err)
		}
		answer := &alarmList{}
		answer.Body.Seq = seq
		answer.Body.Alarms, answer.Link, answer.Body.Next = turned(q.Paging, "alarms", alarms, alarm.Alarm.Place)
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/api/v1/events",
		Summary: "What became of alarms, and who did it", Tags: []string{"Alarms"},
		Errors: noSuchPage,
	}, func(ctx context.Context, q *eventsQuery) (*eventList, error) {
		page, err := pageOf[int64](q.Paging, "events")
		if err != nil {
			return nil, err
		}
		list, err := alarm.Journal(ctx, o.Store, q.Gateway, page)
		if err != nil {
			return nil, o.fault(ctx, "list the events", err)
		}
		answer := &eventList{}
		answer.Body.Events, answer.Link, answer.Body.Next = turned(q.Paging, "events", list, func(t alarm.Transition) int64 { return t.Seq })
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
		OperationID: "get-alarm-capture", Method: http.MethodGet, Path: "/api/v1/alarms/{id}/capture",
		Summary: "What was measured before and after an alarm was raised", Tags: []string{"Alarms"},
		Description: "The samples that the gateway kept with the alarm, as its rule asks for. They come when the time after it is over; the alarm says so by captured.",
		Errors:      []int{http.StatusNotFound},
	}, func(ctx context.Context, q *alarmID) (*captureAnswer, error) {
		c, err := alarm.Capture(ctx, o.Store, q.ID)
		if err != nil {
			return nil, o.alarmFault(ctx, "read what was captured", err)
		}
		answer := &captureAnswer{}
		answer.Body.From, answer.Body.To = c.From, c.To
		answer.Body.Signals = make([]CapturedSignal, len(c.Signals))
		for i, s := range c.Signals {
			answer.Body.Signals[i] = capturedSignalOf(s)
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "acknowledge-alarm", Method: http.MethodPost, Path: "/api/v1/alarms/{id}/acknowledge",
		Summary: "Acknowledge an alarm", Tags: []string{"Alarms"},
		Description: "Says that someone has taken notice. It holds for this occurrence: the next one asks again.",
		Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict,
			http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
	}, func(ctx context.Context, q *acknowledgement) (*alarmAnswer, error) {
		by := cmp.Or(access.From(ctx).Name, strings.TrimSpace(q.Body.By))
		if by == "" {
			return nil, huma.Error422UnprocessableEntity("by: a name is missing")
		}
		var comment string
		if q.Body.Comment != nil {
			comment = strings.TrimSpace(*q.Body.Comment)
		}
		a, err := alarm.Acknowledge(ctx, o.Store, q.ID, by, comment, telemetry.MicrosOf(time.Now()))
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
	var limit *alarm.LimitError
	switch {
	case errors.As(err, &limit):
		return huma.Error422UnprocessableEntity("seconds: " + limit.Error())
	case errors.Is(err, alarm.ErrNotShelved):
		return huma.Error409Conflict("the alarm isn't shelved")
	case errors.Is(err, alarm.ErrOutOfService):
		return huma.Error409Conflict("the alarm is out of service")
	case errors.Is(err, alarm.ErrInService):
		return huma.Error409Conflict("the alarm isn't out of service")
	case errors.Is(err, alarm.ErrNotFound):
		return huma.Error404NotFound("there is no such alarm")
	case errors.Is(err, store.ErrNoCapture):
		return huma.Error404NotFound("no samples were captured with this alarm, or they haven't come yet")
	case errors.Is(err, alarm.ErrAlreadyAcknowledged):
		return huma.Error409Conflict("the alarm has been acknowledged already")
	}
	return o.fault(ctx, what, err)
}
