package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/busbar/busbar/firmware-config/bundle"
)

func TestBundle(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"password": "secret\n", "files/kernel": "kernel", "files/overlays/a": "a"} {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret := password{PasswordFile: at("password")}
	if err := (bundleKeyCommand{secret, at("release.key")}).Run(); err != nil {
		t.Fatal(err)
	}
	if err := (bundleKeyCommand{Path: at("other.key")}).Run(); err != nil {
		t.Fatal(err)
	}
	create := bundleCreateCommand{Release: "1.2.3", Target: bundle.Pi, Key: at("release.key"), Output: at("new.bundle"), Dir: at("files")}
	if err := create.Run(); err == nil || !strings.Contains(err.Error(), "--password-file") {
		t.Errorf("without the password: %v", err)
	}
	if _, err := os.Stat(create.Output); err == nil {
		t.Error("it is there without a signature")
	}
	create.password = secret
	if err := create.Run(); err != nil {
		t.Fatal(err)
	}
	if err := (bundleVerifyCommand{[]string{at("other.key.pub"), at("release.key.pub")}, create.Output}).Run(); err != nil {
		t.Error(err)
	}
	if err := (bundleVerifyCommand{[]string{at("other.key.pub")}, create.Output}).Run(); err == nil || !strings.Contains(err.Error(), "signed") {
		t.Errorf("signed by somebody else: %v", err)
	}
}
