package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// garbagePercent is how much garbage there may be beside what is in use, in
// percent of that, before it is collected. A gateway shares a small machine:
// collecting twice as often as usual costs it nothing that can be measured and a
// fifth of its memory less.
const garbagePercent = 50

// smallMemory is what a gateway of a hundred meters gets along with, as the Go
// runtime counts, which is a fifth more than the process's anonymous memory. Below
// it, memory follows garbagePercent; near it, garbage is collected earlier.
const smallMemory = 26 << 20

// leastGarbage is how much garbage there may be at any rate, as a part of what is
// in use: a gateway that needs more than smallMemory takes it, instead of doing
// nothing but collect.
const leastGarbage = 0.125

// begun is when a gateway that has started has read all devices, and sent what its signals
// are: that takes more than what comes afterwards.
const begun = 20 * time.Second

// followMemory keeps a small gateway small until ctx ends.
func followMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.FreeOSMemory() // what reading the configuration took
	ticker, started := time.NewTicker(time.Second), time.NewTimer(begun)
	defer ticker.Stop()
	defer started.Stop()
	for {
		debug.SetMemoryLimit(memoryLimit(readMemory()))
		select {
		case <-ctx.Done():
			return
		case <-started.C:
			debug.FreeOSMemory()
		case <-ticker.C:
		}
	}
}

// memory is what the Go runtime has, in bytes.
type memory struct {
	live     uint64 // found to be in use by the last collection
	overhead uint64 // for everything but objects and free parts of the heap
}

func readMemory() memory {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(s)
	value := func(i int) uint64 { return s[i].Value.Uint64() }
	return memory{live: value(0), overhead: value(2) - value(3) - value(4) - value(1)}
}

func memoryLimit(m memory) int64 {
	return max(smallMemory, int64(m.overhead)+int64((1+leastGarbage)*float64(m.live)))
}
