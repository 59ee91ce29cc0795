package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// AuditRow is something that somebody did.
type AuditRow struct {
	Seq     int64            `json:"seq"`
	At      telemetry.Micros `json:"at_us"`
	By      string           `json:"by"`
	Via     string           `json:"via" doc:"How they are known: session, token, password, oidc, command-line, console where nobody signs in, enrolment-token, gateway-key, or cloud"`
	Action  string           `json:"action" example:"acknowledge"`
	Subject string           `json:"subject"`
	Detail  string           `json:"detail"`
	Hash    string           `json:"hash" doc:"SHA-256 over the row and the hash of the one before it"`
}

type auditList struct {
	Link string `header:"Link"`
	Body struct {
		Rows []AuditRow `json:"rows" doc:"Newest first"`
		Next
	}
}

func registerAudit(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/api/v1/audit",
		Summary: "Who did what", Tags: []string{"Audit"}, Errors: noSuchPage,
	}, func(ctx context.Context, q *Paging) (*auditList, error) {
		page, err := pageOf[int64](*q, "audit")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.AuditRows(ctx, page)
		if err != nil {
			return nil, o.fault(ctx, "list the audit", err)
		}
		answer := &auditList{}
		list, answer.Link, answer.Body.Next = turned(*q, "audit", list, func(r store.AuditRow) int64 { return r.Seq })
		answer.Body.Rows = make([]AuditRow, len(list))
		for i, r := range list {
			answer.Body.Rows[i] = AuditRow{Seq: r.Seq, At: r.At, By: r.By, Via: r.Via, Action: r.Action, Subject: r.Subject, Detail: r.Detail, Hash: r.Hash}
		}
		return answer, nil
	})
}
