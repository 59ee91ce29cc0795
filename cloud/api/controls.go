package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// ControlStep is a step of somebody's attempt to write to a device, as its gateway
// has told it.
type ControlStep struct {
	Gateway   string           `json:"gateway"`
	At        telemetry.Micros `json:"at_us" doc:"By the gateway's clock"`
	Attempt   string           `json:"attempt" doc:"The same in all steps of one attempt"`
	Action    string           `json:"action" doc:"select, operate, cancel or expire"`
	Device    string           `json:"device"`
	Signal    string           `json:"signal"`
	Asset     string           `json:"asset"`
	Unit      string           `json:"unit"`
	Origin    string           `json:"origin" doc:"local: on the gateway's own machine; iec104-master: a control centre that the gateway serves; rule: a rule of the gateway's own configuration"`
	By        string           `json:"by" doc:"Who asked, as they say"`
	Requested string           `json:"requested"`
	Old       string           `json:"old" doc:"What the device showed before; empty: not known"`
	ReadBack  string           `json:"read_back" doc:"What it showed afterwards; empty: not known"`
	Outcome   string           `json:"outcome" doc:"begun, done, refused, failed, unconfirmed, or unknown: it may have been executed"`
	Cause     string           `json:"cause" doc:"Why it isn't done, in a word"`
	Detail    string           `json:"detail" doc:"And in a sentence"`
}

type controlsQuery struct {
	Gateway string `query:"gateway" maxLength:"256" doc:"Only this gateway's"`
	Device  string `query:"device" maxLength:"256" doc:"Only this device's"`
	Paging
}

type controlList struct {
	Link string `header:"Link"`
	Body struct {
		Controls []ControlStep `json:"controls" doc:"Newest first"`
		Next
	}
}

// registerControls lets people see what was written to devices. There is no way to
// write to one from here.
func registerControls(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-controls", Method: http.MethodGet, Path: "/api/v1/controls",
		Summary: "Who wrote to which device through a gateway, and what came of it", Tags: []string{"Gateways"},
		Errors: noSuchPage,
	}, func(ctx context.Context, q *controlsQuery) (*controlList, error) {
		page, err := pageOf[store.ControlPlace](q.Paging, "controls")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.ControlSteps(ctx, q.Gateway, q.Device, page)
		if err != nil {
			return nil, o.fault(ctx, "list what was operated", err)
		}
		answer := &controlList{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "controls", list, func(c store.ControlStep) store.ControlPlace { return c.Place })
		answer.Body.Controls = make([]ControlStep, len(list))
		for i, c := range list {
			answer.Body.Controls[i] = ControlStep{
				Gateway: c.Gateway, At: c.At, Attempt: c.ID, Action: string(c.Action), Device: c.Device, Signal: c.Signal, Asset: c.Asset, Unit: c.Unit,
				Origin: string(c.Origin), By: c.By, Requested: c.Requested, Old: c.Old, ReadBack: c.ReadBack,
				Outcome: string(c.Outcome), Cause: c.Cause, Detail: c.Detail,
			}
		}
		return answer, nil
	})
}
