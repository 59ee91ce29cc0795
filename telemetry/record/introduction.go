package record

import (
	"crypto/ed25519"
	"fmt"
)

// Introduction is the word of a gateway's key for the key that follows it. Who
// trusts the one can trust the other, without anybody carrying a key about.
type Introduction struct {
	By        KeyID // the key that introduces
	PublicKey [ed25519.PublicKeySize]byte
	Signature [ed25519.SignatureSize]byte // by By, over the gateway and PublicKey
}

// MaxIntroductions bounds how many rotations a gateway's records tell of.
const MaxIntroductions = 16

const introductionSize = len(KeyID{}) + ed25519.PublicKeySize + ed25519.SignatureSize

// Introduce makes old's word for the next key of a gateway.
func Introduce(old ed25519.PrivateKey, gateway string, next ed25519.PublicKey) Introduction {
	i := Introduction{By: KeyIDOf(public(old)), PublicKey: [ed25519.PublicKeySize]byte(next)}
	i.Signature = [ed25519.SignatureSize]byte(ed25519.Sign(old, i.message(gateway)))
	return i
}

// KeyID names the key that is introduced.
func (i Introduction) KeyID() KeyID { return KeyIDOf(i.PublicKey[:]) }

// Verify reports whether by gave its word for the key as one of this gateway.
func (i Introduction) Verify(by ed25519.PublicKey, gateway string) bool {
	return KeyIDOf(by) == i.By && ed25519.Verify(by, i.message(gateway), i.Signature[:])
}

func (i Introduction) message(gateway string) []byte {
	return append(appendString(appendString(nil, "busbar introduction 1"), gateway), i.PublicKey[:]...)
}

// Append appends the introduction's 104 bytes; UnmarshalBinary reads them.
func (i Introduction) Append(dst []byte) []byte {
	dst = append(dst, i.By[:]...)
	dst = append(dst, i.PublicKey[:]...)
	return append(dst, i.Signature[:]...)
}

// UnmarshalBinary reads what Append wrote. It doesn't verify it.
func (i *Introduction) UnmarshalBinary(src []byte) error {
	if len(src) != introductionSize {
		return fmt.Errorf("an introduction of %d bytes: want %d", len(src), introductionSize)
	}
	n := copy(i.By[:], src)
	n += copy(i.PublicKey[:], src[n:])
	copy(i.Signature[:], src[n:])
	return nil
}

func parseIntroductions(src []byte) ([]Introduction, error) {
	n := len(src) / introductionSize
	if n == 0 || n > MaxIntroductions || len(src)%introductionSize != 0 {
		return nil, fmt.Errorf("%d bytes are no introductions: want 1 to %d of %d bytes", len(src), MaxIntroductions, introductionSize)
	}
	list := make([]Introduction, n)
	for i := range list {
		if err := list[i].UnmarshalBinary(src[i*introductionSize : (i+1)*introductionSize]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
