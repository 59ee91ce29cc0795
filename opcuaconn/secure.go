package opcuaconn

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gopcua/opcua/uapolicy"
)

// protection is how the messages of one channel are protected, and between whom.
type protection struct {
	policy    Policy
	mode      Mode
	own       identity // without a certificate with the policy None
	server    []byte   // its certificate, in DER
	serverKey *rsa.PublicKey
}

// token is one of the keys that a channel has after another (OPC 10000-4, 5.5.2).
type token struct {
	id   uint32
	keys *uapolicy.EncryptionAlgorithm
}

var errProtection = errors.New("what the server sends isn't protected as agreed")

// seal signs and encrypts a chunk whose first clear bytes stay as they are, and sets
// its size.
func seal(chunk []byte, clear int, keys *uapolicy.EncryptionAlgorithm, mode Mode) ([]byte, error) {
	if mode == ModeNone {
		binary.LittleEndian.PutUint32(chunk[4:], uint32(len(chunk)))
		return chunk, nil
	}
	size := len(chunk) + keys.SignatureLength()
	if mode == SignAndEncrypt {
		block, wide := keys.PlaintextBlockSize(), keys.BlockSize() > 256
		padding := 1
		if wide {
			padding++
		}
		fill := (block - (len(chunk)-clear+padding+keys.SignatureLength())%block) % block
		for range fill + 1 { // the padding and, the same byte, its length
			chunk = append(chunk, byte(fill))
		}
		if wide {
			chunk = append(chunk, byte(fill>>8))
		}
		size = clear + (len(chunk)-clear+keys.SignatureLength())/block*keys.BlockSize()
	}
	binary.LittleEndian.PutUint32(chunk[4:], uint32(size))
	signature, err := keys.Signature(chunk)
	if err != nil {
		return nil, err
	}
	chunk = append(chunk, signature...)
	if mode != SignAndEncrypt {
		return chunk, nil
	}
	secret, err := keys.Encrypt(chunk[clear:])
	if err != nil {
		return nil, err
	}
	return append(chunk[:clear], secret...), nil
}

// unseal checks and decrypts a chunk, and returns what follows its first clear bytes.
// wide is whether the padding's length has two bytes: the key that it was encrypted for
// has more than 2048 bits.
func unseal(chunk []byte, clear int, keys *uapolicy.EncryptionAlgorithm, mode Mode, wide bool) ([]byte, error) {
	if mode == ModeNone {
		return chunk[clear:], nil
	}
	if mode == SignAndEncrypt {
		plain, err := keys.Decrypt(chunk[clear:])
		if err != nil {
			return nil, errProtection
		}
		chunk = append(bytes.Clone(chunk[:clear]), plain...)
	}
	end := len(chunk) - keys.RemoteSignatureLength()
	if end < clear {
		return nil, errProtection
	}
	if err := keys.VerifySignature(chunk[:end], chunk[end:]); err != nil {
		return nil, errProtection
	}
	if mode == SignAndEncrypt {
		if end -= 1; end < clear {
			return nil, errProtection
		}
		fill := int(chunk[end])
		if wide {
			if end -= 1; end < clear {
				return nil, errProtection
			}
			fill = fill<<8 | int(chunk[end])
		}
		if end -= fill; end < clear {
			return nil, errProtection
		}
	}
	return chunk[clear:end], nil
}

// mostBody is how many bytes of a message fit a chunk of the size that the server takes.
func (p protection) mostBody(chunk int, keys *uapolicy.EncryptionAlgorithm) int {
	room := chunk - chunkHeader - 4
	switch p.mode {
	case SignAndEncrypt:
		return room/keys.BlockSize()*keys.PlaintextBlockSize() - sequenceHeader - keys.SignatureLength() - 1
	case Sign:
		return room - sequenceHeader - keys.SignatureLength()
	}
	return room - sequenceHeader
}

// asymmetric are the algorithms by which a channel is opened, and its mode.
func (p protection) asymmetric() (*uapolicy.EncryptionAlgorithm, Mode, error) {
	keys, err := uapolicy.Asymmetric(p.policy.URI(), p.own.Key, p.serverKey)
	if p.policy == PolicyNone {
		return keys, ModeNone, err
	}
	return keys, SignAndEncrypt, err // always, whatever the channel's mode is
}

// openHeader is the header of a chunk that opens the channel (OPC 10000-6, 6.7.2.3).
func (p protection) openHeader(channel uint32) []byte {
	out := append([]byte(open), final, 0, 0, 0, 0)
	out = binary.LittleEndian.AppendUint32(out, channel)
	out = appendBytes(out, []byte(p.policy.URI()))
	if p.policy == PolicyNone {
		return appendBytes(appendBytes(out, nil), nil)
	}
	thumbprint := sha1.Sum(p.server)
	return appendBytes(appendBytes(out, p.own.Cert), thumbprint[:])
}

// unsealOpen is what an answer to it holds, if it comes from the server whose certificate
// was checked.
func (p protection) unsealOpen(chunk []byte) ([]byte, error) {
	keys, mode, err := p.asymmetric()
	if err != nil {
		return nil, err
	}
	uri, rest, ok := field(chunk[chunkHeader:])
	if !ok || string(uri) != p.policy.URI() {
		return nil, errProtection
	}
	sender, rest, ok := field(rest)
	if !ok {
		return nil, errProtection
	}
	receiver, rest, ok := field(rest)
	if !ok {
		return nil, errProtection
	}
	if p.policy != PolicyNone {
		thumbprint := sha1.Sum(p.own.Cert)
		if !bytes.HasPrefix(sender, p.server) || !bytes.Equal(receiver, thumbprint[:]) {
			return nil, fmt.Errorf("%w: it isn't the server whose certificate was checked", errProtection)
		}
	}
	return unseal(chunk, len(chunk)-len(rest), keys, mode, p.own.Key != nil && p.own.Key.Size() > 256)
}

func appendBytes(out, b []byte) []byte {
	if b == nil {
		return binary.LittleEndian.AppendUint32(out, 0xFFFFFFFF)
	}
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(b))), b...)
}
