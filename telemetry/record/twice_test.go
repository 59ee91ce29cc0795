package record

import (
	"bytes"
	"crypto/ed25519"
	"testing"
)

// Who takes the first of two headers would read another record than who takes the last.
func TestNoHeaderIsThereTwice(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	r := Record{Identity: Identity{Gateway: "gw", Epoch: 1, Stream: Telemetry, First: 1, Last: 2}, Format: FormatBlock, Payload: []byte("x")}
	r.Sign(key)
	r.Introductions = []Introduction{Introduce(key, "gw", public(key))}
	headers := r.Headers()
	if _, err := ParseHeaders(headers, r.Payload); err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		if _, err := ParseHeaders(append(headers[:len(headers):len(headers)], h), r.Payload); err == nil {
			t.Errorf("%s twice passes", h.Key)
		}
	}
}
