package devices

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The client is part of what is timed: it shares the machine.
func BenchmarkReads(b *testing.B) {
	for _, connections := range []int{1, 8, 100} {
		for _, inFlight := range []int{1, 8} {
			b.Run(fmt.Sprintf("connections=%d/in-flight=%d", connections, inFlight), func(b *testing.B) {
				began := time.Now()
				s := serve(b, map[byte]Unit{1: testMeter(b, func() time.Duration { return time.Since(began) })})
				request := frame(1, 1, readRequest(InputRegisters, 0, 100))
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range connections {
					c := dial(b, s)
					wg.Go(func() { read(b, c, request, inFlight, &left) })
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
			})
		}
	}
}

func read(b *testing.B, c *client, request []byte, inFlight int, left *atomic.Int64) {
	requests := make([]byte, 0, inFlight*len(request))
	for range inFlight {
		requests = append(requests, request...)
	}
	const size = 9 + 200
	replies := make([]byte, inFlight*size)
	for {
		n := inFlight
		if rest := left.Add(-int64(n)) + int64(n); rest <= 0 {
			return
		} else if rest < int64(n) {
			n = int(rest)
		}
		if _, err := c.Write(requests[:n*len(request)]); err != nil {
			b.Error(err)
			return
		}
		if _, err := io.ReadFull(c, replies[:n*size]); err != nil {
			b.Error(err)
			return
		}
		if binary.BigEndian.Uint16(replies[4:]) != 3+200 {
			b.Errorf("answer % x", replies[:9])
			return
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	meter := testMeter(b, func() time.Duration { return 0 })
	request := readRequest(InputRegisters, 0, 100)
	var reply []byte
	b.ReportAllocs()
	for b.Loop() {
		reply = answer(reply[:0], meter, request)
	}
}

// What a meter costs while it measures: one refresh.
func BenchmarkMeasure(b *testing.B) {
	var now time.Duration
	meter := testMeter(b, func() time.Duration { return now })
	dst := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		now += Refresh
		if e := meter.Read(InputRegisters, 0, 100, dst); e != 0 {
			b.Fatal(e)
		}
	}
}
