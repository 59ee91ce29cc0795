package record

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeyID names an ed25519 public key: the first 8 bytes of its SHA-256. The zero
// KeyID is of no key.
type KeyID [8]byte

// KeyIDOf is the name of a public key.
func KeyIDOf(public ed25519.PublicKey) KeyID {
	sum := sha256.Sum256(public)
	return KeyID(sum[:8])
}

func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// ParseKeyID reads what String wrote.
func ParseKeyID(s string) (k KeyID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) || hex.EncodeToString(b) != s {
		return k, fmt.Errorf("key id %q: want 16 hexadecimal digits in lower case", s)
	}
	return KeyID(b), nil
}

// FormatPublicKey writes a public key as one line that people can carry: its 32
// bytes in base64.
func FormatPublicKey(public ed25519.PublicKey) string {
	return base64.StdEncoding.EncodeToString(public)
}

// ParsePublicKey reads what FormatPublicKey wrote. Space around it doesn't
// count.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, errors.New("it is no public key of a gateway: want its 32 bytes in base64, 44 characters")
	}
	return b, nil
}
