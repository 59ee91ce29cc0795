// Package identity is the key that a gateway signs with: its file, its
// signatures, and how one key follows another.
package identity

import (
	"crypto/ed25519"
	"fmt"

	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry/record"
)

// Identity is a gateway's key and what leads to it. It is safe for concurrent
// use.
type Identity struct {
	gateway string
	key     keyfile.Key
}

// Open reads the key of a gateway from the file at path, and makes one if the
// file is missing; made reports which. It fails if others can read the file, or
// if it isn't a gateway's key: that is never replaced.
func Open(path, gateway string) (i *Identity, made bool, err error) {
	key, made, err := keyfile.OpenKey(path)
	if err != nil {
		return nil, false, fmt.Errorf("identity: %w", err)
	}
	return &Identity{gateway, key}, made, nil
}

// Rotate puts a new key, introduced by the one that is there, into the file at
// path. A gateway that runs signs with the old one until it is started again. A
// process that is killed meanwhile leaves one of the two keys, whole.
func Rotate(path, gateway string) (before, after *Identity, err error) {
	was, is, err := keyfile.RotateKey(path, gateway)
	if err != nil {
		return nil, nil, fmt.Errorf("identity: %w", err)
	}
	return &Identity{gateway, was}, &Identity{gateway, is}, nil
}

// Gateway is the gateway's id.
func (i *Identity) Gateway() string { return i.gateway }

// PublicKey is what others check the gateway's signatures with.
func (i *Identity) PublicKey() ed25519.PublicKey { return i.key.Public() }

// KeyID names the key.
func (i *Identity) KeyID() record.KeyID { return i.key.ID() }

// Sign signs a record that is about to be committed.
func (i *Identity) Sign(r *record.Record) error {
	if r.Gateway != i.gateway {
		return fmt.Errorf("identity: record %s isn't of gateway %s", r.Identity, i.gateway)
	}
	r.Sign(i.key.Private)
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
	r.Introductions = i.key.Introducing(r.KeyID)
	return true, nil
}

// Enrolment is a request to have the key taken by a one-time token.
func (i *Identity) Enrolment(token string) record.Enrolment {
	return record.NewEnrolment(i.key.Private, i.gateway, token)
}

// SignBirth signs a birth under its key and with its value in the log.
func (i *Identity) SignBirth(logKey, value []byte) record.Seal {
	s := record.SignBirth(i.key.Private, logKey, value)
	s.Introductions = i.key.Introducing(s.KeyID)
	return s
}

// SignCommandRequest signs a request for commands under its key and with its
// value.
func (i *Identity) SignCommandRequest(logKey, value []byte) record.Seal {
	s := record.SignCommandRequest(i.key.Private, logKey, value)
	s.Introductions = i.key.Introducing(s.KeyID)
	return s
}
