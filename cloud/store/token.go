package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// ErrToken says that a token isn't one that was given out for the gateway, has
// been used, or has expired. Which of these, only the log of the cloud says.
var ErrToken = errors.New("the token isn't valid")

var tokenText = base32.StdEncoding.WithPadding(base32.NoPadding)

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(strings.ToUpper(strings.TrimSpace(token))))
	return hex.EncodeToString(sum[:])
}

// NewToken makes a token with which a gateway may enrol a key once, until it
// expires. The token itself is kept nowhere.
func (s *Store) NewToken(ctx context.Context, gateway, by string, valid time.Duration, now telemetry.Micros) (token string, err error) {
	var secret [16]byte
	rand.Read(secret[:])
	token = tokenText.EncodeToString(secret[:])
	err = s.Write(ctx, func(t *Tx) error {
		_, err := t.Exec(`INSERT INTO enrolment_token (hash, gateway, created_at, created_by, expires) VALUES (?, ?, ?, ?, ?)`,
			tokenHash(token), gateway, int64(now), by, int64(now)+valid.Microseconds())
		if err != nil {
			return err
		}
		return t.Audit(Change{At: now, By: by, Action: "enrolment-token", Subject: "gateway " + gateway, Detail: "for " + valid.String()})
	})
	if err != nil {
		return "", fmt.Errorf("store: make a token for gateway %s: %w", gateway, err)
	}
	return token, nil
}

// EnrolByToken uses a token up and lets the key write in its gateway's name, in
// one transaction. The key is said to be added by whoever made the token. A
// request that comes again with the same key succeeds again. The error is an
// ErrToken, ErrKeyTaken, ErrKeyRevoked or ErrHeadEnd if the request can't succeed.
func (s *Store) EnrolByToken(ctx context.Context, token string, k GatewayKey) error {
	enrol := func(t *Tx, write bool) error {
		var gateway, keyID string
		var expires int64
		var used *int64
		err := t.QueryRow(`SELECT gateway, created_by, expires, used_at, key_id FROM enrolment_token WHERE hash = ?`,
			[]any{tokenHash(token)}, &gateway, &k.AddedBy, &expires, &used, &keyID)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("%w: nobody has made it", ErrToken)
		case err != nil:
			return err
		case gateway != k.Gateway:
			return fmt.Errorf("%w: it was made for gateway %s", ErrToken, gateway)
		case used != nil && keyID == k.ID().String():
			if known, _, err := t.key(k.ID()); err != nil || !known.Revoked() {
				return err
			}
			return ErrKeyRevoked
		case used != nil:
			return fmt.Errorf("%w: it was used at %s", ErrToken, telemetry.Micros(*used).Time().Format(time.RFC3339))
		case int64(k.AddedAt) >= expires:
			return fmt.Errorf("%w: it expired at %s", ErrToken, telemetry.Micros(expires).Time().Format(time.RFC3339))
		case !write:
			return nil
		}
		if _, err := t.addKey(k, "enrolment-token"); err != nil {
			return err
		}
		_, err = t.Exec(`UPDATE enrolment_token SET used_at = ?, key_id = ? WHERE hash = ?`, int64(k.AddedAt), k.ID().String(), tokenHash(token))
		return err
	}
	// Anybody may try: whoever has no token doesn't come to where writers wait.
	err := s.Read(ctx, func(t *Tx) error { return enrol(t, false) })
	if err == nil {
		err = s.Write(ctx, func(t *Tx) error { return enrol(t, true) })
	}
	if err != nil {
		return fmt.Errorf("store: enrol key %s of gateway %s by a token: %w", k.ID(), k.Gateway, err)
	}
	return nil
}
