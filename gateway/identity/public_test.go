package identity

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry/record"
)

func TestPublicKeysOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.key")
	first := open(t, path)
	_, second := rotate(t, path)
	_, third := rotate(t, path)
	ids := func(keys []ed25519.PublicKey) (ids []record.KeyID) {
		for _, key := range keys {
			ids = append(ids, record.KeyIDOf(key))
		}
		return ids
	}
	// The first one was introduced by nobody, so the file doesn't have it.
	if keys, err := PublicKeys(path); err != nil || !slices.Equal(ids(keys), []record.KeyID{third.KeyID(), second.KeyID()}) {
		t.Errorf("keys %v, %v", ids(keys), err)
	}
	public := record.FormatPublicKey(first.PublicKey())
	for name, text := range map[string]string{"alone": public + "\n", "as printed": fmt.Sprintf("gateway: gw\nkey_id: %s\npublic_key: %s\n# more\n", first.KeyID(), public)} {
		if err := os.WriteFile(path+".pub", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if keys, err := PublicKeys(path + ".pub"); err != nil || !slices.Equal(ids(keys), []record.KeyID{first.KeyID()}) {
			t.Errorf("%s: keys %v, %v", name, ids(keys), err)
		}
	}
	if err := os.WriteFile(path+".none", []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := PublicKeys(path + ".none"); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("no key: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := PublicKeys(path); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("a private key that others can read: %v", err)
	}
}

func FuzzPrintedKey(f *testing.F) {
	f.Add("public_key: " + record.FormatPublicKey(make([]byte, ed25519.PublicKeySize)))
	f.Fuzz(func(t *testing.T, text string) {
		if key := printedKey(text); key != nil && len(key) != ed25519.PublicKeySize {
			t.Errorf("a key of %d bytes", len(key))
		}
	})
}
