package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Registry is the Keys in the cloud's store.
type Registry struct {
	store  *store.Store
	topics record.Topics

	mu sync.Mutex
	// keys that are introduced here aren't saved: whoever takes the record out of
	// the log again meets them there.
	keys *identity.Keys
}

// NewRegistry makes a registry.
func NewRegistry(s *store.Store, topics record.Topics) *Registry {
	return &Registry{store: s, topics: topics, keys: identity.NewKeys(s)}
}

// Admit implements Keys.
func (r *Registry) Admit(ctx context.Context, topic string, m record.Message) (gateway string, err error) {
	var refusal *identity.Refusal
	if topic == r.topics.Births() {
		gateway, refusal, err = r.birth(ctx, m)
	} else {
		gateway, refusal, err = r.record(ctx, topic, m)
	}
	if refusal != nil {
		err = fmt.Errorf("%w: %s: %s", ErrRefused, refusal.Reason, refusal.Detail)
	}
	return gateway, err
}

func (r *Registry) record(ctx context.Context, topic string, m record.Message) (string, *identity.Refusal, error) {
	rec, err := record.ParseHeaders(m.Headers, m.Value)
	if err != nil && !errors.Is(err, record.ErrSeal) {
		return "", nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if string(m.Key) != rec.Gateway || (rec.Stream == record.Events) != (topic == r.topics.Events()) {
		return rec.Gateway, nil, fmt.Errorf("%w: record %s has the key %.80q and belongs in another lane than %s, or not under it", ErrRefused, rec.Identity, m.Key, topic)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	refusal, fault := r.keys.Record(ctx, rec, err)
	return rec.Gateway, refusal, fault
}

// birth lets a birth in that stands under its own key: under another's it would
// replace that one when the log is compacted.
func (r *Registry) birth(ctx context.Context, m record.Message) (string, *identity.Refusal, error) {
	b, err := record.ParseBirth(m.Key, m.Value)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	refusal, err := r.keys.Birth(ctx, b.Gateway, m.Headers, m.Key, m.Value)
	return b.Gateway, refusal, err
}

// Request implements Keys.
func (r *Registry) Request(ctx context.Context, gateway string, m record.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	refusal, err := r.keys.Request(ctx, gateway, m)
	if refusal != nil {
		err = fmt.Errorf("%w: %s: %s", ErrRefused, refusal.Reason, refusal.Detail)
	}
	return err
}

// Enrol implements Keys.
func (r *Registry) Enrol(ctx context.Context, e record.Enrolment) error {
	if err := e.Verify(); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	err := r.store.EnrolByToken(ctx, e.Token, store.GatewayKey{
		Gateway: e.Gateway, PublicKey: e.PublicKey, AddedAt: telemetry.MicrosOf(time.Now()),
	})
	for _, final := range []error{store.ErrToken, store.ErrKeyTaken, store.ErrKeyRevoked, store.ErrHeadEnd} {
		if errors.Is(err, final) {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return err
}
