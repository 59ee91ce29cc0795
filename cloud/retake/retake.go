// Package retake reads records again that were set aside: their offsets, and nothing
// else, from the log. A consumer takes them as it takes any other, and settles their
// quarantine in the transaction that stores what is in them.
package retake

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
)

// Config says whose records to read, and from where.
type Config struct {
	Log      []kgo.Opt // how to reach the brokers
	Store    *store.Store
	Consumer string      // whose records
	Share    store.Share // of the partitions
	First    string      // the topic whose records come before others'; "": none
	Logger   *slog.Logger
}

// Again is a record that is to be taken again.
type Again struct {
	Aside  store.Quarantined
	Record *kgo.Record // nil: the log doesn't have it any more
}

// Feed gives a consumer what it is to take again: what somebody has asked for, and
// what a key has signed that has become valid. It gives a portion at a time, and
// nothing further until that has been committed.
type Feed struct {
	cfg      Config
	portions chan []Again
	taken    chan struct{}
	cancel   context.CancelFunc
	ended    chan struct{}

	keys   store.KeyCount // when those were looked at last
	looked time.Time      // when that was
	more   bool           // there was something then
}

const (
	lookEvery = time.Second
	// lookAgain is how often it is looked for records whose keys are valid even though
	// no key has changed: they may have been set aside by a consumer that didn't know yet.
	lookAgain = 15 * time.Second

	portion      = 1000    // records
	portionBytes = 4 << 20 // of their values

	firstPause   = time.Second
	longestPause = time.Minute
)

// Start begins reading.
func Start(cfg Config) *Feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &Feed{cfg: cfg, portions: make(chan []Again), taken: make(chan struct{}), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		f.run(ctx)
	}()
	return f
}

// Close ends it.
func (f *Feed) Close() {
	f.cancel()
	<-f.ended
}

// Portion is what is to be taken next, nil while there is nothing. It doesn't wait.
func (f *Feed) Portion() []Again {
	select {
	case p := <-f.portions:
		return p
	default:
		return nil
	}
}

// Taken says that the last portion was committed.
func (f *Feed) Taken() {
	select {
	case f.taken <- struct{}{}:
	case <-f.ended:
	}
}

func (f *Feed) run(ctx context.Context) {
	for pause := lookEvery; ctx.Err() == nil; {
		next, err := f.next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = min(max(firstPause, 2*pause), longestPause)
			f.cfg.Logger.Warn("records that were set aside can't be read again; trying again", "error", err)
		case len(next) == 0:
			pause = lookEvery
		default:
			select {
			case f.portions <- next:
			case <-ctx.Done():
				return
			}
			select {
			case <-f.taken:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// next reads a portion, of one partition.
func (f *Feed) next(ctx context.Context) ([]Again, error) {
	keys, err := f.cfg.Store.CountKeys(ctx)
	if err != nil {
		return nil, err
	}
	look := f.more || keys != f.keys || time.Since(f.looked) >= lookAgain
	due, err := f.cfg.Store.Due(ctx, f.cfg.Consumer, f.cfg.Share, f.cfg.First, look, portion)
	if err != nil {
		return nil, err
	}
	if look {
		f.keys, f.looked, f.more = keys, time.Now(), len(due) > 0
	}
	if len(due) == 0 {
		return nil, nil
	}
	first := due[0]
	var offsets []int64
	for _, q := range due {
		if q.Topic != first.Topic || q.TopicID != first.TopicID || q.Partition != first.Partition {
			break
		}
		offsets = append(offsets, q.Offset)
	}
	picker, err := log.OpenPicker(f.cfg.Log)
	if err != nil {
		return nil, err
	}
	defer picker.Close()
	found, looked, err := picker.Pick(ctx, first.Topic, first.TopicID, first.Partition, offsets, portionBytes)
	if err != nil {
		return nil, fmt.Errorf("retake: %w", err)
	}
	out := make([]Again, looked)
	for i := range out {
		out[i] = Again{due[i], found[due[i].Offset]}
	}
	return out, nil
}
