package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// peer is a Modbus TCP device written from the standard alone. It answers
// rightly unless it is told to misbehave.
type peer struct {
	listener net.Listener

	mu       sync.Mutex
	fault    fault
	accepted int
	open     map[net.Conn]bool
}

// fault answers one request, or doesn't. The connection is closed if it fails.
type fault func(c net.Conn, request []byte) error

func startPeer(t testing.TB) *peer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{listener: listener, open: map[net.Conn]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.accepted++
			p.open[c] = true
			p.mu.Unlock()
			serving.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.disconnect()
		serving.Wait()
	})
	return p
}

func (p *peer) endpoint() string { return "tcp://" + p.listener.Addr().String() }

// disconnect closes every connection, as a device does that restarts or tidies
// up idle ones.
func (p *peer) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
	}
}

func (p *peer) misbehave(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

func (p *peer) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func (p *peer) serve(c net.Conn) {
	defer func() {
		c.Close()
		p.mu.Lock()
		delete(p.open, c)
		p.mu.Unlock()
	}()
	for {
		var request [12]byte
		if _, err := io.ReadFull(c, request[:]); err != nil {
			return
		}
		p.mu.Lock()
		answer := p.fault
		p.mu.Unlock()
		if answer == nil {
			answer = func(c net.Conn, request []byte) error { return write(c, answerTo(request)) }
		}
		if answer(c, request[:]) != nil {
			return
		}
	}
}

func write(c net.Conn, b []byte) error {
	_, err := c.Write(b)
	return err
}

// registerOf is what register or bit a of a unit holds, different for all that
// a test reads.
func registerOf(unit, function byte, a int) uint16 {
	return uint16(unit)<<12 + uint16(function)<<8 + uint16(a)
}

func answerTo(request []byte) []byte { return frame(request, pduTo(request[6:])) }

// pduTo is the answer to a unit and PDU.
func pduTo(request []byte) []byte {
	unit, function := request[0], request[1]
	first, count := int(binary.BigEndian.Uint16(request[2:])), int(binary.BigEndian.Uint16(request[4:]))
	var data []byte
	if function <= 2 {
		data = make([]byte, (count+7)/8)
		for i := range count {
			data[i/8] |= byte(registerOf(unit, function, first+i)&1) << (i % 8)
		}
	} else {
		for i := range count {
			data = binary.BigEndian.AppendUint16(data, registerOf(unit, function, first+i))
		}
	}
	return append([]byte{function, byte(len(data))}, data...)
}

func frame(request, pdu []byte) []byte {
	b := append([]byte{}, request[:4]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(pdu)+1))
	return append(append(b, request[6]), pdu...)
}

func refusal(request []byte, code byte) []byte {
	return frame(request, []byte{request[7] | 0x80, code})
}

// twoRequests is a device whose plan has two requests, with the values that
// peer gives.
func twoRequests(id string, p *peer, unit uint8, base telemetry.SignalID) Device {
	return twoRequestsAt(id, p.endpoint(), unit, base)
}

func twoRequestsAt(id, endpoint string, unit uint8, base telemetry.SignalID) Device {
	return Device{ID: id, Endpoint: endpoint, Unit: unit, Live: base, PollEvery: 20 * time.Millisecond, Timeout: 5 * time.Second,
		Points: []Point{
			{Signal: base + 1, Name: "A", Table: Holding, Address: 16, Type: Uint16},
			{Signal: base + 2, Name: "B", Table: Input, Address: 3, Type: Uint16},
			{Signal: base + 3, Name: "C", Table: Holding, Address: 18, Type: Uint16},
		}}
}

func wantTwoRequests(unit uint8, base telemetry.SignalID) map[telemetry.SignalID]telemetry.Value {
	return map[telemetry.SignalID]telemetry.Value{
		base + 1: telemetry.UintValue(uint64(registerOf(unit, 3, 16))),
		base + 2: telemetry.UintValue(uint64(registerOf(unit, 4, 3))),
		base + 3: telemetry.UintValue(uint64(registerOf(unit, 3, 18))),
	}
}

// recorder is a sink that keeps everything.
type recorder struct {
	mu      sync.Mutex
	batches map[string][]adapters.Batch
	news    chan struct{}
}

func newRecorder() *recorder {
	return &recorder{batches: map[string][]adapters.Batch{}, news: make(chan struct{}, 1)}
}

func (r *recorder) Deliver(_ context.Context, b adapters.Batch) error {
	b.Samples = append([]telemetry.Sample{}, b.Samples...)
	r.mu.Lock()
	r.batches[b.Device] = append(r.batches[b.Device], b)
	r.mu.Unlock()
	select {
	case r.news <- struct{}{}:
	default:
	}
	return nil
}

// from is the device's batches, without the first n.
func (r *recorder) from(device string, n int) []adapters.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.batches[device][min(n, len(r.batches[device])):]
}

func (r *recorder) count(device string) int { return len(r.from(device, 0)) }

// await returns when the condition holds, which is looked at after each batch.
func (r *recorder) await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !condition() {
		select {
		case <-r.news:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// live is the device's live signal as delivered.
func live(batches []adapters.Batch, signal telemetry.SignalID) []bool {
	var states []bool
	for _, b := range batches {
		for _, s := range b.Samples {
			if s.Signal == signal {
				states = append(states, s.Value == telemetry.BoolValue(true))
			}
		}
	}
	return states
}

// run starts the adapter and stops it with the test.
func run(t testing.TB, devices ...Device) (*Adapter, *recorder) {
	t.Helper()
	a, err := New(Config{Devices: devices, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	sink := newRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a, sink
}

var errHangUp = errors.New("hang up")
