// Package fleet is the fast path from a simulated grid to Kafka: gateways with keys
// of their own whose signed records are what real ones write, without a device,
// a protocol and a buffer before them. A hundred thousand meters and more can be had so.
package fleet

import (
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

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Config is what a fleet is like.
type Config struct {
	Prefix     string // of the gateways' ids; fleet if it is empty
	Site, Zone string
	PerGateway int      // service points that one gateway reads
	Secret     [32]byte // all keys follow from it: who knows it can write in each gateway's name
	Epoch      record.Epoch
	Topics     record.Topics
}

// Fleet reads the meters of a grid each quarter-hour. It isn't safe for concurrent use.
type Fleet struct {
	config   Config
	grid     *live.Live
	gateways []gateway
	encoder  telemetry.Encoder
	sent     Sent
}

// Sent is how much a fleet has written.
type Sent struct{ Births, Records, Samples, Late uint64 }

// gateway reads the service points from first on.
type gateway struct {
	id      string
	key     ed25519.PrivateKey
	table   uint64
	first   int
	signals []telemetry.Signal
	of      []uint32 // by its points: the id of the first signal
	next    uint64   // sequence number
	samples []telemetry.Sample
	waiting []telemetry.Sample // read, and not arrived
}

// New is a fleet that reads a grid's meters, and lets it compute by quarter-hour.
func New(l *live.Live, c Config) (*Fleet, error) {
	if c.PerGateway < 1 || c.PerGateway > mostPerGateway {
		return nil, fmt.Errorf("%d service points a gateway, expected 1 to %d", c.PerGateway, mostPerGateway)
	}
	if c.Prefix == "" {
		c.Prefix = "fleet"
	}
	l.Quarters()
	f := &Fleet{config: c, grid: l}
	s := l.Snapshot()
	for first := 0; first < s.Points(); first += c.PerGateway {
		g := gateway{id: fmt.Sprintf("%s-%05d", c.Prefix, len(f.gateways)+1), first: first}
		seed, err := hkdf.Key(sha256.New, c.Secret[:], nil, "busbar-sim fleet "+g.id, ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		g.key = ed25519.NewKeyFromSeed(seed)
		for p := first; p < min(first+c.PerGateway, s.Points()); p++ {
			g.of = append(g.of, uint32(len(g.signals)))
			g.signals = appendSignals(g.signals, s.PointAsset(p).ID, s.Point(p).Phases)
		}
		if g.table, err = tableOf(g); err != nil {
			return nil, err
		}
		f.gateways = append(f.gateways, g)
	}
	return f, nil
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

// Play lets the grid go on to its end, a quarter-hour at a time, and writes what is
// read at the end of each. before is called with each time before it is played, so
// that it can be waited for.
func (f *Fleet) Play(ctx context.Context, before func(at int64) error, send func(*kgo.Record)) error {
	for at := (f.grid.Now()/quarter + 1) * quarter; at <= f.grid.End(); at += quarter {
		if err := errors.Join(ctx.Err(), before(at)); err != nil {
			return err
		}
		if err := f.grid.Advance(at); err != nil {
			return err
		}
		if err := f.read(at, send); err != nil {
			return err
		}
	}
	return nil
}

// read is the readings of a moment: of meters that answer, those that couldn't be
// sent before among them. The others are missing.
func (f *Fleet) read(at int64, send func(*kgo.Record)) error {
	s := f.grid.Snapshot()
	f.deliver()
	f.grid.Readings(func(p int, has *live.Point, reads, arrives bool) {
		g := &f.gateways[p/f.config.PerGateway]
		into := &g.samples
		if !arrives {
			into = &g.waiting
		}
		if !reads {
			return
		}
		id := telemetry.SignalID(g.of[p-g.first])
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
		if err := f.send(&f.gateways[i], send); err != nil {
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
	return g.first + low
}

// send writes a gateway's samples, in as many records as they need.
func (f *Fleet) send(g *gateway, send func(*kgo.Record)) error {
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
		r := record.Record{Identity: record.Identity{Gateway: g.id, Epoch: f.config.Epoch, Stream: record.Telemetry, First: g.next, Last: g.next + uint64(n) - 1},
			Format: record.FormatBlock, Payload: payload}
		r.Sign(g.key)
		m := r.Message()
		k := &kgo.Record{Topic: f.config.Topics.Telemetry(), Key: m.Key, Value: m.Value, Headers: make([]kgo.RecordHeader, len(m.Headers))}
		for i, h := range m.Headers {
			k.Headers[i] = kgo.RecordHeader(h)
		}
		send(k)
		g.next += uint64(n)
		f.sent.Records++
		f.sent.Samples += uint64(n)
		rest = rest[n:]
	}
	g.samples = g.samples[:0]
	return nil
}

// mostSamples keeps a record well below a log's usual 1 MB.
const mostSamples = 100_000
