package gateway

import (
	"runtime"
	"testing"
	"weak"

	"github.com/busbar/busbar/telemetry"
)

// What an errand holds, which may be a configuration of tens of thousands of signals, is let
// go once it has been run.
func TestErrandsAreLetGo(t *testing.T) {
	p := &pipeline{}
	held := func() weak.Pointer[[1 << 10]byte] {
		what := new([1 << 10]byte)
		p.queue.errands = append(p.queue.errands, errand{do: func() []telemetry.Sample { what[0]++; return nil }})
		return weak.Make(what)
	}()
	taken := p.take(queue{})
	for _, e := range taken.errands {
		e.do()
	}
	p.take(taken)
	runtime.GC()
	if held.Value() != nil {
		t.Error("it is still held")
	}
	runtime.KeepAlive(p)
}
