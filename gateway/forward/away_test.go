package forward

import (
	"runtime"
	"testing"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry/record"
)

// However long no broker answers, lanes hold no more in memory than what they
// have under way: here for as many records as fourteen hours of commits bring.
func TestMemoryStaysFlatWhileNoBrokerAnswers(t *testing.T) {
	const records, together = 50_000, 50
	r := newRig(t, 100)
	r.cluster.Close()
	r.run(r.lanes.All()...)
	payload := make([]byte, 2<<10)
	commit := func(n int) {
		for range n / together {
			var items []buffer.Item
			for range together {
				items = append(items, buffer.Item{Format: record.FormatBlock, Payload: payload, Count: 10_000})
			}
			if err := r.buffer.Telemetry.Commit(items, nil); err != nil {
				t.Fatal(err)
			}
			if err := r.buffer.Events.Commit([]buffer.Item{{Format: record.FormatEvent, Payload: payload[:500], Count: 1}}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	type use struct {
		heap       int64
		goroutines int
	}
	measure := func() use {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return use{int64(m.HeapAlloc), runtime.NumGoroutine()}
	}
	commit(records / 10)
	r.await("the links to be down", func() bool {
		return r.lanes.Events.Stats().Link.State == Down && r.lanes.Telemetry.Stats().Link.State == Down
	})
	before := measure()
	commit(records)
	after := measure()
	t.Logf("heap %d and then %d bytes, %d and %d goroutines", before.heap, after.heap, before.goroutines, after.goroutines)
	if grown := after.heap - before.heap; grown > 2<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if grown := after.goroutines - before.goroutines; grown > 20 {
		t.Errorf("%d goroutines more", grown)
	}
	for _, l := range r.lanes.All() {
		if n := l.sink.(*kafkaSink).client.BufferedProduceRecords(); n > mostFresh {
			t.Errorf("%d records are in the client of %s", n, l.link.lane)
		}
	}
}
