package store

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// Refused counts the records that were refused for what their signatures are
// worth, of one gateway and for one reason, since there were none for a while.
type Refused struct {
	Gateway string
	Reason  Reason
	Records int64
	First   telemetry.Micros // when the first one was refused
	Last    telemetry.Micros
	Detail  string // of the last one
	Alarm   string // that tells of them, "" while there is none
	Told    int64  // Records as the alarm says
}

// OtherNames is the gateway under which refused records are counted that name a
// gateway as none is called, or one too many that was never enrolled: whoever
// can write to the log could invent them without end.
const OtherNames = "other-names"

const mostStrangers = 20

var gatewayName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

const mostDetail = 300 // bytes

// CountRefused adds to what was refused: r.Records more, the last of them at
// r.Last.
func (t *Tx) CountRefused(r Refused) error {
	err := t.countRefused(r)
	if err != nil {
		return fmt.Errorf("store: count records refused of gateway %q: %w", r.Gateway, err)
	}
	return nil
}

func (t *Tx) countRefused(r Refused) error {
	if !gatewayName.MatchString(r.Gateway) {
		r.Gateway = OtherNames
	}
	var known, strangers int
	if err := t.QueryRow(`SELECT (SELECT COUNT(*) FROM gateway_key WHERE gateway = ?) + (SELECT COUNT(*) FROM refused WHERE gateway = ?),
		(SELECT COUNT(DISTINCT r.gateway) FROM refused r WHERE NOT EXISTS (SELECT 1 FROM gateway_key k WHERE k.gateway = r.gateway))`,
		[]any{r.Gateway, r.Gateway}, &known, &strangers); err != nil {
		return err
	}
	if known == 0 && strangers >= mostStrangers {
		r.Gateway = OtherNames
	}
	r.Detail = r.Detail[:min(len(r.Detail), mostDetail)]
	for !utf8.ValidString(r.Detail) {
		r.Detail = r.Detail[:len(r.Detail)-1]
	}
	_, err := t.Exec(`INSERT INTO refused (gateway, reason, records, first, last, detail) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (gateway, reason) DO UPDATE SET records = refused.records + excluded.records, last = excluded.last, detail = excluded.detail`,
		r.Gateway, string(r.Reason), r.Records, int64(r.Last), int64(r.Last), r.Detail)
	return err
}

// Refused lists what was refused lately.
func (t *Tx) Refused() ([]Refused, error) {
	var list []Refused
	err := t.Each(func(rows *sql.Rows) error {
		var r Refused
		err := rows.Scan(&r.Gateway, &r.Reason, &r.Records, &r.First, &r.Last, &r.Detail, &r.Alarm, &r.Told)
		list = append(list, r)
		return err
	}, `SELECT gateway, reason, records, first, last, detail, alarm, told FROM refused ORDER BY gateway, reason`)
	if err != nil {
		return nil, fmt.Errorf("store: list what was refused: %w", err)
	}
	return list, nil
}

// Refused lists what was refused lately.
func (s *Store) Refused(ctx context.Context) (list []Refused, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		list, err = t.Refused()
		return err
	})
	return list, err
}

// TellRefused keeps the alarm that tells of what was refused, and the count that
// it tells. The gateway's row is made if there is none.
func (t *Tx) TellRefused(r Refused) error {
	err := t.touchGateway(r.Gateway)
	if err == nil {
		_, err = t.Exec(`UPDATE refused SET alarm = ?, told = ? WHERE gateway = ? AND reason = ?`, r.Alarm, r.Told, r.Gateway, string(r.Reason))
	}
	if err != nil {
		return fmt.Errorf("store: keep the alarm of records refused of gateway %s: %w", r.Gateway, err)
	}
	return nil
}

// ForgetRefused ends the counting that r is of.
func (t *Tx) ForgetRefused(r Refused) error {
	if _, err := t.Exec(`DELETE FROM refused WHERE gateway = ? AND reason = ?`, r.Gateway, string(r.Reason)); err != nil {
		return fmt.Errorf("store: forget records refused of gateway %s: %w", r.Gateway, err)
	}
	return nil
}
