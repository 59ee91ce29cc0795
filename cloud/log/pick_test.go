package log

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/store"
)

func TestPicksExactlyTheOffsetsThatThereAre(t *testing.T) {
	_, opts := cluster(t, 1, "a")
	var values []string
	for i := range 50 {
		values = append(values, fmt.Sprint(i))
	}
	produce(t, opts, "a", 0, values...)
	offsets := kadm.Offsets{}
	offsets.AddOffset("a", 0, 10, -1)
	if _, err := kadm.NewClient(client(t, opts)).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPicker(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	pick := func(topic, id string, partition int32, most int, at ...int64) (found []int64, looked int) {
		t.Helper()
		records, looked, err := p.Pick(t.Context(), topic, id, partition, at, most)
		if err != nil {
			t.Fatal(err)
		}
		for offset, r := range records {
			if r.Offset != offset || string(r.Value) != values[offset] || r.Topic != topic {
				t.Errorf("%d: %+v", offset, r)
			}
		}
		return slices.Sorted(maps.Keys(records)), looked
	}
	if found, looked := pick("a", "", 0, 1<<20, 3, 9, 10, 11, 30, 49, 50, 90); !slices.Equal(found, []int64{10, 11, 30, 49}) || looked != 8 {
		t.Errorf("%v of %d", found, looked)
	}
	if found, looked := pick("a", "", 0, 2, 12, 20, 21); !slices.Equal(found, []int64{12}) || looked != 1 {
		t.Errorf("with little room: %v of %d", found, looked)
	}
	for _, nowhere := range [][]any{{"b", "", int32(0)}, {"a", "", int32(7)}, {"a", "AAAAAAAAAAAAAAAAAAAAAQ", int32(0)}} {
		if found, looked := pick(nowhere[0].(string), nowhere[1].(string), nowhere[2].(int32), 1<<20, 20); len(found) != 0 || looked != 1 {
			t.Errorf("%v: %v of %d", nowhere, found, looked)
		}
	}
	if begin, end, err := p.Begin(t.Context(), "a", "", 0); begin != 10 || end != 50 || err != nil {
		t.Errorf("from %d to %d, %v", begin, end, err)
	}
}

// A few bytes that decompress to many stop nobody: they are passed over, and said.
func TestABatchThatWouldFillTheMemoryIsPassedOver(t *testing.T) {
	for _, codec := range []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.GzipCompression()} {
		_, opts := cluster(t, 1, "a")
		produce(t, opts, "a", 0, "before")
		bomb := client(t, opts, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(64<<20), kgo.BrokerMaxWriteBytes(100<<20))
		if err := bomb.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: make([]byte, 30<<20)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		produce(t, opts, "a", 0, "behind")
		db, err := store.Open(t.Context(), store.Config{Path: t.TempDir() + "/db"})
		if err != nil {
			t.Fatal(err)
		}
		next := func() Offsets {
			offsets, err := db.Offsets(t.Context(), "c")
			if err != nil {
				t.Fatal(err)
			}
			return offsets
		}
		for _, want := range []string{"before", "bomb", "behind"} {
			r := open(t, opts, next(), "a")
			records, err := r.Poll(t.Context(), 20*time.Second, 1)
			if want == "bomb" {
				var truncated *TruncatedError
				if !errors.As(err, &truncated) || !truncated.Oversized || truncated.Next != 1 || truncated.Resume != 2 {
					t.Fatalf("%v", err)
				}
				if reason, err := Lost(t.Context(), db, "c", truncated, map[string]string{"a": r.TopicID("a")}); reason != store.OversizedBatch || err != nil {
					t.Fatal(reason, err)
				}
				continue
			}
			if err != nil || len(records) != 1 || string(records[0].Value) != want {
				t.Fatalf("%d records, %v, want %s", len(records), err, want)
			}
			from := int64(store.NoOffset)
			if want == "behind" {
				from = 2
			}
			err = db.Write(t.Context(), func(tx *store.Tx) error {
				return tx.Advance("c", store.Partition{Topic: "a", TopicID: r.TopicID("a")}, from, records[0].Offset+1)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
	}
}

// What gateways compress is far from the bounds.
func TestWhatIsCompressedWellIsRead(t *testing.T) {
	_, opts := cluster(t, 1, "a")
	var table bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&table, `{"id":%d,"device":"meter-%d","name":"PhV.phs%c","unit":"V","asset":"feeder-1","kind":"gauge"},`, i, i/3, 'A'+i%3)
	}
	for _, codec := range []kgo.CompressionCodec{kgo.ZstdCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.NoCompression()} {
		c := client(t, opts, kgo.ProducerBatchCompression(codec))
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: table.Bytes()}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, opts, Offsets{}, "a")
	for got := 0; got < 5; {
		records, err := r.Poll(t.Context(), 20*time.Second, 10)
		if err != nil || len(records) == 0 {
			t.Fatal(len(records), err)
		}
		for _, record := range records {
			got++
			if !bytes.Equal(record.Value, table.Bytes()) {
				t.Error("it comes back otherwise")
			}
		}
	}
}
