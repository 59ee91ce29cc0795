package record

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// CommandKind is what a gateway is asked to do.
type CommandKind string

const (
	Ping  CommandKind = "ping"  // answer
	Ack   CommandKind = "ack"   // note that somebody has taken notice of an alarm
	Read  CommandKind = "read"  // read a device now, and tell what it answers
	Reset CommandKind = "reset" // end an alarm, and decide it anew from the samples that follow
)

// Command asks one process of one gateway to do something, once and soon. It
// stands in the log's topic of commands under the gateway's id.
type Command struct {
	ID      string           `json:"id"` // 32 hexadecimal digits, random
	Gateway string           `json:"gateway"`
	Epoch   string           `json:"epoch"` // of the process that is meant
	Kind    CommandKind      `json:"kind"`
	Alarm   string           `json:"alarm,omitempty"`  // with Ack and Reset
	Device  string           `json:"device,omitempty"` // with Read
	By      string           `json:"by"`               // who asks
	Issued  telemetry.Micros `json:"issued_us"`
	Expires telemetry.Micros `json:"expires_us"` // at most MaxCommandLife after Issued
}

const (
	// MaxCommandLife bounds how long a command can be carried out.
	MaxCommandLife = 2 * time.Minute
	// MaxCommandBytes bounds a command's value.
	MaxCommandBytes = 4096

	maxAlarmID = 64
	maxBy      = 400
)

// NewCommandID draws an id.
func NewCommandID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// Check reports what keeps c from being a command of this form. A kind that
// isn't known passes: a later version may know it.
func (c Command) Check() error {
	id, err := hex.DecodeString(c.ID)
	switch {
	case err != nil || len(id) != 16 || hex.EncodeToString(id) != c.ID:
		return fmt.Errorf("command: id %.40q: want 32 hexadecimal digits in lower case", c.ID)
	case c.Gateway == "" || len(c.Gateway) > maxString:
		return fmt.Errorf("command %s: names no gateway, or one with more than %d bytes", c.ID, maxString)
	case c.Kind == "" || len(c.Kind) > 32:
		return fmt.Errorf("command %s: names no kind, or one with more than 32 bytes", c.ID)
	case len(c.Alarm) > maxAlarmID:
		return fmt.Errorf("command %s: names an alarm with more than %d bytes", c.ID, maxAlarmID)
	case (c.Kind == Ack || c.Kind == Reset) && c.Alarm == "":
		return fmt.Errorf("command %s: %s names no alarm", c.ID, c.Kind)
	case len(c.Device) > maxString:
		return fmt.Errorf("command %s: names a device with more than %d bytes", c.ID, maxString)
	case c.Kind == Read && c.Device == "":
		return fmt.Errorf("command %s: %s names no device", c.ID, c.Kind)
	case c.By == "" || len(c.By) > maxBy || !utf8.ValidString(c.By):
		return fmt.Errorf("command %s: doesn't say who asks in 1 to %d bytes of UTF-8", c.ID, maxBy)
	case c.Issued <= 0 || c.Expires <= c.Issued || c.Expires-c.Issued > telemetry.Micros(MaxCommandLife.Microseconds()):
		return fmt.Errorf("command %s: is valid from %d to %d µs, want at most %s", c.ID, c.Issued, c.Expires, MaxCommandLife)
	}
	if _, err := ParseEpoch(c.Epoch); err != nil {
		return fmt.Errorf("command %s: %w", c.ID, err)
	}
	return nil
}

// ParseCommand reads the value of a message. It refuses members that it doesn't
// know: they might say what else is asked, or of whom.
func ParseCommand(value []byte) (Command, error) {
	var c Command
	if len(value) > MaxCommandBytes {
		return c, fmt.Errorf("command: %d bytes, at most %d", len(value), MaxCommandBytes)
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Command{}, fmt.Errorf("command: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Command{}, errors.New("command: something follows it")
	}
	if err := c.Check(); err != nil {
		return Command{}, err
	}
	return c, nil
}

// CommandKeys is whom the keys that commands are signed with are introduced as: no
// gateway can be called so.
const CommandKeys = "command key"

// Message is the command as it stands in the log, signed with the cloud's key, which
// introductions may lead to.
func (c Command) Message(key ed25519.PrivateKey, introductions ...Introduction) (Message, error) {
	if err := c.Check(); err != nil {
		return Message{}, err
	}
	value, err := json.Marshal(c)
	if err == nil && len(value) > MaxCommandBytes {
		err = fmt.Errorf("%d bytes, at most %d", len(value), MaxCommandBytes)
	}
	if err != nil {
		return Message{}, fmt.Errorf("command %s: %w", c.ID, err)
	}
	logKey := []byte(c.Gateway)
	seal := SignCommand(key, logKey, value)
	seal.Introductions = introductions
	return Message{Key: logKey, Headers: seal.Headers(), Value: value}, nil
}

// SignCommand signs a command under its key and with its value in the log.
func SignCommand(key ed25519.PrivateKey, logKey, value []byte) Seal {
	return seal(key, keyedMessage("busbar command 1", logKey, value))
}

// VerifyCommand reports whether the holder of the public key signed the command
// that has this key and value in the log.
func (s Seal) VerifyCommand(public ed25519.PublicKey, logKey, value []byte) bool {
	return s.verify(public, keyedMessage("busbar command 1", logKey, value))
}

// CommandRequest is what a gateway asks the uplink for its commands with. It
// travels as a Message that the gateway has signed.
type CommandRequest struct {
	Gateway string           `json:"gateway"`
	Time    telemetry.Micros `json:"time_us"`
	Seen    []string         `json:"seen,omitempty"` // ids of commands that the gateway has
}

// MaxCommandsSeen bounds the ids in a request, and the commands of one gateway
// that are valid at once.
const MaxCommandsSeen = 100

const maxRequestBytes = 8 << 10

// Message is the request with its signature by the gateway, which introductions
// may lead to.
func (r CommandRequest) Message(sign func(logKey, value []byte) Seal) (Message, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return Message{}, fmt.Errorf("request for commands: %w", err)
	}
	logKey := []byte(r.Gateway)
	return Message{Key: logKey, Headers: sign(logKey, value).Headers(), Value: value}, nil
}

// ParseCommandRequest reads a request; whether its signature is right is for the
// caller to see.
func ParseCommandRequest(m Message) (CommandRequest, error) {
	var r CommandRequest
	if len(m.Value) > maxRequestBytes {
		return r, fmt.Errorf("request for commands: %d bytes, at most %d", len(m.Value), maxRequestBytes)
	}
	if err := json.Unmarshal(m.Value, &r); err != nil {
		return CommandRequest{}, fmt.Errorf("request for commands: %w", err)
	}
	if r.Gateway == "" || len(r.Gateway) > maxString || r.Gateway != string(m.Key) || len(r.Seen) > MaxCommandsSeen {
		return CommandRequest{}, fmt.Errorf("request for commands: of gateway %.80q under the key %.80q, with %d ids", r.Gateway, m.Key, len(r.Seen))
	}
	return r, nil
}

// SignCommandRequest signs a request under the gateway's id and with its value.
func SignCommandRequest(key ed25519.PrivateKey, logKey, value []byte) Seal {
	return seal(key, keyedMessage("busbar request for commands 1", logKey, value))
}

// VerifyCommandRequest reports whether the holder of the public key signed the
// request that has this key and value.
func (s Seal) VerifyCommandRequest(public ed25519.PublicKey, logKey, value []byte) bool {
	return s.verify(public, keyedMessage("busbar request for commands 1", logKey, value))
}
