package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/test/netem"
)

// BenchmarkWire counts the bytes that a gateway and the log exchange over a line
// without a limit: for a value with noise at 5,000 a second, and in a day in which
// a single signal is read once a minute.
func BenchmarkWire(b *testing.B) {
	for _, way := range ways {
		b.Run(way+"/values=5000/s", func(b *testing.B) {
			s := newWireSite(b, way, func(s *thinSite) {
				var addresses []string
				for i := range benchMeters {
					addresses = append(addresses, s.serve(newNoisyMeter(i)))
				}
				config := benchConfig("", s.status, addresses, time.Second, interruptionRule)
				write(b, s.dir, "gateway.yaml", replace(b, config, "forward: {kafka: {brokers: [\"\"]}}\n", "forward:\n"+s.forward))
			})
			const values = `busbar_gateway_samples_total{validity="good"}`
			before := metrics(b, s.status)[values]
			sent := s.exchanged(10*time.Second, time.Minute)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(sent/(metrics(b, s.status)[values]-before), "B/value")
		})
		b.Run(way+"/idle", func(b *testing.B) {
			s := newWireSite(b, way, func(s *thinSite) {
				write(b, s.dir, "gateway.yaml", fmt.Sprintf("gateway: {id: bench, site: bench}\nforward:\n%sbuffer: {path: buffer}\nstatus: {listen: %q}\ndefaults: {poll_every: 1m}\n", s.forward, s.status)+
					fmt.Sprintf("devices:\n  - id: meter\n    modbus: {endpoint: \"tcp://%s\"}\n    signals: [{name: V, input: 0, type: float32, unit: V}]\n", s.serve(newNoisyMeter(0))))
			})
			// All connections are open by then. What a client asks for every 3 and every 8
			// minutes comes as often as in a day.
			const minutes = 24
			sent := s.exchanged(3*time.Minute, minutes*time.Minute)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(sent*24*60/minutes/1e6, "MB/day")
		})
	}
}

func newWireSite(b *testing.B, way string, configure func(s *thinSite)) *thinSite {
	b.Helper()
	s := newThinSite(b, way, netem.Options{}, configure)
	s.run()
	await(b, "the gateway sends", time.Minute, func() bool { return s.sent("events") > 0 })
	return s
}

// exchanged are the bytes of IP that cross the line in both directions in such a
// time, after another one.
func (s *thinSite) exchanged(after, in time.Duration) float64 {
	s.Helper()
	total := func() (n uint64) {
		up, down, err := s.line.Counts()
		if err != nil {
			s.Fatal(err)
		}
		return up.Bytes + down.Bytes
	}
	time.Sleep(after)
	before := total()
	time.Sleep(in)
	return float64(total() - before)
}
