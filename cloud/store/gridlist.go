package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrNoAsset says that the network has no asset of the id.
var ErrNoAsset = errors.New("there is no such asset")

// GridFilter is which assets are asked for; what is empty leaves none out.
type GridFilter struct {
	Kind       string
	Zone       string // those of it and of the zones within it
	Substation string // those in it
	Feeder     string // those that it supplies in normal operation
	Text       string // those whose id or name has it somewhere; letters from A to Z are as small ones
	// Unmeasured leaves out those that a series is of which is seen; without a Kind also what
	// isn't a feeder, switch, transformer or service point: others are rarely measured
	// themselves.
	Unmeasured bool
}

// conditions are those of the filter for a transaction's context.
func (f GridFilter) conditions(t *Tx) (of Conditions) {
	for _, c := range []struct{ column, value string }{{"kind", f.Kind}, {"substation", f.Substation}, {"feeder", f.Feeder}} {
		if c.value != "" {
			// The second condition is that of the column's index.
			of.And(`a.`+c.column+` = ? AND a.`+c.column+` <> ''`, c.value)
		}
	}
	if f.Zone != "" {
		of.And(`a.zone IN (SELECT zone FROM grid_zone WHERE within = ?)`, f.Zone)
	}
	if f.Text != "" {
		like := `%` + strings.NewReplacer(`!`, `!!`, `%`, `!%`, `_`, `!_`).Replace(lowerASCII(storableText(f.Text))) + `%`
		of.And(`(LOWER(a.id) LIKE ? ESCAPE '!' OR LOWER(a.name) LIKE ? ESCAPE '!')`, like, like)
	}
	if f.Unmeasured && f.Kind == "" {
		of.And(`a.kind IN ('feeder', 'service_point', 'switch', 'transformer')`)
	}
	if f.Unmeasured {
		of.And(`NOT EXISTS (SELECT 1 FROM series s WHERE s.asset = a.id AND ` + t.Seen("s.gateway") + `)`)
	}
	return of
}

// lowerASCII is what LOWER does with either engine.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// GridAssets lists the network's assets by id. The place of one is its id.
func (s *Store) GridAssets(ctx context.Context, f GridFilter, page Page[string]) (list []GridAsset, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		of := f.conditions(t)
		if page.After != nil {
			of.And(`a.id > ?`, *page.After)
		}
		of.And(t.SeenAsset("a.zone"))
		return t.Each(func(r *sql.Rows) error {
			var a GridAsset
			err := r.Scan(a.columns()...)
			list = append(list, a)
			return err
		}, `SELECT `+gridAssetColumns+` FROM grid_asset a`+of.Where()+` ORDER BY a.id LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list assets: %w", err)
	}
	return list, nil
}

// GridAsset is the asset of an id, or an ErrNoAsset.
func (s *Store) GridAsset(ctx context.Context, id string) (a GridAsset, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		err := t.QueryRow(`SELECT `+gridAssetColumns+` FROM grid_asset a WHERE a.id = ? AND `+t.SeenAsset("a.zone"), []any{id}, a.columns()...)
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrNoAsset
		}
		return err
	})
	if err != nil {
		return GridAsset{}, fmt.Errorf("store: asset %q: %w", id, err)
	}
	return a, nil
}

// GridCount is how many assets of a kind there are.
type GridCount struct {
	Kind              string
	Assets, Customers int64
}

// GridSummary is the version in use, and how much of what its network has. A context that
// is limited to zones sees their assets counted, and of the version its number; NextChange
// may be that of an asset that it doesn't show, so it is 0.
type GridSummary struct {
	Of     GridVersion
	State  GridState
	All    bool        // the context isn't limited
	Counts []GridCount // by kind
}

// GridSummary sums up the network in use, or is an ErrNoGrid.
func (s *Store) GridSummary(ctx context.Context) (sum GridSummary, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		if sum.State, err = t.gridState(); err != nil {
			return err
		}
		if sum.State.Version == 0 {
			return ErrNoGrid
		}
		if sum.All = !limited(ctx); sum.All {
			sum.Of, err = t.gridVersion(sum.State.Version)
		} else {
			sum.Of.Version, sum.State.NextChange = sum.State.Version, 0
		}
		if err != nil {
			return err
		}
		return t.Each(func(r *sql.Rows) error {
			var c GridCount
			err := r.Scan(&c.Kind, &c.Assets, &c.Customers)
			sum.Counts = append(sum.Counts, c)
			return err
		}, `SELECT kind, COUNT(*), CAST(SUM(customers) AS BIGINT) FROM grid_asset WHERE `+t.SeenAsset("zone")+` GROUP BY kind ORDER BY kind`)
	})
	if err != nil {
		return GridSummary{}, fmt.Errorf("store: sum up the network: %w", err)
	}
	return sum, nil
}

// GridFindings are those that were kept with the version in use, or an ErrNoGrid. They name
// assets of all zones, so a context that is limited to some gets none.
func (s *Store) GridFindings(ctx context.Context) (v GridVersion, list []GridFinding, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		state, err := t.gridState()
		if err == nil && state.Version == 0 {
			err = ErrNoGrid
		}
		if err != nil || limited(ctx) {
			return err
		}
		if v, err = t.gridVersion(state.Version); err != nil {
			return err
		}
		var text string
		if err := t.QueryRow(`SELECT findings FROM grid_version WHERE version = ?`, []any{v.Version}, &text); err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), &list)
	})
	if err != nil {
		return GridVersion{}, nil, fmt.Errorf("store: read the findings about the network: %w", err)
	}
	return v, list, nil
}

// AssetZones are the zones whose assets the context shows; all, if that is true.
func (s *Store) AssetZones(ctx context.Context) (zones map[string]bool, all bool, err error) {
	if !limited(ctx) {
		return nil, true, nil
	}
	zones = map[string]bool{}
	err = s.Ask(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var zone string
			err := r.Scan(&zone)
			zones[zone] = true
			return err
		}, `SELECT DISTINCT zone FROM grid_zone WHERE `+t.SeenAsset("zone"))
	})
	if err != nil {
		return nil, false, fmt.Errorf("store: list zones: %w", err)
	}
	return zones, false, nil
}

// UnknownAsset is an id that a device's signals name as their asset, and that the network
// hasn't got.
type UnknownAsset struct{ Asset, Gateway, Device string }

// UnknownAssets lists them by asset, gateway and device; all that gateways name, if there
// is no network. What gateways tell of themselves isn't among them. The place of one is
// itself.
func (s *Store) UnknownAssets(ctx context.Context, page Page[UnknownAsset]) (list []UnknownAsset, err error) {
	var of Conditions
	of.And(`s.asset <> '' AND NOT (s.asset = s.gateway AND s.device = s.gateway) AND NOT EXISTS (SELECT 1 FROM grid_asset a WHERE a.id = s.asset)`)
	if p := page.After; p != nil {
		of.And(`(s.asset, s.gateway, s.device) > (?, ?, ?)`, p.Asset, p.Gateway, p.Device)
	}
	err = s.Ask(ctx, func(t *Tx) error {
		of.And(t.Seen("s.gateway"))
		return t.Each(func(r *sql.Rows) error {
			var u UnknownAsset
			err := r.Scan(&u.Asset, &u.Gateway, &u.Device)
			list = append(list, u)
			return err
		}, `SELECT DISTINCT s.asset, s.gateway, s.device FROM series s`+of.Where()+` ORDER BY s.asset, s.gateway, s.device LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list unknown assets: %w", err)
	}
	return list, nil
}

// Telemetered is the signal that shows a switch's position; an empty gateway is any.
type Telemetered struct{ Gateway, Device, Name string }

// VoltagesOf lists the voltages that are measured of an asset, with their newest samples,
// whatever the context shows. Of the series of one signal it has the one begun last, if that
// is of the asset.
func (s *Store) VoltagesOf(ctx context.Context, asset string) (list []Series, err error) {
	err = s.Ask(ctx, func(t *Tx) (err error) {
		list, err = t.series(selectSeries+`WHERE s.asset = ? AND (s.name LIKE 'PhV.%' OR s.name LIKE 'PPV.%')
			AND NOT EXISTS (SELECT 1 FROM series later WHERE later.gateway = s.gateway AND later.device = s.device AND later.name = s.name AND later.id > s.id) ORDER BY s.id`, asset)
		if err == nil {
			err = t.addLatest(list)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the voltages of asset %q: %w", asset, err)
	}
	return list, nil
}

// SeriesAt lists the series of an asset with their newest samples, at most so many, by
// gateway, device and name; and of a switch the one of position, whose device may be of
// another asset.
func (s *Store) SeriesAt(ctx context.Context, asset string, position Telemetered, most int) (list []Series, err error) {
	condition, args := `s.asset = ?`, []any{asset}
	if position.Device != "" {
		condition = `(` + condition + ` OR s.device = ? AND s.name = ? AND (s.gateway = ? OR ? = ''))`
		args = append(args, position.Device, position.Name, position.Gateway, position.Gateway)
	}
	err = s.Ask(ctx, func(t *Tx) (err error) {
		list, err = t.series(selectSeries+`WHERE `+condition+` AND `+t.Seen("s.gateway")+` ORDER BY s.gateway, s.device, s.name, s.id LIMIT ?`, append(args, most)...)
		if err == nil {
			err = t.addLatest(list)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the series of asset %q: %w", asset, err)
	}
	return list, nil
}
