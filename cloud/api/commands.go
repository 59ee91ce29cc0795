package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Command is what a gateway was asked to do, and what it says became of it.
type Command struct {
	ID       string            `json:"id"`
	Gateway  string            `json:"gateway"`
	Epoch    string            `json:"epoch" doc:"The process of the gateway that was asked; empty if only the answer is known"`
	Kind     string            `json:"kind" doc:"ping, read, ack or reset"`
	Alarm    string            `json:"alarm" doc:"With ack and reset"`
	Device   string            `json:"device" doc:"With read"`
	By       string            `json:"by" doc:"Who asked"`
	Issued   *telemetry.Micros `json:"issued_us" doc:"null: another cloud has issued it"`
	Expires  *telemetry.Micros `json:"expires_us"`
	Answered *telemetry.Micros `json:"answered_us" doc:"By the gateway's clock; null: it hasn't answered"`
	State    string            `json:"state" enum:"sent,done,refused,expired" doc:"expired: there was no answer while it was valid"`
	Cause    string            `json:"cause" doc:"Why it is refused; no-answer of a device that was read and didn't"`
}

type commandsQuery struct {
	Gateway string `query:"gateway" maxLength:"256" doc:"Only this gateway's"`
	Paging
}

type commandList struct {
	Link string `header:"Link"`
	Body struct {
		Commands []Command `json:"commands" doc:"Newest first"`
		Next
	}
}

func registerCommands(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-commands", Method: http.MethodGet, Path: "/api/v1/commands",
		Summary: "What gateways were asked to do, and their answers", Tags: []string{"Gateways"},
		Errors: noSuchPage,
	}, func(ctx context.Context, q *commandsQuery) (*commandList, error) {
		page, err := pageOf[store.CommandPlace](q.Paging, "commands")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.Commands(ctx, q.Gateway, page)
		if err != nil {
			return nil, o.fault(ctx, "list the commands", err)
		}
		now := telemetry.MicrosOf(time.Now())
		answer := &commandList{}
		list, answer.Link, answer.Body.Next = turned(q.Paging, "commands", list, store.Command.Place)
		answer.Body.Commands = make([]Command, len(list))
		for i, c := range list {
			answer.Body.Commands[i] = Command{ID: c.ID, Gateway: c.Gateway, Epoch: c.Epoch, Kind: string(c.Kind), Alarm: c.Alarm, Device: c.Device, By: c.By,
				Issued: known(c.Issued), Expires: known(c.Expires), Answered: known(c.Answered), State: c.State(now), Cause: c.Cause}
		}
		return answer, nil
	})
}

// known is a time as answers have it: null if it is 0.
func known(at telemetry.Micros) *telemetry.Micros {
	if at == 0 {
		return nil
	}
	return &at
}
