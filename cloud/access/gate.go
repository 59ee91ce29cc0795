package access

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/busbar/busbar/cloud/store"
)

// Right is who may use a route.
type Right struct {
	Least Role
	// Everywhere says that it shows or changes what is of no single zone: only who sees
	// all of them may.
	Everywhere bool
}

// Rights are the routes, by the pattern that they are registered with.
type Rights map[string]Right

// Gate lets through to mux what Rights allow to who asks, and refuses everything that
// they don't mention. A handler behind it finds who asks by From, and the store shows
// it no gateway of another zone. access is nil where nobody signs in: whoever asks may
// everything.
func Gate(mux *http.ServeMux, rights Rights, access *Access, log *slog.Logger) http.Handler {
	g := gate{mux, rights, access, log}
	return http.HandlerFunc(g.serve)
}

type gate struct {
	mux    *http.ServeMux
	rights Rights
	access *Access
	log    *slog.Logger
}

// right is that of the route a request takes. A route to another mux is that one's,
// unless it has a right itself. A request that takes none is answered by the mux: that
// there is nothing, or not by this method.
func (g gate) right(r *http.Request) (right Right, taken, known bool) {
	for mux := g.mux; ; {
		handler, pattern := mux.Handler(r)
		if pattern == "" {
			return Right{}, false, false
		}
		if right, known = g.rights[pattern]; known {
			return right, true, true
		}
		inner, ok := handler.(*http.ServeMux)
		if !ok {
			return Right{}, true, false
		}
		mux = inner
	}
}

func (g gate) serve(w http.ResponseWriter, r *http.Request) {
	right, taken, known := g.right(r)
	if !taken || right.Least == Anyone && known {
		g.mux.ServeHTTP(w, r)
		return
	}
	who := Who{Role: Admin, Zones: Zones{All: true}, Via: "console"}
	if g.access != nil {
		var err error
		if who, err = g.access.Identify(r); err != nil {
			g.unknown(w, r, err)
			return
		}
	}
	switch {
	case !known:
		g.log.Error("nobody may use the route: no right is defined for it", "path", r.URL.Path)
		Refuse(w, http.StatusForbidden, "nobody may do this")
		return
	case who.Role < right.Least:
		Refuse(w, http.StatusForbidden, "this needs the role "+right.Least.String())
		return
	case right.Everywhere && !who.Zones.All:
		Refuse(w, http.StatusForbidden, "this needs a view of all zones")
		return
	}
	if g.access != nil {
		if err := g.access.touch(r, who); err != nil && r.Context().Err() == nil {
			g.log.Error("a session may end early", "error", err)
		}
	}
	g.mux.ServeHTTP(w, r.WithContext(with(r.Context(), who)))
}

func with(ctx context.Context, who Who) context.Context {
	ctx = store.Via(context.WithValue(ctx, whoKey{}, who), who.Via)
	if who.Zones.All {
		return ctx
	}
	return store.InZones(ctx, who.Zones.Names)
}

func (g gate) unknown(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrUnknown) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="busbar"`)
		Refuse(w, http.StatusUnauthorized, err.Error())
		return
	}
	if r.Context().Err() == nil {
		g.log.Error("who asks can't be found out", "error", err)
	}
	Refuse(w, http.StatusInternalServerError, "could not find out who asks")
}

// Again looks once more at who sends a request that takes long, and returns its context
// as of now: they may have signed out, or see other zones. ErrUnknown if they may no
// more.
func (a *Access) Again(r *http.Request) (context.Context, error) {
	if a == nil {
		return r.Context(), nil
	}
	before := From(r.Context())
	who, err := a.Identify(r)
	if err == nil && (who.Name != before.Name || who.Role < before.Role) {
		err = ErrUnknown // the next request is told what it may
	}
	if err != nil {
		return nil, err
	}
	return with(r.Context(), who), nil
}

// Refuse answers with a problem (RFC 9457).
func Refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
