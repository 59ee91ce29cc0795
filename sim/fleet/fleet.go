// Package fleet is the fast path from a simulated grid to Kafka: gateways with keys
// of their own whose signed records are what real ones write, without a device,
// a protocol and a buffer before them. A hundred thousand meters and more can be had so.
package fleet

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/evidence"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Config is what a fleet is like.
type Config struct {
	Prefix     string // of the gateways' ids; fleet if it is empty
	Site, Zone string
	PerGateway int      // service points that one gateway reads; 0: those of a transformer, as in the evidence
	Secret     [32]byte // all keys follow from it: who knows it can write in each gateway's name
	Epoch      record.Epoch
	Topics     record.Topics

	// Told is what the scenario's edge has told since the last call, which gateways tell of as
	// events. HoldUp is how long a gateway goes on without supply, and Step how often it is
	// looked what they have to tell; 0 is each quarter-hour.
	Told   func() []evidence.Event
	HoldUp time.Duration
	Step   time.Duration
}

// Fleet reads the meters of a grid each quarter-hour. It isn't safe for concurrent use.
type Fleet struct {
	config   Config
	grid     *live.Live
	gateways []gateway
	reads    []int32             // by service point: the index of its gateway
	first    []uint32            // by service point: the id of its first signal there
	named    map[string]int      // the gateways that have the names of the edge's
	switches map[string]position // by the switches' ids
	measured []bool              // by service point: its meter is fed by what it measures
	encoder  telemetry.Encoder
	sent     Sent
}

// position is the signal of a switch.
type position struct {
	gateway int
	signal  telemetry.SignalID
	last    live.Position // that was stored
}

// Sent is how much a fleet has written.
type Sent struct{ Births, Records, Samples, Late, Events uint64 }

// gateway reads service points, or tells of switches.
type gateway struct {
	id      string
	key     ed25519.PrivateKey
	table   uint64
	points  []int
	edges   []int // its switches
	signals []telemetry.Signal
	of      []uint32 // by its points: the id of the first signal
	samples []telemetry.Sample
	waiting []telemetry.Sample // read, and not arrived
	process
}

// New is a fleet that reads a grid's meters, and lets it compute by quarter-hour.
func New(l *live.Live, c Config) (*Fleet, error) {
	if c.PerGateway < 0 || c.PerGateway > mostPerGateway {
		return nil, fmt.Errorf("%d service points a gateway, expected 0 to %d", c.PerGateway, mostPerGateway)
	}
	if c.Prefix == "" {
		c.Prefix = "fleet"
	}
	l.Quarters()
	s := l.Snapshot()
	f := &Fleet{config: c, grid: l, reads: make([]int32, s.Points()), first: make([]uint32, s.Points()), named: map[string]int{}, switches: map[string]position{}, measured: make([]bool, s.Points())}
	for p := range s.Points() {
		i := 0
		if c.PerGateway > 0 {
			if p%c.PerGateway == 0 {
				f.gateways = append(f.gateways, gateway{id: fmt.Sprintf("%s-%05d", c.Prefix, len(f.gateways)+1)})
			}
			i = len(f.gateways) - 1
		} else {
			id, _, _ := l.Reader(p)
			i = f.called(id)
		}
		g := &f.gateways[i]
		f.reads[p], f.first[p] = int32(i), uint32(len(g.signals))
		g.points, g.of = append(g.points, p), append(g.of, uint32(len(g.signals)))
		g.signals = appendSignals(g.signals, s.PointAsset(p).ID, s.Point(p).Phases)
	}
	f.stations()
	for i := range f.gateways {
		g := &f.gateways[i]
		seed, err := hkdf.Key(sha256.New, c.Secret[:], nil, "busbar-sim fleet "+g.id, ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		g.key = ed25519.NewKeyFromSeed(seed)
		if g.table, err = tableOf(*g); err != nil {
			return nil, err
		}
		g.process = newProcess(c.Epoch, g.id)
	}
	return f, nil
}

// called is the index of the gateway that has the name of one of the edge's.
func (f *Fleet) called(id string) int {
	i, has := f.named[id]
	if !has {
		i = len(f.gateways)
		f.named[id] = i
		f.gateways = append(f.gateways, gateway{id: gatewayName(id)})
	}
	return i
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// gatewayName is a name of the edge as gateways have them.
func gatewayName(id string) string {
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(id), "-"), "-")
	return name[:min(len(name), 63)]
}

// stations adds what tells of telemetered switches, by the names that the grid's model has for them.
func (f *Fleet) stations() {
	s := f.grid.Snapshot()
	for edge := range s.Edges() {
		id, _, _ := f.grid.Teller(edge)
		if id == "" {
			continue
		}
		i := f.called(id)
		g, v := &f.gateways[i], &s.Model().Switches[s.Edge(edge).Index]
		signal := telemetry.SignalID(len(g.signals))
		g.signals = append(g.signals, telemetry.Signal{ID: signal, Device: cmp.Or(v.Device, v.ID), Name: v.Signal, Unit: "1", Asset: v.ID, Kind: telemetry.State})
		g.edges = append(g.edges, edge)
		f.switches[v.ID] = position{gateway: i, signal: signal}
	}
}

// tableOf names a gateway's table by what is in it: other meters are another table.
func tableOf(g gateway) (uint64, error) {
	text, err := json.Marshal(g.signals)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(append([]byte(g.id+"/"), text...))
	return binary.BigEndian.Uint64(sum[:]), nil
}

// mostPerGateway keeps a quarter-hour of one in a block, and a block in a record.
const mostPerGateway = 20_000

var phaseNames = [3]string{"PhV.phsA", "PhV.phsB", "PhV.phsC"}

// appendSignals adds what is read of a service point's meter: its registers, and the
// voltages of the phases that it has.
func appendSignals(list []telemetry.Signal, point string, phases grid.Phases) []telemetry.Signal {
	add := func(name, unit string, kind telemetry.Kind) {
		list = append(list, telemetry.Signal{ID: telemetry.SignalID(len(list)), Device: point, Name: name, Unit: unit, Asset: point, Kind: kind})
	}
	add("DmdWh", "W.h", telemetry.Counter)
	add("SupWh", "W.h", telemetry.Counter)
	for i, name := range phaseNames {
		if phases&(1<<i) != 0 {
			add(name, "V", telemetry.Gauge)
		}
	}
	return list
}

// Key is a gateway and its public key, for its enrolment.
type Key struct {
	Gateway string
	Public  ed25519.PublicKey
}

// Keys are those of all gateways.
func (f *Fleet) Keys() (keys []Key) {
	for i := range f.gateways {
		g := &f.gateways[i]
		keys = append(keys, Key{g.id, g.key.Public().(ed25519.PublicKey)})
	}
	return keys
}

// Signals is how many there are.
func (f *Fleet) Signals() (n int) {
	for i := range f.gateways {
		n += len(f.gateways[i].signals)
	}
	return n
}

// Sent is how much it has written.
func (f *Fleet) Sent() Sent { return f.sent }

// NewEpoch draws one, as each start of a gateway does.
func NewEpoch() record.Epoch {
	var b [8]byte
	_, _ = rand.Read(b[:]) // which never fails
	return record.Epoch(binary.BigEndian.Uint64(b[:]))
}

// Births writes the signal tables.
func (f *Fleet) Births(send func(*kgo.Record)) error {
	for i := range f.gateways {
		g := &f.gateways[i]
		for _, b := range record.SplitBirth(record.Birth{Gateway: g.id, Site: f.config.Site, Zone: f.config.Zone, Table: record.Epoch(g.table).String(), Version: 1, Signals: g.signals}) {
			value, err := json.Marshal(b)
			if err != nil {
				return err
			}
			k := &kgo.Record{Topic: f.config.Topics.Births(), Key: []byte(b.Key()), Value: value}
			for _, h := range record.SignBirth(g.key, k.Key, value).Headers() {
				k.Headers = append(k.Headers, kgo.RecordHeader(h))
			}
			send(k)
			f.sent.Births++
		}
	}
	return nil
}

const quarter = int64(900e6) // µs

// Play lets the grid go on to its end, a step at a time, and writes what gateways have to tell after
// each, and what is read at the end of each quarter-hour. before is called with each time
// before it is played, so that it can be waited for.
func (f *Fleet) Play(ctx context.Context, before func(at int64) error, send func(*kgo.Record)) error {
	if err := f.begin(send); err != nil {
		return err
	}
	step := quarter
	if f.config.Step > 0 {
		step = min(quarter, f.config.Step.Microseconds())
	}
	for at := f.grid.Now(); at < f.grid.End(); {
		next := min(at+step, (at/quarter+1)*quarter, f.grid.End())
		if err := errors.Join(ctx.Err(), before(next)); err != nil {
			return errors.Join(err, f.end(send))
		}
		at = next
		if err := f.grid.Advance(at); err != nil {
			return err
		}
		if err := f.tell(send); err != nil {
			return err
		}
		if at%quarter == 0 {
			if err := f.read(at, send); err != nil {
				return err
			}
		}
	}
	return f.end(send)
}

// read is the readings of a moment: of meters that answer, those that couldn't be
// sent before among them. The others are missing.
func (f *Fleet) read(at int64, send func(*kgo.Record)) error {
	s := f.grid.Snapshot()
	f.deliver()
	f.grid.Readings(func(p int, has *live.Point, reads, arrives bool) {
		g := &f.gateways[f.reads[p]]
		into := &g.samples
		if !arrives {
			into = &g.waiting
		}
		if !reads {
			return
		}
		id := telemetry.SignalID(f.first[p])
		add := func(v telemetry.Value) {
			*into = append(*into, telemetry.Sample{Time: telemetry.Micros(at), Signal: id, Value: v})
			id++
		}
		add(telemetry.UintValue(uint64(has.Import)))
		add(telemetry.UintValue(uint64(has.Export)))
		phases := s.Point(p).Phases
		for i := range phaseNames {
			if phases&(1<<i) != 0 {
				add(telemetry.FloatValue(math.Round(has.Voltage[i]*10) / 10))
			}
		}
	})
	for i := range f.gateways {
		g := &f.gateways[i]
		if err := errors.Join(f.send(g, send), f.beat(g, at, send)); err != nil {
			return err
		}
	}
	return nil
}

// deliver moves to the samples that are sent what has waited for a meter's gateway
// that is connected now.
func (f *Fleet) deliver() {
	waits := false
	for i := range f.gateways {
		waits = waits || len(f.gateways[i].waiting) > 0
	}
	if !waits {
		return
	}
	connected := make([]bool, f.grid.Snapshot().Points())
	f.grid.Readings(func(p int, _ *live.Point, _, arrives bool) { connected[p] = arrives })
	for i := range f.gateways {
		g := &f.gateways[i]
		rest := g.waiting[:0]
		for _, x := range g.waiting {
			if !connected[g.point(x.Signal)] {
				rest = append(rest, x)
				continue
			}
			g.samples = append(g.samples, x)
			f.sent.Late++
		}
		g.waiting = rest
	}
}

// point is that of a signal.
func (g *gateway) point(id telemetry.SignalID) int {
	low, high := 0, len(g.of)
	for low+1 < high {
		if middle := (low + high) / 2; g.of[middle] <= uint32(id) {
			low = middle
		} else {
			high = middle
		}
	}
	return g.points[low]
}

// send writes a gateway's samples, in as many records as they need.
func (f *Fleet) send(g *gateway, send func(*kgo.Record)) error {
	g.heard = g.heard || len(g.samples) > 0
	for rest := g.samples; len(rest) > 0; {
		n := min(len(rest), mostSamples)
		// A record's samples lie in few minutes: each quarter-hour is one.
		for minutes, at := 1, 1; at < n; at++ {
			if rest[at].Time != rest[at-1].Time {
				if minutes++; minutes > record.MaxMinutes {
					n = at
				}
			}
		}
		payload, err := f.encoder.AppendBlock(nil, telemetry.TableRef{Table: g.table, Version: 1}, rest[:n])
		if err != nil {
			return err
		}
		r := record.Record{Identity: record.Identity{Gateway: g.id, Epoch: g.epoch, Stream: record.Telemetry, First: g.next, Last: g.next + uint64(n) - 1},
			Format: record.FormatBlock, Payload: payload}
		send(sealed(r, g.key, f.config.Topics.Telemetry()))
		g.next += uint64(n)
		f.sent.Records++
		f.sent.Samples += uint64(n)
		rest = rest[n:]
	}
	g.samples = g.samples[:0]
	return nil
}

// sealed is a record as a message of a topic.
func sealed(r record.Record, key ed25519.PrivateKey, topic string) *kgo.Record {
	r.Sign(key)
	m := r.Message()
	k := &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value, Headers: make([]kgo.RecordHeader, len(m.Headers))}
	for i, h := range m.Headers {
		k.Headers[i] = kgo.RecordHeader(h)
	}
	return k
}

// mostSamples keeps a record well below a log's usual 1 MB.
const mostSamples = 100_000
