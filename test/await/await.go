// Package await waits in tests for what other goroutines and programs do.
package await

import (
	"testing"
	"time"
)

const (
	// longest is for a machine that is busy with other tests as well.
	longest = 2 * time.Minute
	every   = 5 * time.Millisecond
)

// True asks again and again until is reports true, and fails the test if it never does.
// What is what should have happened, in words.
func True(t testing.TB, what string, is func() bool) {
	t.Helper()
	Within(t, longest, what, is)
}

// Within is True of what takes long by itself, such as an emulated machine's start.
func Within(t testing.TB, long time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(long); !is(); time.Sleep(every) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", long, what)
		}
	}
}
