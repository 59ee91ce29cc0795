package main

import (
	"log/slog"
	"testing"

	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
)

// A gateway reads the meter by what is printed.
func TestP1Port(t *testing.T) {
	snippet, _ := playAs(t, "p1", "--listen", "127.0.0.1:0", "--every", "50ms")
	config, err := gatewayconfig.Parse("gateway.yaml", []byte("gateway: {id: gw}\nforward: {kafka: {brokers: [\"localhost:9092\"]}}\nbuffer: {path: data}\n"+snippet))
	if err != nil {
		t.Fatalf("%v\n%s", err, snippet)
	}
	readings, err := gateway.ReadDevice(t.Context(), config, "", "house", slog.New(slog.DiscardHandler))
	good := map[string]bool{}
	for _, r := range readings {
		good[r.Signal] = r.Good
	}
	for _, name := range []string{"TotW", "DmdWh", "PhV.phsC", "Sag.phsA", "Swell.phsC", "Intr.long"} {
		if !good[name] {
			t.Errorf("%s isn't read: %v, %v", name, readings, err)
		}
	}
}
