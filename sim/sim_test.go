package sim

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goburrow/modbus"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/test/await"
)

// start runs a simulation; stop ends it and is called at the latest by the end
// of the test.
func start(t *testing.T, c Config, log *slog.Logger) (s *Simulator, stop func()) {
	t.Helper()
	s, err := New(c, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// poller reads one device as goburrow/modbus does, on a new connection after
// each failure.
type poller struct {
	handler *modbus.TCPClientHandler
	client  modbus.Client
}

func poll(t *testing.T, address string, unit byte) *poller {
	h := modbus.NewTCPClientHandler(address)
	h.SlaveId, h.Timeout = unit, 500*time.Millisecond
	t.Cleanup(func() { _ = h.Close() })
	return &poller{h, modbus.NewClient(h)}
}

func (p *poller) float(address uint16) (float64, error) {
	b, err := p.client.ReadInputRegisters(address, 2)
	if err != nil {
		_ = p.handler.Close()
		return 0, err
	}
	return float64(math.Float32frombits(binary.BigEndian.Uint32(b))), nil
}

func (p *poller) answers() (uint32, error) {
	b, err := p.client.ReadHoldingRegisters(0x1000, 2)
	if err != nil {
		_ = p.handler.Close()
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func device(id, feeder, listen string, unit int, poweredBy string) Device {
	return Device{ID: id, Feeder: feeder, Listen: listen, Unit: unit, PoweredBy: poweredBy, Profile: "H0-A",
		RatedPower: configfile.Quantity{Value: 60, Unit: "kW"}}
}

func readTruth(t *testing.T, path string) []truth {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []truth
	for in := bufio.NewScanner(file); in.Scan(); {
		var line truth
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			t.Fatalf("%v in %s", err, in.Bytes())
		}
		lines = append(lines, line)
	}
	return lines
}

func TestOutage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	var logged syncBuffer
	s, stop := start(t, Config{
		Sim: Settings{Seed: 1, Speed: 60, TruthLog: configfile.Path(path)},
		Devices: []Device{
			device("head", "feeder-2", "127.0.0.1:0", 1, Auxiliary),
			device("other", "feeder-1", "127.0.0.1:0", 2, Measured),
			device("meter", "feeder-2", "127.0.0.2:0", 1, Measured),
		},
		Faults: []Fault{{At: configfile.Duration(500 * time.Millisecond), For: configfile.Duration(2 * time.Second), Kind: "outage", Feeder: "feeder-2"}},
	}, slog.New(slog.NewTextHandler(&logged, nil)))
	head, other, meter := poll(t, s.Address("head"), 1), poll(t, s.Address("other"), 2), poll(t, s.Address("meter"), 1)
	old, err := net.Dial("tcp", s.Address("meter"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()

	live := func(p *poller) bool {
		v, err := p.float(0)
		return err == nil && math.Abs(v-230) < 2
	}
	for name, p := range map[string]*poller{"head": head, "other": other, "meter": meter} {
		if !live(p) {
			t.Errorf("%s does not read 230 V before the outage", name)
		}
	}
	await.True(t, "the head meter reads 0 V", func() bool {
		v, err := head.float(0)
		if err != nil {
			t.Fatalf("a meter with its own supply: %v", err)
		}
		return v == 0
	})
	if amperes, err := head.float(6); amperes != 0 || err != nil {
		t.Errorf("current on a dead feeder: %v A, %v", amperes, err)
	}
	await.True(t, "the self-powered meter is silent", func() bool {
		v, err := meter.float(0)
		if err == nil && v != 0 {
			t.Fatalf("a self-powered meter reads %v V in an outage", v)
		}
		return err != nil
	})
	var timeout net.Error
	if _, err := meter.float(0); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a meter without power: %v, want a timeout", err)
	}
	if !live(other) {
		t.Error("the meter of another feeder does not read 230 V")
	}
	await.True(t, "the head meter reads 230 V", func() bool { return live(head) })
	if live(meter) {
		t.Error("the self-powered meter needs no time to boot")
	}
	await.True(t, "the self-powered meter reads 230 V", func() bool { return live(meter) })
	_ = old.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := old.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("a connection from before the outage: %v, want it broken off", err)
	}
	stop()

	var story []string
	times := map[string]int64{}
	for _, line := range readTruth(t, path) {
		if line.What == "answers" {
			continue
		}
		text := strings.TrimSpace(fmt.Sprint(line.What, " ", line.Kind, line.Device, " ", line.Feeder))
		story = append(story, text)
		times[line.What] = line.TimeUS
	}
	want := []string{"start", "fault-begin outage feeder-2", "device-off meter feeder-2", "fault-end outage feeder-2", "device-on meter feeder-2", "stop"}
	if !slices.Equal(story, want) {
		t.Errorf("truth %q, want %q", story, want)
	}
	for _, c := range []struct {
		from, to string
		want     time.Duration
	}{
		{"start", "fault-begin", 500 * time.Millisecond},
		{"fault-begin", "device-off", 500 * time.Millisecond},
		{"fault-begin", "fault-end", 2 * time.Second},
		{"fault-end", "device-on", 2 * time.Second},
	} {
		if got := time.Duration(times[c.to]-times[c.from]) * time.Microsecond; got < c.want-300*time.Millisecond || got > c.want+2*time.Second {
			t.Errorf("from %s to %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
	for _, want := range []string{`msg="fault begins" kind=outage feeder=feeder-2`, `msg="device lost its power" device=meter feeder=feeder-2`} {
		if n := strings.Count(logged.String(), want); n != 1 {
			t.Errorf("%d lines with %s, want 1:\n%s", n, want, logged.String())
		}
	}
	if n := strings.Count(logged.String(), "\n"); n != 6 {
		t.Errorf("%d lines of log, want one a state change, 6:\n%s", n, logged.String())
	}
}

type syncBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func TestAnswersInTheTruthAreWhatClientsGot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	s, stop := start(t, Config{
		Sim:     Settings{Speed: 1, TruthLog: configfile.Path(path)},
		Devices: []Device{device("a", "f", "127.0.0.1:0", 1, Measured), device("b", "f", "127.0.0.1:0", 2, Measured)},
	}, slog.New(slog.DiscardHandler))
	const clients, reads = 8, 200
	numbers := make([][]uint32, clients)
	var wg sync.WaitGroup
	for i := range clients {
		p := poll(t, s.Address("a"), 1)
		p.handler.Timeout = 10 * time.Second
		wg.Go(func() {
			for range reads {
				n, err := p.answers()
				if err != nil {
					t.Error(err)
					return
				}
				numbers[i] = append(numbers[i], n)
			}
		})
	}
	wg.Wait()
	all := slices.Concat(numbers...)
	slices.Sort(all)
	for i, n := range all {
		if n != uint32(i+1) {
			t.Fatalf("number %d is %d", i+1, n)
		}
	}

	// The second snapshot is there while the simulation runs, as a killed one
	// leaves it.
	snapshots := func() (answers []truth) {
		for _, line := range readTruth(t, path) {
			if line.What == "answers" {
				answers = append(answers, line)
			}
		}
		return answers
	}
	await.True(t, "two snapshots", func() bool { return len(snapshots()) >= 2 })
	if last := snapshots()[1].Answers; last["a"] != clients*reads || last["b"] != 0 || len(last) != 2 {
		t.Errorf("the truth says %v, want a: %d, b: 0", last, clients*reads)
	}
	b := poll(t, s.Address("b"), 2)
	if n, err := b.answers(); n != 1 || err != nil {
		t.Errorf("first answer of b: %d, %v", n, err)
	}
	stop()
	final := snapshots()
	if last := final[len(final)-1].Answers; last["b"] != 1 || s.Answers()["b"] != 1 {
		t.Errorf("at the end the truth says %v, want b: 1", last)
	}
}

func TestDeviceFaults(t *testing.T) {
	t.Parallel()
	ms := func(n int) configfile.Duration { return configfile.Duration(n) * configfile.Duration(time.Millisecond) }
	s, _ := start(t, Config{
		Sim: Settings{Speed: 1},
		Devices: []Device{
			device("silent", "f", "127.0.0.1:0", 1, Measured),
			device("garbage", "f", "127.0.0.1:0", 2, Measured),
			device("slow", "f", "127.0.0.1:0", 3, Measured),
			device("good", "f", "127.0.0.1:0", 4, Measured),
		},
		Faults: []Fault{
			{For: ms(1500), Kind: "misbehave", How: "silent", Device: "silent"},
			{For: ms(1500), Kind: "misbehave", How: "garbage", Device: "garbage"},
			{Kind: "misbehave", How: "late=70ms", Device: "slow"},
		},
	}, slog.New(slog.DiscardHandler))
	silent, garbage, slow, good := poll(t, s.Address("silent"), 1), poll(t, s.Address("garbage"), 2), poll(t, s.Address("slow"), 3), poll(t, s.Address("good"), 4)
	if n, err := silent.answers(); err == nil {
		t.Errorf("the silent device answers %d", n)
	}
	if n, err := garbage.answers(); err == nil {
		t.Errorf("nonsense passes for the answer %d", n)
	}
	began := time.Now()
	if _, err := slow.answers(); err != nil || time.Since(began) < 70*time.Millisecond {
		t.Errorf("the slow device took %v (%v), want 70 ms or more", time.Since(began), err)
	}
	if n, err := good.answers(); n != 1 || err != nil {
		t.Errorf("the good device: %d, %v", n, err)
	}
	for _, p := range []*poller{silent, garbage} {
		await.True(t, "an answer after the fault", func() bool {
			n, err := p.answers()
			if err == nil && n != 1 {
				t.Fatalf("first answer is number %d", n)
			}
			return err == nil
		})
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{Devices: []Device{device("A", "f", "x", 0, "")}}, slog.Default()); err == nil ||
		!strings.Contains(err.Error(), "sim.speed") || !strings.Contains(err.Error(), "devices[0].id") || !strings.Contains(err.Error(), "devices[0].listen") {
		t.Errorf("a bad configuration: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := Config{Sim: Settings{Speed: 1}, Devices: []Device{device("a", "f", taken.Addr().String(), 1, Measured)}}
	if _, err := New(c, slog.Default()); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a port in use: %v", err)
	}
	c.Devices[0].Listen = "127.0.0.1:0"
	c.Sim.TruthLog = configfile.Path(filepath.Join(t.TempDir(), "no", "truth.jsonl"))
	if _, err := New(c, slog.Default()); err == nil || !strings.Contains(err.Error(), "truth log") {
		t.Errorf("a truth log in no directory: %v", err)
	}
}
