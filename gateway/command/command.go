// Package command decides which commands a gateway obeys: those that a key that
// it trusts has signed, for this gateway and this process of it, that are still
// valid, and each once.
package command

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Refusal is why a command isn't obeyed; "" if it is.
type Refusal string

const (
	Malformed    Refusal = "malformed"       // not a command, or more than this version knows
	Unsigned     Refusal = "unsigned"        // nobody has signed it
	UnknownKey   Refusal = "unknown-key"     // signed by a key that isn't trusted here
	BadSignature Refusal = "bad-signature"   // not what the key that it names has signed
	OtherGateway Refusal = "other-gateway"   // meant for another gateway
	OtherEpoch   Refusal = "other-epoch"     // meant for another process of this gateway
	ClockUnset   Refusal = "clock-unset"     // whether it is still valid can't be told
	FromFuture   Refusal = "from-the-future" // issued later than this gateway's clock says
	Expired      Refusal = "expired"
	Repeated     Refusal = "repeated" // obeyed or refused before
	TooMany      Refusal = "too-many" // more valid ones than can be told apart
	UnknownKind  Refusal = "unknown-kind"
	UnknownAlarm Refusal = "unknown-alarm" // no such alarm is active

	UnknownDevice Refusal = "unknown-device" // it reads no such device
	Late          Refusal = "late"           // it expired before the device's turn came
)

// Authentic reports whether the command is known to come from somebody whom the
// gateway trusts, whatever it was refused for.
func (r Refusal) Authentic() bool {
	switch r {
	case Malformed, Unsigned, UnknownKey, BadSignature:
		return false
	}
	return true
}

const (
	// skew is by how much the clock of whoever issued a command may be ahead.
	skew = telemetry.Micros(10_000_000)
	// mostRemembered bounds the ids that are kept to refuse repetitions.
	mostRemembered = 1000
)

// Judge judges the commands of one process of a gateway. It belongs to one
// goroutine. What it has seen is forgotten with the process, and so is the epoch
// that it was for.
type Judge struct {
	gateway string
	epoch   string
	keys    map[record.KeyID]ed25519.PublicKey
	seen    map[string]telemetry.Micros // when each expires
}

// NewJudge trusts whoever holds one of the keys.
func NewJudge(gateway string, epoch record.Epoch, keys []ed25519.PublicKey) *Judge {
	j := &Judge{gateway: gateway, epoch: epoch.String(), keys: map[record.KeyID]ed25519.PublicKey{}, seen: map[string]telemetry.Micros{}}
	for _, key := range keys {
		j.keys[record.KeyIDOf(key)] = key
	}
	return j
}

// Now is the gateway's clock.
type Now struct {
	Time telemetry.Micros
	Set  bool // false: Time is only a lower bound
}

// Judge says whether the command in a message may be obeyed, once. The command
// is the zero Command if it can't be read.
func (j *Judge) Judge(m record.Message, now Now) (record.Command, Refusal) {
	c, err := record.ParseCommand(m.Value)
	if err != nil {
		return c, Malformed
	}
	if r := j.authenticate(m); r != "" {
		return c, r
	}
	_, repeated := j.seen[c.ID]
	switch {
	case c.Gateway != j.gateway || string(m.Key) != j.gateway:
		return c, OtherGateway
	case c.Epoch != j.epoch:
		return c, OtherEpoch
	case !now.Set:
		return c, ClockUnset
	case now.Time < c.Issued-skew:
		return c, FromFuture
	case now.Time >= c.Expires:
		return c, Expired
	case repeated:
		return c, Repeated
	case !j.room(now.Time):
		return c, TooMany
	}
	j.seen[c.ID] = c.Expires
	switch c.Kind {
	case record.Ping, record.Read, record.Ack, record.Reset:
		return c, ""
	}
	return c, UnknownKind
}

func (j *Judge) authenticate(m record.Message) Refusal {
	seal, err := record.ParseSeal(m.Headers)
	if err != nil {
		return BadSignature
	}
	key, trusted := j.keys[seal.KeyID]
	if !trusted {
		key, trusted = j.introduced(seal)
	}
	switch {
	case !seal.Signed():
		return Unsigned
	case !trusted:
		return UnknownKey
	case !seal.VerifyCommand(key, m.Key, m.Value):
		return BadSignature
	}
	return ""
}

// introduced is the key that a trusted one leads to by its word. It is trusted for
// this command only: once nobody trusts the key that gave its word any more, none that
// it has introduced is either.
func (j *Judge) introduced(seal record.Seal) (key ed25519.PublicKey, trusted bool) {
	known := map[record.KeyID]ed25519.PublicKey{}
	for _, word := range seal.Introductions {
		by := known[word.By]
		if by == nil {
			by = j.keys[word.By]
		}
		if by == nil {
			continue
		}
		if !word.Verify(by, record.CommandKeys) {
			return nil, false // whoever forges one won't have many looked at
		}
		known[word.KeyID()] = word.PublicKey[:]
	}
	key, trusted = known[seal.KeyID]
	return key, trusted
}

// room forgets ids only when there are many, and then those that have expired: a
// clock that is set back would make others valid again.
func (j *Judge) room(now telemetry.Micros) bool {
	if len(j.seen) < mostRemembered {
		return true
	}
	for id, expires := range j.seen {
		if now >= expires {
			delete(j.seen, id)
		}
	}
	return len(j.seen) < mostRemembered
}

// Answer is the event that says what became of a command.
func Answer(c record.Command, r Refusal, now telemetry.Micros) telemetry.Event {
	a := &telemetry.CommandAnswer{ID: c.ID, Kind: string(c.Kind), Alarm: c.Alarm, Device: c.Device, By: c.By, Result: telemetry.CommandDone}
	if r != "" {
		a.Result, a.Cause = telemetry.CommandRefused, string(r)
	}
	return telemetry.Event{Kind: telemetry.CommandAnswered, Time: now, Decided: now, Answer: a}
}

// Limiter bounds how many refused commands are answered: each answer is a write
// to the disk, and whoever can write to the log can forge or repeat them without
// end.
type Limiter struct {
	from time.Time
	n    int
}

const (
	refusals    = 10
	refusalsPer = time.Minute
)

// Allow reports whether one more may be answered.
func (l *Limiter) Allow(now time.Time) bool {
	if now.Sub(l.from) >= refusalsPer {
		l.from, l.n = now, 0
	}
	l.n++
	return l.n <= refusals
}

// ReadKeys reads the public keys in a file: one a line, in base64. Empty lines
// and those that begin with # don't count.
func ReadKeys(path string) ([]ed25519.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("command: read the keys: %w", err)
	}
	var keys []ed25519.PublicKey
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := record.ParsePublicKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("command: %s:%d: not a public key: want its 32 bytes in base64, as busbar-cloud command key prints it", path, n)
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("command: %s: %w", path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("command: %s holds no key", path)
	}
	return keys, nil
}
