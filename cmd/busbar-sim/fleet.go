package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/fleet"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/telemetry/record"
)

type fleetCommand struct {
	Keys fleetKeysCommand `cmd:"" help:"Write the public keys of a fleet's gateways, for their enrolment."`
	Run  fleetRunCommand  `cmd:"" help:"Write what a fleet's gateways would, from the meters of a whole grid, straight to Kafka."`
}

func (fleetCommand) Help() string {
	return `The fast path for a hundred thousand meters and more: each quarter-hour, every meter's registers and voltages, and events as they happen, in the signed records of real gateways.

Examples:
  busbar-sim fleet keys --points 100000 --out fleet.keys
  busbar-cloud gateway enrol --config cloud.yaml --keys fleet.keys
  busbar-sim fleet run --points 100000 --lasts 24h --kafka 127.0.0.1:9092`
}

// fleetShape is which fleet it is: the same for its keys and when it runs.
type fleetShape struct {
	Scenario   string `arg:"" optional:"" help:"The scenario whose grid it is; without one, a generated grid in which nothing happens." placeholder:"FILE|NAME"`
	Points     int    `help:"Service points of a generated grid." placeholder:"N"`
	Seed       uint64 `help:"Seed of a generated grid and of what customers use." default:"1"`
	PerGateway int    `help:"Meters that one gateway reads; 0 is a gateway for each transformer, which has its supply there." default:"1000" placeholder:"N"`
	Prefix     string `help:"What gateways' ids begin with." default:"fleet" placeholder:"NAME"`
	Secret     string `help:"The file that all of its keys follow from; it is made if it is missing." default:"fleet.key" placeholder:"FILE" type:"path"`
	Start      string `help:"When it begins, instead of what the scenario says: now, or a time such as 2026-03-01T06:00:00Z." placeholder:"now|TIME"`

	Lasts time.Duration `help:"How long, in the grid's time. 24h by default, or as long as the scenario." placeholder:"TIME"`
}

func (c fleetShape) scenario() (*scenario.Scenario, error) {
	if (c.Scenario == "") == (c.Points == 0) {
		return nil, program.Usage{Err: errors.New("expected a scenario or --points")}
	}
	if c.Scenario != "" {
		return liveCommand{Scenario: c.Scenario, Start: c.Start, Lasts: c.Lasts}.open()
	}
	if c.Lasts == 0 {
		c.Lasts = 24 * time.Hour
	}
	src := fmt.Appendf(nil, "description: A quiet grid.\nseed: %d\nlasts: 1h\ngrid: {service_points: %d}\n", c.Seed, c.Points)
	s, err := scenario.Parse("--points.yaml", src, os.ReadFile, nil)
	if err != nil {
		return nil, err
	}
	return s, liveCommand{Start: c.Start, Lasts: c.Lasts}.change(s)
}

func (c fleetShape) fleet(topics record.Topics, sinks scenario.Sinks, s *scenario.Scenario, step time.Duration) (*fleet.Fleet, error) {
	var told []evidence.Event
	other := sinks.Evidence
	sinks.Evidence = func(e evidence.Event) error {
		if told = append(told, e); other == nil {
			return nil
		}
		return other(e)
	}
	l, err := live.New(s, sinks)
	if err != nil {
		return nil, err
	}
	key, _, err := keyfile.OpenKey(c.Secret)
	if err != nil {
		return nil, err
	}
	config := fleet.Config{Prefix: c.Prefix, Site: "simulated", Zone: "simulated", PerGateway: c.PerGateway, Epoch: fleet.NewEpoch(), Topics: topics,
		HoldUp: time.Duration(s.Edge.HoldUp), Step: step, Told: func() (list []evidence.Event) { list, told = told, nil; return list }}
	copy(config.Secret[:], key.Private.Seed())
	f, err := fleet.New(l, config)
	if err != nil {
		return nil, program.Usage{Err: err}
	}
	return f, nil
}

type fleetKeysCommand struct {
	fleetShape
	Out string `help:"Where to: a gateway's id and its public key on each line." default:"fleet.keys" placeholder:"FILE" type:"path"`
}

func (c fleetKeysCommand) Run() (err error) {
	s, err := c.scenario()
	if err != nil {
		return err
	}
	f, err := c.fleet(record.TopicsOf(""), scenario.Sinks{}, s, 0)
	if err != nil {
		return err
	}
	file, err := os.Create(c.Out)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	keys := f.Keys()
	for _, k := range keys {
		fmt.Fprintf(w, "%s %s\n", k.Gateway, record.FormatPublicKey(k.Public))
	}
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		return err
	}
	fmt.Printf("%d gateways, %d meters, %d signals: their keys are in %s\n", len(keys), len(s.Model().ServicePoints), f.Signals(), c.Out)
	return nil
}

type fleetRunCommand struct {
	fleetShape
	Speed float64 `help:"How fast time passes: 1 is real time. As fast as it goes by default." placeholder:"N"`
	written
}

func (fleetRunCommand) Help() string {
	return `Each run is a new epoch of its gateways, so a second one over the same time sends the same readings again. Meters without supply, and those whose gateway has none, aren't read; what a gateway without a connection has read comes later. The gateways write their starts and stops, heartbeats, last gasps, and the alarms of meters and switches; accounts they don't.

Examples:
  busbar-sim fleet run --points 100000 --lasts 24h --kafka 127.0.0.1:9092
  busbar-sim fleet run storm --start now --speed 1 --kafka kafka.yaml --truth truth.jsonl`
}

func (c fleetRunCommand) Run(ctx context.Context) (err error) {
	if !(c.Speed >= 0 && c.Speed <= live.Fastest) {
		return program.Usage{Err: fmt.Errorf("--speed %v, expected 0 to %d", c.Speed, live.Fastest)}
	}
	config, dir, err := kafkaOf(c.Kafka)
	if err != nil {
		return err
	}
	s, err := c.scenario()
	if err != nil {
		return err
	}
	var files outputs
	defer func() { err = errors.Join(err, files.close()) }()
	sinks, err := c.written.open(ctx, s, &files)
	if err != nil {
		return err
	}
	f, err := c.fleet(record.TopicsOf(config.TopicPrefix), sinks, s, time.Duration(c.Speed*float64(time.Second)))
	if err != nil {
		return err
	}
	p, err := newProducer(ctx, config, dir)
	if err != nil {
		return err
	}
	defer p.client.Close()
	began := time.Now()
	if err := errors.Join(f.Births(p.send), p.flush()); err != nil {
		return err
	}
	err = f.Play(ctx, func(at int64) error {
		if c.Speed > 0 {
			due := began.Add(time.Duration(float64(at-int64(s.Start)) / c.Speed * 1e3))
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(due)):
			}
		}
		return errors.Join(ctx.Err(), p.failure())
	}, p.send)
	err = errors.Join(program.UntilStopped(ctx, err), p.flush())
	took, sent := time.Since(began), f.Sent()
	say := os.Stdout
	if c.toStdout() {
		say = os.Stderr
	}
	fmt.Fprintf(say, "%d gateways, %d signals: %d births, %d records, %d samples, %d of them late, %d events, in %.1f s; %s\n",
		len(f.Keys()), f.Signals(), sent.Births, sent.Records, sent.Samples, sent.Late, sent.Events, took.Seconds(), costs(sent.Samples))
	return err
}

// producer writes records to Kafka, and remembers the first failure.
type producer struct {
	client *kgo.Client
	mu     sync.Mutex
	err    error
}

func newProducer(ctx context.Context, c kafkaconn.Config, dir string) (*producer, error) {
	options, err := c.Options(dir)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(options, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedBytes(64<<20), kgo.RecordDeliveryTimeout(time.Minute), kgo.UnknownTopicRetries(20))...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	if err := kafkaconn.Check(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	return &producer{client: client}, nil
}

func (p *producer) send(r *kgo.Record) {
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil && p.err == nil {
			p.err = fmt.Errorf("kafka: write to %s: %w", r.Topic, err)
		}
	})
}

func (p *producer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *producer) flush() error {
	err := p.client.Flush(context.Background()) // which the delivery timeout ends
	return errors.Join(err, p.failure())
}
