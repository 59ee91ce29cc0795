// Package identity is the key that a gateway signs with: its file, its
// signatures, and how one key follows another.
package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry/record"
)

// Identity is a gateway's key and what leads to it. It is safe for concurrent
// use.
type Identity struct {
	gateway string
	private ed25519.PrivateKey
	// introductions lead from the keys before to this one, oldest first.
	introductions []record.Introduction
}

// Open reads the key of a gateway from the file at path, and makes one if the
// file is missing; made reports which. It fails if others can read the file, or
// if it isn't a gateway's key: that is never replaced.
func Open(path, gateway string) (i *Identity, made bool, err error) {
	i, err = read(path, gateway)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return i, false, err
	}
	if i, err = generate(gateway); err != nil {
		return nil, false, err
	}
	switch err = keyfile.Create(path, i.encode()); {
	case errors.Is(err, fs.ErrExist): // another process was faster
		i, err = read(path, gateway)
		return i, false, err
	case err != nil:
		return nil, false, fmt.Errorf("identity: make the key %s: %w", path, err)
	}
	return i, true, nil
}

func generate(gateway string) (*Identity, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: make a key: %w", err)
	}
	return &Identity{gateway: gateway, private: private}, nil
}

// Rotate puts a new key, introduced by the one that is there, into the file at
// path. A gateway that runs signs with the old one until it is started again. A
// process that is killed meanwhile leaves one of the two keys, whole.
func Rotate(path, gateway string) (before, after *Identity, err error) {
	if before, err = read(path, gateway); err != nil {
		return nil, nil, err
	}
	if after, err = generate(gateway); err != nil {
		return nil, nil, err
	}
	after.introductions = append(slices.Clone(before.introductions), record.Introduce(before.private, gateway, after.PublicKey()))
	if n := len(after.introductions); n > record.MaxIntroductions {
		after.introductions = after.introductions[n-record.MaxIntroductions:]
	}
	if err := keyfile.Replace(path, after.encode()); err != nil {
		return nil, nil, fmt.Errorf("identity: replace the key %s: %w", path, err)
	}
	return before, after, nil
}

// Gateway is the gateway's id.
func (i *Identity) Gateway() string { return i.gateway }

// PublicKey is what others check the gateway's signatures with.
func (i *Identity) PublicKey() ed25519.PublicKey { return i.private.Public().(ed25519.PublicKey) }

// KeyID names the key.
func (i *Identity) KeyID() record.KeyID { return record.KeyIDOf(i.PublicKey()) }

// Sign signs a record that is about to be committed.
func (i *Identity) Sign(r *record.Record) error {
	if r.Gateway != i.gateway {
		return fmt.Errorf("identity: record %s isn't of gateway %s", r.Identity, i.gateway)
	}
	r.Sign(i.private)
	return nil
}

// Prepare makes a committed record ready to be sent: it signs one of a version
// that didn't sign yet, and adds what introduces the key that signed. The record
// is always ready.
func (i *Identity) Prepare(r *record.Record) (ready bool, err error) {
	if !r.Signed() {
		if err := i.Sign(r); err != nil {
			return false, err
		}
	}
	r.Introductions = i.introducing(r.KeyID)
	return true, nil
}

// Enrolment is a request to have the key taken by a one-time token.
func (i *Identity) Enrolment(token string) record.Enrolment {
	return record.NewEnrolment(i.private, i.gateway, token)
}

// SignBirth signs a birth under its key and with its value in the log.
func (i *Identity) SignBirth(logKey, value []byte) record.Seal {
	s := record.SignBirth(i.private, logKey, value)
	s.Introductions = i.introducing(s.KeyID)
	return s
}

// SignCommandRequest signs a request for commands under its key and with its
// value.
func (i *Identity) SignCommandRequest(logKey, value []byte) record.Seal {
	s := record.SignCommandRequest(i.private, logKey, value)
	s.Introductions = i.introducing(s.KeyID)
	return s
}

// introducing is what leads to the key, none if that is the oldest one known.
func (i *Identity) introducing(key record.KeyID) []record.Introduction {
	for n, one := range i.introductions {
		if one.KeyID() == key {
			return i.introductions[:n+1]
		}
	}
	return nil
}
