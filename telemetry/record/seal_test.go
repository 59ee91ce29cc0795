package record

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever of identity, format, payload, signature or key is another, the
// signature is wrong.
func TestOnlyWhatWasSignedIsAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := anyKey(t, "key")
		signed := anyRecord(t)
		signed.Sign(key)
		if !signed.Verify(public(key)) || signed.KeyID != KeyIDOf(public(key)) {
			t.Fatalf("%s isn't accepted from the key that signed it", signed.Identity)
		}
		r := signed
		switch rapid.SampledFrom([]string{"gateway", "epoch", "stream", "first", "last", "format", "payload", "longer", "signature", "key id", "boundary"}).Draw(t, "change") {
		case "gateway":
			r.Gateway += "x"
		case "epoch":
			r.Epoch ^= 1 << rapid.IntRange(0, 63).Draw(t, "bit")
		case "stream":
			r.Stream = map[Stream]Stream{Events: Telemetry, Telemetry: Events}[r.Stream]
		case "first":
			r.First ^= 1 << rapid.IntRange(0, 63).Draw(t, "bit")
		case "last":
			r.Last ^= 1 << rapid.IntRange(0, 63).Draw(t, "bit")
		case "format":
			r.Format += "x"
		case "payload":
			r.Payload = bytes.Clone(r.Payload)
			if len(r.Payload) == 0 {
				r.Payload = []byte{0}
			} else {
				r.Payload[rapid.IntRange(0, len(r.Payload)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
		case "longer":
			r.Payload = append(bytes.Clone(r.Payload), 0)
		case "signature":
			r.Signature[rapid.IntRange(0, 63).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case "key id":
			r.KeyID[rapid.IntRange(0, 7).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case "boundary":
			r.Format, r.Payload = r.Format[:len(r.Format)-1], append([]byte(r.Format[len(r.Format)-1:]), r.Payload...)
		}
		if r.Verify(public(key)) {
			t.Fatalf("%+v passes for %+v", r, signed)
		}
		if other := anyKey(t, "other"); !other.Equal(key) && signed.Verify(public(other)) {
			t.Fatal("another key's record is accepted")
		}
	})
}

func TestBirthIsSignedUnderItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := anyKey(t, "key")
		logKey, value := rapid.SliceOf(rapid.Byte()).Draw(t, "log key"), rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		s := SignBirth(key, logKey, value)
		if !s.VerifyBirth(public(key), logKey, value) {
			t.Fatal("a signed birth isn't accepted")
		}
		all := append(bytes.Clone(logKey), value...)
		cut := rapid.IntRange(0, len(all)).Draw(t, "cut")
		if cut != len(logKey) && s.VerifyBirth(public(key), all[:cut], all[cut:]) {
			t.Fatal("the border between key and value can be moved")
		}
		if s.VerifyBirth(public(key), logKey, append(bytes.Clone(value), 0)) {
			t.Fatal("the value can be made longer")
		}
	})
}

// A signature is good for one purpose.
func TestSignaturesDontPassForEachOther(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	r := Record{Identity: Identity{Gateway: "gw", Epoch: 1, Stream: Telemetry, Last: 9}, Format: FormatBlock, Payload: []byte("x")}
	introduction := Introduction{PublicKey: [32]byte(public(key))}
	domains := map[string]bool{}
	for _, m := range [][]byte{r.message(), keyedMessage("busbar birth 1", nil, nil), introduction.message("gw")} {
		domains[string(m[:1+m[0]])] = true
	}
	if len(domains) != 3 {
		t.Errorf("the messages that are signed begin with %v", domains)
	}
}

func TestIntroductionIsForOneGatewayAndKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, next, other := anyKey(t, "old"), anyKey(t, "next"), anyKey(t, "other")
		if other.Equal(old) || other.Equal(next) {
			t.Skip("the same key")
		}
		i := Introduce(old, "gw-1", public(next))
		if !i.Verify(public(old), "gw-1") || i.KeyID() != KeyIDOf(public(next)) || i.By != KeyIDOf(public(old)) {
			t.Fatalf("%+v isn't accepted", i)
		}
		if i.Verify(public(old), "gw-2") || i.Verify(public(other), "gw-1") {
			t.Fatal("an introduction is accepted for another gateway, or from another key")
		}
		changed := i
		changed.PublicKey = [32]byte(public(other))
		if changed.Verify(public(old), "gw-1") {
			t.Fatal("an introduction is accepted for another key")
		}
		// The chain comes back from the headers.
		var s Seal
		s.KeyID = i.KeyID()
		s.Introductions = []Introduction{i, Introduce(next, "gw-1", public(other))}
		if back, err := ParseSeal(s.Headers()); err != nil || !same(Record{Seal: back}, Record{Seal: s}) {
			t.Fatalf("%+v came back as %+v: %v", s, back, err)
		}
	})
}

// unsignedForm is the example that the form without signatures was documented by.
var unsignedForm = fromHex("01 09 6e6f7274682d677731 000000000000001f 09 74656c656d65747279" +
	"000000000000000a 0000000000000013 07 626c6f636b2f31 c5c0cc41 78")

func fromHex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// What earlier versions kept on disk is read, and is the same record when it is
// signed and written anew.
func TestUnsignedFormIsStillRead(t *testing.T) {
	var r Record
	if err := r.UnmarshalBinary(unsignedForm); err != nil {
		t.Fatal(err)
	}
	want := Record{Identity: Identity{Gateway: "north-gw1", Epoch: 0x1f, Stream: Telemetry, First: 10, Last: 19}, Format: FormatBlock, Payload: []byte("x")}
	if !same(r, want) {
		t.Errorf("read %+v, want %+v", r, want)
	}
	if r.Checksum() != 0xc5c0cc41 {
		t.Errorf("checksum %08x, %08x was stored", r.Checksum(), uint32(0xc5c0cc41))
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	r.Sign(key)
	disk, err := r.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var again Record
	if err := again.UnmarshalBinary(disk); err != nil || !again.Verify(public(key)) || again.Checksum() != want.Checksum() {
		t.Errorf("%v, signed and read again: %+v", err, again)
	}
}

// The vector of docs/formats.md: RFC 8032's first test key.
func TestSignatureVector(t *testing.T) {
	key := ed25519.NewKeyFromSeed(fromHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
	r := Record{Identity: Identity{Gateway: "north-gw1", Epoch: 0x1f, Stream: Telemetry, First: 10, Last: 19}, Format: FormatBlock, Payload: []byte("x")}
	r.Sign(key)
	disk, err := r.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want string }{
		"public key": {hex.EncodeToString(public(key)), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},
		"key id":     {r.KeyID.String(), "21fe31dfa154a261"},
		"message": {hex.EncodeToString(r.message()), "0f627573626172207265636f72642031" + "096e6f7274682d677731000000000000001f0974656c656d65747279" +
			"000000000000000a0000000000000013" + "07626c6f636b2f31" + "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
		"signature": {hex.EncodeToString(r.Signature[:]), "2ceee8b8ad980e280c9c7ff21c186cb134466f74ebfa7d7a6b47e35ec97da77a" +
			"202b1897eee933eea2357e9467e9cd56aa45d8d49e0cceda1ace021402ac0a05"},
		"on disk": {hex.EncodeToString(disk), "02096e6f7274682d677731000000000000001f0974656c656d65747279" +
			"000000000000000a000000000000001307626c6f636b2f31" + "4821fe31dfa154a261" +
			"2ceee8b8ad980e280c9c7ff21c186cb134466f74ebfa7d7a6b47e35ec97da77a" +
			"202b1897eee933eea2357e9467e9cd56aa45d8d49e0cceda1ace021402ac0a05" + "4ba54db878"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", what, c.got, c.want)
		}
	}
}

func TestPublicKeyText(t *testing.T) {
	key := public(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	text := FormatPublicKey(key)
	if back, err := ParsePublicKey([]byte(" " + text + "\n")); err != nil || !back.Equal(key) {
		t.Errorf("%q came back as %x: %v", text, back, err)
	}
	for _, bad := range []string{"", "x", text[:43], text + "AAAA", text[:42] + "1="} {
		if _, err := ParsePublicKey([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
