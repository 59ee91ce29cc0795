package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// APIToken is what a program shows in place of a password.
type APIToken struct {
	Name    string
	Role    string
	Zones   string // separated by commas, or * for all
	AddedAt telemetry.Micros
	AddedBy string
	Expires telemetry.Micros
}

var (
	ErrTokenKnown = errors.New("there is a token of this name already")
	// ErrNoToken says that nobody has made the token, or it was removed, or has expired.
	ErrNoToken = errors.New("there is no such token")
)

const selectAPIToken = `SELECT name, role, zones, added_at, added_by, expires FROM api_token `

func (t *Tx) apiTokens(where string, args ...any) (list []APIToken, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var a APIToken
		err := r.Scan(&a.Name, &a.Role, &a.Zones, &a.AddedAt, &a.AddedBy, &a.Expires)
		list = append(list, a)
		return err
	}, selectAPIToken+where, args...)
	return list, err
}

// AddAPIToken lets whoever shows secret do what a says; ErrTokenKnown if its name is
// taken.
func (s *Store) AddAPIToken(ctx context.Context, a APIToken, secret string) error {
	err := s.Write(ctx, func(t *Tx) error {
		if known, err := t.apiTokens(`WHERE name = ?`, a.Name); err != nil {
			return err
		} else if len(known) > 0 {
			return ErrTokenKnown
		}
		_, err := t.Exec(`INSERT INTO api_token (name, hash, role, zones, added_at, added_by, expires) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			a.Name, secretHash(secret), a.Role, a.Zones, int64(a.AddedAt), a.AddedBy, int64(a.Expires))
		if err != nil {
			return err
		}
		return t.Audit(Change{At: a.AddedAt, By: a.AddedBy, Action: "token-add", Subject: a.Name,
			Detail: "role " + a.Role + ", zones " + a.Zones + ", until " + a.Expires.Time().Format(time.RFC3339)})
	})
	if err != nil {
		return fmt.Errorf("store: add token %s: %w", a.Name, err)
	}
	return nil
}

// RemoveAPIToken ends what a token may; ErrNoToken if there is none.
func (s *Store) RemoveAPIToken(ctx context.Context, name, by string, at telemetry.Micros) error {
	err := s.Write(ctx, func(t *Tx) error {
		if known, err := t.apiTokens(`WHERE name = ?`, name); err != nil {
			return err
		} else if len(known) == 0 {
			return ErrNoToken
		}
		if _, err := t.Exec(`DELETE FROM api_token WHERE name = ?`, name); err != nil {
			return err
		}
		return t.Audit(Change{At: at, By: by, Action: "token-remove", Subject: name})
	})
	if err != nil {
		return fmt.Errorf("store: remove token %s: %w", name, err)
	}
	return nil
}

// APITokens lists all of them by name.
func (s *Store) APITokens(ctx context.Context) (list []APIToken, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		list, err = t.apiTokens(`ORDER BY name`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list tokens: %w", err)
	}
	return list, nil
}

// APIToken is the token whose secret that is, or an ErrNoToken.
func (s *Store) APIToken(ctx context.Context, secret string, now telemetry.Micros) (APIToken, error) {
	var list []APIToken
	err := s.Ask(ctx, func(t *Tx) (err error) {
		list, err = t.apiTokens(`WHERE hash = ?`, secretHash(secret))
		if err == nil && (len(list) == 0 || now >= list[0].Expires) {
			err = ErrNoToken
		}
		return err
	})
	if err != nil {
		return APIToken{}, fmt.Errorf("store: find a token: %w", err)
	}
	return list[0], nil
}
