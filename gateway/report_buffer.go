package gateway

import (
	"fmt"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/forward"
	"github.com/busbar/busbar/gateway/status"
)

// shortOfRoom is how long the buffer must last without the log, below which a
// person should know.
const shortOfRoom = 24 * time.Hour

// reportBuffer adds how full the buffer is.
func (g source) reportBuffer(r *status.Report) {
	kept := g.buffer.Report()
	r.Buffer = status.Buffer{
		Limit: kept.Limit, Reserve: kept.Reserve, Telemetry: kept.Telemetry, Events: kept.Events,
		Books: kept.Books, SetAside: kept.SetAside, Left: kept.Left, Generations: kept.Generations[:],
	}
	for _, chain := range []*buffer.Chain{g.buffer.Events, g.buffer.Telemetry} {
		s := chain.Stats()
		r.Buffer.Thinned += s.Thinned
		r.Buffer.Dropped += s.Dropped
		r.Buffer.LastCommit = max(r.Buffer.LastCommit, s.LastCommit)
		r.Buffer.LongestCommit = max(r.Buffer.LongestCommit, s.LongestCommit)
		if since := s.FailingSince; !since.IsZero() && (r.Buffer.FailingSince.IsZero() || since.Before(r.Buffer.FailingSince)) {
			r.Buffer.FailingSince = since
		}
	}
	if kept.FilesSetAside > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf(
			"%d files of the buffer are unreadable; they are kept beside it, named .unreadable, and take %d MiB of its room", kept.FilesSetAside, kept.SetAside>>20))
	}
	switch waiting := g.buffer.Telemetry.Stats().Waiting; {
	case kept.Thinning:
		r.Problems = append(r.Problems, "the buffer is nearly full; the oldest telemetry is thinned, then given up, and each loss is recorded")
	case kept.Left >= 0 && kept.Left < shortOfRoom && waiting > 0 && !linked(r.Lanes):
		r.Problems = append(r.Problems, fmt.Sprintf("the buffer lasts %s more before telemetry is thinned", kept.Left.Round(time.Minute)))
	}
	if since, cause := g.buffer.Refused(); !since.IsZero() {
		r.Problems = append(r.Problems, fmt.Sprintf("the buffer's bookkeeping can't be written since %s: %v", since.UTC().Format(time.RFC3339), cause))
	}
	if since := r.Buffer.FailingSince; !since.IsZero() {
		r.Problems = append(r.Problems, fmt.Sprintf("the buffer can't be written since %s; samples are kept in memory only, events are sent all the same", since.UTC().Format(time.RFC3339)))
	}
}

func linked(lanes []status.Lane) bool {
	for _, l := range lanes {
		if l.State == string(forward.Down) {
			return false
		}
	}
	return true
}
