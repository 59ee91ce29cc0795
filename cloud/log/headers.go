package log

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry/record"
)

// Headers are a record's, as package record reads them.
func Headers(r *kgo.Record) []record.Header {
	headers := make([]record.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = record.Header(h)
	}
	return headers
}
