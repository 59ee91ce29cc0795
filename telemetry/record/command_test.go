package record

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func aCommand() Command {
	return Command{
		ID: "000102030405060708090a0b0c0d0e0f", Gateway: "north-gw1", Epoch: "000000000000001f", Kind: Reset, Alarm: "a1",
		By: "Ana", Issued: 1_790_000_000_000_000, Expires: 1_790_000_030_000_000,
	}
}

// testKey is the first of RFC 8032's.
var testKey = ed25519.NewKeyFromSeed(fromHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))

func TestACommandComesBackAndOnlyItsOwnSignaturePasses(t *testing.T) {
	m, err := aCommand().Message(testKey)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := ParseCommand(m.Value); err != nil || c != aCommand() {
		t.Errorf("%+v, %v", c, err)
	}
	s, err := ParseSeal(m.Headers)
	if err != nil || !s.VerifyCommand(public(testKey), m.Key, m.Value) {
		t.Fatalf("its own signature is refused: %v", err)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	for name, passes := range map[string]bool{
		"another key":     s.VerifyCommand(public(other), m.Key, m.Value),
		"another gateway": s.VerifyCommand(public(testKey), []byte("south-gw1"), m.Value),
		"another value":   s.VerifyCommand(public(testKey), m.Key, append(bytes.Clone(m.Value), ' ')),
		"a birth's":       SignBirth(testKey, m.Key, m.Value).VerifyCommand(public(testKey), m.Key, m.Value),
		"a request's":     SignCommandRequest(testKey, m.Key, m.Value).VerifyCommand(public(testKey), m.Key, m.Value),
		"as a request":    s.VerifyCommandRequest(public(testKey), m.Key, m.Value),
	} {
		if passes {
			t.Errorf("%s passes", name)
		}
	}
}

// The vector of docs/formats.md.
func TestCommandVector(t *testing.T) {
	m, err := aCommand().Message(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want string }{
		"value": {string(m.Value), `{"id":"000102030405060708090a0b0c0d0e0f","gateway":"north-gw1","epoch":"000000000000001f","kind":"reset",` +
			`"alarm":"a1","by":"Ana","issued_us":1790000000000000,"expires_us":1790000030000000}`},
		"message": {hex.EncodeToString(keyedMessage("busbar command 1", m.Key, m.Value)), "1062757362617220636f6d6d616e642031" + "000000096e6f7274682d677731" +
			"ccd0e2a6c0727cb85e421e6f81e7b61cc4220d39cab92a6620f91367c4b1f504"},
		"key id": {string(m.Headers[0].Value), "21fe31dfa154a261"},
		"signature": {hex.EncodeToString(m.Headers[1].Value), "bac2d43515ea762c1c74258d661bc2f02c09ee96f4fbf519a1ba1164584746f9" +
			"3972ca1f67552c3433127ffd00c6e5e36e454df7d4441ad285d74e4625221502"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", what, c.got, c.want)
		}
	}
}

func TestMalformedCommandsAreRefused(t *testing.T) {
	life := telemetry.Micros(MaxCommandLife.Microseconds())
	for name, change := range map[string]func(*Command){
		"short id":       func(c *Command) { c.ID = "00" },
		"upper-case id":  func(c *Command) { c.ID = strings.ToUpper(c.ID) },
		"no gateway":     func(c *Command) { c.Gateway = "" },
		"no epoch":       func(c *Command) { c.Epoch = "1f" },
		"no kind":        func(c *Command) { c.Kind = "" },
		"no alarm":       func(c *Command) { c.Alarm = "" },
		"long alarm":     func(c *Command) { c.Alarm = strings.Repeat("a", 65) },
		"nobody":         func(c *Command) { c.By = "" },
		"long name":      func(c *Command) { c.By = strings.Repeat("a", 401) },
		"no time":        func(c *Command) { c.Issued = 0 },
		"over at once":   func(c *Command) { c.Expires = c.Issued },
		"lives too long": func(c *Command) { c.Expires = c.Issued + life + 1 },
	} {
		c := aCommand()
		change(&c)
		if c.Check() == nil {
			t.Errorf("%s: passes", name)
		}
		if _, err := c.Message(testKey); err == nil {
			t.Errorf("%s: is signed", name)
		}
	}
	m, err := aCommand().Message(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"nothing": "", "no object": "[]", "cut": string(m.Value[:len(m.Value)-1]), "two": string(m.Value) + "{}",
		"another member": `{"point":"breaker-1",` + string(m.Value[1:]), "padded": string(m.Value) + strings.Repeat(" ", MaxCommandBytes),
	} {
		if c, err := ParseCommand([]byte(value)); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestARequestForCommandsIsOfTheGatewayThatItIsUnder(t *testing.T) {
	sign := func(logKey, value []byte) Seal { return SignCommandRequest(testKey, logKey, value) }
	m, err := CommandRequest{Gateway: "north-gw1", Time: 1, Seen: []string{"x"}}.Message(sign)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := ParseCommandRequest(m); err != nil || r.Gateway != "north-gw1" || r.Time != 1 || len(r.Seen) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if s, err := ParseSeal(m.Headers); err != nil || !s.VerifyCommandRequest(public(testKey), m.Key, m.Value) {
		t.Errorf("its own signature is refused: %v", err)
	}
	m.Key = []byte("south-gw1")
	if r, err := ParseCommandRequest(m); err == nil {
		t.Errorf("under another key: %+v", r)
	}
	m, err = CommandRequest{Gateway: "north-gw1", Seen: make([]string, MaxCommandsSeen+1)}.Message(sign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCommandRequest(m); err == nil {
		t.Error("with too many ids it passes")
	}
}

func FuzzParseCommand(f *testing.F) {
	m, err := aCommand().Message(testKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Value)
	f.Add([]byte(`{"id":"x"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := ParseCommand(value)
		if err != nil {
			return
		}
		m, err := c.Message(testKey)
		if err != nil {
			t.Fatalf("%+v can't be written: %v", c, err)
		}
		if again, err := ParseCommand(m.Value); err != nil || again != c {
			t.Fatalf("%+v comes back as %+v, %v", c, again, err)
		}
	})
}

func FuzzParseCommandRequest(f *testing.F) {
	f.Add([]byte("gw"), []byte(`{"gateway":"gw","time_us":1,"seen":["a"]}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if r, err := ParseCommandRequest(Message{Key: key, Value: value}); err == nil && r.Gateway != string(key) {
			t.Fatalf("%+v under %q", r, key)
		}
	})
}
