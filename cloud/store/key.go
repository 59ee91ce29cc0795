package store

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// GatewayKey is a key that a gateway signs with, and who let it.
type GatewayKey struct {
	Gateway   string
	PublicKey ed25519.PublicKey
	AddedAt   telemetry.Micros
	AddedBy   string
	// IntroducedBy is the key of the same gateway that gave its word for this one;
	// the zero KeyID if a person enrolled it.
	IntroducedBy record.KeyID
	RevokedAt    telemetry.Micros // 0: it hasn't been
	RevokedBy    string
	Reason       string // of the revocation
}

// ID names the key.
func (k GatewayKey) ID() record.KeyID { return record.KeyIDOf(k.PublicKey) }

// Revoked reports whether nothing signed by the key is taken any more.
func (k GatewayKey) Revoked() bool { return k.RevokedAt != 0 }

var (
	ErrKeyTaken      = errors.New("the key is another gateway's")
	ErrKeyRevoked    = errors.New("the key has been revoked")
	ErrKeyValid      = errors.New("the key hasn't been revoked")
	ErrNoKey         = errors.New("the gateway has no such key")
	ErrHeadEnd       = errors.New("a head-end has the gateway's id")
	ErrNotIntroduced = errors.New("the key that introduces it isn't a valid one of the gateway")
)

// KeyCount changes whenever the keys do.
type KeyCount struct{ Added, Changed int }

// CountKeys is a quick way to see whether the keys have changed.
func (s *Store) CountKeys(ctx context.Context) (n KeyCount, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		return t.QueryRow(`SELECT (SELECT COUNT(*) FROM gateway_key), (SELECT COUNT(*) FROM gateway_key_change)`, nil, &n.Added, &n.Changed)
	})
	if err != nil {
		return n, fmt.Errorf("store: count the gateways' keys: %w", err)
	}
	return n, nil
}

// GatewayKeys lists every key, by gateway and by when it was added.
func (s *Store) GatewayKeys(ctx context.Context) (keys []GatewayKey, err error) {
	err = s.Read(ctx, func(t *Tx) error {
		keys, err = t.keys(`ORDER BY gateway, added_at, key_id`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: list the gateways' keys: %w", err)
	}
	return keys, nil
}

func (t *Tx) keys(which string, args ...any) (keys []GatewayKey, err error) {
	err = t.Each(func(r *sql.Rows) error {
		var k GatewayKey
		var public, introducedBy string
		var revoked *int64
		err := r.Scan(&k.Gateway, &public, &k.AddedAt, &k.AddedBy, &introducedBy, &revoked, &k.RevokedBy, &k.Reason)
		if err == nil {
			k.PublicKey, err = record.ParsePublicKey([]byte(public))
		}
		if err == nil && introducedBy != "" {
			k.IntroducedBy, err = record.ParseKeyID(introducedBy)
		}
		if revoked != nil {
			k.RevokedAt = telemetry.Micros(*revoked)
		}
		keys = append(keys, k)
		return err
	}, `SELECT gateway, public_key, added_at, added_by, introduced_by, revoked_at, revoked_by, reason FROM gateway_key `+which, args...)
	return keys, err
}

func (t *Tx) key(id record.KeyID) (k GatewayKey, found bool, err error) {
	keys, err := t.keys(`WHERE key_id = ?`, id.String())
	if err != nil || len(keys) == 0 {
		return GatewayKey{}, false, err
	}
	return keys[0], true, nil
}

// EnrolKey lets a key write in its gateway's name, which may be new. A key that
// may already changes nothing. ErrKeyTaken, ErrKeyRevoked and ErrHeadEnd say why it can't.
func (s *Store) EnrolKey(ctx context.Context, k GatewayKey) (added bool, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		added, err = t.addKey(k, "")
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store: enrol key %s of gateway %s: %w", k.ID(), k.Gateway, err)
	}
	return added, nil
}

// addKey is told how whoever adds the key is known, see Change.
func (t *Tx) addKey(k GatewayKey, via string) (added bool, err error) {
	switch known, found, err := t.key(k.ID()); {
	case err != nil:
		return false, err
	case found && (known.Gateway != k.Gateway || !known.PublicKey.Equal(k.PublicKey)):
		return false, fmt.Errorf("%w: %s", ErrKeyTaken, known.Gateway)
	case found && known.Revoked():
		return false, ErrKeyRevoked
	case found:
		return false, nil
	}
	var headend bool
	err = t.QueryRow(`SELECT EXISTS (SELECT 1 FROM headend WHERE id = ?)`, []any{k.Gateway}, &headend)
	if err == nil && headend {
		err = ErrHeadEnd
	}
	if err == nil {
		err = t.touchGateway(k.Gateway)
	}
	if err != nil {
		return false, err
	}
	introducedBy := ""
	if k.IntroducedBy != (record.KeyID{}) {
		introducedBy = k.IntroducedBy.String()
	}
	_, err = t.Exec(`INSERT INTO gateway_key (key_id, gateway, public_key, added_at, added_by, introduced_by, revoked_by, reason) VALUES (?, ?, ?, ?, ?, ?, '', '')`,
		k.ID().String(), k.Gateway, record.FormatPublicKey(k.PublicKey), int64(k.AddedAt), k.AddedBy, introducedBy)
	if err == nil {
		err = t.Audit(Change{At: k.AddedAt, By: cmp.Or(k.AddedBy, introducedBy), Via: via, Action: "key-add", Subject: "gateway " + k.Gateway, Detail: "key " + k.ID().String()})
	}
	return err == nil, err
}

// AddIntroducedKey is EnrolKey on the word of another key of the gateway;
// ErrNotIntroduced if that one is not valid any more.
func (t *Tx) AddIntroducedKey(k GatewayKey) error {
	by, found, err := t.key(k.IntroducedBy)
	if err == nil && (!found || by.Gateway != k.Gateway || by.Revoked()) {
		err = ErrNotIntroduced
	}
	if err == nil {
		_, err = t.addKey(k, "gateway-key")
	}
	if err != nil {
		return fmt.Errorf("store: add key %s of gateway %s, introduced by %s: %w", k.ID(), k.Gateway, k.IntroducedBy, err)
	}
	return nil
}

// RevokeKey ends what a key may. ErrNoKey if the gateway hasn't it; one that is
// revoked already stays as it is, and is an ErrKeyRevoked.
func (s *Store) RevokeKey(ctx context.Context, gateway string, id record.KeyID, by, reason string, at telemetry.Micros) error {
	err := s.changeKey(ctx, gateway, id, true, by, reason, at)
	if err != nil {
		return fmt.Errorf("store: revoke key %s of gateway %s: %w", id, gateway, err)
	}
	return nil
}

// ReadmitKey takes a revocation back. ErrNoKey if the gateway hasn't the key,
// ErrKeyValid if it isn't revoked.
func (s *Store) ReadmitKey(ctx context.Context, gateway string, id record.KeyID, by, reason string, at telemetry.Micros) error {
	err := s.changeKey(ctx, gateway, id, false, by, reason, at)
	if err != nil {
		return fmt.Errorf("store: readmit key %s of gateway %s: %w", id, gateway, err)
	}
	return nil
}

func (s *Store) changeKey(ctx context.Context, gateway string, id record.KeyID, revoke bool, by, reason string, at telemetry.Micros) error {
	return s.Write(ctx, func(t *Tx) error {
		switch known, found, err := t.key(id); {
		case err != nil:
			return err
		case !found || known.Gateway != gateway:
			return ErrNoKey
		case known.Revoked() && revoke:
			return ErrKeyRevoked
		case !known.Revoked() && !revoke:
			return ErrKeyValid
		}
		action := "revoked"
		_, err := t.Exec(`UPDATE gateway_key SET revoked_at = ?, revoked_by = ?, reason = ? WHERE key_id = ?`, int64(at), by, reason, id.String())
		if !revoke {
			action = "readmitted"
			_, err = t.Exec(`UPDATE gateway_key SET revoked_at = NULL, revoked_by = '', reason = '' WHERE key_id = ?`, id.String())
		}
		if err == nil {
			_, err = t.Exec(`INSERT INTO gateway_key_change (key_id, at, action, actor, reason) VALUES (?, ?, ?, ?, ?)`, id.String(), int64(at), action, by, reason)
		}
		if err == nil {
			err = t.Audit(Change{At: at, By: by, Action: "key-" + action, Subject: "gateway " + gateway, Detail: "key " + id.String() + ": " + reason})
		}
		return err
	})
}
