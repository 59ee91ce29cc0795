package grid_test

import (
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridtest"
)

func BenchmarkSnapshot100k(b *testing.B) {
	m := gridtest.Radial(100_000, 1)
	b.ReportAllocs()
	for b.Loop() {
		m.At(0)
	}
}

func BenchmarkOperate100k(b *testing.B) {
	s := gridtest.Radial(100_000, 1).At(0)
	p := s.NormalPositions()
	breaker := s.EdgeOf("feeder-1-breaker")
	o := s.Operate(p, nil)
	b.ReportAllocs()

	for b.Loop() {
		p[breaker] ^= grid.ABC
		o = s.Operate(p, o)
	}
	b.ReportMetric(float64(s.Nodes()), "nodes")
	b.ReportMetric(float64(s.Edges()), "edges")
}

func BenchmarkBelow100k(b *testing.B) {
	s := gridtest.Radial(100_000, 1).At(0)
	o, breaker := s.Normal(), s.EdgeOf("feeder-1-breaker")
	b.ReportAllocs()
	for b.Loop() {
		o.CustomersBelow(o.Below(breaker))
	}
}

func BenchmarkCheck100k(b *testing.B) {
	m := gridtest.Radial(100_000, 1)
	b.ReportAllocs()
	for b.Loop() {
		m.Check(0)
	}
}
