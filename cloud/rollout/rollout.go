// Package rollout serves new versions to gateways, and stops doing so when too many of them
// have gone back. What it serves is signed elsewhere: it can keep a version from gateways,
// and can't make them run anything.
package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"

	"github.com/busbar/busbar/cloud/store"
)

// Options are what is served and when it isn't.
type Options struct {
	Files  fs.FS // channels as *.json, with their signatures *.json.minisig, and *.bundle
	Limits Limits
	Count  func(ctx context.Context, version string) (store.Rollout, error)
	Log    *slog.Logger

	places *places // nil means the constants
}

// Limits are from where on a version goes to no further gateway: both are reached. Channels
// that offer it are withheld then.
type Limits struct {
	RolledBack int // gateways that went back from it
	Percent    int // that these are, of the ones that have tried it
}

// Reached reports whether a version is paused.
func (l Limits) Reached(r store.Rollout) bool {
	return r.RolledBack >= l.RolledBack && r.RolledBack*100 >= l.Percent*r.Tried
}

// mostChannel bounds a channel's file, in bytes.
const mostChannel = 64 << 10

// Handler answers GET /updates/FILE.
func Handler(o Options) http.Handler {
	bundles := o.places
	if bundles == nil {
		bundles = &places{most: mostBundles, turn: turn}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /updates/{file}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		switch {
		case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, ".json.minisig"):
			why, err := o.withheld(r.Context(), strings.TrimSuffix(name, ".minisig"))
			switch {
			case err != nil:
				o.Log.Error("rollout: a channel isn't served", "file", name, "error", err)
				http.Error(w, "the channel can't be read", http.StatusServiceUnavailable)
				return
			case why != "":
				http.Error(w, why, http.StatusConflict)
				return
			}
		case strings.HasSuffix(name, ".bundle"):
			to, leave := bundles.take(w, r)
			if to == nil {
				w.Header().Set("Retry-After", "60")
				http.Error(w, "too many gateways fetch a bundle", http.StatusServiceUnavailable)
				return
			}
			defer leave()
			w = to
		default:
			http.NotFound(w, r)
			return
		}
		http.ServeFileFS(w, r, o.Files, name)
	})
	return mux
}

// withheld says why a channel isn't served; "" if it is, or isn't there.
func (o Options) withheld(ctx context.Context, name string) (string, error) {
	text, err := fs.ReadFile(o.Files, name)
	if err != nil {
		return "", nil
	}
	var channel struct {
		Version string `json:"version"`
	}
	if len(text) > mostChannel {
		return "", fmt.Errorf("%s has %d bytes, expected %d at most", name, len(text), mostChannel)
	}
	if err := json.Unmarshal(text, &channel); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	counted, err := o.Count(ctx, channel.Version)
	if err != nil || !o.Limits.Reached(counted) {
		return "", err
	}
	return fmt.Sprintf("version %s is paused: of %d gateways that tried it, %d went back", channel.Version, counted.Tried, counted.RolledBack), nil
}
