package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/busbar/busbar/telemetry"
)

// ErrNameTaken says that too many others have a name, or that are made of it.
var ErrNameTaken = errors.New("too many others are called so")

// mostNamesakes is how many users of providers may be called the same.
const mostNamesakes = 100

// OIDCUser is somebody on the word of an OpenID Connect provider. Issuer and Subject are
// who it is.
type OIDCUser struct {
	Issuer, Subject string
	// Name is what they would be called; one who has another identity may have it already.
	Name  string
	SID   string // the provider's own session; "" if it doesn't say
	Role  string
	Zones string
	Terms string // under which they have Role and Zones
}

// BeginOIDCSession signs in somebody until ends, and returns what they are called: Name,
// or Name and a number for one who isn't the first of that name. Sessions that are over
// are forgotten. detail is for the audit, which is told who it is besides.
func (s *Store) BeginOIDCSession(ctx context.Context, u OIDCUser, secret string, idle, ends telemetry.Micros, detail string, now telemetry.Micros) (name string, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		if name, err = t.oidcName(u, now); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM oidc_session WHERE ends <= ? OR seen <= ?`, int64(now), int64(now-idle)); err != nil {
			return err
		}
		_, err := t.Exec(`INSERT INTO oidc_session (hash, user_name, sid, role, zones, terms, begun, seen, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			secretHash(secret), name, storableText(u.SID), u.Role, u.Zones, u.Terms, int64(now), int64(now), int64(ends))
		if err != nil {
			return err
		}
		return t.Audit(Change{At: now, By: name, Via: "oidc", Action: "sign-in", Subject: name,
			Detail: fmt.Sprintf("%s; issuer %s, subject %s; role %s, zones %s", detail, u.Issuer, u.Subject, u.Role, u.Zones)})
	})
	if err != nil {
		return "", fmt.Errorf("store: begin a session of %s: %w", u.Name, err)
	}
	return name, nil
}

// oidcName is what somebody is called, which nobody else ever was or will be.
func (t *Tx) oidcName(u OIDCUser, now telemetry.Micros) (string, error) {
	for n := 1; n <= mostNamesakes; n++ {
		name := storableText(u.Name)
		if n > 1 {
			name += "~" + strconv.Itoa(n)
		}
		var issuer, subject string
		err := t.QueryRow(`SELECT issuer, subject FROM oidc_name WHERE name = ?`, []any{name}, &issuer, &subject)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = t.Exec(`INSERT INTO oidc_name (name, issuer, subject, since) VALUES (?, ?, ?, ?)`, name, u.Issuer, u.Subject, int64(now))
			return name, err
		case err != nil:
			return "", err
		case issuer == u.Issuer && subject == u.Subject:
			return name, nil
		}
	}
	return "", ErrNameTaken
}

// oidcSession is the session of a secret that began on a provider's word, or an
// ErrNoSession.
func (t *Tx) oidcSession(secret string, idle, now telemetry.Micros) (found Session, err error) {
	of := &OIDCUser{}
	var ends telemetry.Micros
	err = t.QueryRow(`SELECT s.user_name, s.sid, s.role, s.zones, s.terms, s.begun, s.seen, s.ends, n.issuer, n.subject
		FROM oidc_session s JOIN oidc_name n ON n.name = s.user_name WHERE s.hash = ?`, []any{secretHash(secret)},
		&found.Name, &of.SID, &found.Role, &found.Zones, &of.Terms, &found.Begun, &found.Seen, &ends, &of.Issuer, &of.Subject)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (now >= ends || now >= found.Seen+idle) {
		err = ErrNoSession
	}
	of.Name, of.Role, of.Zones = found.Name, found.Role, found.Zones
	found.OIDC = of
	return found, err
}

// EndOIDCSessions ends those of somebody at a provider: those that began with its own
// session sid, or of which it hasn't said with which, or all of theirs if sid is "".
// subject is "" if it says only the session. Those that began after before go on. It
// returns how many there were.
func (s *Store) EndOIDCSessions(ctx context.Context, issuer, subject, sid string, before, now telemetry.Micros) (n int, err error) {
	if subject == "" && sid == "" {
		return 0, errors.New("store: end sessions: neither of whom nor which")
	}
	err = s.Write(ctx, func(t *Tx) error {
		var names []string
		err := t.Each(func(r *sql.Rows) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		}, `DELETE FROM oidc_session WHERE user_name IN (SELECT name FROM oidc_name WHERE issuer = ? AND (subject = ? OR ? = '')) 
			AND (sid = ? OR ? = '' OR sid = '' AND ? <> '') AND begun <= ? RETURNING user_name`,
			issuer, subject, subject, storableText(sid), sid, subject, int64(before))
		if err != nil {
			return err
		}
		n = len(names)
		for _, name := range names {
			if err := t.Audit(Change{At: now, By: "provider", Via: "oidc", Action: "sign-out", Subject: name, Detail: "issuer " + issuer}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("store: end sessions: %w", err)
	}
	return n, nil
}

// EndSessionsOf signs somebody out everywhere, whether they are a user here or at a
// provider. It returns how many sessions they had; ErrNoUser if nobody is called so.
func (s *Store) EndSessionsOf(ctx context.Context, name, by string, now telemetry.Micros) (n int, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		var known int
		if err := t.QueryRow(`SELECT (SELECT COUNT(*) FROM console_user WHERE name = ?) + (SELECT COUNT(*) FROM oidc_name WHERE name = ?)`, []any{name, name}, &known); err != nil {
			return err
		}
		if known == 0 {
			return ErrNoUser
		}
		for _, query := range []string{
			`DELETE FROM session WHERE user_name = ? RETURNING user_name`,
			// Under every name that the provider has given them.
			`DELETE FROM oidc_session WHERE user_name IN (SELECT o.name FROM oidc_name o
			 JOIN oidc_name n ON n.issuer = o.issuer AND n.subject = o.subject WHERE n.name = ?) RETURNING user_name`,
		} {
			if err := t.Each(func(r *sql.Rows) error {
				n++
				return nil
			}, query, name); err != nil {
				return err
			}
		}
		return t.Audit(Change{At: now, By: by, Action: "user-sign-out", Subject: name})
	})
	if err != nil {
		return 0, fmt.Errorf("store: end the sessions of %s: %w", name, err)
	}
	return n, nil
}

// OIDCKey is the key of the database for what browsers keep: 32 random bytes, drawn when
// it is asked for first.
func (s *Store) OIDCKey(ctx context.Context) (key []byte, err error) {
	const query = `SELECT secret FROM oidc_key WHERE id = 1`
	err = s.Read(ctx, func(t *Tx) error { return t.QueryRow(query, nil, &key) })
	if errors.Is(err, sql.ErrNoRows) {
		err = s.Write(ctx, func(t *Tx) error {
			err := t.QueryRow(query, nil, &key) // another process may have been quicker
			if errors.Is(err, sql.ErrNoRows) {
				key = make([]byte, 32)
				rand.Read(key)
				_, err = t.Exec(`INSERT INTO oidc_key (id, secret) VALUES (1, ?)`, key)
			}
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("store: find the key of sign-ins: %w", err)
	}
	return key, nil
}
