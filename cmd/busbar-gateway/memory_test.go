package main

import (
	"runtime"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	for name, c := range map[string]struct {
		in   memory
		want int64
	}{
		"a small gateway":     {memory{live: 9 << 20, overhead: 8 << 20}, smallMemory},
		"a large one":         {memory{live: 100 << 20, overhead: 20 << 20}, 265 << 19},
		"one in between":      {memory{live: 20 << 20, overhead: 8 << 20}, 61 << 19},
		"at the very start":   {memory{}, smallMemory},
		"one of large stacks": {memory{live: 20 << 20, overhead: 30 << 20}, 105 << 19},
	} {
		if got := memoryLimit(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// The figures are those of this process: what it holds is in them.
func TestMemoryIsThatOfTheProcess(t *testing.T) {
	runtime.GC()
	before := readMemory()
	held := make([]byte, 64<<20)
	runtime.GC()
	after := readMemory()
	runtime.KeepAlive(held)
	if grown := int64(after.live) - int64(before.live); grown < 60<<20 {
		t.Errorf("64 MiB more are held, and %d bytes more are live", grown)
	}
	if before.overhead == 0 || before.overhead > 1<<30 {
		t.Errorf("%+v, then %+v", before, after)
	}
	if memoryLimit(after) < 72<<20 {
		t.Errorf("the limit of %d bytes doesn't follow: %d", memoryLimit(before), memoryLimit(after))
	}
}
