package buffer

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry/record"
)

// A record is good, of a key that isn't known, unsigned, or, with a content that its
// CRC agrees with but its signature doesn't, wrong.
func TestSignaturesAreChecked(t *testing.T) {
	key := func(n byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	}
	public := func(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }
	var sign func(*record.Record)
	dir := t.TempDir()
	b, err := Open(Options{Dir: dir, Gateway: "gw", Log: quiet, Sign: func(r *record.Record) error { sign(r); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"kind":"link-changed","time_us":1}`)
	for _, sign = range []func(*record.Record){
		func(r *record.Record) { r.Sign(key(1)) },
		func(r *record.Record) { r.Sign(key(1)) },
		func(*record.Record) {},
		func(r *record.Record) { r.Sign(key(2)) },
		func(r *record.Record) { r.Sign(key(3)) },
		func(r *record.Record) { r.Sign(key(1)); r.Signature[7]++ },
		func(r *record.Record) {
			r.Sign(key(1))
			r.Payload = bytes.Replace(r.Payload, []byte(`":1`), []byte(`":2`), 1)
		},
		func(r *record.Record) { r.Sign(key(3)); r.KeyID = record.KeyIDOf(public(1)) },
	} {
		if err := b.Events.Commit([]Item{{record.FormatEvent, payload, 1}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	i, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := i.Files[len(i.Files)-1]
	if f, err := i.Look(file, false); err != nil || f.Signatures != nil {
		t.Errorf("signatures are checked without being asked for: %+v, %v", f.Signatures, err)
	}
	if i, err = Inspect(dir); err != nil {
		t.Fatal(err)
	}
	i.CheckSignatures([]ed25519.PublicKey{public(1), public(2)})
	f, err := i.Look(file, false)
	if err != nil || f.Signatures == nil || *f.Signatures != (Signatures{Good: 3, Wrong: 3, Unsigned: 1, OtherKey: 1}) {
		t.Fatalf("%+v, %v", f.Signatures, err)
	}
	if len(f.Problems) != 3 || f.Problems[0].Place != "position 6" || !strings.Contains(f.Problems[0].What, "signature") {
		t.Errorf("problems %+v", f.Problems)
	}
}

func TestTheKeyBesideTheBufferIsFound(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	commit(t, b.Events, 1)
	b.Close()
	find := func(path string) string {
		i, err := Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		return i.KeyFile()
	}
	if path := find(dir); path != "" {
		t.Errorf("found %s", path)
	}
	want := filepath.Join(dir, "gateway.key")
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "events", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "events"), files[0]} {
		if got := find(path); got != want {
			t.Errorf("for %s: %q", path, got)
		}
	}
}
