package gateway

import (
	"strings"
	"testing"
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
