package keyfile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/busbar/busbar/telemetry/record"
)

// Key is a private key and what introduces it: the words of the keys before it,
// oldest first.
type Key struct {
	Private       ed25519.PrivateKey
	Introductions []record.Introduction
}

// introductionBlock is the PEM block of each introduction that leads to the key,
// oldest first, behind the key in its file.
const introductionBlock = "BUSBAR KEY INTRODUCTION"

// Public is what others check the key's signatures with.
func (k Key) Public() ed25519.PublicKey { return k.Private.Public().(ed25519.PublicKey) }

// ID names the key.
func (k Key) ID() record.KeyID { return record.KeyIDOf(k.Public()) }

// Introducing is what leads to this key or one before it, none if that is the oldest
// one known.
func (k Key) Introducing(id record.KeyID) []record.Introduction {
	for n, one := range k.Introductions {
		if one.KeyID() == id {
			return k.Introductions[:n+1]
		}
	}
	return nil
}

// Encode is the key's file.
func (k Key) Encode() []byte {
	text := Encode(k.Private)
	for _, one := range k.Introductions {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: introductionBlock, Bytes: one.Append(nil)})...)
	}
	return text
}

// ParseKey reads what Encode wrote. Whether the introductions are signed as they
// should be is for those to see whom they are shown.
func ParseKey(text []byte) (Key, error) {
	private, rest, err := Decode(text)
	if err != nil {
		return Key{}, err
	}
	k := Key{Private: private}
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != introductionBlock {
			return Key{}, fmt.Errorf("something that is no PEM block %s follows the key", introductionBlock)
		}
		var one record.Introduction
		if err := one.UnmarshalBinary(block.Bytes); err != nil {
			return Key{}, err
		}
		if n := len(k.Introductions); n > 0 && k.Introductions[n-1].KeyID() != one.By {
			return Key{}, errors.New("an introduction is missing among the others")
		}
		k.Introductions = append(k.Introductions, one)
	}
	if n := len(k.Introductions); n > record.MaxIntroductions || n > 0 && k.Introductions[n-1].KeyID() != k.ID() {
		return Key{}, fmt.Errorf("its %d introductions don't lead to the key", n)
	}
	return k, nil
}

// ReadKey reads the key in a file, and refuses one that others can read. The error is
// fs.ErrNotExist if there is none.
func ReadKey(path string) (Key, error) {
	text, err := Read(path)
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("%s is no key: %w", path, err)
	}
	return k, nil
}

// OpenKey is ReadKey, and makes a key if the file is missing; made reports which. What
// is there is never replaced.
func OpenKey(path string) (k Key, made bool, err error) {
	k, err = ReadKey(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	if k, err = generate(); err != nil {
		return Key{}, false, err
	}
	switch err = Create(path, k.Encode()); {
	case errors.Is(err, fs.ErrExist): // another process was faster
		k, err = ReadKey(path)
		return k, false, err
	case err != nil:
		return Key{}, false, fmt.Errorf("make the key %s: %w", path, err)
	}
	return k, true, nil
}

func generate() (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	return Key{Private: private}, nil
}

// RotateKey puts a new key of whoever subject is into a file, introduced by the one
// that is there. A process that is killed meanwhile leaves one of the two, whole.
func RotateKey(path, subject string) (before, after Key, err error) {
	if before, err = ReadKey(path); err != nil {
		return Key{}, Key{}, err
	}
	if after, err = generate(); err != nil {
		return Key{}, Key{}, err
	}
	after.Introductions = append(slices.Clone(before.Introductions), record.Introduce(before.Private, subject, after.Public()))
	if n := len(after.Introductions); n > record.MaxIntroductions {
		after.Introductions = after.Introductions[n-record.MaxIntroductions:]
	}
	if err := Replace(path, after.Encode()); err != nil {
		return Key{}, Key{}, fmt.Errorf("replace the key %s: %w", path, err)
	}
	return before, after, nil
}
