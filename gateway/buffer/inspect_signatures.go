package buffer

import (
	"crypto/ed25519"
	"os"
	"path/filepath"

	"github.com/busbar/busbar/telemetry/record"
)

// Signatures counts the records of a file by their signatures.
type Signatures struct {
	Good     uint64 `json:"good"`
	Wrong    uint64 `json:"wrong"`     // which is damage, or forgery
	Unsigned uint64 `json:"unsigned"`  // as version 1 of the format is
	OtherKey uint64 `json:"other_key"` // of a key that isn't known, so it can't be told
}

// CheckSignatures lets Look check the signatures of records, with these keys.
func (i *Inspection) CheckSignatures(keys []ed25519.PublicKey) {
	i.keys = map[record.KeyID]ed25519.PublicKey{}
	for _, key := range keys {
		i.keys[record.KeyIDOf(key)] = key
	}
}

// KeyFile is the file in which a gateway keeps its key unless it is told otherwise;
// empty if there is none beside what is inspected.
func (i *Inspection) KeyFile() string {
	for _, dir := range []string{i.dir, filepath.Dir(i.dir)} {
		path := filepath.Join(dir, "gateway.key")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// signature checks a record's signature, if that is asked for.
func (s *summary) signature(e Entry) {
	if s.all.keys == nil {
		return
	}
	if s.file.Signatures == nil {
		s.file.Signatures = &Signatures{}
	}
	count, key := s.file.Signatures, s.all.keys[e.Record.KeyID]
	switch {
	case !e.Record.Signed():
		count.Unsigned++
	case key == nil:
		count.OtherKey++
	case e.Record.Verify(key):
		count.Good++
	default:
		count.Wrong++
		s.problem(e.Position, "record %s: its signature by key %s is wrong", e.Record.Identity, e.Record.KeyID)
	}
}
