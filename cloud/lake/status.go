package lake

import (
	"context"
	"time"

	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cloud/log"
)

// Status is what a table says of itself.
type Status struct {
	Location              string // the file of the newest version's metadata
	Version               int64
	At                    time.Time // of the newest snapshot; zero: there is none
	Samples, Files, Bytes string
	Offsets               log.Offsets // the next to read
	Gateways, Epochs      int         // of which records were received
	Gaps                  []Gap
}

// ReadStatus reads it, beside a writer or without one.
func ReadStatus(ctx context.Context, files object.Store) (Status, error) {
	t, err := iceberg.Read(ctx, files, Definition())
	if err != nil {
		return Status{}, err
	}
	st, err := readState(ctx, files, t)
	if err != nil {
		return Status{}, err
	}
	summary, at := t.Summary()
	s := Status{Location: t.Location(), Version: t.Version(), At: at, Samples: summary["total-records"], Files: summary["total-data-files"],
		Bytes: summary["total-files-size"], Offsets: st.Offsets, Gateways: len(st.Received), Gaps: st.Gaps}
	for _, epochs := range st.Received {
		s.Epochs += len(epochs)
	}
	return s, nil
}
