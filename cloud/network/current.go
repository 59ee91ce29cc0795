package network

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Holder has the network in use in memory. It is safe for concurrent use.
type Holder struct {
	store   *store.Store
	turn    chan struct{} // holds one while somebody reads a network
	current atomic.Pointer[Network]
}

// NewHolder reads nothing yet.
func NewHolder(s *store.Store) *Holder { return &Holder{store: s, turn: make(chan struct{}, 1)} }

// Current is the network that the store shows at this moment, whichever process has
// changed it; a store.ErrNoGrid if it has none. One that it hasn't seen yet it reads first,
// for which others wait.
func (h *Holder) Current(ctx context.Context) (*Network, error) {
	if n, err := h.held(ctx); n != nil || err != nil {
		return n, err
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if n, err := h.held(ctx); n != nil || err != nil {
		return n, err // somebody has read it meanwhile
	}
	v, state, model, err := h.store.GridModel(ctx, 0)
	if err != nil {
		return nil, err
	}
	m, err := modelOf(v, model)
	if err != nil {
		return nil, err
	}
	n := At(m, state.Version, state.AsOf)
	h.current.Store(n)
	return n, nil
}

// held is the network that the store shows, nil if it is another one than was read last.
func (h *Holder) held(ctx context.Context) (*Network, error) {
	state, err := h.store.GridState(ctx)
	if err != nil {
		return nil, err
	}
	if n := h.current.Load(); n != nil && n.Version == state.Version && n.AsOf == state.AsOf {
		return n, nil
	}
	return nil, nil
}

// Refresh has the store show the network of the version in use as of a time, if an asset
// has come or gone since it was last looked at.
func Refresh(ctx context.Context, s *store.Store, now telemetry.Micros) error {
	state, err := s.GridState(ctx)
	if errors.Is(err, store.ErrNoGrid) || err == nil && (state.NextChange == 0 || state.NextChange > now) {
		return nil
	}
	if err != nil {
		return err
	}
	m, _, err := Model(ctx, s, state.Version)
	if err != nil {
		return err
	}
	return s.RefreshGrid(ctx, state.Version, At(m, state.Version, now).Index())
}

// refreshEvery is how late an asset may come or go.
const refreshEvery = 10 * time.Second

// Keep refreshes the network until ctx ends.
func Keep(ctx context.Context, s *store.Store, log *slog.Logger) {
	every := time.NewTicker(refreshEvery)
	defer every.Stop()
	for failed := false; ; {
		err := Refresh(ctx, s, telemetry.MicrosOf(time.Now()))
		if err != nil && !failed && ctx.Err() == nil {
			log.Error("the network can't be brought up to date, trying again", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
