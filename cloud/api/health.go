package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/asset"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

type healthAnswer struct{ Body asset.AssetHealth }

func registerHealth(api huma.API, o Options) {
	current := network.NewHolder(o.Store)
	huma.Register(api, huma.Operation{
		OperationID: "get-asset-health", Method: http.MethodGet, Path: "/api/v1/assets/{id}/health",
		Summary: "How an asset does, as far as is known", Tags: []string{"Network"},
		Description: "Supply, communication, completeness, quality, alarms, interruptions, operations, voltage and loading, each with its period, or why it isn't known. There is no score. " +
			"Who is of some zones sees what their gateways measure.",
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *assetID) (*healthAnswer, error) {
		now, err := current.Current(ctx)
		var of asset.AssetHealth
		if err == nil {
			of, err = asset.HealthOf(ctx, o.Store, now, q.ID, telemetry.MicrosOf(time.Now()))
		}
		if errors.Is(err, store.ErrNoAsset) || errors.Is(err, store.ErrNoGrid) {
			return nil, huma.Error404NotFound("there is no such asset")
		}
		if err != nil {
			return nil, o.fault(ctx, "look how the asset does", err)
		}
		return &healthAnswer{of}, nil
	})
}
