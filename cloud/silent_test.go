package cloud

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// Three gateways of one feeder say once that they are there. One is heard on, by its
// telemetry; the others are silent.
func TestSilentGatewaysAreAlarmed(t *testing.T) {
	c, err := New(t.Context(), embedded(t), Options{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.embedded.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(topic, format string, id record.Identity, payload []byte) {
		t.Helper()
		r := &kgo.Record{Topic: topic, Key: []byte(id.Gateway), Value: payload}
		for _, h := range (record.Record{Identity: id, Format: format, Payload: payload}).Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		if err := client.ProduceSync(t.Context(), identitytest.Sign(r)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	topics := record.TopicsOf("")
	for n, gateway := range []string{"a", "b", "c"} {
		identitytest.Enrol(t, c.store, gateway)
		payload, err := json.Marshal(telemetry.Event{Kind: telemetry.GatewayAlive, Decided: 1, Presence: &telemetry.Presence{Every: 2_000_000, Feeder: "f1", Uplink: fmt.Sprint("carrier-", n)}})
		if err != nil {
			t.Fatal(err)
		}
		send(topics.Events(), record.FormatEvent, record.Identity{Gateway: gateway, Epoch: 1, Stream: record.Events}, payload)
	}
	var encoder telemetry.Encoder
	deadline := time.Now().Add(time.Minute)
	for n := uint64(0); ; n++ {
		block, err := encoder.AppendBlock(nil, telemetry.TableRef{Table: 7, Version: 1}, []telemetry.Sample{{Signal: 1, Time: telemetry.MicrosOf(time.Now()), Value: telemetry.FloatValue(230)}})
		if err != nil {
			t.Fatal(err)
		}
		send(topics.Telemetry(), record.FormatBlock, record.Identity{Gateway: "a", Epoch: 1, Stream: record.Telemetry, First: n, Last: n}, block)
		list, err := c.store.Presences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		silent := ""
		for _, g := range list {
			if g.Silent != 0 {
				silent += g.Gateway
			}
		}
		if silent == "bc" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("silent are %q, want b and c", silent)
		}
		time.Sleep(100 * time.Millisecond)
	}
	// Then that one, too.
	for {
		_, alarms, err := alarm.List(t.Context(), c.store, true, store.Page[alarm.Place]{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		suspect := 0
		for _, a := range alarms {
			if a.Rule == "gateway-supply-suspect" {
				suspect++
			}
		}
		if suspect == 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("alarms %+v, want one for each gateway", alarms)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
