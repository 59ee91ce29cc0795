package uplink

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Each request is signed and names what has been received, so that nothing comes
// twice; a refusal is an error.
func TestCommandsAreAskedForAndNamedOnce(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	f := newFar(t)
	var seen [][]string
	var ids []string
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, err := record.ReadMessage(r.Body)
		if err != nil || r.URL.Path != "/uplink/v1/commands" {
			t.Errorf("%s: %v", r.URL, err)
		}
		request, err := record.ParseCommandRequest(m)
		seal, sealErr := record.ParseSeal(m.Headers)
		if err != nil || sealErr != nil || request.Gateway != "gw" || request.Time != 42 || !seal.VerifyCommandRequest(key.Public().(ed25519.PublicKey), m.Key, m.Value) {
			t.Errorf("%+v, %v, %v", request, err, sealErr)
		}
		seen = append(seen, request.Seen)
		if len(seen) == 4 {
			return // with nothing, at once
		}
		if len(seen) == 3 {
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte(`{"error":"revoked"}`))
			return
		}
		var body []byte
		for range 80 {
			c := record.Command{ID: record.NewCommandID(), Gateway: "gw", Epoch: "000000000000001f", Kind: record.Ping, By: "Ana", Issued: 1, Expires: 2}
			ids = append(ids, c.ID)
			m, err := c.Message(key)
			if err == nil {
				body, err = m.AppendBinary(body)
			}
			if err != nil {
				t.Error(err)
			}
		}
		w.Write(body)
	})
	sign := func(logKey, value []byte) record.Seal { return record.SignCommandRequest(key, logKey, value) }
	c := f.connect(t).NewCommands("gw", sign, func() telemetry.Micros { return 42 })
	for range 2 {
		if messages, err := c.Receive(t.Context()); err != nil || len(messages) != 80 {
			t.Fatalf("%d messages, %v", len(messages), err)
		}
	}
	_, err := c.Receive(t.Context())
	var refusal *StatusError
	if !errors.As(err, &refusal) || refusal.Status != http.StatusForbidden || refusal.Text != "revoked" {
		t.Errorf("%v", err)
	}
	if _, err := c.Receive(t.Context()); !errors.Is(err, errTooSoon) {
		t.Errorf("nothing at once: %v", err)
	}
	if len(seen[0]) != 0 || !slices.Equal(seen[1], ids[:80]) || !slices.Equal(seen[2], ids[60:]) {
		t.Errorf("it says that it has seen %d, %d and %d commands", len(seen[0]), len(seen[1]), len(seen[2]))
	}
}
