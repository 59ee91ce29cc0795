package keyfile

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAKeyIsMadeOnceForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "command.key")
	var made [8]string
	var running sync.WaitGroup
	for i := range made {
		running.Go(func() {
			key, _, err := OpenKey(path)
			if err != nil {
				t.Error(err)
			}
			made[i] = string(key.Private)
		})
	}
	running.Wait()
	for _, key := range made {
		if key != made[0] {
			t.Fatal("two keys were made")
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAFileThatIsntTheOwnersKeyIsRefusedAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "command.key")
	if _, _, err := OpenKey(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"doesn't begin with": "nothing", "follows the key": string(good) + "more", "is no key": strings.Repeat("x", maxFile+1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenKey(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%s: it was replaced: %v", want, err)
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenKey(path); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("one that its group can read: %v", err)
	}
}

func TestAKeyFollowsAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "command.key")
	first, made, err := OpenKey(path)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	before, after, err := RotateKey(path, "somebody")
	if err != nil || before.ID() != first.ID() || after.ID() == first.ID() || len(after.Introductions) != 1 {
		t.Fatalf("%v, %v, %d introductions, %v", before.ID(), after.ID(), len(after.Introductions), err)
	}
	if word := after.Introductions[0]; !word.Verify(first.Public(), "somebody") || word.Verify(first.Public(), "somebody else") || word.KeyID() != after.ID() {
		t.Error("the old key doesn't introduce the new one")
	}
	if k, made, err := OpenKey(path); err != nil || made || k.ID() != after.ID() || len(k.Introducing(k.ID())) != 1 || k.Introducing(first.ID()) != nil {
		t.Errorf("%v, %v, %v", k.ID(), made, err)
	}
}

func FuzzParseKey(f *testing.F) {
	path := filepath.Join(f.TempDir(), "key")
	if _, _, err := OpenKey(path); err != nil {
		f.Fatal(err)
	}
	for range 3 {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		if _, _, err := RotateKey(path, "gw"); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKey(text)
		if err != nil {
			return
		}
		again, err := ParseKey(k.Encode())
		if err != nil || !again.Private.Equal(k.Private) || len(again.Introductions) != len(k.Introductions) {
			t.Errorf("%q is read again as something else: %v", text, err)
		}
	})
}
