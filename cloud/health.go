package cloud

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/store"
)

// longestSilence is how long a consumer may go without reading the log, beside
// what it gathers samples for.
const longestSilence = 15 * time.Second

// answer says ok, or 503 and why not, a reason a line.
func answer(w http.ResponseWriter, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(reasons) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, reason := range reasons {
		fmt.Fprintln(w, reason)
	}
}

// unhealthy says which of this process's consumers don't keep up. One that stands by
// does, as long as it knows that it isn't needed, and one that takes over has its time.
func (c *Cloud) unhealthy(started time.Time) []string {
	current := func(t Target, at time.Time) time.Time {
		if !c.runs(t) {
			return time.Now()
		}
		s := c.sharing[t].State()
		return slices.MaxFunc([]time.Time{at, s.Idle, s.Took}, time.Time.Compare)
	}
	return unhealthy(time.Now(), started, time.Duration(c.config.Ingest.FlushEvery),
		current(TargetIngest, c.ingest.Stats().Current), current(TargetAlarm, c.alarms.Stats().Current))
}

// storeTime is how long the store may take to answer one that asks whether it is there.
const storeTime = 3 * time.Second

// unready says why this process isn't to get requests, or can't do what it is for.
func (c *Cloud) unready(ctx context.Context, started time.Time) (reasons []string) {
	if c.draining.Load() {
		return []string{"it is stopping"}
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	if err := c.store.Read(ctx, func(t *store.Tx) error { return t.QueryRow(`SELECT 1`, nil, new(int)) }); err != nil {
		c.log.Debug("the store doesn't answer", "error", err)
		reasons = append(reasons, "store: it doesn't answer")
	}
	select {
	case <-c.prepared:
	default:
		if len(c.read) > 0 {
			reasons = append(reasons, "log: it couldn't be read yet")
		}
	}
	return append(reasons, c.unhealthy(started)...)
}

// unhealthy says which consumers don't keep up. A consumer that never has is
// measured from the start.
func unhealthy(now, started time.Time, flushEvery time.Duration, ingest, alarms time.Time) (reasons []string) {
	for _, consumer := range []struct {
		what    string
		current time.Time
		allowed time.Duration
	}{
		{"telemetry", ingest, longestSilence + flushEvery},
		{"alarms", alarms, longestSilence},
	} {
		since := consumer.current
		if since.Before(started) {
			since = started
		}
		if silent := now.Sub(since); silent > consumer.allowed {
			reasons = append(reasons, fmt.Sprintf("%s: nothing could be read from the log and stored for %v", consumer.what, silent.Round(time.Second)))
		}
	}
	return reasons
}
