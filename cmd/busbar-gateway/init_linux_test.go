package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// However long a buffer takes that wasn't closed, the machine is kept on while that goes on,
// and no longer.
func TestLookingThroughABufferIsBoundedByItsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opening progress
		opening.made()
		var fed time.Time
		done := make(chan struct{})
		go func() {
			keepOn(t.Context(), func() { fed = time.Now() }, func() bool { return opening.within(stuck) })
			close(done)
		}()
		for range 12 {
			time.Sleep(stuck - time.Minute)
			opening.made()
		}
		synctest.Wait()
		if since := time.Since(fed); since > time.Second {
			t.Errorf("after 108 minutes the watchdog was last fed %v ago", since)
		}
		last := time.Now()
		<-done
		if after := time.Since(last); after < stuck || after > stuck+2*time.Second {
			t.Errorf("without progress it is kept on for %v", after)
		}
	})
}
