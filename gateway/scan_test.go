package gateway

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/gateway/discovery"
)

func scanOf(endpoint string) discovery.Request {
	return discovery.Request{Endpoint: endpoint, Units: "1-3", Timeout: configfile.Duration(5 * time.Second)}
}

func ignore(discovery.Progress) {}

func TestAScanGoesThroughTheGatewayThatReadsFromThere(t *testing.T) {
	b := newBench(t)
	b.withStatus()
	endpoint := b.config.Devices[0].Modbus.Endpoint
	scan := func(endpoint, through string) {
		t.Helper()
		e, err := Scan(t.Context(), b.config, "", scanOf(endpoint), ignore)
		if err != nil || e.Through != through || len(e.Units) != 1 || e.NoUnits != 4 || e.Asked != 5 || e.Units[0].Device != "meter" {
			t.Errorf("%+v, %v", e, err)
		}
	}
	scan(endpoint, "")
	stop := b.run()
	b.awaitStatus()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if e, err := Scan(t.Context(), b.config, "", scanOf(endpoint), ignore); err == nil && e.Through == "gw" {
			break
		} else if time.Now().After(limit) {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	scan(endpoint, "gw")

	e, err := Scan(t.Context(), b.config, "", scanOf("rtu+"+endpoint), ignore)
	if err == nil || !strings.Contains(err.Error(), "the gateway that is running") || e.Asked != 0 {
		t.Errorf("what it reads in another way: %+v, %v", e, err)
	}
	if e, err := Scan(t.Context(), b.config, "", scanOf("tcp://127.0.0.1:1"), ignore); !errors.Is(err, modbus.ErrUnreachable) || e.Through != "" {
		t.Errorf("what it doesn't read: %+v, %v", e, err)
	}
	// Nobody else has it scanned meanwhile.
	s := source{Gateway: b.gateway}
	var second error
	if err := s.Scan(t.Context(), scanOf(endpoint), func(p discovery.Progress) {
		if p.Asked == 1 {
			second = s.Scan(t.Context(), scanOf(endpoint), ignore)
		}
	}); err != nil || second == nil || !strings.Contains(second.Error(), "somebody else scans") {
		t.Errorf("two at once: %v, %v", err, second)
	}
	scan(endpoint, "gw")
	ctx, cancel := context.WithCancel(t.Context())
	e, err = Scan(ctx, b.config, "", scanOf(endpoint), func(p discovery.Progress) {
		if p.Asked > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || len(e.Units) != 1 || e.Of != 5 {
		t.Errorf("broken off: %+v, %v", e, err)
	}
	stop()
	scan(endpoint, "")
	for _, wrong := range []discovery.Request{{Endpoint: "udp://h"}, {Endpoint: endpoint}, {Endpoint: endpoint, Units: "x", Timeout: 1e9}} {
		if _, err := Scan(t.Context(), b.config, "", wrong, ignore); err == nil {
			t.Errorf("%+v", wrong)
		}
	}
}

// Something else may listen where a gateway does by default.
func TestAScanDoesNotWaitForWhatIsNoGateway(t *testing.T) {
	defer func(d time.Duration) { beginsWithin = d }(beginsWithin)
	beginsWithin = 20 * time.Millisecond
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b := newBench(t)
	b.config.Status.Listen = silent.Addr().String()
	if e, err := Scan(t.Context(), b.config, "", scanOf(b.config.Devices[0].Modbus.Endpoint), ignore); err != nil || len(e.Units) != 1 || e.Through != "" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestANetworkIsScanned(t *testing.T) {
	b := newBench(t)
	b.config.Status.Listen = "127.0.0.1:1"
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(b.config.Devices[0].Modbus.Endpoint, "tcp://"))
	n, _, err := discovery.ParseNetwork("tcp://127.0.0.0:" + port + "/29")
	if err != nil {
		t.Fatal(err)
	}
	var last NetworkProgress
	found, err := ScanNetwork(t.Context(), b.config, "", n, scanOf(""), 3, func(p NetworkProgress) { last = p })
	if err != nil || len(found) != 1 || found[0].Endpoint != "tcp://127.0.0.1:"+port || found[0].Units[0].Device != "meter" {
		t.Errorf("%+v, %v", found, err)
	}
	if last.Asked != 6 || last.Of != 6 {
		t.Errorf("%+v", last)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if found, err := ScanNetwork(stopped, b.config, "", n, scanOf(""), 3, func(NetworkProgress) {}); !errors.Is(err, context.Canceled) || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}
