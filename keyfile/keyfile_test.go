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
			key, err := Open(path)
			if err != nil {
				t.Error(err)
			}
			made[i] = string(key)
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
	if _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"doesn't begin with": "nothing", "something follows": string(good) + "more", "is no key": strings.Repeat("x", maxFile+1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
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
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("one that its group can read: %v", err)
	}
}
