package test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/telemetry"
)

// BenchmarkReading reports what a value costs that is read and thrown away, beside
// what its bytes cost: the same requests and answers at the same times, through
// sockets of the same runtime, and nothing made of them.
func BenchmarkReading(b *testing.B) {
	for _, poll := range []time.Duration{time.Second, 20 * time.Millisecond} {
		for _, what := range []string{bareBytes, readOnly} {
			b.Run(fmt.Sprintf("values=%d/s/%s", benchMeters*benchValues*int(time.Second/poll), what), func(b *testing.B) { benchReading(b, poll, what) })
		}
	}
}

const (
	readerSpec = "BUSBAR_BENCH_READER"
	readOnly   = "read"
	bareBytes  = "bytes"
)

// benchReading runs this test binary again as a process that only reads, and
// returns the CPU seconds of a million values.
func benchReading(b *testing.B, poll time.Duration, what string) float64 {
	_, addresses := startMeters(b)
	b.Setenv(readerSpec, what+" "+poll.String()+" "+strings.Join(addresses, " "))
	reader := startReader(b)
	time.Sleep(benchWarm)
	before := usageOf(b, reader)
	time.Sleep(benchTime)
	after := usageOf(b, reader)
	b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
	return perMillion(b, after.cpu-before.cpu, benchMeters*benchValues*benchTime.Seconds()/poll.Seconds())
}

// read is the process that benchReading starts.
func read(spec string) {
	fields := strings.Fields(spec)
	poll, err := time.ParseDuration(fields[1])
	if err == nil {
		if fields[0] == bareBytes {
			err = exchangeBytes(poll, fields[2:])
		} else {
			err = readValues(poll, fields[2:])
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

type discard struct{}

func (discard) Deliver(context.Context, adapters.Batch) error { return nil }

func readValues(poll time.Duration, addresses []string) error {
	var config modbus.Config
	config.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	id := telemetry.SignalID(0)
	for i, address := range addresses {
		id++
		d := modbus.Device{ID: strconv.Itoa(i), Endpoint: "tcp://" + address, Unit: 1, PollEvery: poll, Live: id}
		for v := range benchValues {
			id++
			d.Points = append(d.Points, modbus.Point{Signal: id, Name: benchName(v), Table: modbus.Input, Address: uint16(2 * v), Type: modbus.Float32})
		}
		config.Devices = append(config.Devices, d)
	}
	adapter, err := modbus.New(config)
	if err != nil {
		return err
	}
	return adapter.Run(context.Background(), discard{})
}

func exchangeBytes(poll time.Duration, addresses []string) error {
	failed := make(chan error)
	start := time.Now()
	for _, address := range addresses {
		go func() {
			c, err := net.Dial("tcp", address)
			request := []byte{0, 1, 0, 0, 0, 6, 1, 4, 0, 0, 0, 2 * benchValues}
			answer := make([]byte, 9+4*benchValues)
			// All at once, as the adapter does it with so few.
			for due := start; err == nil; due = due.Add(poll) {
				time.Sleep(time.Until(due))
				if _, err = c.Write(request); err == nil {
					_, err = io.ReadFull(c, answer)
				}
			}
			failed <- err
		}()
	}
	return <-failed
}
