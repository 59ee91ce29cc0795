package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Parked is a telemetry record that was received before the births that name
// its signals. Its sequence numbers are taken: it is a Duplicate if it comes again.
type Parked struct {
	ID     int64 // given by the store
	Record record.Record
	Table  uint64
	At     telemetry.Micros
	// Merge says that its numbers overlap with those of records that were received
	// otherwise: what is stored of its samples already is to be left out.
	Merge bool
}

// Park keeps a record until its births come.
func (t *Tx) Park(p Parked) error {
	if err := t.execLater(`INSERT INTO parked_record (gateway, epoch, seq_first, seq_last, signal_table, payload, at, merge) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		p.Record.Gateway, p.Record.Epoch.String(), p.Record.First, p.Record.Last, tableName(p.Table), p.Record.Payload, int64(p.At), p.Merge); err != nil {
		return fmt.Errorf("store: park record %s: %w", p.Record.Identity, err)
	}
	return nil
}

// Unpark deletes a parked record whose samples the transaction adds. It returns
// ErrFenced if another consumer did that before.
func (t *Tx) Unpark(id int64) error {
	res, err := t.Exec(`DELETE FROM parked_record WHERE id = ?`, id)
	var n int64
	if err == nil {
		n, err = res.RowsAffected()
	}
	if err == nil && n != 1 {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("store: unpark record %d: %w", id, err)
	}
	return nil
}

// ParkedTables lists, by gateway, the tables that records are parked for and of
// which births have come, and how many signals these have named.
func (s *Store) ParkedTables(ctx context.Context) (map[string]map[uint64]int, error) {
	tables := map[string]map[uint64]int{}
	err := s.Read(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var gateway, name string
			var table uint64
			var named int
			err := r.Scan(&gateway, &name, &named)
			if err == nil {
				_, err = fmt.Sscanf(name, "%016x", &table)
			}
			if named == 0 {
				return err
			}
			if tables[gateway] == nil {
				tables[gateway] = map[uint64]int{}
			}
			tables[gateway][table] = named
			return err
		}, `SELECT p.gateway, p.signal_table, (SELECT COUNT(*) FROM table_signal g WHERE g.gateway = p.gateway AND g.signal_table = p.signal_table)
			FROM (SELECT DISTINCT gateway, signal_table FROM parked_record) p`)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list parked records: %w", err)
	}
	return tables, nil
}

// Parked lists at most limit records parked for a table after the id after, in
// the order in which they came.
func (s *Store) Parked(ctx context.Context, gateway string, table uint64, after int64, limit int) ([]Parked, error) {
	var list []Parked
	err := s.Read(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			p := Parked{Table: table}
			p.Record.Gateway, p.Record.Stream, p.Record.Format = gateway, record.Telemetry, record.FormatBlock
			var epoch string
			err := r.Scan(&p.ID, &epoch, &p.Record.First, &p.Record.Last, &p.Record.Payload, &p.At, &p.Merge)
			if err == nil {
				p.Record.Epoch, err = record.ParseEpoch(epoch)
			}
			list = append(list, p)
			return err
		}, `SELECT id, epoch, seq_first, seq_last, payload, at, merge FROM parked_record
			WHERE gateway = ? AND signal_table = ? AND id > ? ORDER BY id LIMIT ?`, gateway, tableName(table), after, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list records parked for %s/%s: %w", gateway, tableName(table), err)
	}
	return list, nil
}

// ParkedBeside reports whether records are parked whose numbers overlap with those
// of id, among those before the id before, or any if that is 0.
func (s *Store) ParkedBeside(ctx context.Context, id record.Identity, before int64) (found bool, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT EXISTS (SELECT 1 FROM parked_record WHERE gateway = ? AND epoch = ? AND seq_first <= ? AND seq_last >= ? AND (id < ? OR CAST(? AS BIGINT) = 0))`,
			[]any{id.Gateway, id.Epoch.String(), id.Last, id.First, before, before}, &found)
	})
	if err != nil {
		return false, fmt.Errorf("store: look for parked records beside %s: %w", id, err)
	}
	return found, nil
}
