package modbus

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// python is an interpreter that has pymodbus, the peer that knows nothing of
// this code.
func python(t *testing.T) string {
	t.Helper()
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import pymodbus.simulator").CombinedOutput(); err != nil {
		report := t.Skipf
		if os.Getenv("CI") == "true" {
			report = t.Fatalf
		}
		report("%s has no pymodbus: python3 -m venv .venv && .venv/bin/pip install pymodbus==3.16.1, and BUSBAR_PYTHON=$PWD/.venv/bin/python\n%v %s", python, err, out)
	}
	return python
}

// startMeter starts the pymodbus meter, waits until it listens and returns how
// to kill it.
func startMeter(t *testing.T, python, address string) (kill func()) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(python, "testdata/meter.py", port)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	kill = func() {
		cmd.Process.Kill()
		<-exited
	}
	t.Cleanup(kill)
	for limit := time.After(30 * time.Second); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return kill
		}
		select {
		case <-exited:
			t.Fatalf("the meter ended: %s", out.String())
		case <-limit:
			t.Fatalf("the meter doesn't listen: %s", out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// everyKind is a device with every type in every order from both register
// tables, and bits, as testdata/meter.py has them.
func everyKind(id, address string, unit uint8, base telemetry.SignalID) (Device, []telemetry.Value) {
	d := Device{ID: id, Endpoint: "tcp://" + address, Unit: unit, Live: base, PollEvery: 50 * time.Millisecond, Timeout: 5 * time.Second}
	var want []telemetry.Value
	add := func(p Point, v telemetry.Value) {
		p.Signal = base + 1 + telemetry.SignalID(len(d.Points))
		p.Name = fmt.Sprint(p.Type, p.Order, p.Address)
		d.Points = append(d.Points, p)
		want = append(want, v)
	}
	numbers := []struct {
		typ    Type
		values []telemetry.Value
	}{
		{Int16, []telemetry.Value{telemetry.IntValue(-12345), telemetry.IntValue(32767)}},
		{Uint16, []telemetry.Value{telemetry.UintValue(54321), telemetry.UintValue(0)}},
		{Int32, []telemetry.Value{telemetry.IntValue(-123456789), telemetry.IntValue(2147483647)}},
		{Uint32, []telemetry.Value{telemetry.UintValue(4023233417), telemetry.UintValue(1)}},
		{Int64, []telemetry.Value{telemetry.IntValue(-1234567890123456789), telemetry.IntValue(42)}},
		{Uint64, []telemetry.Value{telemetry.UintValue(18364758544493064720), telemetry.UintValue(7)}},
		{Float32, []telemetry.Value{telemetry.FloatValue(float64(float32(230.1))), telemetry.FloatValue(-12.5)}},
		{Float64, []telemetry.Value{telemetry.FloatValue(230.1), telemetry.FloatValue(-1e300)}},
	}
	for _, table := range []struct {
		name  Table
		start uint16
	}{{Holding, 1000}, {Input, 2000}} {
		for i, order := range []Order{ABCD, CDAB, BADC, DCBA} {
			address := table.start + 100*uint16(i)
			for _, n := range numbers {
				for _, v := range n.values {
					add(Point{Table: table.name, Address: address, Type: n.typ, Order: order}, v)
					address += uint16(Point{Type: n.typ}.Size())
				}
			}
		}
	}
	for i := range uint16(32) {
		add(Point{Table: Coil, Address: 16 + i, Type: Bool}, telemetry.BoolValue(i%3 == 0))
		add(Point{Table: Discrete, Address: 32 + i, Type: Bool}, telemetry.BoolValue(i%5 == 0))
	}
	add(Point{Table: Holding, Address: 1000, Type: Int16, Scale: 0.1}, telemetry.FloatValue(-1234.5))
	return d, want
}

func TestAgainstPymodbus(t *testing.T) {
	python, address := python(t), freeAddress(t)
	kill := startMeter(t, python, address)

	d, want := everyKind("d", address, 1, 1000)
	e, _ := everyKind("e", address, 2, 2000)
	refused := len(e.Points)
	e.Points = append(e.Points, Point{Signal: 3000, Name: "missing", Table: Input, Address: 5000, Type: Uint16})
	a, sink := run(t, d, e)

	check := func(b adapters.Batch) {
		t.Helper()
		for i, v := range want {
			if s := b.Samples[i]; s.Value != v || s.Quality != 0 {
				t.Errorf("%s %s: %v %v (%v), expected %v %v", b.Device, d.Points[i].Name, s.Value.Kind(), s.Value, s.Quality, v.Kind(), v)
			}
		}
		if b.Device == "e" && b.Samples[refused].Quality.String() != "bad (refused by device)" {
			t.Errorf("a missing address: %v", b.Samples[refused].Quality)
		}
	}
	back := func(device string, from int) bool {
		return slices.ContainsFunc(sink.from(device, from), func(b adapters.Batch) bool { return b.Samples[0].Quality == 0 })
	}
	sink.await(t, "values", func() bool { return sink.count("d") >= 3 && sink.count("e") >= 3 })
	for _, b := range append(sink.from("d", 0), sink.from("e", 0)...) {
		check(b)
	}

	kill()
	n := sink.count("d")
	sink.await(t, "the meter's death", func() bool { return slices.Contains(live(sink.from("d", 0), 1000), false) })
	for _, b := range sink.from("d", n) {
		for i, s := range b.Samples[:len(want)] {
			if s.Quality.Validity() == telemetry.Bad && s.Value.Kind() == telemetry.None {
				continue
			}
			if s.Quality != 0 || s.Value != want[i] {
				t.Fatalf("%v %v", s.Value, s.Quality)
			}
		}
	}
	last := sink.from("d", 0)
	if r := last[len(last)-1].Samples[0].Quality.Reason(); r != telemetry.NotConnected {
		t.Errorf("reason %q, expected that of a closed port", r)
	}

	startMeter(t, python, address)
	n, m := sink.count("d"), sink.count("e")
	sink.await(t, "the meter's return", func() bool { return back("d", n) && back("e", m) })
	for _, b := range append(sink.from("d", n), sink.from("e", m)...) {
		if b.Samples[0].Quality == 0 {
			check(b)
		}
	}
	if got := live(sink.from("d", 0), 1000); !slices.Equal(got, []bool{true, false, true}) {
		t.Errorf("live %v", got)
	}
	if s := a.Stats(); s.Endpoints[0].Reconnects == 0 {
		t.Errorf("%+v", s.Endpoints)
	}
}
