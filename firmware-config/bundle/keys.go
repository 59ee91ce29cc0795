package bundle

import (
	"errors"
	"fmt"

	"aead.dev/minisign"
)

// Keys are those of which one must have signed a bundle: the one in use, and one that
// is kept away from it and takes its place should it get lost.
type Keys []minisign.PublicKey

// mostKeys bounds them, as each further one is one more that can be stolen.
const mostKeys = 2

// ParseKeys reads public keys, each in minisign's form with or without its comment.
func ParseKeys(texts ...string) (Keys, error) {
	if len(texts) == 0 || len(texts) > mostKeys {
		return nil, fmt.Errorf("%d keys: expected 1 or %d", len(texts), mostKeys)
	}
	var keys Keys
	for _, text := range texts {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("a public key: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

var errUnsigned = errors.New("no key that is trusted has signed it")

func (k Keys) verify(message, signature []byte) error {
	for _, key := range k {
		if minisign.Verify(key, message, signature) {
			return nil
		}
	}
	return errUnsigned
}
