package record

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// UplinkAnswer is what the cloud's uplink answers to any request, as JSON.
type UplinkAnswer struct {
	// Acknowledged counts the request's messages, from the first on, that every
	// in-sync replica of the log has.
	Acknowledged int    `json:"acknowledged"`
	Error        string `json:"error,omitempty"`
}

// Enrolment is a gateway's request to have its key taken, by a token that was
// given out for it once.
type Enrolment struct {
	Gateway   string `json:"gateway"`
	Token     string `json:"token"`
	PublicKey []byte `json:"public_key"` // 32 bytes
	Signature []byte `json:"signature"`  // by that key, over all the rest
}

// NewEnrolment makes a signed request.
func NewEnrolment(key ed25519.PrivateKey, gateway, token string) Enrolment {
	e := Enrolment{Gateway: gateway, Token: token, PublicKey: public(key)}
	e.Signature = ed25519.Sign(key, e.message())
	return e
}

// Verify reports what is wrong with the request itself: whether the token is a
// good one is for the cloud to know.
func (e Enrolment) Verify() error {
	switch {
	case e.Gateway == "" || len(e.Gateway) > maxString || e.Token == "" || len(e.Token) > maxString:
		return errors.New("enrolment: gateway or token is missing or too long")
	case len(e.PublicKey) != ed25519.PublicKeySize:
		return fmt.Errorf("enrolment: a public key of %d bytes, want %d", len(e.PublicKey), ed25519.PublicKeySize)
	case !ed25519.Verify(e.PublicKey, e.message(), e.Signature):
		return errors.New("enrolment: the signature isn't by the key")
	}
	return nil
}

func (e Enrolment) message() []byte {
	m := appendString(nil, "busbar enrolment 1")
	m = appendString(m, e.Gateway)
	m = appendString(m, e.Token)
	return append(m, e.PublicKey...)
}
