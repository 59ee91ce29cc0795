package iec104

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
)

// counted is a sink that counts samples.
type counted struct{ samples atomic.Int64 }

func (c *counted) Deliver(_ context.Context, b adapters.Batch) error {
	c.samples.Add(int64(len(b.Samples)))
	return nil
}

// BenchmarkTold is the way from the frames of a station, which is in this process, to the
// samples of a device, over a connection. One operation is one ASDU of 16 measurements with time.
func BenchmarkTold(b *testing.B) {
	const points, each = 1000, 16
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	d := device(listener.Addr().String())
	d.Points, d.Controls, d.Interrogate, d.Counters = nil, nil, 0, 0
	var objects []asdu.Object
	for i := range points {
		d.Points = append(d.Points, Point{Name: fmt.Sprint("A", i), Station: 1, Object: uint32(i + 1), Scale: 1, Signal: live + 1})
		objects = append(objects, asdu.Object{Address: uint32(i + 1), Value: float64(i), Time: asdu.TimeOf(time.Now().UTC())})
	}
	var asdus [][]byte
	for i := 0; i+each <= points; i += each {
		one, err := asdu.IEC104.Append(nil, asdu.Header{Type: asdu.ShortFloatTime56, Cause: asdu.Spontaneous, Address: 1}, objects[i:i+each])
		if err != nil {
			b.Fatal(err)
		}
		asdus = append(asdus, one)
	}
	ctx, cancel := context.WithCancel(context.Background())
	sink, left := &counted{}, make(chan struct{})
	go func() {
		defer close(left)
		New([]Device{d}, slog.New(slog.DiscardHandler)).Run(ctx, sink)
	}()
	c, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	station := link.Drive(c, link.Default, link.Controlled)
	defer station.Close()
	go func() {
		for {
			select {
			case <-station.Messages(): // an interrogation, which isn't answered
			case <-station.Ended():
				return
			}
		}
	}()
	for n := 0; b.Loop(); n++ {
		if err := station.Send(ctx, asdus[n%len(asdus)]); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	<-left
	b.ReportMetric(float64(sink.samples.Load())/b.Elapsed().Seconds(), "samples/s")
}
