package network

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// ErrEmpty refuses a model without assets, which is rather a wrong file.
var ErrEmpty = errors.New("the model has no assets")

// Refused says that a model has errors, so nothing of it was taken.
type Refused struct{ Findings []grid.Finding }

func (r *Refused) Error() string {
	n := grid.Errors(r.Findings)
	if n == 1 {
		return "the model has an error"
	}
	return fmt.Sprintf("the model has %d errors", n)
}

// Import is a model that is to be the one in use.
type Import struct {
	Model       grid.Model
	Read        []grid.Finding // what was found while it was read
	By, Comment string
	Now         time.Time
	Dry         bool // only say what would be
}

// Imported is what became of it.
type Imported struct {
	store.SavedGrid
	Summary  grid.Summary
	Findings []grid.Finding // warnings
}

// Save checks a model and makes it the one in use, whole, in the order of its ids; a
// *Refused if it has errors.
func (in Import) Save(ctx context.Context, s *store.Store) (out Imported, err error) {
	m := in.Model
	m.Sort()
	now := telemetry.MicrosOf(in.Now)
	out.Findings = append(append(out.Findings, in.Read...), m.Check(int64(now))...)
	grid.SortFindings(out.Findings)
	if grid.Errors(out.Findings) > 0 {
		return out, &Refused{out.Findings}
	}
	v, model, err := content(&m)
	if err != nil {
		return out, err
	}
	if v.Assets == 0 {
		return out, ErrEmpty
	}
	v.At, v.By, v.Comment = now, in.By, in.Comment
	return out, out.save(ctx, s, v, &m, model, now, in.Dry)
}

func (out *Imported) save(ctx context.Context, s *store.Store, v store.GridVersion, m *grid.Model, model []byte, now telemetry.Micros, dry bool) (err error) {
	n := At(m, 0, now)
	out.Summary = n.Summary()
	v.Warnings = int64(len(out.Findings))
	list := make([]store.GridFinding, len(out.Findings))
	for i, f := range out.Findings {
		list[i] = store.GridFinding{Severity: f.Severity.String(), Code: f.Code, Place: f.Place.String(), Asset: f.Asset, Message: f.Message}
	}
	out.SavedGrid, err = s.SaveGrid(ctx, v, model, list, n.Index(), dry)
	return err
}

// Return makes the model of an earlier version the one in use again, under the next
// version. It was free of errors when it came, and what is found now keeps nobody from
// returning to it.
func Return(ctx context.Context, s *store.Store, version int64, by, comment string, at time.Time, dry bool) (out Imported, err error) {
	v, state, model, err := s.GridModel(ctx, version)
	if err != nil {
		return out, err
	}
	if version == state.Version {
		return out, fmt.Errorf("version %d is in use", version)
	}
	m, err := modelOf(v, model)
	if err != nil {
		return out, err
	}
	now := telemetry.MicrosOf(at)
	out.Findings = m.Check(int64(now))
	v.At, v.By, v.Comment, v.ReturnedTo = now, by, comment, version
	return out, out.save(ctx, s, v, m, model, now, dry)
}

// Model is the model of a version, and what is known of that; 0 is the one in use.
func Model(ctx context.Context, s *store.Store, version int64) (*grid.Model, store.GridVersion, error) {
	v, _, model, err := s.GridModel(ctx, version)
	if err != nil {
		return nil, v, err
	}
	m, err := modelOf(v, model)
	return m, v, err
}

// Copy gives another store, which has none, the network that is in use in one, as it is
// shown there.
func Copy(ctx context.Context, from, to *store.Store) error {
	v, state, model, err := from.GridModel(ctx, 0)
	if errors.Is(err, store.ErrNoGrid) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := modelOf(v, model)
	if err != nil {
		return err
	}
	v.ReturnedTo = 0
	_, err = to.SaveGrid(ctx, v, model, nil, At(m, 0, state.AsOf).Index(), false)
	return err
}
