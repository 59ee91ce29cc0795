package gateway

import (
	"testing"
	"time"

	"github.com/busbar/busbar/gateway/buffer"
)

func TestCapturesWaitForTheLine(t *testing.T) {
	var c captures
	now := time.Now()
	for range 40 {
		c.add(buffer.Item{Payload: make([]byte, 6<<10)})
	}
	if n := len(c.release(now, false)); n != 1 {
		t.Errorf("%d at once", n)
	}
	sent := 1
	for s := range 60 {
		sent += len(c.release(now.Add(time.Duration(s+1)*time.Second), false))
	}
	if sent < 4 || sent > 7 {
		t.Errorf("%d of 6 KiB in a minute", sent)
	}
	if d := c.due(); d <= 0 || d > 12*time.Second {
		t.Errorf("the next one in %s", d)
	}
	if n := len(c.release(now.Add(61*time.Second), true)); n != 40-sent || c.bytes != 0 {
		t.Errorf("%d at the end, %d bytes wait", n, c.bytes)
	}
	if c.due() != time.Hour {
		t.Error("nothing waits, and it is due")
	}
}

func TestCapturesAreBounded(t *testing.T) {
	var c captures
	for range 1000 {
		c.add(buffer.Item{Payload: make([]byte, 100<<10)})
	}
	if c.bytes > mostCaptureWait || c.dropped != 1000-uint64(len(c.waiting)) || len(c.waiting) < 10 {
		t.Errorf("%d wait with %d bytes, %d dropped", len(c.waiting), c.bytes, c.dropped)
	}
}
