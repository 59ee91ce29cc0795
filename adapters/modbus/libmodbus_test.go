package modbus

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// libmodbus is the meter on libmodbus, compiled.
func libmodbus(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "libmodbus")
	if out, err := exec.Command("cc", "-I/usr/include/modbus", "-o", program, "testdata/libmodbus.c", "-lmodbus").CombinedOutput(); err != nil {
		report := t.Skipf
		if os.Getenv("CI") == "true" {
			report = t.Fatalf
		}
		report("no libmodbus: apt-get install libmodbus-dev gcc\n%v %s", err, out)
	}
	return program
}

func TestAgainstLibmodbus(t *testing.T) {
	program := libmodbus(t)
	address := freeAddress(t)
	_, tcpPort, _ := net.SplitHostPort(address)
	ours, theirs, _ := twoTTYs(t)
	for _, c := range []struct{ transport, where, endpoint string }{
		{"tcp", tcpPort, "tcp://" + address},
		{"rtu", theirs, "rtu://" + ours + "?baud=9600&parity=N"},
	} {
		t.Run(c.transport, func(t *testing.T) {
			var out bytes.Buffer
			_, exited := start(t, exec.Command(program, c.transport, c.where), &out)
			d := Device{ID: "d", Endpoint: c.endpoint, Unit: 1, PollEvery: 50 * time.Millisecond, Timeout: 2 * time.Second, Live: 10000}
			var want []telemetry.Value
			add := func(p Point, v telemetry.Value) {
				p.Signal = telemetry.SignalID(len(d.Points))
				d.Points = append(d.Points, p)
				want = append(want, v)
			}
			for a := range uint16(300) {
				if a%2 == 0 { // both a whole request and its neighbour
					add(Point{Table: Holding, Address: a, Type: Uint16}, telemetry.UintValue(uint64(7*a+1)))
				}
				add(Point{Table: Input, Address: a, Type: Uint16}, telemetry.UintValue(uint64(65535-a)))
				add(Point{Table: Coil, Address: a, Type: Bool}, telemetry.BoolValue(a%3 == 0))
				add(Point{Table: Discrete, Address: a, Type: Bool}, telemetry.BoolValue(a%5 == 0))
			}
			missing := len(d.Points)
			add(Point{Table: Input, Address: 5000, Type: Uint16}, telemetry.Value{})
			awaitMeterOf(t, d, exited, &out)

			_, sink := run(t, d)
			sink.await(t, "values", func() bool { return sink.count("d") >= 5 })
			for _, b := range sink.from("d", 0) {
				checkAgainst(t, b, d, want, missing)
			}
		})
	}
}

func checkAgainst(t *testing.T, b adapters.Batch, d Device, want []telemetry.Value, missing int) {
	t.Helper()
	for i, v := range want {
		s := b.Samples[i]
		if i == missing {
			if s.Quality.String() != "bad (refused by device)" {
				t.Fatalf("a missing address: %v", s.Quality)
			}
		} else if s.Value != v || s.Quality != 0 {
			t.Fatalf("%s %d: %v (%v), expected %v", d.Points[i].Table, d.Points[i].Address, s.Value, s.Quality, v)
		}
	}
}
