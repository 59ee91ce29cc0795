package record

import (
	"fmt"

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

// SignalsPerBirth keeps one part well below a log's usual 1 MB record limit.
const SignalsPerBirth = 2000

// SplitBirth cuts a table into parts.
func SplitBirth(b Birth) []Birth {
	parts := max(1, (len(b.Signals)+SignalsPerBirth-1)/SignalsPerBirth)
	out := make([]Birth, parts)
	for i := range out {
		out[i] = b
		out[i].Part, out[i].Parts = i, parts
		out[i].Signals = b.Signals[i*SignalsPerBirth : min(len(b.Signals), (i+1)*SignalsPerBirth)]
	}
	return out
}
