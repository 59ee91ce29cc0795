package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// GridFinding is something that a check of a model of the network has found.
type GridFinding struct {
	Severity string `json:"severity"` // error or warning
	Code     string `json:"code"`
	Place    string `json:"place,omitempty"` // where it was read
	Asset    string `json:"asset,omitempty"`
	Message  string `json:"message"`
}

// MostGridFindings bounds the findings that are kept with a version.
const MostGridFindings = 1000

// GridVersion is a model of the network that was imported, or returned to. Versions are
// numbered from 1, without gaps.
type GridVersion struct {
	Version     int64
	At          telemetry.Micros
	By, Comment string
	ReturnedTo  int64 // the version whose model it has again, 0: none
	Name        string
	Coordinates string
	Digest      string // of its content
	Assets      int64  // entries of the model
	Warnings    int64  // findings of its check, of which the first are kept; errors too of one that was returned to
	Kept        bool   // its model is still there
}

// KeptGridModels is of how many versions the models are kept, the newest of them. Who
// imported what and when is kept of all.
const KeptGridModels = 100

// GridState says which network the store shows.
type GridState struct {
	Version    int64
	AsOf       telemetry.Micros
	NextChange telemetry.Micros
}

// GridChanges is in how many rows of its index a network differs from the one before. What
// an index has no column for, such as an impedance, isn't counted.
type GridChanges struct{ Added, Changed, Removed int }

var (
	// ErrNoGrid says that no model of the network was imported.
	ErrNoGrid = errors.New("no model of the network was imported yet")
	// ErrNoGridVersion says that there is no version of that number.
	ErrNoGridVersion = errors.New("there is no such version of the network's model")
	// ErrGridForgotten says that the model of a version isn't kept any more.
	ErrGridForgotten = fmt.Errorf("the model of that version isn't kept any more: those of the newest %d are", KeptGridModels)
	errGridMoved     = errors.New("another version of the network's model came in between")
)

// GridState is the network that is in use, or an ErrNoGrid. It is a quick question: ask
// each time.
func (s *Store) GridState(ctx context.Context) (state GridState, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		state, err = t.gridState()
		if err == nil && state.Version == 0 {
			err = ErrNoGrid
		}
		return err
	})
	if err != nil {
		return GridState{}, fmt.Errorf("store: the network in use: %w", err)
	}
	return state, nil
}

// gridState is the zero GridState if there is none.
func (t *Tx) gridState() (state GridState, err error) {
	err = t.QueryRow(`SELECT version, as_of, next_change FROM grid_current`, nil, &state.Version, &state.AsOf, &state.NextChange)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return state, err
}

const gridVersionColumns = `version, at, actor, comment, returned_to, name, coordinates, digest, assets, warnings, CASE WHEN model IS NULL THEN 0 ELSE 1 END`

// columns are where gridVersionColumns go; the last one to kept.
func (v *GridVersion) columns(kept *int64) []any {
	return []any{&v.Version, &v.At, &v.By, &v.Comment, &v.ReturnedTo, &v.Name, &v.Coordinates, &v.Digest, &v.Assets, &v.Warnings, kept}
}

// GridVersions lists the versions, newest first. The place of one is its number.
func (s *Store) GridVersions(ctx context.Context, page Page[int64]) (list []GridVersion, err error) {
	var of Conditions
	if page.After != nil {
		of.And(`version < ?`, *page.After)
	}
	err = s.Ask(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var v GridVersion
			var kept int64
			err := r.Scan(v.columns(&kept)...)
			v.Kept = kept != 0
			list = append(list, v)
			return err
		}, `SELECT `+gridVersionColumns+` FROM grid_version`+of.Where()+` ORDER BY version DESC LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the versions of the network's model: %w", err)
	}
	return list, nil
}

func (t *Tx) gridVersion(number int64) (v GridVersion, err error) {
	var kept int64
	err = t.QueryRow(`SELECT `+gridVersionColumns+` FROM grid_version WHERE version = ?`, []any{number}, v.columns(&kept)...)
	v.Kept = kept != 0
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoGridVersion
	}
	return v, err
}

// GridModel is a version and its model, as SaveGrid was given it; 0 is the one in use.
func (s *Store) GridModel(ctx context.Context, number int64) (v GridVersion, state GridState, model []byte, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		if state, err = t.gridState(); err != nil {
			return err
		}
		if number == 0 {
			if number = state.Version; number == 0 {
				return ErrNoGrid
			}
		}
		if v, err = t.gridVersion(number); err != nil {
			return err
		}
		if !v.Kept {
			return ErrGridForgotten
		}
		return t.QueryRow(`SELECT model FROM grid_version WHERE version = ?`, []any{number}, &model)
	})
	if err != nil {
		return GridVersion{}, GridState{}, nil, fmt.Errorf("store: read the network's model: %w", err)
	}
	return v, state, model, nil
}

// SavedGrid is what a model has become.
type SavedGrid struct {
	GridVersion // the one that is in use then
	New         bool
	Changes     GridChanges // from the network that was shown before
}

// SaveGrid makes a model the one in use, under the next version, and keeps findings with
// it, in one transaction; v.Version and v.Kept are ignored. A model whose digest is that
// of the version in use is no new version, unless it is returned to. With dry nothing is
// written, and what would have been is returned.
func (s *Store) SaveGrid(ctx context.Context, v GridVersion, model []byte, findings []GridFinding, index GridIndex, dry bool) (saved SavedGrid, err error) {
	text, err := json.Marshal(findings[:min(len(findings), MostGridFindings)])
	if err == nil {
		err = s.overGrid(ctx, index, dry, func(t *Tx, d gridDiff) error {
			current, err := t.gridVersion(d.before.Version)
			if err != nil && d.before.Version != 0 {
				return err
			}
			if d.before.Version != 0 && current.Digest == v.Digest && v.ReturnedTo == 0 {
				saved = SavedGrid{GridVersion: current}
				return nil
			}
			v.Version, v.Kept = d.before.Version+1, true
			saved = SavedGrid{v, true, d.changes}
			if dry {
				return nil
			}
			if err := t.addGridVersion(v, model, string(text)); err != nil {
				return err
			}
			return t.applyGrid(d, index, v.Version)
		})
	}
	if err != nil {
		return SavedGrid{}, fmt.Errorf("store: save a model of the network: %w", err)
	}
	return saved, nil
}

func (t *Tx) addGridVersion(v GridVersion, model []byte, findings string) error {
	if _, err := t.Exec(`INSERT INTO grid_version (version, at, actor, comment, returned_to, name, coordinates, digest, assets, findings, warnings, model) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.Version, int64(v.At), v.By, v.Comment, v.ReturnedTo, v.Name, v.Coordinates, v.Digest, v.Assets, findings, v.Warnings, model); err != nil {
		return err
	}
	if _, err := t.Exec(`UPDATE grid_version SET model = NULL WHERE version <= ? AND model IS NOT NULL`, v.Version-KeptGridModels); err != nil {
		return err
	}
	change := Change{At: v.At, By: v.By, Action: "grid-import", Subject: fmt.Sprintf("grid version %d", v.Version), Detail: "sha256 " + v.Digest}
	if v.ReturnedTo != 0 {
		change.Action = "grid-return"
		change.Detail = fmt.Sprintf("to version %d, %s", v.ReturnedTo, change.Detail)
	}
	if v.Comment != "" {
		change.Detail += ": " + v.Comment
	}
	return t.Audit(change)
}

// RefreshGrid shows the network of the version in use at a later time. It is no error if
// another one is in use.
func (s *Store) RefreshGrid(ctx context.Context, version int64, index GridIndex) error {
	err := s.overGrid(ctx, index, false, func(t *Tx, d gridDiff) error {
		if d.before.Version != version || d.before.AsOf >= index.AsOf {
			return nil
		}
		return t.applyGrid(d, index, version)
	})
	if err != nil {
		return fmt.Errorf("store: refresh the network: %w", err)
	}
	return nil
}

// HasGrid reports whether the network is known.
func (t *Tx) HasGrid() (bool, error) {
	state, err := t.gridState()
	return state.Version != 0, err
}
