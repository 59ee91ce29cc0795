package configfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	for _, text := range []string{"a: 1\n", "a: 2\n"} {
		if err := Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || string(got) != text || info.Mode() != 0o640 {
			t.Errorf("%q of mode %v, %v", got, info.Mode(), err)
		}
	}
	if err := Replace(filepath.Join(dir, "none", "a.yaml"), nil, 0o640); err == nil {
		t.Error("a directory that isn't there")
	}
	// What can't be put into its place is the caller's to remove, and what can't be
	// written leaves nothing.
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left, %v", left, err)
	}
}
