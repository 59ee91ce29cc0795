// Package api is the cloud's HTTP interface: REST described by OpenAPI 3.1, and
// a stream of server-sent events.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alarm/performance"
	"github.com/busbar/busbar/cloud/rollout"
	"github.com/busbar/busbar/cloud/store"
)

// Options are what the API serves from.
type Options struct {
	Version string
	Store   *store.Store
	Live    *Live
	// Acknowledged is called with each alarm that an operator has acknowledged, and
	// doesn't wait; nil: nothing is.
	Acknowledged func(alarm.Alarm)
	// Limits say for how long alarms may be shelved; nil: alarm.DefaultLimits.
	Limits alarm.Limits
	// Rollout says from where on a version is paused; nil: none is served here.
	Rollout *rollout.Limits
	// Targets are what the work that alarms make is held against, and what they are called;
	// nil: those of performance.DefaultPreset.
	Targets     performance.Targets
	TargetsName string
	// Ending is closed when streams are to end, so that their clients go elsewhere; nil:
	// never.
	Ending <-chan struct{}
	// Access is how people sign in; nil: nobody does.
	Access *access.Access
	Log    *slog.Logger

	beat time.Duration // of streams; 0: beatEvery
}

// New makes the handler of everything below /api and /openapi. It belongs
// behind Guard and a Gate with Rights.
func New(o Options) *http.ServeMux {
	mux := http.NewServeMux()
	describe(mux, o)
	return mux
}

// describe registers every operation on mux and returns their description.
func describe(mux *http.ServeMux, o Options) *huma.OpenAPI {
	config := huma.DefaultConfig("Busbar", o.Version)
	config.DocsPath = "" // the documentation page would load scripts from elsewhere
	config.SchemasPath = ""
	config.CreateHooks = nil // no $schema links in answers
	config.Info.Description = "Alarms, signals, the network that they are of, and the completeness of what gateways sent. Times are µs since 1970-01-01 UTC."
	api := humago.New(mux, config)
	api.UseMiddleware(func(c huma.Context, next func(huma.Context)) { refuseEmpty(api, c, next) })
	registerAlarms(api, o)
	registerHandling(api, o)
	registerPerformance(api, o)
	registerSeries(api, o)
	registerTrend(api, o)
	registerExport(api, o)
	registerCounters(api, o)
	registerGateways(api, o)
	registerRollouts(api, o)
	registerCompleteness(api, o)
	registerCommands(api, o)
	registerControls(api, o)
	registerStream(mux, api, o)
	registerAssets(api, o)
	registerHealth(api, o)
	registerGrid(api, o)
	registerGridMap(api, o)
	registerOutages(api, o)
	registerOutageDesk(api, o)
	registerPlanned(api, o)
	registerEstimates(api, o)
	registerTimeline(api, o)
	registerCIM(api, o)
	registerReported(api, o)
	registerReliability(api, o)
	registerSession(api, o)
	registerOIDC(api, o)
	registerAudit(api, o)
	describeRights(api.OpenAPI())
	describeNull(api.OpenAPI().Components.Schemas)
	return api.OpenAPI()
}

// refuseEmpty refuses parameters that are there without a value, where only a text may
// be empty: huma takes them for left out.
func refuseEmpty(api huma.API, c huma.Context, next func(huma.Context)) {
	at := c.URL()
	query := at.Query()
	for _, p := range c.Operation().Parameters {
		if p.In == "query" && (p.Schema.Type != huma.TypeString || len(p.Schema.Enum) > 0) && query.Has(p.Name) && query.Get(p.Name) == "" {
			huma.WriteErr(api, c, http.StatusUnprocessableEntity, p.Name+" has no value")
			return
		}
	}
	next(c)
}

// fault turns a failure inside into an answer that doesn't show it.
func (o Options) fault(ctx context.Context, what string, err error) error {
	if ctx.Err() == nil {
		o.Log.Error("request failed", "what", what, "error", err)
	}
	return huma.Error500InternalServerError("could not " + what)
}
