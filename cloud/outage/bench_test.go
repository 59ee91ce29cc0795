package outage_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/network"
)

// BenchmarkStorm100k is a full storm over 100,000 service points: behind every other
// fuse of a lateral or a transformer all meters have sent their last gasp, and each
// gateway there has lost its supply. An update is one piece of evidence and what follows from
// it; all is the inference from the start, with the tree.
func BenchmarkStorm100k(b *testing.B) {
	s := network.Generate(network.Parameters{ServicePoints: 100_000}).At(1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	e := outage.New(s, outage.Defaults(), 1e6)
	at := int64(1e6)
	take := func(v outage.Evidence) {
		v.Arrival, v.Source = at, at
		if err := e.Take(v); err != nil {
			b.Fatal(err)
		}
	}
	gateway := func(p int) string { return fmt.Sprint("gw", s.Normal().Device(s.Point(p).Node)) }
	for p := range s.Points() {
		take(outage.Evidence{Kind: outage.Meter, Point: s.PointAsset(p).ID, Gateway: gateway(p), PoweredBy: "measured"})
	}
	at += 10e6
	e.Advance(at)
	out := 0
	for edge := range s.Edges() {
		x := s.Edge(edge)
		below := s.Normal().Below(edge)
		if x.Kind != grid.KindTransformer || below == grid.None || edge%2 == 0 || s.Normal().CustomersBelow(below) > 1000 {
			continue
		}
		for _, p := range s.Normal().PointsBelow(below) {
			take(outage.Evidence{Kind: outage.LastGasp, Point: s.PointAsset(int(p)).ID})
			out++
		}
	}
	at += 20e6
	e.Advance(at)
	incidents := 0
	for _, x := range e.Incidents() {
		if !x.State.Over() {
			incidents++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run("update", func(b *testing.B) {
		for i := range b.N {
			at += 300e3
			id := s.PointAsset(i * 7919 % s.Points()).ID
			kind := outage.LastGasp
			if i%2 == 1 {
				kind = outage.PowerUp
			}
			take(outage.Evidence{Kind: kind, Point: id})
			e.Advance(at)
		}
		b.ReportMetric(float64(out), "out")
		b.ReportMetric(float64(incidents), "incidents")
	})
	b.Run("all", func(b *testing.B) {
		for range b.N {
			e.Use(s)
			at += 300e3
			e.Advance(at)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(s.Points()), "B/point")
	})
}
