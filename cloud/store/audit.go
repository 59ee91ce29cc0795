package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/busbar/busbar/telemetry"
)

// Change is what somebody did, for the audit.
type Change struct {
	At  telemetry.Micros
	By  string
	Via string // how they are known; empty: as the context or the Config says
	// Action is what was done, such as acknowledge, to Subject, such as an alarm's id.
	Action, Subject, Detail string
}

// AuditRow is a row of the audit. Rows are numbered from 1, without gaps.
type AuditRow struct {
	Seq int64
	Change
	Hash string // over the row and the hash of the one before it, see docs/security.md
}

// AuditHead names a row and, by its hash, all rows up to it. The zero AuditHead is
// that of an empty audit.
type AuditHead struct {
	Seq  int64
	Hash string
}

func (h AuditHead) String() string { return strconv.FormatInt(h.Seq, 10) + ":" + h.Hash }

// ParseAuditHead reads what String wrote.
func ParseAuditHead(text string) (AuditHead, error) {
	number, hash, _ := strings.Cut(text, ":")
	seq, err := strconv.ParseInt(number, 10, 64)
	sum, hashErr := hex.DecodeString(hash)
	if err != nil || hashErr != nil || seq < 1 || len(sum) != sha256.Size {
		return AuditHead{}, fmt.Errorf("%q is no head of an audit: expected its number, a colon and 64 hexadecimal digits", text)
	}
	return AuditHead{seq, strings.ToLower(hash)}, nil
}

type viaKey struct{}

// Via says of the changes that are made with the context how their authors are known.
func Via(ctx context.Context, via string) context.Context {
	return context.WithValue(ctx, viaKey{}, via)
}

// link is the hash of a row that follows the one with the hash before, empty for the
// first: SHA-256 over texts, each behind its length in 4 bytes, most significant first.
func (r AuditRow) link(before string) string {
	sum := sha256.New()
	for _, text := range []string{"busbar audit 1", before, strconv.FormatInt(r.Seq, 10), strconv.FormatInt(int64(r.At), 10),
		r.By, r.Via, r.Action, r.Subject, r.Detail} {
		sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		sum.Write([]byte(text))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Audit adds a row in the transaction of the change itself: neither is there without
// the other.
func (t *Tx) Audit(c Change) error {
	via, _ := t.ctx.Value(viaKey{}).(string)
	c.Via = cmp.Or(c.Via, via, t.via)
	for _, text := range []*string{&c.By, &c.Via, &c.Action, &c.Subject, &c.Detail} {
		*text = storableText(*text) // as it comes back
	}
	head, err := t.auditHead()
	if err == nil {
		r := AuditRow{Seq: head.Seq + 1, Change: c}
		_, err = t.Exec(`INSERT INTO audit (seq, at, actor, via, action, subject, detail, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.Seq, int64(r.At), r.By, r.Via, r.Action, r.Subject, r.Detail, r.link(head.Hash))
	}
	if err != nil {
		return fmt.Errorf("store: audit of %s: %w", c.Action, err)
	}
	return nil
}

func (t *Tx) auditHead() (h AuditHead, err error) {
	err = t.QueryRow(`SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`, nil, &h.Seq, &h.Hash)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return h, err
}

// AuditHead is the last row.
func (s *Store) AuditHead(ctx context.Context) (h AuditHead, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		h, err = t.auditHead()
		return err
	})
	if err != nil {
		return h, fmt.Errorf("store: find the head of the audit: %w", err)
	}
	return h, nil
}

const selectAudit = `SELECT seq, at, actor, via, action, subject, detail, hash FROM audit `

func scanAudit(r *sql.Rows) (row AuditRow, err error) {
	err = r.Scan(&row.Seq, &row.At, &row.By, &row.Via, &row.Action, &row.Subject, &row.Detail, &row.Hash)
	return row, err
}

// AuditRows lists the audit, newest first. The place of a row is its number.
func (s *Store) AuditRows(ctx context.Context, page Page[int64]) (list []AuditRow, err error) {
	var of Conditions
	if page.After != nil {
		of.And(`seq < ?`, *page.After)
	}
	err = s.Ask(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			row, err := scanAudit(r)
			list = append(list, row)
			return err
		}, selectAudit+of.Where()+` ORDER BY seq DESC LIMIT ?`, append(of.Args, page.Limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the audit: %w", err)
	}
	return list, nil
}

// BrokenAudit names the first row that isn't as it was written, or isn't there.
type BrokenAudit struct {
	Seq   int64
	Cause string
}

func (b *BrokenAudit) Error() string { return fmt.Sprintf("audit row %d: %s", b.Seq, b.Cause) }

// VerifyAudit reads the whole audit and returns its head. The error is a *BrokenAudit
// if its rows don't follow from each other, or if known, unless it is the zero
// AuditHead, isn't among them.
func (s *Store) VerifyAudit(ctx context.Context, known AuditHead) (head AuditHead, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		head, err = t.verifyAudit(known)
		return err
	})
	if err != nil {
		return head, fmt.Errorf("store: verify the audit: %w", err)
	}
	return head, nil
}

func (t *Tx) verifyAudit(known AuditHead) (head AuditHead, err error) {
	err = t.Each(func(r *sql.Rows) error {
		row, err := scanAudit(r)
		switch {
		case err != nil:
			return err
		case row.Seq != head.Seq+1:
			return &BrokenAudit{head.Seq + 1, "it is missing"}
		case row.Hash != row.link(head.Hash):
			return &BrokenAudit{row.Seq, "its hash isn't that of the row and the one before it: one of them was changed"}
		case row.Seq == known.Seq && row.Hash != known.Hash:
			return &BrokenAudit{row.Seq, "its hash was " + known.Hash + ": it, or a row before it, was replaced, and all that follow with it"}
		}
		head = AuditHead{row.Seq, row.Hash}
		return nil
	}, selectAudit+`ORDER BY seq`)
	if err == nil && head.Seq < known.Seq {
		err = &BrokenAudit{head.Seq + 1, fmt.Sprintf("it is missing: the audit went up to row %d", known.Seq)}
	}
	return head, err
}
