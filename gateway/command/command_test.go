package command

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const (
	epoch  = record.Epoch(0x1f)
	issued = telemetry.Micros(1_790_000_000_000_000)
	second = telemetry.Micros(1_000_000)
)

func key(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)) }

func public(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }

func command() record.Command {
	return record.Command{
		ID: record.NewCommandID(), Gateway: "gw", Epoch: epoch.String(), Kind: record.Ping, By: "Ana",
		Issued: issued, Expires: issued + 30*second,
	}
}

func signed(t *testing.T, c record.Command, by byte) record.Message {
	t.Helper()
	m, err := c.Message(key(by))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryReasonToRefuse(t *testing.T) {
	at := func(n telemetry.Micros) Now { return Now{issued + n*second, true} }
	for _, c := range []struct {
		name    string
		command func(*record.Command)
		message func(*record.Message)
		by      byte
		now     Now
		want    Refusal
	}{
		{name: "good", now: at(1)},
		{name: "good by the second key", by: 2, now: at(1)},
		{name: "good ack", command: func(c *record.Command) { c.Kind, c.Alarm = record.Ack, "a" }, now: at(1)},
		{name: "good reset", command: func(c *record.Command) { c.Kind, c.Alarm = record.Reset, "a" }, now: at(1)},
		{name: "clock a little behind", now: at(-10)},
		{name: "no command", message: func(m *record.Message) { m.Value = []byte("{}") }, now: at(1), want: Malformed},
		{name: "unsigned", message: func(m *record.Message) { m.Headers = nil }, now: at(1), want: Unsigned},
		{name: "half a signature", message: func(m *record.Message) { m.Headers = m.Headers[:1] }, now: at(1), want: BadSignature},
		{name: "wrong key", by: 3, now: at(1), want: UnknownKey},
		{name: "wrong key under a trusted name", message: func(m *record.Message) {
			m.Headers[0].Value = []byte(record.KeyIDOf(public(1)).String())
		}, by: 3, now: at(1), want: BadSignature},
		{name: "changed", message: func(m *record.Message) {
			m.Value = bytes.Replace(m.Value, []byte("Ana"), []byte("Eve"), 1)
		}, now: at(1), want: BadSignature},
		{name: "under our key, signed under another", message: func(m *record.Message) { m.Key = []byte("gx") }, now: at(1), want: BadSignature},
		{name: "other gateway", command: func(c *record.Command) { c.Gateway = "gx" }, now: at(1), want: OtherGateway},
		{name: "other epoch", command: func(c *record.Command) { c.Epoch = record.Epoch(0x20).String() }, now: at(1), want: OtherEpoch},
		{name: "clock unset", now: Now{issued + second, false}, want: ClockUnset},
		{name: "from the future", now: at(-11), want: FromFuture},
		{name: "expired", now: at(30), want: Expired},
		{name: "long expired", now: at(3000), want: Expired},
		{name: "unknown kind", command: func(c *record.Command) { c.Kind = "open-breaker" }, now: at(1), want: UnknownKind},
	} {
		j := NewJudge("gw", epoch, []ed25519.PublicKey{public(1), public(2)})
		one := command()
		if c.command != nil {
			c.command(&one)
		}
		m := signed(t, one, max(c.by, 1))
		if c.message != nil {
			c.message(&m)
		}
		got, refusal := j.Judge(m, c.now)
		if refusal != c.want || refusal != Malformed && got.ID != one.ID {
			t.Errorf("%s: %q of %+v, want %q", c.name, refusal, got, c.want)
		}
		if forged := c.want == Malformed || c.want == Unsigned || c.want == UnknownKey || c.want == BadSignature; c.want.Authentic() == forged {
			t.Errorf("%s: authentic %v", c.name, c.want.Authentic())
		}
	}
}

func TestACommandIsObeyedOnce(t *testing.T) {
	j := NewJudge("gw", epoch, []ed25519.PublicKey{public(1)})
	m := signed(t, command(), 1)
	forged := m
	forged.Headers = signed(t, command(), 3).Headers
	now := Now{issued, true}
	if _, refusal := j.Judge(forged, now); refusal != UnknownKey {
		t.Errorf("a forged copy: %q", refusal)
	}
	if _, refusal := j.Judge(m, now); refusal != "" {
		t.Errorf("after a forged copy it is refused: %q", refusal)
	}
	for range 3 {
		if _, refusal := j.Judge(m, now); refusal != Repeated {
			t.Errorf("again: %q", refusal)
		}
	}
	if _, refusal := NewJudge("gw", epoch+1, []ed25519.PublicKey{public(1)}).Judge(m, now); refusal != OtherEpoch {
		t.Errorf("after a restart: %q", refusal)
	}
}

// The ids of commands take bounded memory, and none that is still valid is
// forgotten.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	j := NewJudge("gw", epoch, []ed25519.PublicKey{public(1)})
	now := Now{issued, true}
	first := signed(t, command(), 1)
	j.Judge(first, now)
	for len(j.seen) < mostRemembered {
		if _, refusal := j.Judge(signed(t, command(), 1), now); refusal != "" {
			t.Fatal(refusal)
		}
	}
	if _, refusal := j.Judge(signed(t, command(), 1), now); refusal != TooMany || len(j.seen) != mostRemembered {
		t.Errorf("one more: %q, %d remembered", refusal, len(j.seen))
	}
	if _, refusal := j.Judge(first, now); refusal != Repeated {
		t.Errorf("the first again: %q", refusal)
	}
	later := command()
	later.Issued, later.Expires = issued+60*second, issued+90*second
	if _, refusal := j.Judge(signed(t, later, 1), Now{issued + 60*second, true}); refusal != "" || len(j.seen) != 1 {
		t.Errorf("when all have expired: %q, %d remembered", refusal, len(j.seen))
	}
}

func TestRefusalsAreAnsweredNowAndThen(t *testing.T) {
	var l Limiter
	now := time.Now()
	for n := range 2 * refusals {
		if got := l.Allow(now); got != (n < refusals) {
			t.Errorf("number %d: %v", n, got)
		}
	}
	if !l.Allow(now.Add(refusalsPer)) {
		t.Error("a minute later none is answered")
	}
}

func TestReadKeys(t *testing.T) {
	a, b := record.FormatPublicKey(public(1)), record.FormatPublicKey(public(2))
	for text, want := range map[string]string{
		a + "\n":                           "1",
		"# the cloud\n\n" + a + "\n  " + b: "2",
		"":                                 "holds no key",
		"# nothing":                        "holds no key",
		a + "\nx\n":                        ":2: not a public key",
		a + " " + b:                        ":1: not a public key",
	} {
		path := filepath.Join(t.TempDir(), "commands.pub")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadKeys(path)
		got := fmt.Sprint(len(keys))
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if _, err := ReadKeys(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is missing passes")
	}
}

func FuzzJudge(f *testing.F) {
	m, err := command().Message(key(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Key, m.Value, m.Headers[0].Value, m.Headers[1].Value)
	f.Fuzz(func(t *testing.T, logKey, value, keyID, signature []byte) {
		j := NewJudge("gw", epoch, []ed25519.PublicKey{public(1)})
		m := record.Message{Key: logKey, Value: value, Headers: []record.Header{{Key: "key_id", Value: keyID}, {Key: "signature", Value: signature}}}
		if c, refusal := j.Judge(m, Now{issued, true}); refusal.Authentic() {
			t.Fatalf("%+v is taken from somebody without the key", c)
		}
	})
}

// A key that a trusted one gives its word for is obeyed as long as that one is trusted.
func TestAKeyIsIntroducedByATrustedOne(t *testing.T) {
	word := func(by, next byte) record.Introduction {
		return record.Introduce(key(by), record.CommandKeys, public(next))
	}
	forged := word(3, 5)
	forged.By = record.KeyIDOf(public(1))
	for name, c := range map[string]struct {
		by    byte
		words []record.Introduction
		want  Refusal
	}{
		"by a trusted one":         {5, []record.Introduction{word(1, 5)}, ""},
		"over two":                 {5, []record.Introduction{word(1, 4), word(4, 5)}, ""},
		"from longer ago":          {5, []record.Introduction{word(9, 1), word(1, 5)}, ""},
		"for another key":          {5, []record.Introduction{word(1, 6)}, UnknownKey},
		"by one that isn't":        {5, []record.Introduction{word(3, 5)}, UnknownKey},
		"in another's name":        {5, []record.Introduction{forged}, UnknownKey},
		"as a gateway's key":       {5, []record.Introduction{record.Introduce(key(1), "gw", public(5))}, UnknownKey},
		"in the wrong order":       {5, []record.Introduction{word(4, 5), word(1, 4)}, UnknownKey},
		"with a signature of old":  {1, []record.Introduction{word(1, 5)}, ""},
		"and nobody gave his word": {5, nil, UnknownKey},
	} {
		j := NewJudge("gw", epoch, []ed25519.PublicKey{public(1), public(2)})
		m, err := command().Message(key(c.by), c.words...)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := j.Judge(m, Now{issued + second, true}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		// It isn't remembered: what trusts the key is in the file.
		m, err = command().Message(key(c.by))
		if err != nil {
			t.Fatal(err)
		}
		if _, got := j.Judge(m, Now{issued + second, true}); c.by == 5 && got != UnknownKey {
			t.Errorf("%s, the next without a word: %q", name, got)
		}
	}
}
