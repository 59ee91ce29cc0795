package ingest

import (
	"encoding/json"
	"testing"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/twmb/franz-go/pkg/kgo"
)

func FuzzBirth(f *testing.F) {
	f.Add(birthRecord(f, "gw", signals(3)...).Value)
	f.Add([]byte(`{"gateway":"g","table":"0000000000000001","signals":[{"id":1,"device":"d","name":"n"},{"id":2,"device":"d","name":"n"}]}`))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, value []byte) {
		var key struct {
			Gateway, Table string
			Version        uint32
			Part           int
		}
		json.Unmarshal(value, &key)
		b, err := record.ParseBirth([]byte(record.Birth{Gateway: key.Gateway, Table: key.Table, Version: key.Version, Part: key.Part}.Key()), value)
		if err != nil {
			return
		}
		// What passes can be stored: anything else would stop the consumer.
		if err := w.store.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveBirth(b) }); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	seed := blockRecord(f, "gw", 1, 0, 9, 7)
	f.Add("gw", "0000000000000001", "telemetry", "0", "9", "block/1", seed.Value)
	f.Add("gw", "0000000000000001", "telemetry", "0", "18446744073709551615", "block/1", []byte{})
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, gateway, epoch, stream, first, last, format string, value []byte) {
		r := &kgo.Record{Topic: topics.Telemetry(), Value: value}
		for key, v := range map[string]string{"gateway": gateway, "epoch": epoch, "stream": stream, "seq_first": first, "seq_last": last, "format": format} {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(v)})
		}
		if gateway == "gw" {
			r.Key = []byte(gateway)
			identitytest.Sign(r)
		}
		s := newSession(New(Config{Store: w.store, Topics: topics}), map[string]map[int32]int64{})
		if err := s.take(t.Context(), []*kgo.Record{r}); err != nil {
			t.Errorf("taking: %v", err)
		}
	})
}
