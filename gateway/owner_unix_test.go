//go:build unix

package gateway

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Whoever may write beside the configuration gets nobody else's file by it.
func TestALinkGivesNothingAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := t.TempDir()
	target, link, theirs := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "theirs")
	for _, name := range []string{target, theirs} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(theirs, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameOwner(link, info); err != nil {
		t.Error(err)
	}
	if now, err := os.Stat(target); err != nil || now.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("%+v, %v", now, err)
	}
}
