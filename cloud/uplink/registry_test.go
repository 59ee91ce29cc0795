package uplink

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

func opened(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "busbar.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func messageOf(r *kgo.Record) record.Message {
	m := record.Message{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, record.Header(h))
	}
	return m
}

// A gateway with a valid key can't put its signal table where another's stands: the
// log would delete that one when it is compacted.
func TestABirthIsLetInUnderItsOwnersKeyAlone(t *testing.T) {
	s := opened(t)
	identitytest.Enrol(t, s, "victim", "other")
	topics := record.TopicsOf("")
	registry := NewRegistry(s, topics)
	birth := func(gateway, key, by, header string) record.Message {
		b := record.Birth{Gateway: gateway, Table: "000000000000abcd", Version: 1, Parts: 1, Signals: []telemetry.Signal{{ID: 1, Device: "d", Name: "n"}}}
		value, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if key == "" {
			key = b.Key()
		}
		return messageOf(identitytest.SignWith(identitytest.Key(by), &kgo.Record{Topic: topics.Births(), Key: []byte(key), Value: value,
			Headers: []kgo.RecordHeader{{Key: "gateway", Value: []byte(header)}}}))
	}
	if gateway, err := registry.Admit(t.Context(), topics.Births(), birth("victim", "", "victim", "victim")); gateway != "victim" || err != nil {
		t.Errorf("its own: %s, %v", gateway, err)
	}
	for name, m := range map[string]record.Message{
		"in the name of another":          birth("victim", "", "other", "other"),
		"its own under another's key":     birth("other", "victim/000000000000abcd/1/0", "other", "other"),
		"another's header":                birth("victim", "", "other", "victim"),
		"no birth":                        {Key: []byte("other/000000000000abcd/1/0"), Headers: birth("other", "", "other", "other").Headers, Value: []byte("{}")},
		"its own, signed under another's": birth("other", "", "victim", "other"),
	} {
		if _, err := registry.Admit(t.Context(), topics.Births(), m); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that was only ever known by the word of one that is revoked by now isn't let
// in any more.
func TestARevocationReachesKeysThatNobodyElseKnows(t *testing.T) {
	s := opened(t)
	identitytest.Enrol(t, s, "gw")
	topics := record.TopicsOf("")
	registry := NewRegistry(s, topics)
	r := record.Record{Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry}, Format: record.FormatBlock, Payload: []byte("x")}
	next := identitytest.Key("next")
	r.Sign(next)
	r.Introductions = []record.Introduction{record.Introduce(identitytest.Key("gw"), "gw", identitytest.Public(next))}
	if _, err := registry.Admit(t.Context(), topics.Telemetry(), r.Message()); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeKey(t.Context(), "gw", record.KeyIDOf(identitytest.Public(identitytest.Key("gw"))), "Ana", "stolen", telemetry.MicrosOf(time.Now())); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := registry.Admit(t.Context(), topics.Telemetry(), r.Message())
		if errors.Is(err, ErrRefused) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is let in still: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
