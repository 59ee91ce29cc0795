package test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/sim/outstation"
)

// BenchmarkStations runs the real gateway as the master of fifty stations of IEC 104 with a
// thousand measurements each, a tenth of which change each second, and reports its memory: with
// the signals in the configuration, and in the lists that they were handed out as.
func BenchmarkStations(b *testing.B) {
	b.Run("signals", func(b *testing.B) { benchStations(b, false) })
	b.Run("lists", func(b *testing.B) { benchStations(b, true) })
}

func benchStations(b *testing.B, lists bool) {
	const stations, points = 50, 1000
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	b.Cleanup(func() { cancel(); serving.Wait() })
	dir, status := b.TempDir(), freeAddress(b)
	var c strings.Builder
	fmt.Fprintf(&c, "gateway: {id: bench, site: bench}\nforward: {kafka: {brokers: [%q]}}\nbuffer: {path: buffer, max_size: 1GiB, commit_every: 2s}\nstatus: {listen: %q}\ndevices:\n", startBroker(b), status)
	for i := range stations {
		o, err := outstation.New(outstation.Config{Listen: "127.0.0.1:0", Points: points, Every: time.Second, Seed: uint64(i)}, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		serving.Go(func() { _ = o.Run(ctx) })
		fmt.Fprintf(&c, "  - id: rtu-%d\n    iec104: {endpoint: %q}\n", i, o.Endpoint())
		var signals strings.Builder
		for p := range points {
			if lists {
				fmt.Fprintf(&signals, "M%d;%d;A\n", p, outstation.Measured+p)
			} else {
				fmt.Fprintf(&signals, "      - {name: M%d, ioa: %d, unit: A}\n", p, outstation.Measured+p)
			}
		}
		if lists {
			name := fmt.Sprintf("rtu-%d.csv", i)
			write(b, dir, name, "Signal;IOA;Unit\n"+signals.String())
			fmt.Fprintf(&c, "    signals_from: %s\n", name)
		} else {
			c.WriteString("    signals:\n" + signals.String())
		}
	}
	write(b, dir, "gateway.yaml", c.String())
	p := start(b, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
	const good = `busbar_gateway_samples_total{validity="good"}`
	await(b, "all stations have told everything", time.Minute, func() bool { return reachable(status) && metrics(b, status)[good] >= stations*points })
	time.Sleep(30 * time.Second) // until what reading the configuration took is given back
	before, m0 := usageOf(b, p.cmd.Process.Pid), metrics(b, status)
	time.Sleep(benchTime)
	after, m1 := usageOf(b, p.cmd.Process.Pid), metrics(b, status)
	perMillion(b, after.cpu-before.cpu, m1[good]-m0[good])
	b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
	b.ReportMetric(m1[`busbar_gateway_samples_total{validity="bad"}`], "bad")
}
