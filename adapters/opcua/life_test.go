package opcua

import (
	"context"
	"runtime"
	"testing"
	"weak"
)

// What a job holds, such as the requests for all monitored items, is let go once it has been
// done.
func TestJobsAreLetGo(t *testing.T) {
	l := &life{ctx: t.Context(), posts: make(chan func() error)}
	held := func() weak.Pointer[[1 << 10]byte] {
		what := new([1 << 10]byte)
		l.begin(func(context.Context) error { what[0]++; return nil })
		return weak.Make(what)
	}()
	if err := (<-l.posts)(); err != nil {
		t.Fatal(err)
	}
	l.asking.Wait()
	runtime.GC()
	if held.Value() != nil {
		t.Error("it is still held")
	}
	runtime.KeepAlive(l)
}
