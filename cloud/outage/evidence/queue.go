package evidence

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// OfNetwork is the kind of the rows that say which network holds from there on.
const OfNetwork outage.Kind = "network"

// Network is a version of the network's model at a time.
type Network struct {
	Version int64
	AsOf    telemetry.Micros
}

// NoteNetwork keeps that another network holds.
func NoteNetwork(t *store.Tx, version int64, asOf, now telemetry.Micros) error {
	text, err := json.Marshal(Network{version, asOf})
	if err != nil {
		return err
	}
	return Note(t, Observation{Comment: string(text), Evidence: outage.Evidence{Kind: OfNetwork, Arrival: int64(now)}})
}

// Network is what an Observation of OfNetwork says.
func (v Observation) Network() (n Network) {
	_ = json.Unmarshal([]byte(v.Comment), &n) // NoteNetwork has written it
	return n
}

// OfPlan is the kind of the rows that say what switching is planned from there on.
const OfPlan outage.Kind = "plan"

// NotePlan keeps planned switching, as it is from now on. Without devices it isn't planned
// any more.
func NotePlan(t *store.Tx, p outage.Plan, by string, now telemetry.Micros) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return Note(t, Observation{Comment: string(text), Evidence: outage.Evidence{Kind: OfPlan, Asset: p.ID, By: by, Arrival: int64(now)}})
}

// Plan is what an Observation of OfPlan says.
func (v Observation) Plan() (p outage.Plan) {
	_ = json.Unmarshal([]byte(v.Comment), &p) // NotePlan has written it
	return p
}

// NetworkWaits reports whether a network hasn't been taken yet.
func NetworkWaits(t *store.Tx) (bool, error) {
	var n int
	err := t.QueryRow(`SELECT COUNT(*) FROM outage_evidence WHERE taken = 0 AND kind = ?`, []any{string(OfNetwork)}, &n)
	return n > 0, err
}

const selectEvidence = `SELECT seq, taken, gateway, device, asset, alarm, rule, comment, data FROM outage_evidence `

func each(t *store.Tx, do func(seq, taken int64, v Observation), where string, args ...any) error {
	return t.Each(func(r *sql.Rows) error {
		var seq, at int64
		var v Observation
		var gateway, asset, data string
		if err := r.Scan(&seq, &at, &gateway, &v.Device, &asset, &v.Alarm, &v.Rule, &v.Comment, &data); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(data), &v.Evidence); err != nil {
			return fmt.Errorf("evidence %d: %w", seq, err)
		}
		do(seq, at, v)
		return nil
	}, selectEvidence+where, args...)
}

// Waiting gives what hasn't been taken yet in its order, at most so many.
func Waiting(t *store.Tx, most int, do func(seq, taken int64, v Observation)) error {
	return each(t, do, `WHERE taken = 0 ORDER BY seq LIMIT ?`, most)
}

// Place is where a row stands among those that were taken.
type Place struct{ At, Seq int64 }

// Taken gives what was taken behind a place, in the order and with the times of that, at
// most so many.
func Taken(t *store.Tx, after Place, most int, do func(seq, taken int64, v Observation)) error {
	return each(t, do, `WHERE taken > 0 AND (taken, seq) > (?, ?) ORDER BY taken, seq LIMIT ?`, after.At, after.Seq, most)
}

// TakenFrom gives what was taken from a row on, in the order in which it came, at most so
// many: nothing that waits has come before it.
func TakenFrom(t *store.Tx, seq int64, most int, do func(seq, taken int64, v Observation)) error {
	return each(t, do, `WHERE taken > 0 AND seq >= ? ORDER BY seq LIMIT ?`, seq, most)
}

// MarkTaken keeps when the waiting rows from first to last were taken.
func MarkTaken(t *store.Tx, first, last, at int64) error {
	_, err := t.Exec(`UPDATE outage_evidence SET taken = ? WHERE seq >= ? AND seq <= ? AND taken = 0`, at, first, last)
	return err
}

// Turn is how often somebody has concluded.
func Turn(t *store.Tx) (version int64, err error) {
	err = t.QueryRow(`SELECT version FROM outage_turn`, nil, &version)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = t.Exec(`INSERT INTO outage_turn (one, version) VALUES (1, 0)`)
	}
	return version, err
}

// HoldTurn takes the turn that follows a version, or is a store.ErrFenced if another
// process has.
func HoldTurn(t *store.Tx, version int64) error {
	res, err := t.Exec(`UPDATE outage_turn SET version = version + 1 WHERE one = 1 AND version = ?`, version)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return store.ErrFenced
}

// keepFor is for how long evidence is kept that newer of its kind has followed.
const keepFor = 48 * time.Hour

// Forget deletes what newer evidence of the same kind about the same has followed, no
// outage that goes on may rest on, none refers to, and nobody has yet to read.
func Forget(t *store.Tx, now telemetry.Micros) error {
	before := int64(now) - keepFor.Microseconds()
	var oldest int64
	if err := t.QueryRow(`SELECT COALESCE(MIN(found), ?) FROM outage WHERE over = 0`, []any{before}, &oldest); err != nil {
		return err
	}
	before = min(before, oldest-time.Hour.Microseconds())
	_, err := t.Exec(`DELETE FROM outage_evidence WHERE taken > 0 AND at < ? AND seq < `+store.Evidence.FirstHeld()+`
		AND EXISTS (SELECT 1 FROM outage_evidence n WHERE n.kind = outage_evidence.kind AND n.gateway = outage_evidence.gateway AND n.asset = outage_evidence.asset
			AND n.device = outage_evidence.device AND n.seq > outage_evidence.seq AND n.at < ?)
		AND NOT EXISTS (SELECT 1 FROM outage_reference f WHERE f.evidence = outage_evidence.seq)`, before, before)
	if err != nil {
		return fmt.Errorf("outages: forget old evidence: %w", err)
	}
	return nil
}

// Positions gives the measured positions of switches in the order in which they came.
func Positions(t *store.Tx, do func(outage.Evidence)) error {
	return each(t, func(_, _ int64, v Observation) { do(v.Evidence) }, `WHERE kind = ? AND actor = ? ORDER BY seq`, string(outage.Position), outage.Telemetry)
}

// Unknown gives the meters at service points and the gateways with a place that are known
// to the store and no evidence says anything of.
func Unknown(t *store.Tx, do func(outage.Evidence)) error {
	for _, of := range []struct {
		kind  outage.Kind
		query string
	}{
		// A head-end doesn't tell which of its meters are silent, as a gateway does: none stands behind them.
		{outage.Meter, `SELECT m.asset, m.gateway FROM (
				SELECT DISTINCT s.asset, CASE WHEN h.id IS NULL THEN s.gateway ELSE '' END AS gateway FROM series s
				JOIN grid_asset g ON g.id = s.asset LEFT JOIN headend h ON h.id = s.gateway WHERE g.kind = 'service_point') m
			WHERE NOT EXISTS (SELECT 1 FROM outage_evidence e WHERE e.kind = ? AND e.gateway = m.gateway AND e.asset = m.asset) ORDER BY 1, 2`},
		{outage.Gateway, `SELECT CASE WHEN p.feeder <> '' THEN p.feeder ELSE p.site END, p.gateway FROM presence p JOIN grid_asset g ON g.id = CASE WHEN p.feeder <> '' THEN p.feeder ELSE p.site END
			WHERE NOT EXISTS (SELECT 1 FROM outage_evidence e WHERE e.kind = ? AND e.gateway = p.gateway) ORDER BY 2`},
	} {
		err := t.Each(func(r *sql.Rows) error {
			v := outage.Evidence{Kind: of.kind}
			err := r.Scan(&v.Asset, &v.Gateway)
			do(v)
			return err
		}, of.query, string(of.kind))
		if err != nil {
			return fmt.Errorf("outages: look for meters and gateways: %w", err)
		}
	}
	return nil
}
