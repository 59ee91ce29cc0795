package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/access"
)

// Rights say who may use which route of the console's address: all of them, those of
// other packages included. What isn't here nobody may use.
var Rights = access.Rights{
	"/":                        {Least: access.Anyone}, // the console's page and script, which hold no data
	"GET /healthz":             {Least: access.Anyone},
	"GET /livez":               {Least: access.Anyone},
	"GET /public/":             {Least: access.Anyone}, // what anybody may know
	"GET /readyz":              {Least: access.Anyone},
	"POST /api/v1/session":     {Least: access.Anyone},
	"DELETE /api/v1/session":   {Least: access.Anyone},
	"GET /metrics":             {Least: access.Viewer, Everywhere: true},
	"GET /openapi.json":        {Least: access.Viewer},
	"GET /openapi.yaml":        {Least: access.Viewer},
	"GET /openapi-3.0.json":    {Least: access.Viewer},
	"GET /openapi-3.0.yaml":    {Least: access.Viewer},
	"GET /api/v1/session":      {Least: access.Viewer},
	"GET /api/v1/stream":       {Least: access.Viewer},
	"GET /api/v1/alarms":       {Least: access.Viewer},
	"GET /api/v1/alarms/{id}":  {Least: access.Viewer},
	"GET /api/v1/series":       {Least: access.Viewer},
	"GET /api/v1/gateways":     {Least: access.Viewer},
	"GET /api/v1/rollouts":     {Least: access.Viewer},
	"GET /api/v1/completeness": {Least: access.Viewer},
	"GET /api/v1/commands":     {Least: access.Viewer},
	"GET /api/v1/controls":     {Least: access.Viewer},
	"GET /api/v1/audit":        {Least: access.Admin, Everywhere: true},

	"GET /api/v1/events":                   {Least: access.Viewer},
	"GET /api/v1/gateways/{id}/epochs":     {Least: access.Viewer},
	"GET /api/v1/series/{id}/export":       {Least: access.Viewer},
	"GET /api/v1/counter-changes":          {Least: access.Viewer},
	"GET /api/v1/series/{id}/samples":      {Least: access.Viewer},
	"GET /api/v1/series/{id}/trend":        {Least: access.Viewer},
	"GET /api/v1/gateways/{id}/links":      {Least: access.Viewer},
	"GET /api/v1/alarms/{id}/capture":      {Least: access.Viewer},
	"POST /api/v1/alarms/{id}/acknowledge": {Least: access.Operator},

	"GET /api/v1/alarm-shelves":               {Least: access.Viewer},
	"GET /api/v1/alarm-flood":                 {Least: access.Viewer},
	"GET /api/v1/alarm-performance":           {Least: access.Viewer},
	"GET /api/v1/alarm-performance/table":     {Least: access.Viewer},
	"POST /api/v1/alarms/{id}/shelve":         {Least: access.Operator},
	"POST /api/v1/alarms/{id}/unshelve":       {Least: access.Operator},
	"POST /api/v1/alarms/{id}/out-of-service": {Least: access.Engineer},
	"POST /api/v1/alarms/{id}/in-service":     {Least: access.Engineer},

	"GET /api/v1/assets":               {Least: access.Viewer},
	"GET /api/v1/assets/{id}":          {Least: access.Viewer},
	"GET /api/v1/grid":                 {Least: access.Viewer},
	"GET /api/v1/grid/map":             {Least: access.Viewer},
	"GET /api/v1/grid/heard":           {Least: access.Viewer},
	"GET /api/v1/grid/out":             {Least: access.Viewer},
	"GET /api/v1/assets/{id}/one-line": {Least: access.Viewer},
	"GET /api/v1/assets/{id}/health":   {Least: access.Viewer},

	"GET /api/v1/assets/{id}/one-line/feeding": {Least: access.Viewer},

	"GET /api/v1/grid/unknown-assets": {Least: access.Viewer},
	"GET /api/v1/grid/findings":       {Least: access.Viewer, Everywhere: true},
	"GET /api/v1/grid/versions":       {Least: access.Viewer, Everywhere: true},
	"GET /api/v1/grid/model":          {Least: access.Viewer, Everywhere: true},
	"PUT /api/v1/grid/model":          {Least: access.Engineer, Everywhere: true},

	"GET /api/v1/outages":               {Least: access.Viewer},
	"GET /api/v1/outages/{id}":          {Least: access.Viewer},
	"GET /api/v1/outages/{id}/points":   {Least: access.Viewer},
	"GET /api/v1/outages/{id}/evidence": {Least: access.Viewer},
	"POST /api/v1/outages/{id}/actions": {Least: access.Operator},
	"GET /api/v1/outage-summary":        {Least: access.Viewer},
	"GET /api/v1/outage-codes":          {Least: access.Viewer},
	"GET /api/v1/reliability":           {Least: access.Viewer},
	"GET /api/v1/crews":                 {Least: access.Viewer},
	"PUT /api/v1/crews/{id}":            {Least: access.Operator},
	"GET /api/v1/calls":                 {Least: access.Viewer},
	"POST /api/v1/calls":                {Least: access.Operator},
	"GET /api/v1/switching":             {Least: access.Viewer},
	"PUT /api/v1/switching/{asset}":     {Least: access.Operator},
	"POST /api/v1/evidence":             {Least: access.Operator},
	"GET /api/v1/assets/{id}/timeline":  {Least: access.Viewer},
	"GET /api/v1/estimate-record":       {Least: access.Viewer},
	"GET /api/v1/cim/outages":           {Least: access.Viewer},
	"PUT /api/v1/cim/outages/{system}":  {Least: access.Operator, Everywhere: true},
	"GET /api/v1/reported-outages":      {Least: access.Viewer},

	"GET /api/v1/planned-outages":              {Least: access.Viewer},
	"POST /api/v1/planned-outages":             {Least: access.Operator},
	"GET /api/v1/planned-outages/{id}":         {Least: access.Viewer},
	"PUT /api/v1/planned-outages/{id}":         {Least: access.Operator},
	"POST /api/v1/planned-outages/{id}/cancel": {Least: access.Operator},

	"GET /api/v1/session/methods":       {Least: access.Anyone},
	"GET /api/v1/session/oidc":          {Least: access.Anyone},
	"GET /api/v1/session/oidc/callback": {Least: access.Anyone}, // what it is sent is from the provider, or isn't taken
	"POST /api/v1/session/oidc/logout":  {Least: access.Anyone},

	"POST /api/v1/alertmanager/webhook": {Least: access.Anyone}, // it asks for a token of its own
	"GET /api/v2/alerts":                {Least: access.Viewer},
	"GET /api/v2/alerts/groups":         {Least: access.Viewer},
	"GET /api/v2/status":                {Least: access.Viewer},
	"GET /api/v2/receivers":             {Least: access.Viewer},
	"GET /api/v2/silences":              {Least: access.Viewer},
}

// describeRights adds to each operation who may use it, and how the others are
// answered. It panics if Rights lack an operation.
func describeRights(all *huma.OpenAPI) {
	all.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"session": {Type: "apiKey", In: "cookie", Name: "__Host-busbar", Description: "What signing in gives; without TLS it is called busbar"},
		"token":   {Type: "http", Scheme: "bearer", Description: "An API token, which begins with " + access.TokenPrefix},
	}
	problem := func(what string) *huma.Response {
		return &huma.Response{Description: what, Content: map[string]*huma.MediaType{
			"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/ErrorModel"}}}}
	}
	for path, item := range all.Paths {
		for _, operation := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if operation == nil {
				continue
			}
			route := operation.Method + " " + path
			right, ok := Rights[route]
			if !ok {
				panic(fmt.Sprintf("api: nobody may use %s: it isn't among the rights", route))
			}
			if right.Least == access.Anyone {
				continue
			}
			operation.Security = []map[string][]string{{"session": {}}, {"token": {}}, {}}
			needs := "Where people sign in, this needs the role " + right.Least.String()
			if right.Everywhere {
				needs += ", for all zones"
			}
			operation.Description = strings.TrimSpace(operation.Description + " " + needs + ".")
			for status, what := range map[int]string{http.StatusUnauthorized: "Nobody has signed in", http.StatusForbidden: "The role or the zones don't allow it"} {
				operation.Responses[strconv.Itoa(status)] = problem(what)
			}
		}
	}
}
