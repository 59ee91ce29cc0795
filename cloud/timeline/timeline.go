// Package timeline tells what has happened to an asset of the network, from what is kept of
// alarms, outages, switching, calls, the quality of its voltage, and of what was asked of
// gateways and devices.
package timeline

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Kind is what an entry is of.
type Kind string

const (
	Alarm     Kind = "alarm"     // of an alarm whose asset it is
	Outage    Kind = "outage"    // of an outage whose device it is, or that it was without supply in
	Planned   Kind = "planned"   // of planned switching of which it is a device
	Switching Kind = "switching" // how it was operated
	Call      Kind = "call"      // what a customer has said
	Command   Kind = "command"   // what a gateway was asked about one of its alarms
	Control   Kind = "control"   // what was written to its device
	Meter     Kind = "meter"     // what its meter has told by a head-end
	Quality   Kind = "quality"   // disturbances of the voltage that its meter has counted
)

// Kinds are all of them.
var Kinds = []Kind{Alarm, Outage, Planned, Switching, Call, Command, Control, Meter, Quality}

// AssetEntry is something that has happened.
type AssetEntry struct {
	At      telemetry.Micros `json:"at_us"`
	Kind    Kind             `json:"kind" enum:"alarm,outage,planned,switching,call,command,control,meter,quality"`
	Of      string           `json:"of" doc:"The id of the alarm, the outage, the planned outage, the call or the command; empty of the others"`
	Action  string           `json:"action" doc:"What was done, or has become so" example:"raised"`
	By      string           `json:"by" doc:"Who, as there"`
	Gateway string           `json:"gateway" doc:"Through which it came, or that was asked; empty: none"`
	Text    string           `json:"text" doc:"What it is about, in words"`
	Comment string           `json:"comment" doc:"Why"`
	Since   telemetry.Micros `json:"since_us" doc:"With quality: the reading of the meter before the one that shows it, at_us. Otherwise 0"`
	Key     string           `json:"-"`
}

// Place is an entry's place in their list.
type Place struct {
	At   telemetry.Micros
	Kind Kind
	Key  string
}

func (e AssetEntry) Place() Place { return Place{e.At, e.Kind, e.Key} }

// branches are where entries come from: when they were, what tells those of one time and
// kind apart, since when they may have been, and the other columns, with the asset as the one
// argument.
var branches = []struct {
	kind                  Kind
	at, key, since, query string
}{
	{kind: Alarm, at: "e.at", key: "'a' || e.fact", query: `a.id, e.action, e.actor, a.gateway, a.rule || ': ' || a.summary, e.comment
		FROM alarm a JOIN alarm_event e ON e.alarm = a.id WHERE a.asset = ?`},
	{kind: Outage, at: "e.at", key: "'d' || e.fact", query: `e.outage, e.action, e.actor, '', e.detail, e.comment
		FROM outage o JOIN outage_entry e ON e.outage = o.id WHERE o.device = ? AND e.action <> 'update'`},
	{kind: Outage, at: "p.since", key: "'l' || p.outage", query: `p.outage, 'lost', '', '', '', ''
		FROM outage_point p JOIN outage o ON o.id = p.outage WHERE p.point = ?`},
	{kind: Outage, at: "p.until", key: "'s' || p.outage", query: `p.outage, 'supplied', '', '', '', ''
		FROM outage_point p JOIN outage o ON o.id = p.outage WHERE p.point = ? AND p.until <> 0`},
	{kind: Outage, at: "p.since", key: "'m' || p.outage || '.' || p.number", query: `p.outage, 'lost', '', '', '', ''
		FROM outage_earlier p JOIN outage o ON o.id = p.outage WHERE p.point = ?`},
	{kind: Outage, at: "p.until", key: "'t' || p.outage || '.' || p.number", query: `p.outage, 'supplied', '', '', '', ''
		FROM outage_earlier p JOIN outage o ON o.id = p.outage WHERE p.point = ?`},
	{kind: Planned, at: "e.at", key: "e.plan || '.' || e.number", query: `e.plan, e.action, e.actor, '', e.detail, e.comment
		FROM planned_device d JOIN planned_entry e ON e.plan = d.plan JOIN planned_outage p ON p.id = e.plan WHERE d.device = ?`},
	{kind: Switching, at: "e.at", key: "CAST(e.seq AS TEXT)", query: `'', CASE WHEN e.cut THEN 'cut' ELSE e.position END, e.actor, e.gateway,
		CASE WHEN e.phases <> '' THEN 'phases ' || e.phases ELSE '' END || CASE WHEN e.phases <> '' AND e.tag <> '' THEN ', ' ELSE '' END || CASE WHEN e.tag <> '' THEN 'tagged: ' || e.tag ELSE '' END, e.comment
		FROM switching_entry e WHERE e.asset = ?`},
	{kind: Call, at: "c.at", key: "CAST(c.id AS TEXT)", query: `CAST(c.id AS TEXT), c.says, c.actor, '', c.words, '' FROM customer_call c WHERE c.point = ?`},
	{kind: Command, at: "COALESCE(c.issued, c.answered)", key: "'i' || c.id", query: `c.id, c.kind, c.actor, c.gateway, a.rule || ': ' || a.summary, ''
		FROM alarm a JOIN command c ON c.alarm = a.id AND c.alarm <> '' WHERE a.asset = ?`},
	{kind: Control, at: "c.at", key: "c.epoch || '.' || c.seq", query: `'', c.action, c.actor, c.gateway, c.device || ' ' || c.signal || ' ' || c.requested || ': ' || c.outcome, c.cause
		FROM control_step c WHERE c.asset = ?`},
	// Who sees the service point sees them, whichever zone the head-end is of.
	{kind: Meter, at: "m.at", key: "m.headend || '.' || m.meter || '.' || m.code || '.' || m.number", query: `m.meter, m.kind, '', m.headend, m.code || CASE WHEN m.words <> '' THEN ': ' || m.words ELSE '' END, ''
		FROM meter_event m WHERE m.asset = ?`},
	{kind: Quality, at: "d.at", key: "d.gateway || ' ' || d.device || ' ' || d.kind || ' ' || d.phase", since: "d.since", query: `'', d.kind, '', d.gateway,
		'phase ' || d.phase || ': ' || CAST(d.number AS TEXT) || ', by ' || d.device, '' FROM disturbance d WHERE d.asset = ?`},
}

// seen is the condition that a branch's entries are shown.
func seen(t *store.Tx, kind Kind) string {
	switch kind {
	case Alarm:
		return alarm.Seen(t)
	case Outage:
		return t.SeenAsset("o.zone")
	case Planned:
		return t.SeenAsset("p.zone")
	case Command, Control:
		return t.Seen("c.gateway")
	case Quality:
		return t.Seen("d.gateway")
	}
	return "TRUE" // who sees the asset sees them
}

// Of lists what has happened to an asset, newest first. kinds are those that are asked for;
// none: all. ErrNoAsset: there is none that the context may see.
func Of(ctx context.Context, s *store.Store, asset string, kinds []Kind, page store.Page[Place]) (list []AssetEntry, err error) {
	if _, err := s.GridAsset(ctx, asset); err != nil {
		return nil, err
	}
	wanted := map[Kind]bool{}
	for _, kind := range kinds {
		wanted[kind] = true
	}
	list = []AssetEntry{}
	err = s.Ask(ctx, func(t *store.Tx) error {
		var parts []string
		var args []any
		for _, b := range branches {
			if len(kinds) > 0 && !wanted[b.kind] {
				continue
			}
			part := `SELECT * FROM (SELECT ` + b.at + ` AS at, '` + string(b.kind) + `' AS kind, ` + b.key + ` AS key, ` + cmp.Or(b.since, "0") + ` AS since, ` + b.query + ` AND ` + seen(t, b.kind)
			args = append(args, asset)
			if p := page.After; p != nil {
				part += ` AND (` + b.at + `, '` + string(b.kind) + `', ` + b.key + `) < (?, ?, ?)`
				args = append(args, int64(p.At), string(p.Kind), p.Key)
			}
			parts = append(parts, part+` ORDER BY 1 DESC, 3 DESC LIMIT ?) b`)
			args = append(args, page.Limit)
		}
		return t.Each(func(r *sql.Rows) error {
			var e AssetEntry
			err := r.Scan(&e.At, &e.Kind, &e.Key, &e.Since, &e.Of, &e.Action, &e.By, &e.Gateway, &e.Text, &e.Comment)
			list = append(list, e)
			return err
		}, strings.Join(parts, ` UNION ALL `)+` ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT ?`, append(args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("timeline of %s: %w", asset, err)
	}
	return list, nil
}
