package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

type zonesKey struct{}

// InZones limits what operators are told with the context to the gateways of zones, as
// these name them, and to the assets of the zones and of those within them; none is
// nothing at all. It holds for every method that answers
// operators: what it hides isn't there for them.
func InZones(ctx context.Context, zones []string) context.Context {
	return context.WithValue(ctx, zonesKey{}, append([]string{}, zones...))
}

// Seen is the condition, in SQL, that the gateway whose id is in column is of a zone
// that the transaction's context is limited to. Whoever writes a query that answers
// operators puts it in.
func (t *Tx) Seen(column string) string {
	return t.inZones(func(zones string) string {
		return column + ` IN (SELECT id FROM gateway WHERE zone IN (` + zones + `))`
	})
}

// SeenAsset is Seen of an asset of the network: the condition that the zone in column is
// one that the context is limited to, or lies within one.
func (t *Tx) SeenAsset(column string) string {
	return t.inZones(func(zones string) string {
		return column + ` IN (SELECT zone FROM grid_zone WHERE within IN (` + zones + `))`
	})
}

// inZones is a condition on the names of the zones that the context is limited to.
func (t *Tx) inZones(condition func(names string) string) string {
	zones, limited := t.ctx.Value(zonesKey{}).([]string)
	switch {
	case !limited:
		return "TRUE"
	case len(zones) == 0:
		return "FALSE"
	}
	quoted := make([]string, len(zones))
	for i, zone := range zones {
		quoted[i] = "'" + strings.ReplaceAll(storableText(zone), "'", "''") + "'"
	}
	return condition(strings.Join(quoted, ", "))
}

// limited reports whether a context hides any gateway.
func limited(ctx context.Context) bool {
	_, is := ctx.Value(zonesKey{}).([]string)
	return is
}

// Sight is what a context shows.
type Sight struct {
	All      bool // everything; what follows is empty then
	Gateways map[string]bool
	Zones    map[string]bool // of assets of the network
	Series   map[telemetry.SignalID]bool
}

// Shows reports whether what is of a gateway, or of a zone of the network if it is of none,
// is shown. What is of neither isn't, but to who sees everything.
func (s Sight) Shows(gateway, zone string) bool {
	if gateway != "" {
		return s.All || s.Gateways[gateway]
	}
	return s.All || zone != "" && s.Zones[zone]
}

// Sight is what the context is limited to at this moment. It doesn't wait for what
// operators ask.
func (s *Store) Sight(ctx context.Context) (of Sight, err error) {
	if of.All = !limited(ctx); of.All {
		return of, nil
	}
	err = s.Read(ctx, func(t *Tx) (err error) {
		if of.Gateways, err = t.gatewaysSeen(); err != nil {
			return err
		}
		if of.Zones, err = t.zonesSeen(); err != nil {
			return err
		}
		of.Series = map[telemetry.SignalID]bool{}
		return t.Each(func(r *sql.Rows) error {
			var id telemetry.SignalID
			err := r.Scan(&id)
			of.Series[id] = true
			return err
		}, `SELECT id FROM series WHERE `+t.Seen("gateway"))
	})
	if err != nil {
		return Sight{}, fmt.Errorf("store: list what the zones have: %w", err)
	}
	return of, nil
}

func (t *Tx) gatewaysSeen() (map[string]bool, error) {
	seen := map[string]bool{}
	err := t.Each(func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		seen[id] = true
		return err
	}, `SELECT id FROM gateway WHERE `+t.Seen("id"))
	return seen, err
}

func (t *Tx) zonesSeen() (map[string]bool, error) {
	seen := map[string]bool{}
	err := t.Each(func(r *sql.Rows) error {
		var zone string
		err := r.Scan(&zone)
		seen[zone] = true
		return err
	}, `SELECT DISTINCT zone FROM grid_zone WHERE `+t.SeenAsset("zone"))
	return seen, err
}

// hide takes kind and data from the facts of gateways that the context doesn't show, and
// from those of no gateway but of zones that it does show.
func (t *Tx) hide(list []Fact) error {
	if !limited(t.ctx) || len(list) == 0 {
		return nil
	}
	gateways, err := t.gatewaysSeen()
	if err != nil {
		return err
	}
	zones, err := t.zonesSeen()
	if err != nil {
		return err
	}
	seen := Sight{Gateways: gateways, Zones: zones}
	for i, f := range list {
		var of struct {
			Gateway string `json:"gateway"`
			Zone    string `json:"zone"`
		}
		if json.Unmarshal(f.Data, &of) != nil || !seen.Shows(of.Gateway, of.Zone) {
			list[i].Kind, list[i].Data = "", nil
		}
	}
	return nil
}
