package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/await"
)

// A replay runs beside a cloud, and leaves a file behind only if it has come to an end.
func TestReplayBesideACloud(t *testing.T) {
	dir := t.TempDir()
	config := embedded(t)
	c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	identitytest.Enrol(t, c.store, "gw")
	client, err := kgo.NewClient(kgo.SeedBrokers(c.embedded.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	payload, err := json.Marshal(telemetry.Event{Kind: telemetry.AlarmRaised, Time: 1000, Decided: 1000, Alarm: &telemetry.AlarmChange{ID: "a1", Rule: "r"}})
	if err != nil {
		t.Fatal(err)
	}
	topic := record.TopicsOf("").Events()
	r := &kgo.Record{Topic: topic, Key: []byte("gw"), Value: payload}
	id := record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Events}
	for _, h := range (record.Record{Identity: id, Format: record.FormatEvent, Payload: payload}).Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if err := client.ProduceSync(t.Context(), identitytest.Sign(r)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the alarm is taken", func() bool { return c.alarms.Stats().Events > 0 })

	options := ReplayOptions{Dir: dir, Into: filepath.Join(dir, "shadow.db"), Log: quiet}
	report, err := Replay(t.Context(), config, options)
	if err != nil || !report.Same || report.Compared[0].Replay != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := os.Stat(options.Into); err != nil {
		t.Error(err)
	}
	if _, err := Replay(t.Context(), config, options); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over a file: %v", err)
	}

	options.Into = filepath.Join(dir, "stopped.db")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Replay(stopped, config, options); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	config.Store.Path = "none.db"
	if _, err := Replay(t.Context(), config, options); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a store: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "stopped.db*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("the cloud's store was made")
	}
}
