package p1

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

var (
	testKey   = []byte("busbar-test-key!")
	testTitle = []byte("BUSBAR01")
)

// encrypt is a telegram as a meter with testKey sends it.
func encrypt(t testing.TB, telegram []byte, counter uint32) []byte {
	t.Helper()
	block, err := aes.NewCipher(testKey)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithTagSize(block, tagOctets)
	if err != nil {
		t.Fatal(err)
	}
	nonce := binary.BigEndian.AppendUint32(slices.Clone(testTitle), counter)
	frame := append([]byte{ciphered, titleOctets}, testTitle...)
	frame = append(frame, 0x82)
	frame = binary.BigEndian.AppendUint16(frame, uint16(headOctets+len(telegram)+tagOctets))
	frame = append(frame, encryptedSafe)
	frame = binary.BigEndian.AppendUint32(frame, counter)
	return gcm.Seal(frame, nonce, telegram, append([]byte{encryptedSafe}, SmartyAuthentication...))
}

func decrypter(t testing.TB) *Decrypter {
	t.Helper()
	d, err := NewDecrypter(testKey, SmartyAuthentication)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEncrypted(t *testing.T) {
	telegram := fixture(t, "dsmr5", true)
	spoilt := encrypt(t, telegram, 9)
	spoilt[100] ^= 1
	suite := encrypt(t, telegram, 9)
	suite[13] = 0x10
	stream := slices.Concat([]byte{0, ciphered, 3}, encrypt(t, telegram, 7)[50:], encrypt(t, telegram, 8), spoilt, suite,
		[]byte{ciphered, titleOctets, 1, 2, 3, 4, 5, 6, 7, 8, 0x85}, encrypt(t, telegram, 8), encrypt(t, telegram, 9))
	for _, size := range []int{1, 100, len(stream)} {
		d := decrypter(t)
		whole := 0
		var wrong []string
		for piece := range slices.Chunk(stream, size) {
			d.Write(piece, func(got []byte, err error) {
				switch {
				case err != nil:
					wrong = append(wrong, err.Error())
				case !bytes.Equal(got, telegram):
					t.Error("it is another telegram")
				default:
					whole++
				}
			})
		}
		said := strings.Join(wrong, "\n")
		for _, want := range []string{"can't be decrypted", "security control 0x10", "begins with 0x85", "number 8 after 8"} {
			if !strings.Contains(said, want) {
				t.Errorf("in pieces of %d: %q, expected %q", size, said, want)
			}
		}
		if whole != 2 {
			t.Errorf("in pieces of %d: %d telegrams", size, whole)
		}
	}
	other, _ := NewDecrypter([]byte("another-meters-k"), SmartyAuthentication)
	other.Write(encrypt(t, telegram, 1), func(_ []byte, err error) {
		if err == nil {
			t.Error("another meter's key does it too")
		}
	})
}

func TestKeys(t *testing.T) {
	if key, err := ParseKey([]byte(" 00112233445566778899aabbccddeeff\n")); err != nil || !bytes.Equal(key, SmartyAuthentication) {
		t.Error(key, err)
	}
	for _, text := range []string{"", "0011", "00112233445566778899aabbccddeefg"} {
		if _, err := ParseKey([]byte(text)); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

func FuzzDecrypter(f *testing.F) {
	telegram := fixture(f, "dsmr3", false)
	f.Add(encrypt(f, telegram, 1))
	f.Add([]byte{ciphered, titleOctets, 0, 0, 0, 0, 0, 0, 0, 0, 0x82, 0xFF, 0xFF, 0x30})
	f.Add(bytes.Repeat([]byte{ciphered, titleOctets}, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := decrypter(t)
		for piece := range slices.Chunk(data, 13) {
			d.Write(piece, func([]byte, error) {})
		}
		if len(d.buffer) > longest+100 {
			t.Errorf("it keeps %d bytes", len(d.buffer))
		}
	})
}
