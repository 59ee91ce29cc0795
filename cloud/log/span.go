package log

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Span is a part of a partition: the offsets from From up to and without To. The log
// has those from Begin up to and without End. First is the timestamp of the record at
// From; the zero Time if there is none.
type Span struct {
	Begin, From, To, End int64
	First                time.Time
}

// Spans finds the parts of topics that were written from from up to and without to, by
// the records' timestamps: a span begins with the first record that isn't older than
// from, and ends before the first that isn't older than to. A zero from is where the log
// begins, a zero to where it ends now.
func Spans(ctx context.Context, opts []kgo.Opt, topics []string, from, to time.Time) (map[string]map[int32]Span, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	admin := kadm.NewClient(client)
	spans := map[string]map[int32]Span{}
	ask := func(listed kadm.ListedOffsets, err error, set func(*Span, kadm.ListedOffset)) error {
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return fmt.Errorf("log: find offsets: %w", err)
		}
		listed.Each(func(o kadm.ListedOffset) {
			s := spans[o.Topic][o.Partition]
			set(&s, o)
			put(spans, o.Topic, o.Partition, s)
		})
		return nil
	}
	after := func(t time.Time) (kadm.ListedOffsets, error) {
		return admin.ListOffsetsAfterMilli(ctx, max(0, t.Add(time.Millisecond-1).UnixMilli()), topics...)
	}
	// The end is asked for first: what is written meanwhile isn't before it.
	listed, err := admin.ListEndOffsets(ctx, topics...)
	if err := ask(listed, err, func(s *Span, o kadm.ListedOffset) { s.End, s.To = o.Offset, o.Offset }); err != nil {
		return nil, err
	}
	listed, err = admin.ListStartOffsets(ctx, topics...)
	if err := ask(listed, err, func(s *Span, o kadm.ListedOffset) { s.Begin = o.Offset }); err != nil {
		return nil, err
	}
	listed, err = after(from)
	if err := ask(listed, err, func(s *Span, o kadm.ListedOffset) {
		s.From = min(max(o.Offset, s.Begin), s.End)
		if o.Timestamp > 0 && s.From < s.End {
			s.First = time.UnixMilli(o.Timestamp)
		}
	}); err != nil {
		return nil, err
	}
	if !to.IsZero() {
		listed, err = after(to)
		if err := ask(listed, err, func(s *Span, o kadm.ListedOffset) { s.To = min(max(o.Offset, s.Begin), s.End) }); err != nil {
			return nil, err
		}
	}
	for topic, partitions := range spans {
		for p, s := range partitions {
			s.To = max(s.From, s.To)
			spans[topic][p] = s
		}
	}
	return spans, nil
}
