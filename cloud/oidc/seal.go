package oidc

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
)

// Key seals what browsers keep. All replicas have the same one.
type Key [32]byte

// purpose keeps what is sealed from being taken for anything else.
const purpose = "busbar oidc attempt 1"

func (k Key) aead() cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // the key has a length of AES
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// Seal makes a text of an attempt that only a holder of the key can read or make.
func (k Key) Seal(a Attempt) (string, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(k.aead().Seal(nil, nil, text, []byte(purpose))), nil
}

// Open reads what Seal has made.
func (k Key) Open(sealed string) (a Attempt, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return Attempt{}, errors.New("it isn't base64")
	}
	text, err := k.aead().Open(nil, nil, raw, []byte(purpose))
	if err != nil {
		return Attempt{}, errors.New("it was sealed by another key, or changed")
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return Attempt{}, err
	}
	return a, nil
}

// longestReturn is that of a path with its query, in bytes.
const longestReturn = 1000

// Back is a page of the console that somebody says they want, or its first one if what
// they say leads anywhere else.
func Back(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	back := u.RequestURI()
	if len(back) > longestReturn || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.ContainsFunc(back, func(r rune) bool { return r <= ' ' || r == '\\' || r > '~' }) ||
		strings.HasPrefix(u.Path, "//") || strings.HasPrefix(u.Path, "/api/") {
		return "/"
	}
	return back
}

// With is a page of the console that is told a reason.
func With(back string, reason Reason) string {
	u, err := url.Parse(back)
	if err != nil {
		return "/"
	}
	query := u.Query()
	query.Set("signin", string(reason))
	u.RawQuery = query.Encode()
	return u.RequestURI()
}
