// Package identitytest plays gateways' keys in tests: each gateway has one that
// follows from its name.
package identitytest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry/record"
)

// Key is the key of a gateway.
func Key(gateway string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(gateway))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Public is the public part of a key.
func Public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// Enrol lets gateways write with their keys.
func Enrol(t testing.TB, s *store.Store, gateways ...string) {
	t.Helper()
	for _, gateway := range gateways {
		if _, err := s.EnrolKey(t.Context(), store.GatewayKey{Gateway: gateway, PublicKey: Public(Key(gateway)), AddedAt: 1, AddedBy: "test"}); err != nil {
			t.Fatal(err)
		}
	}
}

// GatewayOf is the gateway of a record or birth, by its key in the log.
func GatewayOf(r *kgo.Record) string { return record.KeyGateway(r.Key) }

// Sign gives a record or birth the signature of its gateway.
func Sign(r *kgo.Record) *kgo.Record { return SignWith(Key(GatewayOf(r)), r) }

// SignWith gives a record or birth a signature by the key, in place of any that
// it has. One whose headers can't be read as a record's is signed as a birth.
func SignWith(key ed25519.PrivateKey, r *kgo.Record, introductions ...record.Introduction) *kgo.Record {
	r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool {
		return h.Key == "key_id" || h.Key == "signature" || h.Key == "introduced_by"
	})
	var headers []record.Header
	for _, h := range r.Headers {
		headers = append(headers, record.Header(h))
	}
	rec, err := record.ParseHeaders(headers, r.Value)
	if err == nil {
		rec.Sign(key)
	} else {
		rec.Seal = record.SignBirth(key, r.Key, r.Value)
	}
	rec.Introductions = introductions
	for _, h := range rec.Seal.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	return r
}
