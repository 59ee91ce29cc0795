package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/iec104peer"
)

// A gateway reads everything by what is printed, and so does a master that we didn't write,
// which switches the breaker.
func TestRemoteTerminalUnit(t *testing.T) {
	snippet, endpoint := playAs(t, "iec104", "--listen", "127.0.0.1:0", "--points", "120", "--every", "10ms", "--control")
	config, err := gatewayconfig.Parse("gateway.yaml", []byte("gateway: {id: gw, control: enabled}\nforward: {kafka: {brokers: [\"localhost:9092\"]}}\nbuffer: {path: data}\n"+snippet))
	if err != nil {
		t.Fatalf("%v\n%s", err, snippet)
	}
	readings, err := gateway.ReadDevice(t.Context(), config, "", "bay-rtu", slog.New(slog.DiscardHandler))
	if err != nil || len(readings) != 15 {
		t.Errorf("%d readings, %v", len(readings), err)
	}
	for _, r := range readings {
		if !r.Good {
			t.Errorf("%s of %s", r.Quality, r.Signal)
		}
	}

	m := iec104peer.StartMaster(t, strings.TrimPrefix(endpoint, "tcp://"), nil)
	await.True(t, "it has started the transfer", func() bool {
		m.Ask("start")
		return strings.Contains(m.Said(), "M_ME_TF_1 SPONTANEOUS")
	})
	await.True(t, "the breaker is off", func() bool {
		m.Ask("command 2001 1") // again, when it has missed the confirmation of the selection
		return strings.Contains(m.Said(), "told 1001 M_DP_TB_1 RETURN_INFO_REMOTE Double.OFF")
	})
	m.Await("told 1001 M_DP_TB_1 RETURN_INFO_REMOTE Double.INTERMEDIATE")
}
