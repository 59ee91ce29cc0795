package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// A series is one signal as the cloud knows it, by (gateway, device, name, unit,
// kind), over every signal table that named it. Its asset, and what its values are
// called, are those of the newest birth. A signal that changes its unit or kind goes on in another series, so
// that what was stored keeps its meaning. Stored samples carry the series' id in
// their Signal.

// SeriesPerBundle bounds the series of one device that are stored together.
// They are polled together, so a block of them holds each time once.
const SeriesPerBundle = 64

// Place is where the samples of a signal are stored.
type Place struct {
	Series telemetry.SignalID
	Bundle int64
}

// SaveBirth keeps one part of a gateway's signal table.
func (t *Tx) SaveBirth(b record.Birth) error {
	if err := t.saveBirth(b); err != nil {
		return fmt.Errorf("store: save birth %s: %w", b.Key(), err)
	}
	return nil
}

func (t *Tx) saveBirth(b record.Birth) error {
	if _, err := t.Exec(`INSERT INTO gateway (id, site, zone) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET site = excluded.site, zone = excluded.zone`, b.Gateway, b.Site, b.Zone); err != nil {
		return err
	}
	devices := map[string][]telemetry.Signal{}
	for _, s := range b.Signals {
		s = storableSignal(s)
		devices[s.Device] = append(devices[s.Device], s)
	}
	for _, device := range slices.Sorted(maps.Keys(devices)) {
		ids, err := t.saveDevice(b.Gateway, device, devices[device])
		if err != nil {
			return fmt.Errorf("device %s: %w", device, err)
		}
		for i, s := range devices[device] {
			if err := t.execLater(`INSERT INTO table_signal (gateway, signal_table, signal, series) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				b.Gateway, b.Table, s.ID, ids[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// seriesKey is what tells the series of a device apart.
type seriesKey struct {
	name, unit string
	kind       telemetry.Kind
}

func keyOf(s telemetry.Signal) seriesKey { return seriesKey{s.Name, s.Unit, s.Kind} }

// storableSignal is a signal as the database returns it, or its series wouldn't be known again.
func storableSignal(s telemetry.Signal) telemetry.Signal {
	s.Device, s.Name, s.Unit, s.Asset = storableText(s.Device), storableText(s.Name), storableText(s.Unit), storableText(s.Asset)
	s.Kind = telemetry.Kind(storableText(string(s.Kind)))
	return s
}

// saveDevice finds or makes the series of a device's signals. The bundle made
// last is filled before the next one is begun.
func (t *Tx) saveDevice(gateway, device string, signals []telemetry.Signal) (ids []telemetry.SignalID, err error) {
	list, err := t.series(selectSeries+`WHERE gateway = ? AND device = ?`, gateway, device)
	if err != nil {
		return nil, err
	}
	known := map[seriesKey]Series{}
	members := map[int64]int{}
	var bundle int64
	for _, s := range list {
		known[seriesKey{s.Name, s.Unit, s.Kind}] = s
		members[s.bundle]++
		bundle = max(bundle, s.bundle)
	}
	var fresh []telemetry.Signal
	for _, signal := range signals {
		if _, ok := known[keyOf(signal)]; !ok {
			known[keyOf(signal)] = Series{}
			fresh = append(fresh, signal)
		}
	}
	for len(fresh) > 0 {
		room := SeriesPerBundle - members[bundle]
		if bundle == 0 || room <= 0 {
			bundle, room = 0, SeriesPerBundle
		}
		n := min(room, len(fresh))
		added, err := t.addSeries(gateway, device, fresh[:n], bundle)
		if err != nil {
			return nil, err
		}
		for _, s := range added {
			known[seriesKey{s.Name, s.Unit, s.Kind}] = s
			bundle = s.bundle
			members[bundle]++
		}
		fresh = fresh[n:]
	}
	for _, signal := range signals {
		called, err := namesOf(signal)
		if err != nil {
			return nil, err
		}
		s := known[keyOf(signal)]
		if s.Asset != signal.Asset || s.names != called {
			if _, err := t.Exec(`UPDATE series SET asset = ?, names = ? WHERE id = ?`, signal.Asset, called, s.ID); err != nil {
				return nil, err
			}
		}
		s.Asset, s.names = signal.Asset, called
		known[keyOf(signal)] = s
		ids = append(ids, s.ID)
	}
	return ids, nil
}

// addSeries adds series to a bundle, or to a new one if that is 0.
func (t *Tx) addSeries(gateway, device string, signals []telemetry.Signal, bundle int64) ([]Series, error) {
	added := make([]Series, 0, len(signals))
	given := map[seriesKey]Series{}
	var args []any
	for _, s := range signals {
		called, err := namesOf(s)
		if err != nil {
			return nil, err
		}
		given[keyOf(s)] = Series{Asset: s.Asset, names: called, bundle: bundle}
		args = append(args, gateway, device, s.Name, s.Unit, s.Asset, string(s.Kind), bundle, called)
	}
	const row = `(?, ?, ?, ?, ?, ?, ?, ?)`
	err := t.Each(func(r *sql.Rows) error {
		var id telemetry.SignalID
		var key seriesKey
		err := r.Scan(&id, &key.name, &key.unit, &key.kind)
		s := given[key]
		s.ID, s.Name, s.Unit, s.Kind = id, key.name, key.unit, key.kind
		added = append(added, s)
		return err
	}, `INSERT INTO series (gateway, device, name, unit, asset, kind, bundle, names) VALUES `+row+strings.Repeat(`, `+row, len(signals)-1)+
		` RETURNING id, name, unit, kind`, args...)
	if err != nil || bundle != 0 {
		return added, err
	}
	bundle = int64(slices.MinFunc(added, func(a, b Series) int { return cmp.Compare(a.ID, b.ID) }).ID)
	for i := range added {
		added[i].bundle = bundle
	}
	_, err = t.Exec(`UPDATE series SET bundle = ? WHERE gateway = ? AND device = ? AND bundle = 0`, bundle, gateway, device)
	return added, err
}

// SignalTable is where the signals of one of a gateway's tables are stored, as
// far as births have named them.
func (s *Store) SignalTable(ctx context.Context, gateway string, table uint64) (map[telemetry.SignalID]Place, error) {
	signals := map[telemetry.SignalID]Place{}
	err := s.Read(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var signal telemetry.SignalID
			var p Place
			err := r.Scan(&signal, &p.Series, &p.Bundle)
			signals[signal] = p
			return err
		}, `SELECT g.signal, s.id, s.bundle FROM table_signal g JOIN series s ON s.id = g.series
			WHERE g.gateway = ? AND g.signal_table = ? AND s.gateway = ?`, gateway, tableName(table), gateway)
	})
	if err != nil {
		return nil, fmt.Errorf("store: read table %016x of %s: %w", table, gateway, err)
	}
	return signals, nil
}

func tableName(table uint64) string { return fmt.Sprintf("%016x", table) }

// Series is one series and its newest sample.
type Series struct {
	ID           telemetry.SignalID
	Gateway      string
	Device, Name string
	Unit, Asset  string
	Kind         telemetry.Kind
	States       telemetry.States  // what its values are called; nil: nothing
	Flags        telemetry.Flags   // what their bits are called
	Latest       *telemetry.Sample // nil: it has none yet
	bundle       int64
	names        string
}

// names is States and Flags as a series' row has them.
type names struct {
	States telemetry.States `json:"states,omitempty"`
	Flags  telemetry.Flags  `json:"flags,omitempty"`
}

func namesOf(s telemetry.Signal) (string, error) {
	if len(s.States) == 0 && len(s.Flags) == 0 {
		return "", nil
	}
	text, err := json.Marshal(names{s.States, s.Flags})
	return string(text), err
}

// ErrNotFound says that no series has the id.
var ErrNotFound = errors.New("no such series")

// seriesColumns are what Series.scan reads.
const seriesColumns = `s.id, s.gateway, s.device, s.name, s.unit, s.asset, s.kind, s.bundle, s.names`

const selectSeries = `SELECT ` + seriesColumns + ` FROM series s `

// scan reads a row: seriesColumns, and more.
func (s *Series) scan(r *sql.Rows, more ...any) error {
	err := r.Scan(append([]any{&s.ID, &s.Gateway, &s.Device, &s.Name, &s.Unit, &s.Asset, &s.Kind, &s.bundle, &s.names}, more...)...)
	if err == nil && s.names != "" {
		var n names
		err = json.Unmarshal([]byte(s.names), &n)
		s.States, s.Flags = n.States, n.Flags
	}
	return err
}

// Series lists every series, by gateway, device and name, those of the same name
// in the order in which they began.
func (s *Store) Series(ctx context.Context) ([]Series, error) {
	return s.SeriesOf(ctx, "", "", Page[SeriesPlace]{Limit: math.MaxInt32})
}

// SeriesPlace is a series' place in their list.
type SeriesPlace struct {
	Gateway, Device, Name string
	ID                    telemetry.SignalID
}

func (s Series) Place() SeriesPlace { return SeriesPlace{s.Gateway, s.Device, s.Name, s.ID} }

// SeriesOf is Series of one gateway, or of all if it is empty, and of one device if that
// is given.
func (s *Store) SeriesOf(ctx context.Context, gateway, device string, page Page[SeriesPlace]) ([]Series, error) {
	var of Conditions
	if gateway != "" {
		of.And(`gateway = ?`, gateway)
	}
	if device != "" {
		of.And(`device = ?`, device)
	}
	if p := page.After; p != nil {
		of.And(`(gateway, device, name, id) > (?, ?, ?, ?)`, p.Gateway, p.Device, p.Name, int64(p.ID))
	}
	var list []Series
	err := s.Ask(ctx, func(t *Tx) (err error) {
		of.And(t.Seen("gateway"))
		list, err = t.series(selectSeries+of.Where()+` ORDER BY gateway, device, name, id LIMIT ?`, append(of.Args, page.Limit)...)
		if err != nil {
			return err
		}
		return t.addLatest(list)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list series: %w", err)
	}
	return list, nil
}

// Signals is Series without their newest samples, in the order of their ids.
func (s *Store) Signals(ctx context.Context) (list []Series, err error) {
	err = s.Ask(ctx, func(t *Tx) (err error) {
		list, err = t.series(selectSeries + `ORDER BY id`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list signals: %w", err)
	}
	return list, nil
}

// oneSeries is a series with its newest sample; ErrNotFound if the context shows none of
// that id.
func (t *Tx) oneSeries(id telemetry.SignalID) (Series, error) {
	found, err := t.series(selectSeries+`WHERE id = ? AND `+t.Seen("gateway"), id)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err == nil {
		err = t.addLatest(found)
	}
	if err != nil {
		return Series{}, err
	}
	return found[0], nil
}

func (t *Tx) series(query string, args ...any) ([]Series, error) {
	var list []Series
	err := t.Each(func(r *sql.Rows) error {
		var s Series
		err := s.scan(r)
		list = append(list, s)
		return err
	}, query, args...)
	return list, err
}

// addLatest sets the newest sample of each series of list.
func (t *Tx) addLatest(list []Series) error {
	latest := map[telemetry.SignalID]telemetry.Sample{}
	read := map[int64]bool{}
	for _, s := range list {
		if read[s.bundle] {
			continue
		}
		read[s.bundle] = true
		samples, err := t.latest(s.bundle)
		if err != nil {
			return err
		}
		for _, l := range samples {
			latest[l.Signal] = l
		}
	}
	for i := range list {
		l, ok := latest[list[i].ID]
		if ok {
			list[i].Latest = &l
		}
	}
	return nil
}

// SeriesNamed lists the series of these names, of which some are asked for often, with
// their newest samples.
func (s *Store) SeriesNamed(ctx context.Context, names map[string]bool) (list []Series, err error) {
	args := make([]any, 0, len(names))
	for name := range names {
		args = append(args, name)
	}
	err = s.Read(ctx, func(t *Tx) (err error) {
		if list, err = t.series(selectSeries+`WHERE s.name IN (`+placeholders(len(args))+`) ORDER BY s.id`, args...); err == nil {
			err = t.addLatest(list)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list series by name: %w", err)
	}
	return list, nil
}
