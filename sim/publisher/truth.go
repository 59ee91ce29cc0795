package publisher

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Published is a line of the truth log: a value that an edge node has published, or, without
// a metric, something that it has done wrong. After the loss of a connection, values
// that may have gone with it are published again, with the same time.
type Published struct {
	TimeUS int64       `json:"time_us"` // when, by the clock of this machine
	Node   string      `json:"node"`
	Device string      `json:"device,omitempty"` // left out of the node itself
	Metric string      `json:"metric,omitempty"`
	AtMS   uint64      `json:"at_ms,omitempty"` // the value's time, as it is told
	Value  json.Number `json:"value,omitempty"`
	Past   bool        `json:"past,omitempty"` // it is told as one of the past
	// How is what has been done wrong; of a value, that by which no host application can
	// know it.
	How Kind `json:"how,omitempty"`
}

// truthLog writes each line by itself, so that it is whole whenever the process ends.
type truthLog struct {
	fail func(error) // is told when a line can't be written

	mu sync.Mutex
	to io.Writer
}

func (l *truthLog) write(p Published) {
	if l.to == nil {
		return
	}
	line, err := json.Marshal(p)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, err = l.to.Write(append(line, '\n'))
	}
	if err != nil {
		l.fail(fmt.Errorf("truth log: %w", err))
	}
}
