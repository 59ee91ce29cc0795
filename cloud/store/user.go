package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/busbar/busbar/telemetry"
)

// User is somebody who signs in to the console.
type User struct {
	Name     string
	Password string // as its hash is encoded
	Role     string
	Zones    string // separated by commas, or * for all
	AddedAt  telemetry.Micros
	AddedBy  string
}

var (
	ErrUserKnown = errors.New("there is a user of this name already")
	ErrNoUser    = errors.New("there is no such user")
	// ErrNoSession says that nobody has signed in with the secret, or has signed out, or
	// had their session ended.
	ErrNoSession = errors.New("there is no such session")
)

const userColumns = `u.name, u.password, u.role, u.zones, u.added_at, u.added_by`

// columns are where userColumns go.
func (u *User) columns() []any {
	return []any{&u.Name, &u.Password, &u.Role, &u.Zones, &u.AddedAt, &u.AddedBy}
}

func (t *Tx) user(name string) (u User, err error) {
	err = t.QueryRow(`SELECT `+userColumns+` FROM console_user u WHERE u.name = ?`, []any{name}, u.columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoUser
	}
	return u, err
}

// AddUser lets somebody sign in; ErrUserKnown if the name is taken.
func (s *Store) AddUser(ctx context.Context, u User) error {
	err := s.Write(ctx, func(t *Tx) error {
		switch _, err := t.user(u.Name); {
		case err == nil:
			return ErrUserKnown
		case !errors.Is(err, ErrNoUser):
			return err
		}
		_, err := t.Exec(`INSERT INTO console_user (name, password, role, zones, added_at, added_by) VALUES (?, ?, ?, ?, ?, ?)`,
			u.Name, u.Password, u.Role, u.Zones, int64(u.AddedAt), u.AddedBy)
		if err != nil {
			return err
		}
		return t.Audit(Change{At: u.AddedAt, By: u.AddedBy, Action: "user-add", Subject: u.Name, Detail: "role " + u.Role + ", zones " + u.Zones})
	})
	if err != nil {
		return fmt.Errorf("store: add user %s: %w", u.Name, err)
	}
	return nil
}

// changeUser changes a user and ends their sessions; ErrNoUser if there is none.
func (s *Store) changeUser(ctx context.Context, name string, c Change, query string, args ...any) error {
	err := s.Write(ctx, func(t *Tx) error {
		if _, err := t.user(name); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM session WHERE user_name = ?`, name); err != nil {
			return err
		}
		if _, err := t.Exec(query, args...); err != nil {
			return err
		}
		c.Subject = name
		return t.Audit(c)
	})
	if err != nil {
		return fmt.Errorf("store: change user %s: %w", name, err)
	}
	return nil
}

// RemoveUser ends what somebody may, and their sessions.
func (s *Store) RemoveUser(ctx context.Context, name, by string, at telemetry.Micros) error {
	return s.changeUser(ctx, name, Change{At: at, By: by, Action: "user-remove"}, `DELETE FROM console_user WHERE name = ?`, name)
}

// SetPassword replaces a password by another, given as its hash, and ends the user's
// sessions.
func (s *Store) SetPassword(ctx context.Context, name, password, by string, at telemetry.Micros) error {
	return s.changeUser(ctx, name, Change{At: at, By: by, Action: "user-password"},
		`UPDATE console_user SET password = ? WHERE name = ?`, password, name)
}

// Users lists everybody by name.
func (s *Store) Users(ctx context.Context) (list []User, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		return t.Each(func(r *sql.Rows) error {
			var u User
			err := r.Scan(u.columns()...)
			list = append(list, u)
			return err
		}, `SELECT `+userColumns+` FROM console_user u ORDER BY u.name`)
	})
	if err != nil {
		return nil, fmt.Errorf("store: list users: %w", err)
	}
	return list, nil
}

// User is the user of that name, or an ErrNoUser.
func (s *Store) User(ctx context.Context, name string) (u User, err error) {
	err = s.Ask(ctx, func(t *Tx) error {
		u, err = t.user(name)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("store: user %s: %w", name, err)
	}
	return u, nil
}

func secretHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Session is a user who has signed in.
type Session struct {
	User
	Begun, Seen telemetry.Micros
	OIDC        *OIDCUser // nil: of a user of ours
}

// SessionLife bounds sessions: how long one may last, and how long without a request.
type SessionLife struct{ Longest, Idle telemetry.Micros }

func (l SessionLife) over(s Session, now telemetry.Micros) bool {
	return now >= s.Begun+l.Longest || now >= s.Seen+l.Idle
}

// BeginSession signs in a user whose password has been checked against u, and forgets
// sessions that are over. ErrNoUser if they have been removed since, or have another
// password.
func (s *Store) BeginSession(ctx context.Context, u User, secret string, life SessionLife, detail string, now telemetry.Micros) error {
	err := s.Write(ctx, func(t *Tx) error {
		if known, err := t.user(u.Name); err != nil {
			return err
		} else if known.Password != u.Password {
			return ErrNoUser
		}
		if _, err := t.Exec(`DELETE FROM session WHERE begun <= ? OR seen <= ?`, int64(now-life.Longest), int64(now-life.Idle)); err != nil {
			return err
		}
		if _, err := t.Exec(`INSERT INTO session (hash, user_name, begun, seen) VALUES (?, ?, ?, ?)`, secretHash(secret), u.Name, int64(now), int64(now)); err != nil {
			return err
		}
		return t.Audit(Change{At: now, By: u.Name, Via: "password", Action: "sign-in", Subject: u.Name, Detail: detail})
	})
	if err != nil {
		return fmt.Errorf("store: begin a session of %s: %w", u.Name, err)
	}
	return nil
}

// SignInFailed keeps that somebody couldn't sign in as name, by a password or by oidc.
func (s *Store) SignInFailed(ctx context.Context, name, via, detail string, now telemetry.Micros) error {
	return s.Write(ctx, func(t *Tx) error {
		return t.Audit(Change{At: now, By: "unknown", Via: via, Action: "sign-in-failed", Subject: name, Detail: detail})
	})
}

// Session is the session of a secret, or an ErrNoSession. It need not be one of
// somebody who may still sign in an hour later: ask each time.
func (s *Store) Session(ctx context.Context, secret string, life SessionLife, now telemetry.Micros) (Session, error) {
	var found Session
	err := s.Ask(ctx, func(t *Tx) error {
		err := t.QueryRow(`SELECT `+userColumns+`, s.begun, s.seen FROM session s JOIN console_user u ON u.name = s.user_name WHERE s.hash = ?`,
			[]any{secretHash(secret)}, append(found.columns(), &found.Begun, &found.Seen)...)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			found, err = t.oidcSession(secret, life.Idle, now)
		case err == nil && life.over(found, now):
			err = ErrNoSession
		}
		return err
	})
	if err != nil {
		return Session{}, fmt.Errorf("store: find a session: %w", err)
	}
	return found, nil
}

// TouchSession keeps that a session is in use.
func (s *Store) TouchSession(ctx context.Context, secret string, now telemetry.Micros) error {
	return s.Write(ctx, func(t *Tx) error {
		for _, query := range []string{`UPDATE session SET seen = ? WHERE hash = ? AND seen < ?`, `UPDATE oidc_session SET seen = ? WHERE hash = ? AND seen < ?`} {
			if _, err := t.Exec(query, int64(now), secretHash(secret), int64(now)); err != nil {
				return err
			}
		}
		return nil
	})
}

// EndSession signs a user out. A session that isn't there any more is no failure.
func (s *Store) EndSession(ctx context.Context, secret string, now telemetry.Micros) error {
	err := s.Write(ctx, func(t *Tx) error {
		var name string
		err := t.QueryRow(`DELETE FROM session WHERE hash = ? RETURNING user_name`, []any{secretHash(secret)}, &name)
		if errors.Is(err, sql.ErrNoRows) {
			err = t.QueryRow(`DELETE FROM oidc_session WHERE hash = ? RETURNING user_name`, []any{secretHash(secret)}, &name)
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return t.Audit(Change{At: now, By: name, Via: "session", Action: "sign-out", Subject: name})
	})
	if err != nil {
		return fmt.Errorf("store: end a session: %w", err)
	}
	return nil
}
