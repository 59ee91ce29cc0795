package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/busbar/busbar/telemetry"
)

// Birth is one part of a gateway's signal table. A table only grows: version
// n+1 holds every signal of version n. Blocks name the table and the version
// they were written under; any later version explains them too.
type Birth struct {
	Gateway string             `json:"gateway"`
	Site    string             `json:"site"`
	Zone    string             `json:"zone"`
	Table   string             `json:"table"` // 16 hexadecimal digits, drawn when the gateway's storage was created
	Version uint32             `json:"version"`
	Part    int                `json:"part"` // from 0
	Parts   int                `json:"parts"`
	Signals []telemetry.Signal `json:"signals"`
}

// Key is the birth's key in its compacted topic.
func (b Birth) Key() string {
	return fmt.Sprintf("%s/%s/%d/%d", b.Gateway, b.Table, b.Version, b.Part)
}

// SignalsPerBirth and namesPerBirth keep one part well below a log's usual 1 MB
// record limit: signals, and bytes for the names of their values.
const (
	SignalsPerBirth = 2000
	namesPerBirth   = 256 << 10
)

// SplitBirth cuts a table into parts.
func SplitBirth(b Birth) []Birth {
	var out []Birth
	begin, names := 0, 0
	for i, s := range b.Signals {
		more := namesIn(s)
		if i-begin == SignalsPerBirth || i > begin && names+more > namesPerBirth {
			out = append(out, b)
			out[len(out)-1].Signals = b.Signals[begin:i]
			begin, names = i, 0
		}
		names += more
	}
	out = append(out, b)
	out[len(out)-1].Signals = b.Signals[begin:]
	for i := range out {
		out[i].Part, out[i].Parts = i, len(out)
	}
	return out
}

// namesIn is about how many bytes the names of a signal's values take.
func namesIn(s telemetry.Signal) int {
	const (
		around  = 26 // quotes, colon, comma and number
		escaped = 5  // more than the character itself
	)
	n := 0
	for _, name := range slices.AppendSeq(slices.Collect(maps.Values(s.States)), maps.Values(s.Flags)) {
		n += len(name) + around
		for _, c := range []byte(name) {
			if strings.IndexByte(`<>&"\`, c) >= 0 {
				n += escaped
			}
		}
	}
	return n
}

// TableID is Table as a number, of a birth that ParseBirth has read.
func (b Birth) TableID() uint64 {
	id, _ := ParseEpoch(b.Table)
	return uint64(id)
}

// maxBirthText bounds the texts of a birth, in bytes, and maxNames those for the
// values of a signal.
const (
	maxBirthText = 1000
	maxNames     = 1000
)

// ParseBirth reads the value of a birth and checks that it stands under its own key:
// under another's it would replace that one when the log is compacted.
func ParseBirth(logKey, value []byte) (Birth, error) {
	var b Birth
	if err := json.Unmarshal(value, &b); err != nil {
		return Birth{}, fmt.Errorf("birth: %w", err)
	}
	if err := b.check(); err != nil {
		return Birth{}, err
	}
	if string(logKey) != b.Key() {
		return Birth{}, fmt.Errorf("the birth %s stands under the key %.300q", b.Key(), logKey)
	}
	return b, nil
}

func (b Birth) check() error {
	if _, err := ParseEpoch(b.Table); err != nil {
		return fmt.Errorf("birth: table %.40q: want 16 hexadecimal digits", b.Table)
	}
	if b.Gateway == "" || len(b.Gateway) > maxString {
		return fmt.Errorf("birth: it names no gateway, or one with more than %d bytes", maxString)
	}
	if len(b.Signals) > SignalsPerBirth {
		return fmt.Errorf("birth: %d signals, at most %d", len(b.Signals), SignalsPerBirth)
	}
	texts := []string{b.Gateway, b.Site, b.Zone}
	for _, s := range b.Signals {
		if s.Device == "" || s.Name == "" {
			return fmt.Errorf("birth: signal %d has no device or no name", s.ID)
		}
		texts = append(texts, s.Device, s.Name, s.Unit, s.Asset, string(s.Kind))
		if len(s.States) > maxNames || len(s.Flags) > maxNames {
			return fmt.Errorf("birth: signal %d has names for more than %d values", s.ID, maxNames)
		}
		texts = slices.AppendSeq(texts, maps.Values(s.States))
		texts = slices.AppendSeq(texts, maps.Values(s.Flags))
	}
	for _, text := range texts {
		if len(text) > maxBirthText || !utf8.ValidString(text) {
			return errors.New("birth: a text is longer than 1000 bytes, or isn't UTF-8")
		}
	}
	return nil
}
