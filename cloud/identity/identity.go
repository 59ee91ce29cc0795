// Package identity decides whether a record was written by the gateway that it
// names: by a key that is enrolled as this gateway's and not revoked.
package identity

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Refusal says why a record isn't taken.
type Refusal struct {
	// Gateway is whom it is about: the gateway that the record names or, if
	// another one's key signed it, that other one.
	Gateway string
	Reason  store.Reason
	Detail  string
}

// Keys are the gateways' keys as one consumer knows them. Those that were
// introduced to it are saved in the transaction that stores what they signed,
// and confirmed after it; after any failed transaction begin new Keys. They
// belong to one goroutine.
type Keys struct {
	store *store.Store
	known map[record.KeyID]store.GatewayKey
	count store.KeyCount
	asked time.Time          // when the database was
	fresh []store.GatewayKey // introduced since the last Confirm, oldest first
}

func NewKeys(s *store.Store) *Keys { return &Keys{store: s} }

// reread is how soon a revocation takes effect at the latest.
const reread = time.Second

// refresh reads the keys again if they have changed.
func (k *Keys) refresh(ctx context.Context) error {
	asked := time.Now()
	count, err := k.store.CountKeys(ctx)
	if err != nil {
		return err
	}
	if count != k.count || k.known == nil {
		keys, err := k.store.GatewayKeys(ctx)
		if err != nil {
			return err
		}
		known := make(map[record.KeyID]store.GatewayKey, len(keys))
		for _, key := range keys {
			known[key.ID()] = key
		}
		for _, key := range k.fresh { // oldest first, as they lead to each other
			by := known[key.IntroducedBy]
			if _, saved := known[key.ID()]; !saved && by.Gateway == key.Gateway && !by.Revoked() {
				known[key.ID()] = key
			}
		}
		k.known, k.count = known, count
	}
	k.asked = asked
	return nil
}

// find is a key that may be known; one that isn't is looked for in the database
// and then in what leads to it.
func (k *Keys) find(ctx context.Context, gateway string, seal record.Seal) (key store.GatewayKey, found bool, err error) {
	if time.Since(k.asked) >= reread {
		if err := k.refresh(ctx); err != nil {
			return key, false, err
		}
	}
	if key, found = k.known[seal.KeyID]; found {
		return key, true, nil
	}
	if err := k.refresh(ctx); err != nil {
		return key, false, err
	}
	if key, found = k.known[seal.KeyID]; found {
		return key, true, nil
	}
	k.meet(gateway, seal.Introductions)
	key, found = k.known[seal.KeyID]
	return key, found, nil
}

// mostIntroduced bounds the keys of one gateway that nobody enrolled: whoever has
// a valid key could otherwise make them without end.
const mostIntroduced = 100

// meet adds the keys that a valid key of the gateway leads to.
func (k *Keys) meet(gateway string, introductions []record.Introduction) {
	introduced := 0
	for _, key := range k.known {
		if key.Gateway == gateway && key.IntroducedBy != (record.KeyID{}) {
			introduced++
		}
	}
	for _, i := range introductions {
		by, found := k.known[i.By]
		if _, already := k.known[i.KeyID()]; already || introduced >= mostIntroduced || !found || by.Revoked() || by.Gateway != gateway {
			continue
		}
		if !i.Verify(by.PublicKey, gateway) {
			return // whoever forges one won't have many looked at
		}
		key := store.GatewayKey{
			Gateway: gateway, PublicKey: i.PublicKey[:], IntroducedBy: i.By,
			AddedAt: telemetry.MicrosOf(time.Now()), AddedBy: "gateway " + gateway,
		}
		k.known[key.ID()] = key
		k.fresh = append(k.fresh, key)
		introduced++
	}
}

// Record checks a record as it was parsed from the log; malformed is nil or the
// record.ErrSeal that it was parsed with. The error is the database's.
func (k *Keys) Record(ctx context.Context, r record.Record, malformed error) (*Refusal, error) {
	return k.check(ctx, r.Gateway, r.Seal, malformed, r.Verify)
}

// Birth checks a gateway's birth by its headers, key and value in the log.
func (k *Keys) Birth(ctx context.Context, gateway string, headers []record.Header, key, value []byte) (*Refusal, error) {
	seal, malformed := record.ParseSeal(headers)
	return k.check(ctx, gateway, seal, malformed, func(public ed25519.PublicKey) bool { return seal.VerifyBirth(public, key, value) })
}

// Request checks a gateway's request for its commands.
func (k *Keys) Request(ctx context.Context, gateway string, m record.Message) (*Refusal, error) {
	seal, malformed := record.ParseSeal(m.Headers)
	return k.check(ctx, gateway, seal, malformed, func(public ed25519.PublicKey) bool { return seal.VerifyCommandRequest(public, m.Key, m.Value) })
}

func (k *Keys) check(ctx context.Context, gateway string, seal record.Seal, malformed error, verify func(ed25519.PublicKey) bool) (*Refusal, error) {
	refuse := func(about string, reason store.Reason, format string, args ...any) (*Refusal, error) {
		return &Refusal{about, reason, fmt.Sprintf(format, args...)}, nil
	}
	if malformed != nil {
		return refuse(gateway, store.BadSignature, "%v", malformed)
	}
	if !seal.Signed() {
		return refuse(gateway, store.Unsigned, "there is no signature")
	}
	key, found, err := k.find(ctx, gateway, seal)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return refuse(gateway, store.UnknownKey, "key %s isn't enrolled", seal.KeyID)
	case !verify(key.PublicKey):
		return refuse(gateway, store.BadSignature, "the signature isn't that of key %s over this record", seal.KeyID)
	case key.Gateway != gateway:
		return refuse(key.Gateway, store.ForeignKey, "gateway %s wrote in the name of %q with key %s", key.Gateway, gateway, seal.KeyID)
	case key.Revoked():
		return refuse(gateway, store.RevokedKey, "key %s was revoked at %s by %s", seal.KeyID, key.RevokedAt.Time().Format(time.RFC3339), key.RevokedBy)
	}
	return nil, nil
}

// Save keeps the keys that were introduced since the last Confirm.
func (k *Keys) Save(t *store.Tx) error {
	for _, key := range k.fresh {
		if err := t.AddIntroducedKey(key); err != nil && !errors.Is(err, store.ErrKeyRevoked) {
			return err
		}
	}
	return nil
}

// Confirm says that the transaction of the last Save was committed, and returns
// the keys that it added.
func (k *Keys) Confirm() (added []store.GatewayKey) {
	added, k.fresh = k.fresh, nil
	return added
}

// Report logs keys that were added because they were introduced.
func Report(log *slog.Logger, added []store.GatewayKey) {
	for _, k := range added {
		log.Info("a gateway has a new key, introduced by the one before", "gateway", k.Gateway, "key_id", k.ID(), "introduced_by", k.IntroducedBy)
	}
}
