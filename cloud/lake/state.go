package lake

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/busbar/busbar/cloud/lake/iceberg"
	"github.com/busbar/busbar/cloud/lake/object"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
)

// Properties of a snapshot.
const (
	propertyOffsets = "busbar.offsets"
	propertySum     = "busbar.state-sha256"
)

// state is what is committed with the samples: how far the log has been read, and which
// sequence numbers were received. It is a file that the snapshot names.
type state struct {
	Offsets  log.Offsets                           `json:"offsets"`
	TopicIDs map[string]string                     `json:"topic_ids"`
	Received map[string]map[string]store.Intervals `json:"received"` // by gateway and epoch
	Gaps     []Gap                                 `json:"gaps,omitempty"`
}

// Gap is a part of the log that couldn't be read.
type Gap struct {
	At        time.Time `json:"at"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	From      int64     `json:"from"` // offset
	To        int64     `json:"to"`   // the first that could be read; 0 if the topic was made anew
	Detail    string    `json:"detail"`
}

// mostGaps bounds those that are remembered.
const mostGaps = 1000

func newState() state {
	return state{log.Offsets{}, map[string]string{}, map[string]map[string]store.Intervals{}, nil}
}

// readState is that of the table's newest snapshot.
func readState(ctx context.Context, files object.Store, t *iceberg.Table) (state, error) {
	s := newState()
	summary, at := t.Summary()
	if at.IsZero() {
		return s, nil
	}
	name := summary[iceberg.Attached]
	if name == "" {
		return s, fmt.Errorf("lake: the newest snapshot of %s wasn't written by this program: it doesn't say how far the log was read", t.Location())
	}
	packed, err := files.Get(ctx, name)
	if err != nil {
		return s, err
	}
	if sum := sha256.Sum256(packed); hex.EncodeToString(sum[:]) != summary[propertySum] {
		return s, fmt.Errorf("lake: %s isn't the file that the snapshot names: its checksum is another", name)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		var text []byte
		if text, err = io.ReadAll(unpacked); err == nil {
			err = json.Unmarshal(text, &s)
		}
	}
	if err != nil {
		return s, fmt.Errorf("lake: %s: %w", name, err)
	}
	return s, nil
}

// write puts the state into the store, and says what the snapshot says of it.
func (s state) write(ctx context.Context, files object.Store, t *iceberg.Table) (map[string]string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	offsets, err := json.Marshal(s.Offsets)
	if err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(text)
	w.Close()
	sum := sha256.Sum256(packed.Bytes())
	name := t.NextName("metadata", "state", "json.gz")
	return map[string]string{iceberg.Attached: name, propertySum: hex.EncodeToString(sum[:]), propertyOffsets: string(offsets)},
		files.Put(ctx, name, bytes.NewReader(packed.Bytes()), int64(packed.Len()))
}

// at is the state with other offsets.
func (s state) at(offsets log.Offsets) state {
	s.Offsets = offsets
	return s
}

func (s *state) received(gateway, epoch string) store.Intervals { return s.Received[gateway][epoch] }

func (s *state) receive(gateway, epoch string, i store.Interval) {
	if s.Received[gateway] == nil {
		s.Received[gateway] = map[string]store.Intervals{}
	}
	s.Received[gateway][epoch] = s.Received[gateway][epoch].Add(i)
}

func cloneOffsets(o log.Offsets) log.Offsets {
	c := log.Offsets{}
	for topic, partitions := range o {
		c[topic] = maps.Clone(partitions)
	}
	return c
}
