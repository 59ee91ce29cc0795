package p1

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// SmartyAuthentication is the authentication key of the meters of Luxembourg, which is the
// same for all and is published (Smarty P1 specification 1.1.3, 3.2.5); with the encryption
// key of one's own, which isn't.
var SmartyAuthentication = []byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF}

// A frame is general-glo-ciphering of IEC 62056-5-3: the tag, the length and the octets of the
// system title, the length of what follows, security control, the frame counter, the
// encrypted telegram and the GCM tag.
const (
	ciphered      = 0xDB
	titleOctets   = 8
	encryptedSafe = 0x30 // security control: encrypted and authenticated, suite 0
	tagOctets     = 12
	headOctets    = 5 // security control and frame counter
)

// Decrypter finds the encrypted telegrams in a stream of bytes and decrypts them. It isn't
// safe for concurrent use.
type Decrypter struct {
	gcm      cipher.AEAD
	aad      [17]byte
	buffer   []byte
	title    [titleOctets]byte
	counter  uint32
	received bool
}

// ParseKey is a key as its 32 hexadecimal digits, with any space around them.
func ParseKey(text []byte) ([]byte, error) {
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != aes.BlockSize {
		return nil, errors.New("expected a key of 32 hexadecimal digits")
	}
	return key, nil
}

// NewDecrypter is one with keys of 16 bytes each.
func NewDecrypter(encryption, authentication []byte) (*Decrypter, error) {
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return nil, err
	}
	d := &Decrypter{}
	if copy(d.aad[1:], authentication) != 16 || len(authentication) != 16 || len(encryption) != 16 {
		return nil, errors.New("expected two keys of 16 bytes")
	}
	d.aad[0] = encryptedSafe
	d.gcm, err = cipher.NewGCMWithTagSize(block, tagOctets)
	return d, err
}

// Write takes the next bytes and calls do for each telegram, decrypted, or with an error for
// what can't be. The telegram is valid until do returns.
func (d *Decrypter) Write(data []byte, do func(telegram []byte, err error)) {
	d.buffer = append(d.buffer, data...)
	for {
		at := bytes.Index(d.buffer, []byte{ciphered, titleOctets})
		if at < 0 {
			keep := 0
			if n := len(d.buffer); n > 0 && d.buffer[n-1] == ciphered {
				d.buffer[0], keep = ciphered, 1
			}
			d.buffer = d.buffer[:keep]
			return
		}
		d.buffer = d.buffer[:copy(d.buffer, d.buffer[at:])]
		begin, length, wrong := d.length()
		if wrong != nil {
			do(nil, wrong)
			d.buffer = d.buffer[1:]
			continue
		}
		if begin == 0 || len(d.buffer) < begin+length {
			return
		}
		telegram, err := d.open(d.buffer[2:2+titleOctets], d.buffer[begin:begin+length])
		do(telegram, err)
		if err != nil {
			length = 1 - begin // what is no frame may hold the beginning of one
		}
		d.buffer = d.buffer[begin+length:]
	}
}

// length is where the body of the frame in the buffer begins and how long it is. begin is 0
// if there isn't enough of it yet.
func (d *Decrypter) length() (begin, length int, err error) {
	rest := d.buffer[min(len(d.buffer), 2+titleOctets):]
	begin = 3 + titleOctets
	switch {
	case len(rest) == 0:
		return 0, 0, nil
	case rest[0] < 0x80:
		length = int(rest[0])
	case rest[0] == 0x81 && len(rest) > 1:
		begin, length = begin+1, int(rest[1])
	case rest[0] == 0x82 && len(rest) > 2:
		begin, length = begin+2, int(binary.BigEndian.Uint16(rest[1:]))
	case rest[0] == 0x81 || rest[0] == 0x82:
		return 0, 0, nil
	default:
		return 0, 0, fmt.Errorf("an encrypted telegram whose length begins with %#02x, expected 0x81 or 0x82", rest[0])
	}
	if length < headOctets+tagOctets || length > longest {
		return 0, 0, fmt.Errorf("an encrypted telegram of %d bytes, expected %d to %d", length, headOctets+tagOctets, longest)
	}
	return begin, length, nil
}

func (d *Decrypter) open(title, body []byte) ([]byte, error) {
	if body[0] != encryptedSafe {
		return nil, fmt.Errorf("security control %#02x, expected %#02x: encrypted and authenticated", body[0], encryptedSafe)
	}
	var nonce [12]byte
	copy(nonce[:], title)
	copy(nonce[titleOctets:], body[1:headOctets])
	telegram, err := d.gcm.Open(nil, nonce[:], body[headOctets:], d.aad[:])
	if err != nil {
		return nil, errors.New("an encrypted telegram can't be decrypted: the key is another meter's, or it was damaged")
	}
	counter := binary.BigEndian.Uint32(body[1:headOctets])
	if d.received && bytes.Equal(title, d.title[:]) && counter <= d.counter {
		return nil, fmt.Errorf("an encrypted telegram with the number %d after %d: it is a repeated one", counter, d.counter)
	}
	d.received, d.counter = true, counter
	copy(d.title[:], title)
	return telegram, nil
}
