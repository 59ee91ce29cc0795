package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// GridAsset is a row of what the network is made of. What an asset doesn't say itself is
// of the network in normal operation.
type GridAsset struct {
	ID          string
	Kind        string // zone, substation, node, source, feeder, line, switch, transformer or service_point
	Name, Type  string
	Zone        string
	Parent      string // the zone that contains a zone
	Substation  string
	Feeder      string
	Transformer string // the nearest one that supplies it
	Phases      string
	Customers   int64
	// V, VA, A, and coordinates of the model; not valid: unknown.
	Voltage, RatedPower, RatedCurrent sql.NullFloat64
	X, Y                              sql.NullFloat64
	ValidFrom, ValidTo                telemetry.Micros // 0: always, for ever
}

const gridAssetColumns = `id, kind, name, type, zone, parent, substation, feeder, transformer, phases, customers, voltage, rated_power, rated_current, x, y, valid_from, valid_to`

func (a *GridAsset) columns() []any {
	return []any{&a.ID, &a.Kind, &a.Name, &a.Type, &a.Zone, &a.Parent, &a.Substation, &a.Feeder, &a.Transformer, &a.Phases, &a.Customers,
		&a.Voltage, &a.RatedPower, &a.RatedCurrent, &a.X, &a.Y, &a.ValidFrom, &a.ValidTo}
}

func (a *GridAsset) values() []any {
	return []any{a.ID, a.Kind, a.Name, a.Type, a.Zone, a.Parent, a.Substation, a.Feeder, a.Transformer, a.Phases, a.Customers,
		a.Voltage, a.RatedPower, a.RatedCurrent, a.X, a.Y, int64(a.ValidFrom), int64(a.ValidTo)}
}

// storable makes texts what the store keeps of them, so that they compare equal to it.
func (a *GridAsset) storable() {
	for _, text := range []*string{&a.ID, &a.Name, &a.Zone, &a.Parent, &a.Substation, &a.Feeder, &a.Transformer} {
		*text = storableText(*text)
	}
}

// GridZone says that a zone lies within another one, or is that.
type GridZone struct{ Zone, Within string }

// GridIndex is the network of a model at one time, as rows.
type GridIndex struct {
	AsOf       telemetry.Micros
	NextChange telemetry.Micros // when an asset comes or goes next, 0: never
	Assets     []GridAsset      // each id once
	Zones      []GridZone
}

// overGrid calls do with what to write so that index is shown, in a transaction that only
// reads if dry. What to write is found out before it, so that others wait for the writing
// alone.
func (s *Store) overGrid(ctx context.Context, index GridIndex, dry bool, do func(*Tx, gridDiff) error) error {
	in := s.Write
	if dry {
		in = s.Ask
	}
	for {
		d, err := s.gridDiff(ctx, index)
		if err != nil {
			return err
		}
		err = in(ctx, func(t *Tx) error {
			switch state, err := t.gridState(); {
			case err != nil:
				return err
			case state != d.before:
				return errGridMoved
			}
			return do(t, d)
		})
		if !errors.Is(err, errGridMoved) {
			return err
		}
	}
}

// gridDiff is what to write so that the index is that of another network.
type gridDiff struct {
	before  GridState
	remove  []string
	insert  []*GridAsset
	zones   bool // they differ
	changes GridChanges
}

func (s *Store) gridDiff(ctx context.Context, index GridIndex) (d gridDiff, err error) {
	fresh := make(map[string]*GridAsset, len(index.Assets))
	for i := range index.Assets {
		index.Assets[i].storable()
		fresh[index.Assets[i].ID] = &index.Assets[i]
	}
	zones := map[GridZone]bool{}
	err = s.Ask(ctx, func(t *Tx) error {
		if d.before, err = t.gridState(); err != nil {
			return err
		}
		if err := t.Each(func(r *sql.Rows) error {
			var z GridZone
			err := r.Scan(&z.Zone, &z.Within)
			zones[z] = true
			return err
		}, `SELECT zone, within FROM grid_zone`); err != nil {
			return err
		}
		return t.Each(func(r *sql.Rows) error {
			var old GridAsset
			err := r.Scan(old.columns()...)
			switch now := fresh[old.ID]; {
			case now == nil:
				d.remove = append(d.remove, old.ID)
				d.changes.Removed++
			case *now != old:
				d.remove = append(d.remove, old.ID)
				d.insert = append(d.insert, now)
				d.changes.Changed++
			}
			delete(fresh, old.ID)
			return err
		}, `SELECT `+gridAssetColumns+` FROM grid_asset`)
	})
	if err != nil {
		return d, err
	}
	d.changes.Added = len(fresh)
	for _, id := range slices.Sorted(maps.Keys(fresh)) {
		d.insert = append(d.insert, fresh[id])
	}
	d.zones = len(zones) != len(index.Zones) || slices.ContainsFunc(index.Zones, func(z GridZone) bool { return !zones[z] })
	return d, nil
}

// gridRows is how many rows of the index a statement writes.
const gridRows = 100

func (t *Tx) applyGrid(d gridDiff, index GridIndex, version int64) error {
	for some := range slices.Chunk(d.remove, mostAsked) {
		args := make([]any, len(some))
		for i, id := range some {
			args[i] = id
		}
		if _, err := t.Exec(`DELETE FROM grid_asset WHERE id IN (`+placeholders(len(some))+`)`, args...); err != nil {
			return err
		}
	}
	columns := strings.Count(gridAssetColumns, `,`) + 1
	row := `(` + placeholders(columns) + `)`
	for some := range slices.Chunk(d.insert, gridRows) {
		args := make([]any, 0, columns*len(some))
		for _, a := range some {
			args = append(args, a.values()...)
		}
		if err := t.execLater(`INSERT INTO grid_asset (`+gridAssetColumns+`) VALUES `+row+strings.Repeat(`, `+row, len(some)-1), args...); err != nil {
			return err
		}
	}
	if d.zones {
		if _, err := t.Exec(`DELETE FROM grid_zone`); err != nil {
			return err
		}
		for _, z := range index.Zones {
			if err := t.execLater(`INSERT INTO grid_zone (zone, within) VALUES (?, ?)`, z.Zone, z.Within); err != nil {
				return err
			}
		}
	}
	_, err := t.Exec(`INSERT INTO grid_current (one, version, as_of, next_change) VALUES (1, ?, ?, ?)
		ON CONFLICT (one) DO UPDATE SET version = excluded.version, as_of = excluded.as_of, next_change = excluded.next_change`,
		version, int64(index.AsOf), int64(index.NextChange))
	return err
}
