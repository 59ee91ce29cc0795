package log

import (
	"context"
	"errors"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Lost keeps in the quarantine what the log has lost, if cause says so, and
// moves the consumer's offsets to where it can be read again; it returns as what it
// kept that, "" if it didn't. Ids are those of the topics that the offsets are about. It leaves the
// offsets alone that aren't where cause found them: records were then read and
// not committed, and come again in the next session.
func Lost(ctx context.Context, s *store.Store, consumer string, cause error, ids map[string]string) (store.Reason, error) {
	gap := store.Quarantined{Consumer: consumer, Reason: store.LogTruncated, Detail: cause.Error(), At: telemetry.MicrosOf(time.Now())}
	var truncated *TruncatedError
	var recreated *RecreatedError
	var err error
	switch {
	case errors.As(cause, &truncated):
		gap.Topic, gap.TopicID, gap.Partition, gap.Offset = truncated.Topic, ids[truncated.Topic], truncated.Partition, max(0, truncated.Next)
		if truncated.Oversized {
			gap.Reason = store.OversizedBatch
		}
		err = s.Skip(ctx, consumer, truncated.Next, gap, truncated.Resume)
	case errors.As(cause, &recreated):
		gap.Topic, gap.TopicID = recreated.Topic, recreated.Was
		err = s.StartAgain(ctx, consumer, recreated.Was, gap)
	default:
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return gap.Reason, nil
}
