package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/timeline"
)

type timelineQuery struct {
	ID    string   `path:"id" maxLength:"512"`
	Kinds []string `query:"kind" minItems:"1" maxItems:"8" nullable:"false" enum:"alarm,outage,planned,switching,call,command,control,quality" doc:"Only entries of these, separated by commas"`
	Paging
}

type timelineList struct {
	Link string `header:"Link"`
	Body struct {
		Entries []timeline.AssetEntry `json:"entries" doc:"Newest first"`
		Next
	}
}

func registerTimeline(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "list-asset-timeline", Method: http.MethodGet, Path: "/api/v1/assets/{id}/timeline",
		Summary: "What has happened to an asset", Tags: []string{"Network"}, Errors: noSuchPage,
		Description: "Its alarms, outages, planned and other switching, calls, commands, what was written to its devices, and the sags and swells that its meters have counted, each as it was.",
	}, func(ctx context.Context, q *timelineQuery) (*timelineList, error) {
		page, err := pageOf[timeline.Place](q.Paging, "asset-timeline")
		if err != nil {
			return nil, err
		}
		kinds := make([]timeline.Kind, len(q.Kinds))
		for i, kind := range q.Kinds {
			kinds[i] = timeline.Kind(kind)
		}
		list, err := timeline.Of(ctx, o.Store, q.ID, kinds, page)
		if errors.Is(err, store.ErrNoAsset) || errors.Is(err, store.ErrNoGrid) {
			return nil, huma.Error404NotFound("there is no such asset")
		}
		if err != nil {
			return nil, o.fault(ctx, "list what has happened to the asset", err)
		}
		answer := &timelineList{}
		answer.Body.Entries, answer.Link, answer.Body.Next = turned(q.Paging, "asset-timeline", list, timeline.AssetEntry.Place)
		return answer, nil
	})
}
