package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

const longestText = 1000 // bytes

// CheckCounter reports what of a counter's change can't be kept.
func CheckCounter(kind telemetry.EventKind, c telemetry.CounterChange) error {
	for _, text := range []string{c.Device, c.Name, c.Unit, c.Asset} {
		if len(text) > longestText || !utf8.ValidString(text) {
			return fmt.Errorf("a text is longer than %d bytes, or isn't UTF-8", longestText)
		}
	}
	switch over := kind == telemetry.CounterRolledOver; {
	case c.Device == "" || c.Name == "":
		return errors.New("it names no signal")
	case c.AfterTime <= 0 || c.BeforeTime <= 0:
		return errors.New("it says not when")
	case over && !(c.Modulus > 0):
		return fmt.Errorf("a counter begins again after %v", c.Modulus)
	case !over && c.Modulus != 0:
		return errors.New("a reset has a modulus")
	case math.IsInf(c.Before-c.After, 0):
		return errors.New("its values are out of range")
	}
	return nil
}

// SaveCounter keeps that a gateway's counter has changed.
func (t *Tx) SaveCounter(gateway string, kind telemetry.EventKind, c telemetry.CounterChange) error {
	err := t.touchGateway(gateway)
	if err == nil {
		_, err = t.Exec(`INSERT INTO counter_change (gateway, device, name, unit, at, kind, asset, value_after, before_at, value_before, modulus)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			gateway, c.Device, c.Name, c.Unit, int64(c.AfterTime), string(kind), c.Asset, c.After, int64(c.BeforeTime), c.Before, c.Modulus)
	}
	if err != nil {
		return fmt.Errorf("store: keep the change of %s/%s/%s: %w", gateway, c.Device, c.Name, err)
	}
	return nil
}

// CounterChange is a decrease of a gateway's counter.
type CounterChange struct {
	Gateway string
	Kind    telemetry.EventKind
	telemetry.CounterChange
	Series telemetry.SignalID // 0 until births have named it
}

// CounterPlace is the place of a change in their list.
type CounterPlace struct {
	At                                telemetry.Micros
	Gateway, Device, Name, Unit, Kind string
}

func (c CounterChange) Place() CounterPlace {
	return CounterPlace{c.AfterTime, c.Gateway, c.Device, c.Name, c.Unit, string(c.Kind)}
}

// CounterChanges lists changes of counters from from up to and without to, newest
// first: those of one series, or of all if that is 0.
func (s *Store) CounterChanges(ctx context.Context, series telemetry.SignalID, from, to telemetry.Micros, page Page[CounterPlace]) ([]CounterChange, error) {
	list := []CounterChange{}
	var of Conditions
	of.And(`c.at >= ? AND c.at < ?`, int64(from), int64(to))
	if series != 0 {
		of.And(`s.id = ?`, int64(series))
	}
	if p := page.After; p != nil {
		of.And(`(c.at, c.gateway, c.device, c.name, c.unit, c.kind) < (?, ?, ?, ?, ?, ?)`, int64(p.At), p.Gateway, p.Device, p.Name, p.Unit, p.Kind)
	}
	err := s.Ask(ctx, func(t *Tx) error {
		of.And(t.Seen("c.gateway"))
		return t.Each(func(r *sql.Rows) error {
			var c CounterChange
			err := r.Scan(&c.Gateway, &c.Device, &c.Name, &c.Unit, &c.AfterTime, &c.Kind, &c.Asset, &c.After, &c.BeforeTime, &c.Before, &c.Modulus, &c.Series)
			list = append(list, c)
			return err
		}, `SELECT c.gateway, c.device, c.name, c.unit, c.at, c.kind, c.asset, c.value_after, c.before_at, c.value_before, c.modulus, COALESCE(s.id, 0)
			FROM counter_change c LEFT JOIN series s
			ON s.gateway = c.gateway AND s.device = c.device AND s.name = c.name AND s.unit = c.unit AND s.kind = 'counter'`+of.Where()+`
			ORDER BY c.at DESC, c.gateway DESC, c.device DESC, c.name DESC, c.unit DESC, c.kind DESC LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the changes of counters: %w", err)
	}
	return list, nil
}
