package store

import (
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// mostLater bounds the statements that wait to be sent.
const mostLater = 512

// execLater is Exec of a statement whose result nobody looks at: it runs before the next
// one, or the commit, and whatever it fails of fails there at the latest. PostgreSQL
// gets many of them at once and isn't waited for in between. The arguments are kept until
// then.
func (t *Tx) execLater(query string, args ...any) error {
	if !t.dialect.numbers {
		_, err := t.Exec(query, args...)
		return err
	}
	t.later = append(t.later, statement{t.numbered(query), storable(args)})
	if len(t.later) < mostLater {
		return nil
	}
	return t.sendLater()
}

func (t *Tx) sendLater() error {
	if len(t.later) == 0 {
		return nil
	}
	var batch pgx.Batch
	for _, s := range t.later {
		batch.Queue(s.text, s.args...)
	}
	clear(t.later)
	t.later = t.later[:0]
	err := t.conn.Raw(func(conn any) error { return conn.(*stdlib.Conn).Conn().SendBatch(t.ctx, &batch).Close() })
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}
