package log

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Through moves on with the log's end alone, and with nobody who reads it.
func TestThrough(t *testing.T) {
	k, opts := cluster(t, 2, "a")
	produce(t, opts, "a", 0, "0", "1", "2", "3", "4", "5")
	r := open(t, opts, nil, "a")
	poll := func(limit int) int {
		t.Helper()
		records, err := r.Poll(t.Context(), 100*time.Millisecond, limit)
		if err != nil {
			t.Fatal(err)
		}
		return len(records)
	}
	for n := 0; n < 5; n += poll(1) {
		if at := r.Through(); !at.IsZero() {
			t.Fatalf("read through %s with %d of six records", at, n)
		}
	}
	moves := func(after time.Time) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !r.Through().After(after); poll(1) {
			if time.Now().After(deadline) {
				t.Fatalf("read through %s and no further", r.Through())
			}
		}
	}
	moves(time.Time{})
	moves(r.Through()) // while nothing is written
	produce(t, opts, "a", 1, "x")
	moves(time.Now())
	if r.Lag() != 0 {
		t.Errorf("lag %d", r.Lag())
	}

	k.Close()
	var still time.Time
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		if _, err := r.Poll(t.Context(), 100*time.Millisecond, 1); err != nil {
			break // it can't be read any more, and says so
		}
		if time.Since(began) > time.Second && still.IsZero() {
			still = r.Through()
		}
	}
	if at := r.Through(); !still.IsZero() && !at.Equal(still) {
		t.Errorf("moved from %s to %s without a log", still, at)
	}
}

// A partition all of whose records have expired holds nothing up.
func TestThroughAPartitionThatHasExpired(t *testing.T) {
	_, opts := cluster(t, 2, "a")
	produce(t, opts, "a", 0, "0", "1", "2")
	var expired kadm.Offsets
	expired.Add(kadm.Offset{Topic: "a", Partition: 0, At: 3})
	if r, err := kadm.NewClient(client(t, opts)).DeleteRecords(t.Context(), expired); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	produce(t, opts, "a", 1, "x")
	r := open(t, opts, nil, "a")
	for deadline := time.Now().Add(20 * time.Second); r.Through().IsZero() || r.Lag() != 0; {
		if _, err := r.Poll(t.Context(), 100*time.Millisecond, 10); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("read through %s, lag %d", r.Through(), r.Lag())
		}
	}
}
