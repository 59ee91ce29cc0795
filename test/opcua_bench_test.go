package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/busbar/busbar/test/opcuapeer"
)

// BenchmarkOPCUA runs the real gateway, which follows 20,000 variables of a server that
// each change in each second, and reports its memory and what a value costs it, while the
// log is there and while it isn't.
func BenchmarkOPCUA(b *testing.B) {
	const nodes = 20_000
	for _, up := range []bool{true, false} {
		b.Run(map[bool]string{true: "whole path", false: "broker down"}[up], func(b *testing.B) {
			p := opcuapeer.Start(b, opcuapeer.Milo, opcuapeer.Settings{Items: nodes, Period: time.Second})
			broker := freeAddress(b)
			if up {
				broker = startBroker(b)
			}
			dir, status := b.TempDir(), freeAddress(b)
			write(b, dir, "gateway.yaml", fmt.Sprintf(`gateway: {id: bench}
forward: {kafka: {brokers: ["%s"]}}
buffer: {path: buffer, max_size: 1GiB, commit_every: 2s}
status: {listen: "%s"}
devices:
  - id: plant
    opcua: {endpoint: "%s", security: {policy: None}}
    follow: [{node: "nsu=%s;s=Many"}]
`, broker, status, p.Endpoint(), opcuapeer.Namespace))
			g := start(b, dir, "busbar-gateway", "run", "--config", "gateway.yaml", "--log-level", "error")
			await(b, "every node has told values", 2*time.Minute, func() bool {
				return reachable(status) && metrics(b, status)[`busbar_gateway_samples_total{validity="good"}`] > 5*nodes
			})
			before, m0 := usageOf(b, g.cmd.Process.Pid), metrics(b, status)
			time.Sleep(benchTime)
			after, m1 := usageOf(b, g.cmd.Process.Pid), metrics(b, status)
			grown := func(validity string) float64 {
				name := fmt.Sprintf("busbar_gateway_samples_total{validity=%q}", validity)
				return m1[name] - m0[name]
			}
			if grown("good") == 0 || grown("bad") > 0 {
				b.Fatalf("%v good values, %v bad", grown("good"), grown("bad"))
			}
			perMillion(b, after.cpu-before.cpu, grown("good"))
			b.ReportMetric(float64(after.anonymous)/1e6, "MB-anon")
		})
	}
}
