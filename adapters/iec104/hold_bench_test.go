package iec104

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/telemetry"
)

// slow is a sink whose commits take so long, one at a time, with all that has come before.
type slow struct {
	waiting chan func(bool)
	told    chan int
}

func (s slow) Deliver(_ context.Context, b adapters.Batch) error {
	n := 0
	for _, sample := range b.Samples {
		if sample.Signal == pos && sample.Quality.TimeQuality() == telemetry.DeviceTime {
			n++
		}
	}
	s.told <- n
	if b.Committed != nil {
		s.waiting <- b.Committed
	}
	return nil
}

// BenchmarkHeld is how many events a second a station tells, each in a message of its own, when
// it gets its acknowledgements from a disk that takes so long for a commit.
func BenchmarkHeld(b *testing.B) {
	for _, commit := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond} {
		for _, wide := range []bool{false, true} {
			parameters := link.Default
			if wide {
				parameters.K, parameters.W = 120, 80
			}
			b.Run(fmt.Sprintf("commit %v/k %d w %d", commit, parameters.K, parameters.W), func(b *testing.B) {
				config := controlled.Default
				config.Events, config.Link = b.N+10, parameters
				server, err := controlled.New(config, []controlled.Point{{Station: 1, Address: 1001, Type: asdu.DoublePoint}}, nil, idle{}, slog.New(slog.DiscardHandler))
				if err != nil {
					b.Fatal(err)
				}
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				go server.Serve(b.Context(), l)
				for i := range b.N + 1 {
					if err := server.Tell(controlled.Change{Station: 1, Address: 1001, Value: float64(1 + i%2), At: time.Now()}); err != nil {
						b.Fatal(err)
					}
				}
				d := device(l.Addr().String())
				d.Points, d.Controls, d.Counters, d.Sync, d.Link = d.Points[:1], nil, 0, 0, parameters
				sink := slow{make(chan func(bool), 10_000), make(chan int, 10_000)}
				go func() {
					for tell := range sink.waiting {
						all := []func(bool){tell}
						time.Sleep(commit)
						for more := len(sink.waiting); more > 0; more-- {
							all = append(all, <-sink.waiting)
						}
						for _, tell := range all {
							tell(true)
						}
					}
				}()
				b.ResetTimer()
				go New([]Device{d}, slog.New(slog.DiscardHandler)).Run(b.Context(), sink)
				for n := 0; n < b.N; n += <-sink.told {
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
