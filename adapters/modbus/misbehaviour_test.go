package modbus_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/sim/devices"
	"github.com/busbar/busbar/telemetry"
)

// witness is a unit whose values say which request they are the answer to: unit,
// table, address, and the number of the read.
type witness struct {
	unit byte

	mu    sync.Mutex
	reads []time.Time
}

func (w *witness) Read(table devices.Table, address, quantity int, dst []byte) devices.Exception {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range quantity {
		if table == devices.Coils || table == devices.DiscreteInputs {
			return devices.IllegalFunction
		}
		v := testimony(w.unit, byte(table), (address+i)/4, uint32(len(w.reads)))
		binary.BigEndian.PutUint16(dst[2*i:], uint16(v>>(48-16*((address+i)%4))))
	}
	w.reads = append(w.reads, time.Now())
	return 0
}

// testimony is a value of four registers, which nothing but the right ones give.
func testimony(unit, table byte, place int, read uint32) uint64 {
	v := uint64(unit)<<56 | uint64(table)<<52 | uint64(place&0xFFF)<<40 | uint64(read)<<8
	var sum byte = 0x5A
	for shift := 8; shift < 64; shift += 8 {
		sum = sum<<1 ^ sum>>7 ^ byte(v>>shift)
	}
	return v | uint64(sum)
}

// check wants the value to be the answer to a request that was made after a moment.
func (w *witness) check(p modbus.Point, v telemetry.Value, since time.Time) error {
	table := byte(devices.HoldingRegisters)
	if p.Table == modbus.Input {
		table = byte(devices.InputRegisters)
	}
	read := uint32(v.Bits() >> 8)
	if v.Bits() != testimony(w.unit, table, int(p.Address)/4, read) {
		return fmt.Errorf("%s %d of unit %d is %#x, which it never was", p.Table, p.Address, w.unit, v.Bits())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if int(read) >= len(w.reads) || w.reads[read].Before(since) {
		return fmt.Errorf("%s %d of unit %d is that of read %d, which was for an earlier poll", p.Table, p.Address, w.unit, read)
	}
	return nil
}

// witnessed is the device, with two requests that look alike and one that doesn't.
func witnessed(endpoint string, unit byte, timeout time.Duration) modbus.Device {
	d := modbus.Device{
		ID: fmt.Sprint("unit-", unit), Endpoint: endpoint, Unit: unit, Timeout: timeout,
		PollEvery: 20 * time.Millisecond, Live: telemetry.SignalID(unit) * 100,
	}
	for _, at := range []struct {
		table   modbus.Table
		address uint16
	}{{modbus.Holding, 0}, {modbus.Holding, 4}, {modbus.Input, 8}, {modbus.Holding, 100}, {modbus.Holding, 104}} {
		d.Points = append(d.Points, modbus.Point{
			Signal: d.Live + 1 + telemetry.SignalID(len(d.Points)), Name: fmt.Sprint(at.table, at.address),
			Table: at.table, Address: at.address, Type: modbus.Uint64,
		})
	}
	return d
}

// polls keeps the batches of each device.
type polls struct {
	mu   sync.Mutex
	of   map[string][]adapters.Batch
	news chan struct{} // holds one
}

func (p *polls) Deliver(_ context.Context, b adapters.Batch) error {
	b.Samples = slices.Clone(b.Samples)
	p.mu.Lock()
	p.of[b.Device] = append(p.of[b.Device], b)
	p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
	return nil
}

func (p *polls) from(device string, n int) []adapters.Batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[device][n:]
}

// await returns when the condition holds for the polls of a device from the n-th on.
func (p *polls) await(t *testing.T, what, device string, n int, condition func([]adapters.Batch) bool) {
	t.Helper()
	for limit := time.After(time.Minute); !condition(p.from(device, n)); {
		select {
		case <-p.news:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func isGood(b adapters.Batch) bool {
	return !slices.ContainsFunc(b.Samples, func(s telemetry.Sample) bool { return s.Quality.Validity() != telemetry.Good })
}

func goodPolls(n int) func([]adapters.Batch) bool {
	return func(all []adapters.Batch) bool {
		return len(all) >= n && !slices.ContainsFunc(all[len(all)-n:], func(b adapters.Batch) bool { return !isGood(b) })
	}
}

// badFor counts what is bad for a reason, or any.
func badFor(all []adapters.Batch, reason telemetry.Reason) (n int) {
	for _, b := range all {
		for _, s := range b.Samples {
			if s.Quality.Validity() == telemetry.Bad && (reason == none || s.Quality.Reason() == reason) {
				n++
			}
		}
	}
	return n
}

// played is an endpoint with units 1 and 2, which the simulator plays.
func played(t *testing.T, transport modbus.Transport) (bus *devices.Bus, endpoint string, units [3]*witness) {
	t.Helper()
	units = [3]*witness{1: {unit: 1}, 2: {unit: 2}}
	bus = devices.NewBus(map[byte]devices.Unit{1: units[1], 2: units[2]}, 1)
	line := devices.LineConfig{Line: modbus.Line{Baud: 115200, StopBits: 1}}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() { cancel(); serving.Wait() })
	if transport == modbus.RTU {
		pty, err := devices.OpenPTY()
		if err != nil {
			t.Fatal(err)
		}
		serving.Go(func() {
			if err := bus.ServeLine(ctx, pty, line); err != nil {
				t.Error(err)
			}
		})
		return bus, "rtu://" + pty.Path() + "?baud=115200&parity=N", units
	}
	quiet := slog.New(slog.DiscardHandler)
	server, err := bus.Listen("127.0.0.1:0", quiet)
	if transport == modbus.RTUOverTCP {
		server, err = bus.ListenRTU("127.0.0.1:0", line, quiet)
	}
	if err != nil {
		t.Fatal(err)
	}
	serving.Go(func() { server.Serve(ctx) })
	return bus, string(transport) + "://" + server.Addr().String(), units
}

const (
	none         = telemetry.NoReason
	timedOut     = telemetry.Timeout
	malformed    = telemetry.Malformed
	refused      = telemetry.Refused
	notConnected = telemetry.NotConnected
)

// misbehaviour is what a device does, and for what reason values are then bad; none:
// they are good.
type misbehaviour struct {
	how       string
	tcp, line telemetry.Reason
	overTCP   telemetry.Reason // on a line behind a device server, if it is another
	only      []modbus.Transport
	// lasts is how long what it did before the end may go on after it.
	lasts time.Duration
	// learns: that the device hasn't got something is believed for a while.
	learns bool
	// leaves: the connection is given up.
	leaves bool
	// either: bad values may come, and needn't.
	either bool
}

var misbehaviours = []misbehaviour{
	{how: "silent", tcp: timedOut, line: timedOut},
	{how: "silent,every=3", tcp: timedOut, line: timedOut},
	{how: "late=50ms", tcp: none, line: none},
	{how: "late=300ms", tcp: timedOut, line: timedOut, lasts: 300 * time.Millisecond, either: true},
	{how: "late=300ms,every=4", tcp: timedOut, line: timedOut, lasts: 300 * time.Millisecond},
	{how: "late=900ms,every=5", tcp: timedOut, line: timedOut, lasts: 900 * time.Millisecond},
	{how: "split=50ms", tcp: none, line: none},
	{how: "drip=1ms", tcp: none, line: none, leaves: true},
	{how: "drip=80ms", tcp: timedOut, line: timedOut, lasts: 3 * time.Second, leaves: true},
	{how: "duplicate", tcp: none, line: none},
	{how: "duplicate; split=20ms", tcp: none, line: none, either: true},
	{how: "duplicate; late=300ms,every=3", tcp: timedOut, line: timedOut, lasts: 300 * time.Millisecond},
	{how: "stale", tcp: none, only: []modbus.Transport{modbus.TCP}},
	{how: "stale; split=20ms", tcp: none, only: []modbus.Transport{modbus.TCP}},
	{how: "garbage", tcp: malformed, line: timedOut, leaves: true},
	{how: "garbage=7", tcp: timedOut, line: timedOut, leaves: true, either: true},
	{how: "noise", tcp: none, line: none, leaves: true, either: true},
	{how: "short", tcp: malformed, line: timedOut, leaves: true},
	{how: "long", tcp: malformed, line: timedOut, leaves: true},
	{how: "truncated=3", tcp: timedOut, line: malformed, overTCP: timedOut, leaves: true},
	{how: "wrong-transaction=-1", tcp: timedOut, only: []modbus.Transport{modbus.TCP}},
	{how: "wrong-transaction=1", tcp: malformed, only: []modbus.Transport{modbus.TCP}, leaves: true},
	{how: "wrong-protocol", tcp: malformed, only: []modbus.Transport{modbus.TCP}, leaves: true},
	{how: "wrong-length=1", tcp: malformed, only: []modbus.Transport{modbus.TCP}, leaves: true},
	{how: "wrong-length=-2", tcp: malformed, only: []modbus.Transport{modbus.TCP}, leaves: true},
	{how: "wrong-unit", tcp: malformed, line: timedOut, leaves: true},
	{how: "wrong-function", tcp: malformed, line: timedOut, leaves: true},
	{how: "wrong-checksum", line: malformed, only: []modbus.Transport{modbus.RTU, modbus.RTUOverTCP}, leaves: true},
	{how: "busy", tcp: refused, line: refused},
	{how: "exception=4", tcp: refused, line: refused},
	{how: "exception=2", tcp: refused, line: refused},
	{how: "gateway-path", tcp: notConnected, line: notConnected},
	{how: "gateway-target", tcp: timedOut, line: timedOut},
	{how: "holes=100-107", tcp: refused, line: refused, learns: true},
	{how: "limit=6", tcp: none, line: none},
	{how: "hang-up", tcp: notConnected, line: notConnected, only: overConnections, leaves: true},
	{how: "reset", tcp: notConnected, line: notConnected, only: overConnections, leaves: true},
	{how: "truncated; hang-up", tcp: malformed, line: malformed, only: overConnections, leaves: true},
	{how: "hang-up,every=4", tcp: none, line: none, only: overConnections, leaves: true, either: true},
	{how: "one-client; garbage,every=4", tcp: malformed, line: timedOut, only: overConnections, leaves: true},
	{how: "restart=1500ms", tcp: notConnected, line: timedOut, overTCP: notConnected, lasts: 1500 * time.Millisecond, leaves: true},
	{how: "late=100ms,chance=0.3; garbage,chance=0.2; duplicate,chance=0.3; wrong-unit,chance=0.1", tcp: malformed, line: timedOut, leaves: true},
}

var overConnections = []modbus.Transport{modbus.TCP, modbus.RTUOverTCP}

// Each misbehaviour is shown for a while between two stretches of good answers, by a
// unit that shares its endpoint with one that does nothing wrong. No value is
// delivered that isn't the answer to its own request, and a timeout after the
// misbehaviour has ended, polls are good again.
func TestMisbehaviour(t *testing.T) {
	// Each mostly waits, so more of them at a time than the machine has processors.
	places := make(chan struct{}, 8)
	var all sync.WaitGroup
	defer all.Wait()
	for _, transport := range []modbus.Transport{modbus.TCP, modbus.RTUOverTCP, modbus.RTU} {
		for _, m := range misbehaviours {
			if m.only != nil && !slices.Contains(m.only, transport) {
				continue
			}
			all.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				t.Run(string(transport)+" "+m.how, func(t *testing.T) { testMisbehaviour(t, transport, m) })
			})
		}
	}
}

func testMisbehaviour(t *testing.T, transport modbus.Transport, m misbehaviour) {
	reason := m.line
	switch {
	case transport == modbus.TCP:
		reason = m.tcp
	case transport == modbus.RTUOverTCP && m.overTCP != none:
		reason = m.overTCP
	}
	list, err := devices.ParseMisbehaviours(m.how, devices.OnTCP, devices.OnLines, devices.OnConnections)
	if err != nil {
		t.Fatal(err)
	}
	bus, endpoint, units := played(t, transport)
	victim, neighbour := witnessed(endpoint, 1, 200*time.Millisecond), witnessed(endpoint, 2, 200*time.Millisecond)
	sink := &polls{of: map[string][]adapters.Batch{}, news: make(chan struct{}, 1)}
	a, err := modbus.New(modbus.Config{Devices: []modbus.Device{victim, neighbour}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, sink) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for _, d := range []string{victim.ID, neighbour.ID} {
		sink.await(t, "good values", d, 0, goodPolls(3))
	}

	met := len(sink.from(victim.ID, 0))
	bus.Misbehave(1, list...)
	sink.await(t, "the misbehaviour", victim.ID, met, func(all []adapters.Batch) bool {
		switch {
		case m.either && badFor(all, none) >= 6:
			return true
		case reason == none:
			return len(all) >= 12
		}
		return badFor(all, reason) >= 6
	})
	if state, _ := bus.State(1); state.Misbehaviour[0].Shown == 0 {
		t.Error("nothing was shown")
	}
	bus.Misbehave(1)
	over := time.Now().Add(m.lasts)
	from := len(sink.from(victim.ID, 0))
	sink.await(t, "good values again", victim.ID, from, func(all []adapters.Batch) bool {
		return m.learns && len(all) >= 8 || goodPolls(3)(all) && all[len(all)-3].Due.After(over.Add(victim.Timeout))
	})
	sink.await(t, "the neighbour's good values", neighbour.ID, len(sink.from(neighbour.ID, 0)), goodPolls(2))

	if during := sink.from(victim.ID, met)[:from-met]; reason == none && 2*goodOf(during) < len(during) && !m.either {
		t.Errorf("of %d polls meanwhile only %d were good", len(during), goodOf(during))
	}
	after := sink.from(victim.ID, from)
	after = after[slices.IndexFunc(after, func(b adapters.Batch) bool { return m.learns || b.Due.After(over.Add(victim.Timeout)) }):]
	if bad := len(after) - goodOf(after); bad > mostStalls && !m.learns {
		t.Errorf("%d of %d polls were bad that began a timeout after it had ended", bad, len(after))
	}
	checkWitness(t, units[1], victim, sink.from(victim.ID, 0))
	checkWitness(t, units[2], neighbour, sink.from(neighbour.ID, 0))
	if left := a.Stats().Endpoints[0].Reconnects; transport != modbus.RTU && left > mostStalls && !m.leaves {
		t.Errorf("the connection was given up %d times", left)
	}
}

// mostStalls is how often the machine may be too busy for an answer to come in time.
const mostStalls = 2

func goodOf(batches []adapters.Batch) (n int) {
	for _, b := range batches {
		if isGood(b) {
			n++
		}
	}
	return n
}

// checkWitness wants every good value to be the answer to a request of its own poll,
// and bad ones to have none.
func checkWitness(t *testing.T, w *witness, d modbus.Device, batches []adapters.Batch) {
	t.Helper()
	var since time.Time
	good := 0
	for _, b := range batches {
		if b.Due.After(since) {
			since = b.Due
		}
		for i, p := range d.Points {
			s := b.Samples[i]
			switch s.Quality.Validity() {
			case telemetry.Good:
				good++
				if err := w.check(p, s.Value, since); err != nil {
					t.Fatal(err)
				}
			default:
				if s.Value.Kind() != telemetry.None {
					t.Errorf("%s %d of unit %d: %v, %v", p.Table, p.Address, w.unit, s.Value, s.Quality)
				}
			}
		}
		since = b.Received
	}
	if good == 0 {
		t.Error("nothing was checked")
	}
}
