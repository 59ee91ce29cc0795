package identity

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry/record"
)

// PublicKeys are those that a file tells of: of a gateway's key file, the key's and
// those of the keys before it that were introduced; of what busbar-gateway key
// prints, which anybody may read, the one that it names.
func PublicKeys(path string) ([]ed25519.PublicKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return nil, fmt.Errorf("identity: read %s: %w", path, err)
	}
	if key := printedKey(string(text)); key != nil {
		return []ed25519.PublicKey{key}, nil
	}
	if text, err = keyfile.Read(path); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	own, err := keyfile.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("identity: %s is neither a gateway's key nor a public key: %w", path, err)
	}
	keys := []ed25519.PublicKey{own.Public()}
	for _, one := range own.Introductions {
		if one.KeyID() != own.ID() {
			keys = append(keys, one.PublicKey[:])
		}
	}
	return keys, nil
}

// printedKey is the public key in what busbar-gateway key prints, or that alone;
// nil if there is none.
func printedKey(text string) ed25519.PublicKey {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "public_key:"))
		if key, err := record.ParsePublicKey([]byte(line)); err == nil {
			return key
		}
	}
	return nil
}
