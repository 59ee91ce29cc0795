package cloud

import (
	"fmt"
	"net/http"
	"time"
)

// longestSilence is how long a consumer may go without reading the log, beside
// what it gathers samples for.
const longestSilence = 15 * time.Second

// health answers ok, or 503 and why not, a reason a line.
func (c *Cloud) health(w http.ResponseWriter, started time.Time) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	reasons := unhealthy(time.Now(), started, time.Duration(c.config.Ingest.FlushEvery), c.ingest.Stats().Current, c.alarms.Stats().Current)
	if len(reasons) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, reason := range reasons {
		fmt.Fprintln(w, reason)
	}
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
