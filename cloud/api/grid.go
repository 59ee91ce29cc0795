package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
)

// GridVersion is a model of the network that was imported, or returned to.
type GridVersion struct {
	Version     int64            `json:"version"`
	At          telemetry.Micros `json:"at_us"`
	By          string           `json:"by"`
	Comment     string           `json:"comment"`
	ReturnedTo  *int64           `json:"returned_to" doc:"The version whose model it has again; null: it has its own"`
	Name        string           `json:"name" doc:"What the network is called"`
	Coordinates string           `json:"coordinates" enum:"local,wgs84"`
	SHA256      string           `json:"sha256" doc:"Of its content"`
	Assets      int64            `json:"assets" doc:"Entries of the model"`
	Warnings    int64            `json:"warnings" doc:"What its check has found"`
	Kept        bool             `json:"kept" doc:"Its model is still there, so one can return to it"`
}

func gridVersionOf(v store.GridVersion) GridVersion {
	out := GridVersion{Version: v.Version, At: v.At, By: v.By, Comment: v.Comment, Name: v.Name, Coordinates: v.Coordinates, SHA256: v.Digest,
		Assets: v.Assets, Warnings: v.Warnings, Kept: v.Kept}
	if v.ReturnedTo != 0 {
		out.ReturnedTo = &v.ReturnedTo
	}
	return out
}

type gridAnswer struct {
	Body struct {
		Version    int64             `json:"version" doc:"The one in use"`
		AsOf       telemetry.Micros  `json:"as_of_us" doc:"When it was last looked at which assets are part of it"`
		NextChange *telemetry.Micros `json:"next_change_us" doc:"When the next asset comes or goes; null: none does, or not all zones are seen"`
		Of         *GridVersion      `json:"of,omitempty" doc:"The version; not there where not all zones are seen"`
		Kinds      []GridCount       `json:"kinds" doc:"Of which some are seen, by name"`
	}
}

// GridCount is how many assets of a kind there are.
type GridCount struct {
	Kind      string `json:"kind"`
	Assets    int64  `json:"assets"`
	Customers int64  `json:"customers" doc:"Of service points"`
}

type gridVersionList struct {
	Link string `header:"Link"`
	Body struct {
		Versions []GridVersion `json:"versions" doc:"Newest first"`
		Next
	}
}

// GridFinding is something that a check of a model has found.
type GridFinding struct {
	Severity string `json:"severity" enum:"warning,error" doc:"An error only in a model that was returned to"`
	Code     string `json:"code" doc:"What kind of finding; docs/grid.md has them all" example:"loop"`
	Place    string `json:"place" doc:"Where it was read: a file, line and column"`
	Asset    string `json:"asset"`
	Message  string `json:"message"`
}

type gridFindingList struct {
	Link string `header:"Link"`
	Body struct {
		Version  int64         `json:"version"`
		Findings []GridFinding `json:"findings" doc:"By place; of a version the first 1000"`
		Next
	}
}

// UnknownAsset is an id that a device's signals name as their asset, and that the network
// hasn't got.
type UnknownAsset struct {
	Asset   string `json:"asset"`
	Gateway string `json:"gateway"`
	Device  string `json:"device"`
}

type unknownAssetList struct {
	Link string `header:"Link"`
	Body struct {
		Assets []UnknownAsset `json:"assets" doc:"By asset, gateway and device"`
		Next
	}
}

func registerGrid(api huma.API, o Options) {
	none := func(ctx context.Context, what string, err error) error {
		for _, missing := range []error{store.ErrNoGrid, store.ErrNoGridVersion, store.ErrGridForgotten} {
			if errors.Is(err, missing) {
				return huma.Error404NotFound(missing.Error())
			}
		}
		return o.fault(ctx, what, err)
	}
	huma.Register(api, huma.Operation{
		OperationID: "get-grid", Method: http.MethodGet, Path: "/api/v1/grid",
		Summary: "The network's model that is in use, and how much it has of what", Tags: []string{"Network"},
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, _ *struct{}) (*gridAnswer, error) {
		sum, err := o.Store.GridSummary(ctx)
		if err != nil {
			return nil, none(ctx, "sum up the network", err)
		}
		answer := &gridAnswer{}
		answer.Body.Version, answer.Body.AsOf, answer.Body.NextChange = sum.State.Version, sum.State.AsOf, known(sum.State.NextChange)
		if sum.All {
			of := gridVersionOf(sum.Of)
			answer.Body.Of = &of
		}
		answer.Body.Kinds = make([]GridCount, len(sum.Counts))
		for i, c := range sum.Counts {
			answer.Body.Kinds[i] = GridCount(c)
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-grid-versions", Method: http.MethodGet, Path: "/api/v1/grid/versions",
		Summary: "Which models were imported, when and by whom", Tags: []string{"Network"}, Errors: noSuchPage,
	}, func(ctx context.Context, q *Paging) (*gridVersionList, error) {
		page, err := pageOf[int64](*q, "grid-versions")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.GridVersions(ctx, page)
		if err != nil {
			return nil, o.fault(ctx, "list the versions", err)
		}
		answer := &gridVersionList{}
		list, answer.Link, answer.Body.Next = turned(*q, "grid-versions", list, func(v store.GridVersion) int64 { return v.Version })
		answer.Body.Versions = make([]GridVersion, len(list))
		for i, v := range list {
			answer.Body.Versions[i] = gridVersionOf(v)
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-grid-findings", Method: http.MethodGet, Path: "/api/v1/grid/findings",
		Summary: "What was found about the model in use when it was imported", Tags: []string{"Network"}, Errors: noSuchPage,
	}, func(ctx context.Context, q *Paging) (*gridFindingList, error) {
		type place struct{ Version, Number int64 }
		page, err := pageOf[place](*q, "grid-findings")
		if err != nil {
			return nil, err
		}
		v, list, err := o.Store.GridFindings(ctx)
		if err != nil {
			return nil, none(ctx, "read the findings", err)
		}
		from := int64(0)
		if page.After != nil {
			if page.After.Version != v.Version || page.After.Number < 0 || page.After.Number >= int64(len(list)) {
				return nil, huma.Error404NotFound("there is no such page: another version is in use")
			}
			from = page.After.Number + 1
		}
		type numbered struct {
			store.GridFinding
			number int64
		}
		var rest []numbered
		for i, f := range list[from:min(int64(len(list)), from+int64(page.Limit))] {
			rest = append(rest, numbered{f, from + int64(i)})
		}
		answer := &gridFindingList{}
		rest, answer.Link, answer.Body.Next = turned(*q, "grid-findings", rest, func(n numbered) place { return place{v.Version, n.number} })
		answer.Body.Version = v.Version
		answer.Body.Findings = make([]GridFinding, len(rest))
		for i, f := range rest {
			answer.Body.Findings[i] = GridFinding(f.GridFinding)
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "list-unknown-assets", Method: http.MethodGet, Path: "/api/v1/grid/unknown-assets",
		Summary: "Assets that gateways name and the network hasn't got", Tags: []string{"Network"}, Errors: noSuchPage,
	}, func(ctx context.Context, q *Paging) (*unknownAssetList, error) {
		page, err := pageOf[store.UnknownAsset](*q, "unknown-assets")
		if err != nil {
			return nil, err
		}
		list, err := o.Store.UnknownAssets(ctx, page)
		if err != nil {
			return nil, o.fault(ctx, "list unknown assets", err)
		}
		answer := &unknownAssetList{}
		list, answer.Link, answer.Body.Next = turned(*q, "unknown-assets", list, func(u store.UnknownAsset) store.UnknownAsset { return u })
		answer.Body.Assets = make([]UnknownAsset, len(list))
		for i, u := range list {
			answer.Body.Assets[i] = UnknownAsset(u)
		}
		return answer, nil
	})
	registerGridModel(api, o, none)
}

// largestModel bounds the model that is sent to the API; the command line takes larger
// ones.
const largestModel = 32 << 20

// mostRefusals bounds the findings of an answer.
const mostRefusals = 100

type modelQuery struct {
	Version int64 `query:"version" minimum:"0" default:"0" doc:"The version; 0 is the one in use"`
}

type modelUpload struct {
	Comment string `query:"comment" maxLength:"1000" doc:"What has changed, for those who ask later"`
	By      string `query:"by" maxLength:"80" doc:"Who imports it; where people sign in it is who has, whatever this says"`
	Dry     bool   `query:"dry_run" doc:"Check it, and say what would change; change nothing"`
	RawBody []byte `contentType:"application/yaml"`
}

// GridChanges is in how many assets, as lists have them, a network differs from the one before.
type GridChanges struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
}

type modelAnswer struct {
	Body struct {
		Version GridVersion   `json:"version" doc:"The one in use then"`
		New     bool          `json:"new" doc:"false: it is the model that was in use, so nothing has changed"`
		Changes GridChanges   `json:"changes" doc:"Of assets as lists have them: another impedance, length or signal alone isn't counted"`
		Found   []GridFinding `json:"findings" doc:"Warnings, the first 1000"`
	}
}

// turn is had by one at a time.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t turn) leave() { <-t }

func registerGridModel(api huma.API, o Options, none func(context.Context, string, error) error) {
	// Each takes much memory. Who reads slowly keeps nobody from importing.
	reading, importing := make(turn, 1), make(turn, 1)
	huma.Register(api, huma.Operation{
		OperationID: "get-grid-model", Method: http.MethodGet, Path: "/api/v1/grid/model",
		Summary: "The network's model, as YAML", Tags: []string{"Network"}, Errors: []int{http.StatusNotFound},
		Responses: map[string]*huma.Response{"200": {
			Description: "The model, which can be imported again",
			Content:     map[string]*huma.MediaType{"application/yaml": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
		}},
	}, func(ctx context.Context, q *modelQuery) (answer *huma.StreamResponse, err error) {
		if err := reading.take(ctx); err != nil {
			return nil, err
		}
		defer func() {
			if answer == nil { // or it is left when all is sent
				reading.leave()
			}
		}()
		m, v, err := network.Model(ctx, o.Store, q.Version)
		if err != nil {
			return nil, none(ctx, "read the model", err)
		}
		var text bytes.Buffer
		if err := gridfile.WriteYAML(&text, m); err != nil {
			return nil, o.fault(ctx, "write the model", err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer reading.leave()
			_, w := humago.Unwrap(c)
			w.Header().Set("Content-Type", "application/yaml")
			w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="grid-%d.yaml"`, v.Version))
			if err := sendModel(w, text.Bytes()); err != nil {
				_ = o.fault(ctx, "send the model", err)
				panic(http.ErrAbortHandler) // or what was sent would look whole
			}
		}}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "put-grid-model", Method: http.MethodPut, Path: "/api/v1/grid/model",
		Summary: "Make a model the one in use", Tags: []string{"Network"},
		Description: "It is taken whole, under the next version, or, if it has errors, not at all. The model that is in use is no new version.",
		Errors: []int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity},
		MaxBodyBytes: largestModel, BodyReadTimeout: 2 * time.Minute,
	}, func(ctx context.Context, q *modelUpload) (*modelAnswer, error) {
		if err := importing.take(ctx); err != nil {
			return nil, err
		}
		defer importing.leave()
		in := network.Import{Comment: strings.TrimSpace(q.Comment), By: cmp.Or(access.From(ctx).Name, strings.TrimSpace(q.By), "unknown"), Now: time.Now(), Dry: q.Dry}
		in.Model, in.Read = gridfile.ReadYAML("the model", q.RawBody)
		out, err := in.Save(ctx, o.Store)
		refused := (*network.Refused)(nil)
		switch {
		case errors.As(err, &refused):
			return nil, huma.Error422UnprocessableEntity(refused.Error()+"; nothing of it was taken", refusals(refused.Findings)...)
		case errors.Is(err, network.ErrEmpty):
			return nil, huma.Error422UnprocessableEntity(err.Error())
		case err != nil:
			return nil, o.fault(ctx, "import the model", err)
		}
		answer := &modelAnswer{}
		answer.Body.Version, answer.Body.New, answer.Body.Changes = gridVersionOf(out.GridVersion), out.New, GridChanges(out.Changes)
		answer.Body.Found = []GridFinding{}
		for _, f := range out.Findings[:min(len(out.Findings), store.MostGridFindings)] {
			answer.Body.Found = append(answer.Body.Found, GridFinding{f.Severity.String(), f.Code, f.Place.String(), f.Asset, f.Message})
		}
		return answer, nil
	})
}

// sendModel gives up on a client that doesn't take a part within writeTimeout.
func sendModel(w http.ResponseWriter, text []byte) error {
	const part = 256 << 10
	control := http.NewResponseController(w)
	for some := range slices.Chunk(text, part) {
		if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := w.Write(some); err != nil {
			return err
		}
	}
	return control.Flush()
}

// refusals are the errors among findings, as those of a problem.
func refusals(findings []grid.Finding) (list []error) {
	for _, f := range findings {
		if f.Severity == grid.Error && len(list) < mostRefusals {
			list = append(list, &huma.ErrorDetail{Location: f.Place.String(), Message: f.Message + " [" + f.Code + "]", Value: f.Asset})
		}
	}
	return list
}
