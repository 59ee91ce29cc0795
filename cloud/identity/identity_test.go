package identity

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func newStore(t *testing.T, gateways ...string) *store.Store {
	t.Helper()
	s := storetest.Open(t)
	identitytest.Enrol(t, s, gateways...)
	return s
}

func revoke(t *testing.T, s *store.Store, gateway string, key ed25519.PrivateKey) {
	t.Helper()
	id := record.KeyIDOf(identitytest.Public(key))
	if err := s.RevokeKey(t.Context(), gateway, id, "Ana", "stolen", telemetry.MicrosOf(time.Now())); err != nil {
		t.Fatal(err)
	}
}

func recordOf(gateway string) record.Record {
	return record.Record{Identity: record.Identity{Gateway: gateway, Epoch: 1, Stream: record.Telemetry, Last: 9},
		Format: record.FormatBlock, Payload: []byte("payload")}
}

func signed(gateway string, key ed25519.PrivateKey, introductions ...record.Introduction) record.Record {
	r := recordOf(gateway)
	r.Sign(key)
	r.Introductions = introductions
	return r
}

// judge is the reason for which the keys refuse a record, "" if they don't.
func judge(t *testing.T, k *Keys, r record.Record) store.Reason {
	t.Helper()
	refusal, err := k.Record(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if refusal == nil {
		return ""
	}
	if refusal.Gateway == "" || refusal.Detail == "" {
		t.Errorf("%+v says too little", refusal)
	}
	return refusal.Reason
}

func commit(t *testing.T, s *store.Store, k *Keys) (added []store.GatewayKey) {
	t.Helper()
	if err := s.Write(t.Context(), k.Save); err != nil {
		t.Fatal(err)
	}
	return k.Confirm()
}

func TestOnlyTheGatewaysOwnKeyIsAccepted(t *testing.T) {
	s := newStore(t, "gw-1", "gw-2", "gw-3")
	revoke(t, s, "gw-3", identitytest.Key("gw-3"))
	tampered := signed("gw-1", identitytest.Key("gw-1"))
	tampered.Payload = []byte("another payload")
	renamed := signed("gw-2", identitytest.Key("gw-2"))
	renamed.Gateway = "gw-1"
	claimed := signed("gw-2", identitytest.Key("gw-2"))
	claimed.KeyID = record.KeyIDOf(identitytest.Public(identitytest.Key("gw-1")))
	for what, c := range map[string]struct {
		record    record.Record
		malformed error
		want      store.Reason
		about     string
	}{
		"its own":                          {signed("gw-1", identitytest.Key("gw-1")), nil, "", ""},
		"no signature":                     {recordOf("gw-1"), nil, store.Unsigned, "gw-1"},
		"a malformed one":                  {recordOf("gw-1"), fmt.Errorf("%w: short", record.ErrSeal), store.BadSignature, "gw-1"},
		"a key that nobody knows":          {signed("gw-1", identitytest.Key("x")), nil, store.UnknownKey, "gw-1"},
		"a gateway that nobody knows":      {signed("x", identitytest.Key("x")), nil, store.UnknownKey, "x"},
		"another payload":                  {tampered, nil, store.BadSignature, "gw-1"},
		"another gateway's record renamed": {renamed, nil, store.BadSignature, "gw-1"},
		"another key's signature":          {claimed, nil, store.BadSignature, "gw-2"},
		"another gateway's key":            {signed("gw-1", identitytest.Key("gw-2")), nil, store.ForeignKey, "gw-2"},
		"a revoked key":                    {signed("gw-3", identitytest.Key("gw-3")), nil, store.RevokedKey, "gw-3"},
	} {
		k := NewKeys(s)
		refusal, err := k.Record(t.Context(), c.record, c.malformed)
		switch {
		case err != nil:
			t.Errorf("%s: %v", what, err)
		case c.want == "" && refusal != nil:
			t.Errorf("%s: %+v", what, refusal)
		case c.want != "" && (refusal == nil || refusal.Reason != c.want || refusal.Gateway != c.about || refusal.Detail == ""):
			t.Errorf("%s: %+v, want %s of %s", what, refusal, c.want, c.about)
		}
	}
}

func TestBirthsAreCheckedUnderTheirKey(t *testing.T) {
	s := newStore(t, "gw-1", "gw-2")
	k := NewKeys(s)
	key, value := []byte("gw-1/t/1/0"), []byte("{}")
	own := record.SignBirth(identitytest.Key("gw-1"), key, value)
	foreign := record.SignBirth(identitytest.Key("gw-2"), key, value)
	for what, c := range map[string]struct {
		headers []record.Header
		key     string
		want    store.Reason
	}{
		"its own":         {own.Headers(), string(key), ""},
		"another key":     {own.Headers(), "gw-1/t/2/0", store.BadSignature},
		"another gateway": {foreign.Headers(), string(key), store.ForeignKey},
		"none":            {nil, string(key), store.Unsigned},
		"half a one":      {own.Headers()[:1], string(key), store.BadSignature},
	} {
		refusal, err := k.Birth(t.Context(), "gw-1", c.headers, []byte(c.key), value)
		if err != nil || (refusal == nil) != (c.want == "") || refusal != nil && refusal.Reason != c.want {
			t.Errorf("%s: %+v, %v", what, refusal, err)
		}
	}
}

func TestEnrolmentAndRevocationAreNoticed(t *testing.T) {
	s := newStore(t)
	k := NewKeys(s)
	r := signed("gw", identitytest.Key("gw"))
	if reason := judge(t, k, r); reason != store.UnknownKey {
		t.Fatalf("before it is enrolled: %q", reason)
	}
	identitytest.Enrol(t, s, "gw")
	if reason := judge(t, k, r); reason != "" {
		t.Fatalf("enrolled: %q", reason)
	}
	revoke(t, s, "gw", identitytest.Key("gw"))
	revoked := time.Now()
	for judge(t, k, r) == "" {
		if time.Since(revoked) > 10*reread {
			t.Fatal("the revocation isn't noticed")
		}
		time.Sleep(time.Millisecond)
	}
	if reason := judge(t, k, r); reason != store.RevokedKey {
		t.Errorf("revoked: %q", reason)
	}
}

func introduce(gateway, old, next string) record.Introduction {
	return record.Introduce(identitytest.Key(old), gateway, identitytest.Public(identitytest.Key(next)))
}

func TestIntroductions(t *testing.T) {
	forged := introduce("gw", "k0", "k1")
	forged.Signature[5] ^= 1
	for what, c := range map[string]struct {
		signer  string
		revoked string
		chain   []record.Introduction
		want    store.Reason
		added   int
	}{
		"one step":                          {"k1", "", []record.Introduction{introduce("gw", "k0", "k1")}, "", 1},
		"two steps":                         {"k2", "", []record.Introduction{introduce("gw", "k0", "k1"), introduce("gw", "k1", "k2")}, "", 2},
		"from the one that is known":        {"k1", "", []record.Introduction{introduce("gw", "older", "k0"), introduce("gw", "k0", "k1")}, "", 1},
		"by a revoked key":                  {"k1", "k0", []record.Introduction{introduce("gw", "k0", "k1")}, store.UnknownKey, 0},
		"by an unknown key":                 {"k1", "", []record.Introduction{introduce("gw", "x", "k1")}, store.UnknownKey, 0},
		"by another gateway's key":          {"k1", "", []record.Introduction{introduce("gw", "other", "k1")}, store.UnknownKey, 0},
		"for another gateway":               {"k1", "", []record.Introduction{introduce("other", "k0", "k1")}, store.UnknownKey, 0},
		"by itself":                         {"k1", "", []record.Introduction{introduce("gw", "k1", "k1")}, store.UnknownKey, 0},
		"of another key":                    {"k2", "", []record.Introduction{introduce("gw", "k0", "k1")}, store.UnknownKey, 1},
		"forged":                            {"k1", "", []record.Introduction{forged}, store.UnknownKey, 0},
		"in the wrong order":                {"k2", "", []record.Introduction{introduce("gw", "k1", "k2"), introduce("gw", "k0", "k1")}, store.UnknownKey, 1},
		"of a key that is another's":        {"other", "", []record.Introduction{introduce("gw", "k0", "other")}, store.ForeignKey, 0},
		"of a revoked key don't make it be": {"k0", "k0", []record.Introduction{introduce("gw", "k00", "k0")}, store.RevokedKey, 0},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t, "other")
			for _, key := range []string{"k0", "k00"} {
				if _, err := s.EnrolKey(t.Context(), store.GatewayKey{Gateway: "gw", PublicKey: identitytest.Public(identitytest.Key(key))}); err != nil {
					t.Fatal(err)
				}
			}
			if c.revoked != "" {
				revoke(t, s, "gw", identitytest.Key(c.revoked))
			}
			k := NewKeys(s)
			r := signed("gw", identitytest.Key(c.signer), c.chain...)
			if reason := judge(t, k, r); reason != c.want {
				t.Errorf("%q, want %q", reason, c.want)
			}
			if added := commit(t, s, k); len(added) != c.added {
				t.Errorf("%d keys were added, want %d", len(added), c.added)
			}
			if c.want != "" {
				return
			}
			// Whoever begins anew knows the key without being introduced, and who was
			// introduced by whom is kept.
			r.Introductions = nil
			if reason := judge(t, NewKeys(s), r); reason != "" {
				t.Errorf("afterwards: %q", reason)
			}
			keys, err := s.GatewayKeys(t.Context())
			if err != nil || len(keys) != 3+c.added {
				t.Fatalf("%+v, %v", keys, err)
			}
			for _, key := range keys {
				if introduced := key.IntroducedBy != (record.KeyID{}); introduced != (key.AddedBy == "gateway gw") {
					t.Errorf("%+v", key)
				}
			}
		})
	}
}

// A key whose introducer was revoked between the judgement and the transaction
// isn't added, and what it signed isn't stored.
func TestIntroducerRevokedMeanwhile(t *testing.T) {
	s := newStore(t, "gw")
	k := NewKeys(s)
	if reason := judge(t, k, signed("gw", identitytest.Key("k1"), introduce("gw", "gw", "k1"))); reason != "" {
		t.Fatal(reason)
	}
	revoke(t, s, "gw", identitytest.Key("gw"))
	if err := s.Write(t.Context(), k.Save); !errors.Is(err, store.ErrNotIntroduced) {
		t.Errorf("%v", err)
	}
	if keys, err := s.GatewayKeys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("%+v, %v", keys, err)
	}
}

// Two consumers that meet the same key add it once.
func TestTwoConsumersMeetTheSameKey(t *testing.T) {
	s := newStore(t, "gw")
	a, b := NewKeys(s), NewKeys(s)
	r := signed("gw", identitytest.Key("k1"), introduce("gw", "gw", "k1"))
	for _, k := range []*Keys{a, b} {
		if reason := judge(t, k, r); reason != "" {
			t.Fatal(reason)
		}
	}
	commit(t, s, a)
	commit(t, s, b)
	if keys, err := s.GatewayKeys(t.Context()); err != nil || len(keys) != 2 {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestIntroductionsEndSomewhere(t *testing.T) {
	s := newStore(t, "gw")
	k := NewKeys(s)
	refused := 0
	for i := range mostIntroduced + 10 {
		name := fmt.Sprint("k", i)
		if judge(t, k, signed("gw", identitytest.Key(name), introduce("gw", "gw", name))) != "" {
			refused++
		}
	}
	if refused != 10 || len(commit(t, s, k)) != mostIntroduced {
		t.Errorf("%d of %d keys were refused", refused, mostIntroduced+10)
	}
}

func TestADatabaseThatFailsRefusesNothing(t *testing.T) {
	s := newStore(t, "gw")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refusal, err := NewKeys(s).Record(ctx, signed("gw", identitytest.Key("gw")), nil)
	if refusal != nil || err == nil || !strings.Contains(err.Error(), "keys") {
		t.Errorf("%+v, %v", refusal, err)
	}
}

// A request for commands is let in by the keys that records are taken by, and by
// no other signature of theirs.
func TestRequestsForCommandsAreOfTheGateway(t *testing.T) {
	s := newStore(t, "gw-1", "gw-2", "gw-3")
	revoke(t, s, "gw-3", identitytest.Key("gw-3"))
	next := identitytest.Key("next")
	request := func(gateway string, sign func(logKey, value []byte) record.Seal) record.Message {
		m, err := record.CommandRequest{Gateway: gateway, Time: 1}.Message(sign)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	by := func(key ed25519.PrivateKey, introductions ...record.Introduction) func(logKey, value []byte) record.Seal {
		return func(logKey, value []byte) record.Seal {
			seal := record.SignCommandRequest(key, logKey, value)
			seal.Introductions = introductions
			return seal
		}
	}
	for what, c := range map[string]struct {
		message record.Message
		want    store.Reason
	}{
		"its own":                 {request("gw-1", by(identitytest.Key("gw-1"))), ""},
		"one that it introduces":  {request("gw-1", by(next, record.Introduce(identitytest.Key("gw-1"), "gw-1", identitytest.Public(next)))), ""},
		"no signature":            {request("gw-1", func(_, _ []byte) record.Seal { return record.Seal{} }), store.Unsigned},
		"that of a birth":         {request("gw-1", func(k, v []byte) record.Seal { return record.SignBirth(identitytest.Key("gw-1"), k, v) }), store.BadSignature},
		"another gateway's key":   {request("gw-1", by(identitytest.Key("gw-2"))), store.ForeignKey},
		"a key that nobody knows": {request("gw-1", by(identitytest.Key("x"))), store.UnknownKey},
		"a revoked key":           {request("gw-3", by(identitytest.Key("gw-3"))), store.RevokedKey},
	} {
		refusal, err := NewKeys(s).Request(t.Context(), string(c.message.Key), c.message)
		if err != nil {
			t.Fatal(err)
		}
		if got := (refusal != nil); got != (c.want != "") || got && refusal.Reason != c.want {
			t.Errorf("%s: %+v, want %q", what, refusal, c.want)
		}
	}
}
