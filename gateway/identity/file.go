package identity

import (
	"bytes"
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

	"github.com/busbar/busbar/telemetry/record"
)

// The blocks of a key's file: the private key in PKCS #8, and the introductions
// that lead to it, oldest first.
const (
	privateKeyBlock   = "PRIVATE KEY"
	introductionBlock = "BUSBAR KEY INTRODUCTION"
)

// maxFile is more than any key's file has.
const maxFile = 64 << 10

func read(path, gateway string) (*Identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("identity: read the key: %w", err)
	}
	if others := info.Mode().Perm() & 0o077; others != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("identity: the key %s has mode %04o, so that others than its owner can use it: make another one with rotate-key if somebody may have read it, then chmod 600 %s",
			path, info.Mode().Perm(), path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("identity: %s is no gateway's key: %d bytes", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("identity: read the key: %w", err)
	}
	i, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("identity: %s is no gateway's key: %w", path, err)
	}
	i.gateway = gateway
	return i, nil
}

func parse(text []byte) (*Identity, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != privateKeyBlock {
		return nil, fmt.Errorf("it doesn't begin with a PEM block %s", privateKeyBlock)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T, not an ed25519 key", key)
	}
	i := &Identity{private: private}
	for len(bytes.TrimSpace(rest)) > 0 {
		if block, rest = pem.Decode(rest); block == nil || block.Type != introductionBlock {
			return nil, fmt.Errorf("something that is no PEM block %s follows the key", introductionBlock)
		}
		var one record.Introduction
		if err := one.UnmarshalBinary(block.Bytes); err != nil {
			return nil, err
		}
		if n := len(i.introductions); n > 0 && i.introductions[n-1].KeyID() != one.By {
			return nil, errors.New("an introduction is missing among the others")
		}
		i.introductions = append(i.introductions, one)
	}
	if n := len(i.introductions); n > record.MaxIntroductions || n > 0 && i.introductions[n-1].KeyID() != i.KeyID() {
		return nil, fmt.Errorf("its %d introductions don't lead to the key", n)
	}
	return i, nil
}

func (i *Identity) encode() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(i.private)
	if err != nil {
		panic(err) // an ed25519 key always can be
	}
	text := pem.EncodeToMemory(&pem.Block{Type: privateKeyBlock, Bytes: der})
	for _, one := range i.introductions {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: introductionBlock, Bytes: one.Append(nil)})...)
	}
	return text
}

// create makes the file, whole and on disk or not at all; fs.ErrExist if there
// is one.
func create(path string, text []byte) error {
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

// replace puts the file in the place of the one that is there.
func replace(path string, text []byte) error {
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
