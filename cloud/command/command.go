// Package command asks gateways to do something: it signs commands with the
// cloud's key, keeps who asked for what, and writes them to the log.
package command

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// DefaultLife is how long a command can be carried out: long enough for clocks
// that differ by some seconds, and short enough that whoever asked is still there.
const DefaultLife = 30 * time.Second

// Sender sends commands. It is safe for concurrent use.
type Sender struct {
	store    *store.Store
	key      func() (keyfile.Key, error)
	producer *kgo.Client
	topic    string
}

// NewSender prepares a client with the options of a connection; nothing is
// dialled yet. Key is asked for each command: it may be replaced.
func NewSender(s *store.Store, key func() (keyfile.Key, error), connection []kgo.Opt, topics record.Topics) (*Sender, error) {
	producer, err := kgo.NewClient(append(connection[:len(connection):len(connection)],
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		return nil, fmt.Errorf("command: Kafka client: %w", err)
	}
	return &Sender{store: s, key: key, producer: producer, topic: topics.Commands()}, nil
}

// Close ends the client.
func (s *Sender) Close() { s.producer.Close() }

// Request is what a gateway is asked.
type Request struct {
	Gateway string
	Kind    record.CommandKind
	Alarm   string // with Ack and Reset
	Device  string // with Read
	By      string
	Life    time.Duration // 0 means DefaultLife
}

// Send asks the process of the gateway that runs, as far as the store knows. It
// returns when the log has the command. If it fails, the command may be in the
// log nevertheless, or get there until ctx ends.
func (s *Sender) Send(ctx context.Context, r Request) (record.Command, error) {
	epoch, err := s.store.RunningEpoch(ctx, r.Gateway)
	if err != nil {
		return record.Command{}, err
	}
	life := r.Life
	if life == 0 {
		life = DefaultLife
	}
	now := telemetry.MicrosOf(time.Now())
	c := record.Command{
		ID: record.NewCommandID(), Gateway: r.Gateway, Epoch: epoch.String(), Kind: r.Kind, Alarm: r.Alarm, Device: r.Device, By: r.By,
		Issued: now, Expires: now + telemetry.Micros(life.Microseconds()),
	}
	key, err := s.key()
	if err != nil {
		return record.Command{}, err
	}
	m, err := c.Message(key.Private, key.Introductions...)
	if err != nil {
		return record.Command{}, err
	}
	// Before it is sent: the answer may be faster.
	if err := s.store.AddCommand(ctx, c); err != nil {
		return record.Command{}, err
	}
	k := &kgo.Record{Topic: s.topic, Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	if err := s.producer.ProduceSync(ctx, k).FirstErr(); err != nil {
		return c, fmt.Errorf("command %s: write it to %s: %w", c.ID, s.topic, err)
	}
	return c, nil
}

// askEvery is how often Await looks: the answer may come by another process.
const askEvery = 20 * time.Millisecond

// Await waits for the answer to a command that was sent.
func Await(ctx context.Context, s *store.Store, id string) (store.Command, error) {
	for {
		c, err := s.Command(ctx, id)
		if err != nil || c.Answered != 0 {
			return c, err
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(askEvery):
		}
	}
}
