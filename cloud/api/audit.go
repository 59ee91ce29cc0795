package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/telemetry"
)

// AuditRow is something that somebody did.
type AuditRow struct {
	Seq     int64            `json:"seq"`
	At      telemetry.Micros `json:"at_us"`
	By      string           `json:"by"`
	Via     string           `json:"via" doc:"How they are known: session, token, password, command-line, console where nobody signs in, enrolment-token, gateway-key, or cloud"`
	Action  string           `json:"action" example:"acknowledge"`
	Subject string           `json:"subject"`
	Detail  string           `json:"detail"`
	Hash    string           `json:"hash" doc:"SHA-256 over the row and the hash of the one before it"`
}

type auditQuery struct {
	Before int64 `query:"before" minimum:"0" doc:"Only rows with a smaller number"`
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type auditList struct {
	Body struct {
		Rows []AuditRow `json:"rows" doc:"Newest first"`
	}
}

func registerAudit(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/api/v1/audit",
		Summary: "Who did what", Tags: []string{"Audit"},
	}, func(ctx context.Context, q *auditQuery) (*auditList, error) {
		list, err := o.Store.AuditRows(ctx, q.Before, q.Limit)
		if err != nil {
			return nil, o.fault(ctx, "list the audit", err)
		}
		answer := &auditList{}
		answer.Body.Rows = make([]AuditRow, len(list))
		for i, r := range list {
			answer.Body.Rows[i] = AuditRow{Seq: r.Seq, At: r.At, By: r.By, Via: r.Via, Action: r.Action, Subject: r.Subject, Detail: r.Detail, Hash: r.Hash}
		}
		return answer, nil
	})
}
