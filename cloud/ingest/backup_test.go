package ingest

import (
	"bytes"
	"testing"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/test/await"
)

// A backup is made while samples come in, and restored with the other engine. What ingest
// takes from there on is what it takes on the first store: nothing twice, nothing lost.
func TestIngestGoesOnFromABackup(t *testing.T) {
	w := newWorld(t)
	const signals, perBlock, blocks = 6, 20, 150
	w.send(birthRecord(t, "gw", signal(0), signal(1), signal(2), signal(3), signal(4), signal(5)))
	r, stop := w.start(w.config())
	send := func(from, to uint64) {
		for n := from; n < to; n++ {
			b := blockRecord(t, "gw", 1, n*perBlock, (n+1)*perBlock-1, signals)
			if n%5 == 0 {
				b = backfilled(b)
			}
			w.send(b)
			if n%7 == 0 {
				w.send(b) // again
			}
		}
	}
	sent := make(chan struct{})
	go func() { send(0, blocks); close(sent) }()
	await.True(w, "a third of the samples", func() bool { return r.Stats().Samples >= blocks*perBlock/3 })
	var file bytes.Buffer
	if _, err := w.store.Backup(t.Context(), &file, "test", nil); err != nil {
		t.Fatal(err)
	}
	<-sent
	send(blocks, blocks+20)
	await.True(w, "everything", w.caughtUp)
	stop()
	w.exactlyOnce("gw", (blocks+20)*perBlock)

	other := *w
	if storetest.OnPostgres() {
		other.database = storetest.SQLite(t)
	} else {
		other.database = storetest.Postgres(t)
	}
	if _, err := store.Restore(t.Context(), other.database, &file, false, nil); err != nil {
		t.Fatal(err)
	}
	var err error
	if other.store, err = store.Open(t.Context(), other.database); err != nil {
		t.Fatal(err)
	}
	defer other.store.Close()
	had := len(other.stored("gw"))
	if had < blocks*perBlock/3 || had >= (blocks+20)*perBlock {
		t.Fatalf("the backup has %d samples of %d", had, (blocks+20)*perBlock)
	}
	again, stop := other.start(other.config())
	await.True(other, "the rest", other.caughtUp)
	stop()
	other.exactlyOnce("gw", (blocks+20)*perBlock)
	if n := again.Stats().Samples; n != uint64((blocks+20)*perBlock-had) {
		t.Errorf("%d samples were taken after the backup, %d weren't in it", n, (blocks+20)*perBlock-had)
	}
	if a, b := w.completeness("gw"), other.completeness("gw"); a.Received != b.Received || a.Duplicates != b.Duplicates {
		t.Errorf("the ledgers say %+v and %+v", a, b)
	}
}
