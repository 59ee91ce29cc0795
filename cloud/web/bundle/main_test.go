package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestDistIsCurrent fails when dist isn't what the sources build to.
func TestDistIsCurrent(t *testing.T) {
	want, err := build("..")
	if err != nil {
		t.Fatal(err)
	}
	dist := filepath.Join("..", "dist")
	err = fs.WalkDir(os.DirFS(dist), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		got, err := os.ReadFile(filepath.Join(dist, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if built, ok := want[name]; !ok {
			t.Errorf("dist/%s is left over from an older build", name)
		} else if !bytes.Equal(got, built) {
			t.Errorf("dist/%s differs from what the sources build to", name)
		}
		delete(want, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("dist/%s is missing", name)
	}
	if t.Failed() {
		t.Log("run: go generate ./cloud/web")
	}
}
