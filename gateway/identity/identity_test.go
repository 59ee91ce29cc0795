package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry/record"
)

const rotatingChild = "BUSBAR_TEST_ROTATING_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(rotatingChild); path != "" {
		for {
			if _, _, err := Rotate(path, "gw"); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

func open(t *testing.T, path string) *Identity {
	t.Helper()
	i, _, err := Open(path, "gw")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func rotate(t *testing.T, path string) (before, after *Identity) {
	t.Helper()
	before, after, err := Rotate(path, "gw")
	if err != nil {
		t.Fatal(err)
	}
	return before, after
}

func telemetryRecord(n uint64) record.Record {
	return record.Record{Identity: record.Identity{Gateway: "gw", Stream: record.Telemetry, First: n, Last: n}, Format: record.FormatBlock}
}

func TestTheKeyIsMadeOnceForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buffer", "gateway.key")
	var mu sync.Mutex
	keys, makers := map[record.KeyID]bool{}, 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			i, made, err := Open(path, "gw")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			keys[i.KeyID()] = true
			if made {
				makers++
			}
		})
	}
	all.Wait()
	if len(keys) != 1 || makers != 1 {
		t.Errorf("%d processes at once made %d keys, and have %d", 8, makers, len(keys))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

func TestWhatIsNoUsableKeyIsRefusedAndKept(t *testing.T) {
	good := open(t, filepath.Join(t.TempDir(), "key")).key.Encode()
	_, after := rotate(t, func() string {
		path := filepath.Join(t.TempDir(), "key")
		open(t, path)
		rotate(t, path)
		return path
	}())
	introductions := after.key.Encode()[len(good):]
	half := len(introductions) / 2
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		text []byte
		mode os.FileMode
		want string
	}{
		"readable by a group":     {good, 0o640, "mode 0640"},
		"readable by all":         {good, 0o604, "mode 0604"},
		"empty":                   {nil, 0o600, "PRIVATE KEY"},
		"cut short":               {good[:len(good)-10], 0o600, "PRIVATE KEY"},
		"another kind of key":     {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600, "ed25519"},
		"something behind it":     {append(bytes.Clone(good), "x"...), 0o600, "follows the key"},
		"introductions of others": {append(bytes.Clone(good), introductions...), 0o600, "lead to the key"},
		"introductions cut short": {after.key.Encode()[:len(good)+half], 0o600, "lead to the key"},
		"an introduction missing": {append(bytes.Clone(after.key.Encode()[:len(good)]), introductions[half:]...), 0o600, ""},
		"introductions reordered": {append(append(bytes.Clone(after.key.Encode()[:len(good)]), introductions[half:]...), introductions[:half]...), 0o600, "missing among"},
		"very long":               {make([]byte, 64<<10+1), 0o600, "bytes"},
	} {
		path := filepath.Join(t.TempDir(), "gateway.key")
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, made, err := Open(path, "gw")
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if made || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
		if text, err := os.ReadFile(path); err != nil || !bytes.Equal(text, c.text) {
			t.Errorf("%s: the file was changed", what)
		}
	}
	if _, _, err := Rotate(filepath.Join(t.TempDir(), "gateway.key"), "gw"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key that isn't there was rotated: %v", err)
	}
}

func TestSignsOnlyItsOwnGatewaysRecords(t *testing.T) {
	i := open(t, filepath.Join(t.TempDir(), "key"))
	r := telemetryRecord(1)
	if err := i.Sign(&r); err != nil || !r.Verify(i.PublicKey()) {
		t.Errorf("%v, %+v", err, r)
	}
	r.Gateway = "other"
	if err := i.Sign(&r); err == nil {
		t.Error("another gateway's record was signed")
	}
	if s := i.SignBirth([]byte("key"), []byte("value")); !s.VerifyBirth(i.PublicKey(), []byte("key"), []byte("value")) {
		t.Errorf("%+v", s)
	}
}

// Whatever the number of rotations, what leads from each key to the next goes
// with what the next one signed, and with nothing else.
func TestEachKeysRecordsCarryWhatLeadsToIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	i := open(t, path)
	keys := []*Identity{i}
	var signed []record.Record
	sign := func() {
		r := telemetryRecord(uint64(len(signed)))
		if err := i.Sign(&r); err != nil {
			t.Fatal(err)
		}
		signed = append(signed, r)
	}
	sign()
	const rotations = record.MaxIntroductions + 2
	for range rotations {
		_, i = rotate(t, path)
		keys = append(keys, i)
		sign()
	}
	i = open(t, path)
	if i.KeyID() != keys[rotations].KeyID() || len(i.key.Introductions) != record.MaxIntroductions {
		t.Fatalf("%d introductions", len(i.key.Introductions))
	}
	for n, r := range signed {
		if ready, err := i.Prepare(&r); err != nil || !ready || !r.Verify(keys[n].PublicKey()) {
			t.Fatalf("record %d: %v", n, err)
		}
		known := max(0, rotations-record.MaxIntroductions) // the oldest key that introduces
		if want := max(0, n-known); len(r.Introductions) != want {
			t.Errorf("record %d has %d introductions, want %d", n, len(r.Introductions), want)
		}
		for m, one := range r.Introductions {
			if !one.Verify(keys[known+m].PublicKey(), "gw") || one.KeyID() != keys[known+m+1].KeyID() {
				t.Errorf("record %d, introduction %d is wrong", n, m)
			}
		}
	}
	if s := i.SignBirth(nil, nil); len(s.Introductions) != record.MaxIntroductions {
		t.Errorf("a birth has %d introductions", len(s.Introductions))
	}
}

func TestRecordsOfAnEarlierVersionAreSignedWhenTheyAreSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	open(t, path)
	_, i := rotate(t, path)
	r := telemetryRecord(1)
	if ready, err := i.Prepare(&r); err != nil || !ready || !r.Verify(i.PublicKey()) || len(r.Introductions) != 1 {
		t.Errorf("%v, %+v", err, r)
	}
}

// A process that is killed while it rotates leaves a key, whole, that the one
// before has introduced.
func TestKilledWhileRotating(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	known := map[record.KeyID]bool{open(t, path).KeyID(): true}
	rotations := 0
	for range 30 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), rotatingChild+"="+path)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { child.Process.Kill() })
		before := open(t, path).KeyID()
		for deadline := time.Now().Add(30 * time.Second); open(t, path).KeyID() == before; {
			if time.Now().After(deadline) {
				t.Fatal("nothing is rotated")
			}
		}
		time.Sleep(time.Duration(mathrand.IntN(3000)) * time.Microsecond) // what it does until then isn't awaited, it is cut
		child.Process.Kill()
		child.Wait()
		i := open(t, path)
		r := telemetryRecord(1)
		if err := i.Sign(&r); err != nil || !r.Verify(i.PublicKey()) {
			t.Fatalf("%v", err)
		}
		if !known[i.KeyID()] {
			rotations++
		}
		known[i.KeyID()] = true
	}
	if rotations < 30 {
		t.Errorf("only %d of 30 processes rotated", rotations)
	}
	// What they left beside it goes with time.
	old := time.Now().Add(-2 * time.Hour)
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.new"))
	for _, name := range append(left, filepath.Join(filepath.Dir(path), "key.1.new")) {
		os.WriteFile(name, nil, 0o600)
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	rotate(t, path)
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}
