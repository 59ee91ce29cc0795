package devices

import (
	"encoding/binary"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	firmware "github.com/busbar/busbar/firmware-config"
	"github.com/busbar/busbar/profile"
	"github.com/busbar/busbar/telemetry"
)

// readAll reads a unit through the adapter that gateways read with.
func readAll(t *testing.T, u Unit, signals []profile.Signal, identity []modbus.Register) map[string]telemetry.Sample {
	t.Helper()
	s, err := Listen("127.0.0.1:0", map[byte]Unit{1: u}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { s.Serve(t.Context()); close(served) }()
	t.Cleanup(func() { _ = s.Close(); <-served })
	d := modbus.Device{ID: "d", Endpoint: "tcp://" + s.Addr().String(), Unit: 1, Live: 100_000, Identity: identity}
	for i, signal := range signals {
		p := signal.Point()
		p.Signal = telemetry.SignalID(i + 1)
		d.Points = append(d.Points, p)
	}
	a, err := modbus.New(modbus.Config{Devices: []modbus.Device{d}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	samples, err := a.ReadOnce(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]telemetry.Sample{}
	for i, s := range samples {
		values[signals[i].Name] = s
	}
	return values
}

// checkMeasured wants what a meter of 60 kW shows.
func checkMeasured(t *testing.T, signals []profile.Signal, values map[string]telemetry.Sample) {
	t.Helper()
	for _, s := range signals {
		got := values[s.Name]
		if got.Quality.Validity() != telemetry.Good {
			if got.Quality.Reason() != telemetry.NotImplemented || len(s.Absent) == 0 {
				t.Errorf("%s: %v", s.Name, got.Quality)
			}
			continue
		}
		v, _ := got.Value.Float()
		name, _, _ := strings.Cut(s.Name, ".phs")
		var least, most float64
		switch name {
		case "PhV":
			least, most = 228, 232
		case "PPV":
			least, most = 396, 401
		case "Hz":
			least, most = 49.9, 50.1
		case "TotPF":
			least, most = 0.9, 1
			if s.Unit == "%" {
				least, most = 90, 100
			}
		case "TotW", "TotVA", "A":
			least, most = 1, 70e3
		default:
			continue
		}
		if v < least || v > most {
			t.Errorf("%s is %v %s, expected %v to %v", s.Name, v, s.Unit, least, most)
		}
	}
}

// Each profile drives the simulator and the gateway alike: what a simulated
// device measures is what is read from it.
func TestEveryProductIsReadAsItMeasures(t *testing.T) {
	list, err := firmware.Profiles().LoadBy(profile.Modbus)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		name := p.Name
		t.Run(name, func(t *testing.T) {
			c := testMeter(t, func() time.Duration { return time.Hour }).config
			c.Product = productOf(t, name)
			var identity []modbus.Register
			for _, id := range p.Identify {
				identity = append(identity, id.Register(0))
			}
			checkMeasured(t, p.Signals, readAll(t, NewMeter(c), p.Signals, identity))
		})
	}
}

func TestSunSpecModelsFollowEachOther(t *testing.T) {
	library := firmware.Profiles()
	var models []profile.Profile
	for _, name := range []string{"sunspec/1", "sunspec/103", "sunspec/203"} {
		p, err := library.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, p)
	}
	c := testMeter(t, func() time.Duration { return time.Hour }).config
	var err error
	if c.Product, err = NewSunSpec(models...); err != nil {
		t.Fatal(err)
	}
	m := NewMeter(c)
	at := func(address int) uint16 {
		dst := make([]byte, 2)
		if e := m.Read(HoldingRegisters, address, 1, dst); e != 0 {
			t.Fatalf("exception %d at %d", e, address)
		}
		return binary.BigEndian.Uint16(dst)
	}
	if at(40000) != 0x5375 || at(40001) != 0x6E53 {
		t.Error("no SunS")
	}
	address := 40002
	for i, want := range []struct{ id, length uint16 }{{1, 65}, {103, 50}, {203, 105}, {0xFFFF, 0}} {
		if at(address) != want.id || at(address+1) != want.length {
			t.Fatalf("model %d of %d registers at %d, expected %d of %d", at(address), at(address+1), address, want.id, want.length)
		}
		if i > 0 && i < 3 {
			p := models[i]
			signals := p.At(uint16(address))
			values := readAll(t, m, signals, []modbus.Register{p.Identify[0].Register(uint16(address))})
			checkMeasured(t, signals, values)
			if v, _ := values["PhV.phsA"].Value.Float(); math.Abs(v-230) > 2 {
				t.Errorf("PhV.phsA of model %d is %v", want.id, values["PhV.phsA"].Value)
			}
		}
		address += 2 + int(want.length)
	}
}
