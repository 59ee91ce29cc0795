package test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/gatewayconfig"
)

// BenchmarkField reports what busbar-sim takes, its grid included, while a client reads
// simulated meters each second: each address by one connection, one meter after
// the other. cores is CPU seconds a second of busbar-sim alone.
func BenchmarkField(b *testing.B) {
	for _, c := range []struct{ points, meters, registers int }{
		{400, 100, 100},    // 10,000 registers in long answers
		{1000, 1000, 10},   // 10,000 in short ones
		{10000, 10000, 10}, // 100,000
	} {
		b.Run(fmt.Sprintf("meters=%d/registers=%d", c.meters, c.registers), func(b *testing.B) { benchField(b, c.points, c.meters, c.registers) })
	}
}

func benchField(b *testing.B, points, meters, registers int) {
	dir := b.TempDir()
	write(b, dir, "s.yaml", fmt.Sprintf("description: A quiet day.\nlasts: 24h\ngrid: {service_points: %d}\n", points))
	sim := start(b, dir, "busbar-sim", "live", "s.yaml", "--listen", freeAddress(b), "--devices", freeAddress(b), "--products", "eastron/sdm630", "--gateway-config", "gateway.yaml")
	var config gatewayconfig.Config
	await(b, "the devices", time.Minute, func() (written bool) {
		var err error
		config, err = gatewayconfig.Load(filepath.Join(dir, "gateway.yaml"))
		return err == nil
	})
	units := map[string][]byte{} // by endpoint
	left := meters
	for _, d := range config.Devices {
		if d.Modbus != nil && left > 0 && (d.Profile == "eastron/sdm630" || strings.HasSuffix(d.Profile, "one-phase.yaml") && registers <= 76) {
			units[d.Modbus.Endpoint] = append(units[d.Modbus.Endpoint], d.Modbus.Unit)
			left--
		}
	}
	if left > 0 {
		b.Fatalf("%d meters too few", left)
	}
	idle := usageOf(b, sim.cmd.Process.Pid)
	var read atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for endpoint, behind := range units {
		conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		clients.Go(func() {
			for due := time.Now(); ; due = due.Add(time.Second) {
				select {
				case <-stop:
					return
				case <-time.After(time.Until(due)):
				}
				for _, unit := range behind {
					if err := readRegisters(conn, unit, registers); err != nil {
						b.Errorf("unit %d at %s: %v", unit, endpoint, err)
						return
					}
					read.Add(int64(registers))
				}
			}
		})
	}
	time.Sleep(benchWarm)
	before, began, n := usageOf(b, sim.cmd.Process.Pid), time.Now(), read.Load()
	time.Sleep(benchTime)
	after, passed := usageOf(b, sim.cmd.Process.Pid), time.Since(began).Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(read.Load()-n)/passed, "registers/s")
	b.ReportMetric((after.cpu-before.cpu).Seconds()/passed, "cores")
	b.ReportMetric(float64(idle.anonymous)/1e6, "MB-idle")
	b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
	close(stop)
	clients.Wait()
}

func readRegisters(conn net.Conn, unit byte, n int) error {
	if _, err := conn.Write([]byte{0, 1, 0, 0, 0, 6, unit, 4, 0, 0, 0, byte(n)}); err != nil {
		return err
	}
	answer := make([]byte, 9+2*n)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if binary.BigEndian.Uint16(answer[4:]) != uint16(3+2*n) {
		return fmt.Errorf("answer % x", answer[:9])
	}
	return nil
}
