package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/sim/devices"
)

// energy is a meter with a counter of 32 bits at holding register 0, and a state at 2.
type energy struct{ atomic.Uint32 }

func (e *energy) Read(_ devices.Table, address, quantity int, dst []byte) devices.Exception {
	registers := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, e.Load()), 2)
	if address+quantity > len(registers)/2 {
		return 2
	}
	copy(dst, registers[2*address:2*(address+quantity)])
	return 0
}

// What the gateway's programs see of a counter is in the cloud once: that it rolled
// over, and that the meter was swapped, while the gateway ran, was stopped, or had been
// killed. And a state is called by its name, wherever it is shown.
func TestASwappedMeterIsTold(t *testing.T) {
	t.Parallel()
	meter := &energy{}
	server, err := devices.Listen("127.0.0.1:0", map[byte]devices.Unit{1: meter}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		server.Serve(ctx)
		close(served)
	}()
	defer func() { cancel(); <-served }()

	s := newSite(t, "", "")
	write(t, s.dir, "gateway.yaml", fmt.Sprintf(`gateway: {id: north-gw1, site: north, zone: region-1}
forward: {kafka: {brokers: ["%s"]}}
buffer: {path: buffer, max_size: 64MiB, commit_every: 200ms}
time: {source: assumed}
status: {listen: "%s"}
defaults: {poll_every: 50ms, timeout: 500ms}
devices:
  - id: meter
    asset: feeder-1
    modbus: {endpoint: "tcp://%s"}
    signals:
      - {name: DmdWh, holding: 0, type: uint32, unit: W.h, kind: counter}
      - {name: St, holding: 2, type: uint16, states: {0: off, 2: running}}
rules:
  - {name: runs, on: {device: meter}, when: 'St == "running"', summary: "{{ .device }} is {{ .St }}"}
`, s.broker, s.status, server.Addr()))
	meter.Store(1<<32 - 5)
	s.cloud(t)
	gateway := s.gateway(t)

	type change struct {
		Kind          string
		Before, After float64
		Modulus       float64
	}
	var changes []change
	told := func(want ...change) {
		t.Helper()
		await(t, fmt.Sprintf("the cloud says %+v", want), 60*time.Second, func() bool {
			var answer struct{ Changes []change }
			if !s.ask(t, "/api/v1/counter-changes?from_us=0&to_us=9000000000000000", &answer) {
				return false
			}
			changes = answer.Changes
			return len(changes) >= len(want)
		})
		if fmt.Sprint(changes) != fmt.Sprint(want) {
			t.Fatalf("%+v, expected %+v", changes, want)
		}
	}
	shows := func(value uint32) {
		t.Helper()
		await(t, fmt.Sprintf("the cloud shows %d", value), 60*time.Second, func() bool {
			var answer struct {
				Series []struct {
					Name   string
					Latest *struct {
						V     *float64
						State string
					}
				}
			}
			if !s.ask(t, "/api/v1/series", &answer) {
				return false
			}
			right := 0
			for _, series := range answer.Series {
				l := series.Latest
				if series.Name == "DmdWh" && l != nil && l.V != nil && *l.V == float64(value) || series.Name == "St" && l != nil && l.State == "running" {
					right++
				}
			}
			return right == 2
		})
	}
	shows(1<<32 - 5)
	meter.Store(7)
	over := change{"counter-rolled-over", 1<<32 - 5, 7, 1 << 32}
	told(over)
	meter.Store(90_000)
	shows(90_000)
	gateway.stop()
	meter.Store(40)
	gateway = s.gateway(t)
	first := change{"counter-reset", 90_000, 40, 0}
	told(first, over)
	gateway.kill()
	meter.Store(3)
	gateway = s.gateway(t)
	second := change{"counter-reset", 40, 3, 0}
	told(second, first, over)
	gateway.stop()
	s.gateway(t)
	meter.Store(4)
	shows(4)
	told(second, first, over)

	out, errs, code := call(t, s.dir, "busbar", "device", "read", "--config", "gateway.yaml", "--device", "meter")
	if code != 0 || !strings.Contains(out, "running (2)") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	var alarms struct {
		Alarms []struct {
			Summary string
			Inputs  []struct{ State string }
		}
	}
	await(t, "the alarm", 20*time.Second, func() bool { return s.ask(t, "/api/v1/alarms", &alarms) && len(alarms.Alarms) == 1 })
	if a := alarms.Alarms[0]; a.Summary != "meter is running" || a.Inputs[0].State != "running" {
		t.Errorf("%+v", a)
	}
}
