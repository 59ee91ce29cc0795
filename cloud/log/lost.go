package log

import (
	"context"
	"errors"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Lost keeps in the quarantine what the log has lost, if cause says so, and
// moves the consumer's offsets to where it can be read again; it reports whether
// it did. Ids are those of the topics that the offsets are about. It leaves the
// offsets alone that aren't where cause found them: records were then read and
// not committed, and come again in the next session.
func Lost(ctx context.Context, s *store.Store, consumer string, cause error, ids map[string]string) (bool, error) {
	gap := store.Quarantined{Reason: store.LogTruncated, Detail: cause.Error(), At: telemetry.MicrosOf(time.Now())}
	var truncated *TruncatedError
	var recreated *RecreatedError
	var err error
	switch {
	case errors.As(cause, &truncated):
		gap.Topic, gap.Partition, gap.Offset = truncated.Topic, truncated.Partition, truncated.Next
		err = s.Skip(ctx, consumer, ids[truncated.Topic], gap, truncated.Resume)
	case errors.As(cause, &recreated):
		gap.Topic = recreated.Topic
		err = s.StartAgain(ctx, consumer, recreated.Was, gap)
	default:
		return false, nil
	}
	return err == nil, err
}
