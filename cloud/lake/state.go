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
	"slices"
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
	Whole    map[string]map[string]store.Intervals `json:"whole"`    // those of them whose records weren't thinned
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
	return state{Offsets: log.Offsets{}, TopicIDs: map[string]string{}, Received: map[string]map[string]store.Intervals{}, Whole: map[string]map[string]store.Intervals{}}
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
	s.Whole = nil
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
	if s.Whole == nil { // it was written before they were told apart
		s.Whole = map[string]map[string]store.Intervals{}
		for gateway, epochs := range s.Received {
			s.Whole[gateway] = map[string]store.Intervals{}
			for epoch, numbers := range epochs {
				s.Whole[gateway][epoch] = slices.Clone(numbers)
			}
		}
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

// has says whether a record's samples are all there. Those of a thinned one are if its numbers
// were received in whatever record; a whole one has samples that a thinned one hasn't.
func (s *state) has(gateway, epoch string, i store.Interval, thinned bool) bool {
	if thinned {
		return s.Received[gateway][epoch].Covers(i)
	}
	return s.Whole[gateway][epoch].Covers(i)
}

func (s *state) receive(gateway, epoch string, i store.Interval, thinned bool) {
	add := func(to map[string]map[string]store.Intervals) {
		if to[gateway] == nil {
			to[gateway] = map[string]store.Intervals{}
		}
		to[gateway][epoch] = to[gateway][epoch].Add(i)
	}
	add(s.Received)
	if !thinned {
		add(s.Whole)
	}
}

func cloneOffsets(o log.Offsets) log.Offsets {
	c := log.Offsets{}
	for topic, partitions := range o {
		c[topic] = maps.Clone(partitions)
	}
	return c
}
