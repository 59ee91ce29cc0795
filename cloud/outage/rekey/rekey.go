// Package rekey writes the evidence that outages are concluded from to a topic of the log,
// one JSON object a piece, keyed by the substation that supplies what it is about. It is for
// others: outages are concluded from what the store has.
package rekey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/outbox"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry/record"
)

// follower is what the store calls this reader of evidence.
const follower = "evidence"

// together is how many pieces are one transaction at most.
const together = 5000

// Config says where to write.
type Config struct {
	Log    []kgo.Opt // how to reach the brokers
	Topics record.Topics
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default
}

// Runner writes evidence, once the engine has taken it.
type Runner struct {
	*outbox.Outbox
	store  *store.Store
	holder *network.Holder
}

// New is a Runner. What comes after it was made first is written.
func New(ctx context.Context, cfg Config) (*Runner, error) {
	out, err := outbox.New(ctx, outbox.Config{Log: cfg.Log, Topic: cfg.Topics.Evidence(), Cursor: cfg.Topics.EvidenceCursor(),
		Store: cfg.Store, Rows: store.Evidence, Reader: follower, Logger: cfg.Logger})
	return &Runner{out, cfg.Store, network.NewHolder(cfg.Store)}, err
}

// Run writes until ctx ends. It tries again whatever fails for a while.
func (r *Runner) Run(ctx context.Context) { r.Outbox.Run(ctx, r.write) }

// Forget has the store keep nothing for a Runner, where there is none any more.
func Forget(ctx context.Context, s *store.Store) error {
	return s.Unfollow(ctx, store.Evidence, follower)
}

// write writes the evidence from next on.
func (r *Runner) write(ctx context.Context, w *outbox.Writer, next int64) (int64, error) {
	n, err := r.holder.Current(ctx)
	if err != nil && !errors.Is(err, store.ErrNoGrid) {
		return next, err
	}
	rows, err := r.read(ctx, next)
	if err != nil {
		return next, err
	}
	for _, of := range rows {
		next = of.number + 1
		if of.Kind == evidence.OfNetwork || of.Kind == evidence.OfPlan {
			continue // these are no evidence, only in its order
		}
		key, value := of.message(n)
		if err := w.Write(ctx, key, value); err != nil {
			return next, err
		}
	}
	return next, nil
}

// read reads rows, and where those are that name no asset.
func (r *Runner) read(ctx context.Context, next int64) (rows []row, err error) {
	err = r.store.Read(ctx, func(t *store.Tx) error {
		rows = rows[:0]
		if err := evidence.TakenFrom(t, next, together, func(number, taken int64, v evidence.Observation) {
			rows = append(rows, row{number: number, taken: taken, Observation: v})
		}); err != nil {
			return err
		}
		known := map[[2]string]string{}
		for i := range rows {
			of := &rows[i]
			if of.asset() != "" {
				continue
			}
			about, has := [2]string{of.Incident, of.Gateway}, false
			if of.place, has = known[about]; has {
				continue
			}
			if of.place, err = placeOf(t, of.Incident, of.Gateway); err != nil {
				return err
			}
			known[about] = of.place
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read evidence from %d on: %w", next, err)
	}
	return rows, nil
}

// placeOf is an asset of the network that says where an outage is, or a gateway: what it
// says itself, or else what it measures; "" if there is none.
func placeOf(t *store.Tx, outage, gateway string) (asset string, err error) {
	if outage != "" {
		err = t.QueryRow(`SELECT COALESCE(MAX(CASE WHEN device <> '' THEN device ELSE feeder END), '') FROM outage WHERE id = ?`, []any{outage}, &asset)
		return asset, err
	}
	err = t.QueryRow(`SELECT COALESCE(
		(SELECT MAX(g.id) FROM presence p JOIN grid_asset g ON g.id = p.feeder WHERE p.gateway = ?),
		(SELECT MAX(g.id) FROM presence p JOIN grid_asset g ON g.id = p.site WHERE p.gateway = ?),
		(SELECT MIN(g.id) FROM series s JOIN grid_asset g ON g.id = s.asset WHERE s.gateway = ?), '')`, []any{gateway, gateway, gateway}, &asset)
	return asset, err
}
