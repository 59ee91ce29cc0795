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
	"time"

	"github.com/busbar/busbar/cloud/store"
)

// Options are what is served and when it isn't.
type Options struct {
	Files fs.FS // channels as *.json, with their signatures *.json.minisig, and *.bundle
	// MostRolledBack is how many gateways may have gone back from a version. When it is
	// reached, channels that offer the version are withheld.
	MostRolledBack int
	Count          func(ctx context.Context, version string) (store.Rollout, error)
	Log            *slog.Logger
}

const (
	// mostBundles bounds those that are sent at once.
	mostBundles = 32
	// longest is how long one may take: as long as it needs at 64 kbit/s. What is cut off
	// then is gone on with.
	longest = 2 * time.Hour
	// mostChannel bounds a channel's file, in bytes.
	mostChannel = 64 << 10
)

// Handler answers GET /updates/FILE.
func Handler(o Options) http.Handler {
	bundles := make(chan struct{}, mostBundles)
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
			select {
			case bundles <- struct{}{}:
				defer func() { <-bundles }()
			default:
				w.Header().Set("Retry-After", "60")
				http.Error(w, "too many gateways fetch a bundle", http.StatusServiceUnavailable)
				return
			}
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest))
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
	if err != nil || counted.RolledBack < o.MostRolledBack {
		return "", err
	}
	return fmt.Sprintf("version %s is paused: %d gateways went back from it, %d have kept it", channel.Version, counted.RolledBack, counted.Confirmed), nil
}
