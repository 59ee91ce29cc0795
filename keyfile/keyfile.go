// Package keyfile keeps private ed25519 keys in files that nobody but their
// owner can read, and lets one key follow another.
package keyfile

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// privateKeyBlock is the PEM block that a file begins with, in PKCS #8.
const privateKeyBlock = "PRIVATE KEY"

// maxFile is more than any key's file has.
const maxFile = 64 << 10

// Read reads a file, and refuses one that others can read. The error is
// fs.ErrNotExist if there is none.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if others := info.Mode().Perm() & 0o077 &^ lent(info); others != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the key %s has mode %04o, so that others than its owner can use it: replace it if somebody may have read it, then chmod 600 %s",
			path, info.Mode().Perm(), path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no key: %d bytes", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return text, nil
}

// Decode reads the key that a file begins with, and returns what follows it.
func Decode(text []byte) (key ed25519.PrivateKey, rest []byte, err error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != privateKeyBlock {
		return nil, nil, fmt.Errorf("it doesn't begin with a PEM block %s", privateKeyBlock)
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("it is a %T, not an ed25519 key", any)
	}
	return key, rest, nil
}

// Encode is the file of a key.
func Encode(key ed25519.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // an ed25519 key always can be
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateKeyBlock, Bytes: der})
}

// Create makes the file, whole and on disk or not at all; fs.ErrExist if there
// is one.
func Create(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	owner, err := os.Stat(dir)
	if err != nil {
		return err
	}
	return write(path, text, owner, os.Link)
}

// Replace puts the file in the place of the one that is there. A process that is
// killed meanwhile leaves one of the two, whole.
func Replace(path string, text []byte) error {
	owner, err := os.Stat(path)
	if err != nil {
		return err
	}
	return write(path, text, owner, os.Rename)
}

// write writes beside path and then puts the file in place.
func write(path string, text []byte, owner fs.FileInfo, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	removeLeftOver(path)
	f, err := os.CreateTemp(dir, temporary(path)) // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = giveTo(f, owner)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func temporary(path string) string { return filepath.Base(path) + ".*.new" }

// removeLeftOver removes what processes that were killed were writing.
func removeLeftOver(path string) {
	names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), temporary(path)))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(name)
		}
	}
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it can't be
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
