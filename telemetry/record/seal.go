package record

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Seal says who wrote a record or a birth, so that anybody who knows the public
// key can check it. The zero Seal is of what isn't signed.
type Seal struct {
	KeyID     KeyID
	Signature [ed25519.SignatureSize]byte
	// Introductions lead from a key of the gateway that may be better known to
	// the one that signed, oldest first. They travel in the log and aren't kept
	// on disk.
	Introductions []Introduction
}

// ErrSeal is what is wrong with headers that would be a seal and aren't.
var ErrSeal = errors.New("malformed signature")

// Signed reports whether there is a signature; not whether it is right.
func (s Seal) Signed() bool { return s.KeyID != KeyID{} }

// Headers are the seal's headers in the log, none if it isn't signed;
// ParseSeal reads them back.
func (s Seal) Headers() []Header {
	if !s.Signed() {
		return nil
	}
	headers := []Header{{"key_id", []byte(s.KeyID.String())}, {"signature", s.Signature[:]}}
	if len(s.Introductions) > 0 {
		var all []byte
		for _, i := range s.Introductions {
			all = i.Append(all)
		}
		headers = append(headers, Header{"introduced_by", all})
	}
	return headers
}

// ParseSeal makes the seal whose headers these are, and ignores others. The
// error is an ErrSeal.
func ParseSeal(headers []Header) (Seal, error) {
	var s Seal
	var named, signed, introduced bool
	for _, h := range headers {
		var err error
		switch h.Key {
		case "key_id":
			if named {
				err = errors.New("it is there twice")
				break
			}
			s.KeyID, err = ParseKeyID(string(h.Value))
			named = true
		case "signature":
			if signed {
				err = errors.New("it is there twice")
			} else if len(h.Value) != len(s.Signature) {
				err = fmt.Errorf("%d bytes, want %d", len(h.Value), len(s.Signature))
			} else {
				s.Signature = [ed25519.SignatureSize]byte(h.Value)
			}
			signed = true
		case "introduced_by":
			if introduced {
				err = errors.New("it is there twice")
				break
			}
			introduced = true
			s.Introductions, err = parseIntroductions(h.Value)
		}
		if err != nil {
			return Seal{}, fmt.Errorf("%w: header %s: %w", ErrSeal, h.Key, err)
		}
	}
	switch {
	case named != signed:
		return Seal{}, fmt.Errorf("%w: of the headers key_id and signature one is missing", ErrSeal)
	case named && !s.Signed():
		return Seal{}, fmt.Errorf("%w: header key_id names no key", ErrSeal)
	case !named:
		return Seal{}, nil
	}
	return s, nil
}

// Sign signs identity, format and payload. It may be called at any time before
// the record is sent; it doesn't change the record's Checksum.
func (r *Record) Sign(key ed25519.PrivateKey) { r.Seal = seal(key, r.message()) }

// Verify reports whether the holder of the public key signed this identity,
// format and payload. Which gateway the key belongs to is for the caller to know.
func (r Record) Verify(public ed25519.PublicKey) bool { return r.Seal.verify(public, r.message()) }

// SignBirth signs a birth under its key and with its value in the log.
func SignBirth(key ed25519.PrivateKey, logKey, value []byte) Seal {
	return seal(key, keyedMessage("busbar birth 1", logKey, value))
}

// VerifyBirth reports whether the holder of the public key signed the birth that
// has this key and value in the log.
func (s Seal) VerifyBirth(public ed25519.PublicKey, logKey, value []byte) bool {
	return s.verify(public, keyedMessage("busbar birth 1", logKey, value))
}

func seal(key ed25519.PrivateKey, message []byte) Seal {
	return Seal{KeyID: KeyIDOf(public(key)), Signature: [ed25519.SignatureSize]byte(ed25519.Sign(key, message))}
}

func (s Seal) verify(public ed25519.PublicKey, message []byte) bool {
	return s.KeyID == KeyIDOf(public) && ed25519.Verify(public, message, s.Signature[:])
}

// message is what a record's signature is over. It begins with what it is, so
// that no signature can pass for one of something else. The payload stands in
// it as its SHA-256: ed25519 goes over a message twice to sign it, with a hash
// that few processors have instructions for.
func (r Record) message() []byte {
	sum := sha256.Sum256(r.Payload)
	return append(r.appendIdentity(appendString(nil, "busbar record 1")), sum[:]...)
}

// keyedMessage is what the signature is over of what stands in the log under a
// key of its own.
func keyedMessage(what string, logKey, value []byte) []byte {
	m := appendString(nil, what)
	m = binary.BigEndian.AppendUint32(m, uint32(len(logKey)))
	m = append(m, logKey...)
	sum := sha256.Sum256(value)
	return append(m, sum[:]...)
}
