package gateway

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/test/mosquitto"
)

// The configuration that is read with has another address for the meter, so what
// comes has come through the gateway that is running.
func TestADeviceIsReadByTheGatewayThatIsRunning(t *testing.T) {
	b := newBench(t)
	b.withStatus()
	elsewhere := b.config
	elsewhere.Devices = append(elsewhere.Devices[:0:0], elsewhere.Devices...)
	nowhere := *elsewhere.Devices[0].Modbus
	nowhere.Endpoint = "tcp://127.0.0.1:1"
	elsewhere.Devices[0].Modbus = &nowhere

	if readings, err := ReadDevice(t.Context(), b.config, "", "meter", quiet); err != nil || len(readings) != 3 || readings[0].Value != "230" {
		t.Errorf("without a gateway: %+v, %v", readings, err)
	}
	stop := b.run()
	b.awaitStatus()
	readings, err := ReadDevice(t.Context(), elsewhere, "", "meter", quiet)
	if err != nil || len(readings) != 3 {
		t.Fatalf("%+v, %v", readings, err)
	}
	if r := readings[1]; r.Signal != "PhV.phsB" || r.Value != "230" || r.Unit != "V" || r.Quality != "good" || !r.Good {
		t.Errorf("%+v", r)
	}
	other := elsewhere
	other.Gateway.ID = "another"
	if _, err := ReadDevice(t.Context(), other, "", "meter", quiet); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("another gateway's device: %v", err)
	}
	stop()
	if _, err := ReadDevice(t.Context(), elsewhere, "", "meter", quiet); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("after the gateway's end: %v", err)
	}
}

// Watching shows what a device tells of itself, too, and doesn't take the gateway's
// session from it.
func TestWatchingWhatIsFound(t *testing.T) {
	broker := mosquitto.New(t, "")
	broker.Start()
	for _, i := range []string{"1", "2"} {
		broker.Publish("pv/inv"+i+"/ac", `{"power":`+i+`}`, "-r")
	}
	config, err := gatewayconfig.Parse("gateway.yaml", []byte(`gateway: {id: gw}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
  - id: meter
    modbus: {endpoint: "tcp://127.0.0.1:1"}
    signals: [{name: Hz, input: 0, type: uint16, unit: Hz}]
  - id: pv
    mqtt: {broker: "tcp://`+broker.Address+`"}
    signals: [{name: TotW, topic: pv/inv1/ac, json: $.power, unit: W}]
    follow: [{topic: pv/+/ac, json: $.power, name: "{1}.TotW", unit: W}]
`))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	seen := map[string]string{}
	err = WatchDevice(ctx, config, t.TempDir(), "pv", slog.New(slog.DiscardHandler), func(readings []Reading) {
		for _, r := range readings {
			seen[r.Signal] = r.Value + " " + r.Unit
		}
		if len(seen) == 4 {
			stop()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"ChLiv": "true 1", "TotW": "1 W", "inv1.TotW": "1 W", "inv2.TotW": "2 W"}; !maps.Equal(seen, want) {
		t.Errorf("%v, expected %v", seen, want)
	}
}
