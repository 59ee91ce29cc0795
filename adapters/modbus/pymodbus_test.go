package modbus

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
	foreign "github.com/busbar/busbar/test/peer"
)

// python is an interpreter that has pymodbus, the peer that knows nothing of
// this code.
func python(t *testing.T) string {
	t.Helper()
	python := cmp.Or(os.Getenv("BUSBAR_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import pymodbus.simulator").CombinedOutput(); err != nil {
		foreign.Missing(t, "%s has no pymodbus: python3 -m venv .venv && .venv/bin/pip install pymodbus==3.16.1, and BUSBAR_PYTHON=$PWD/.venv/bin/python\n%v %s", python, err, out)
	}
	return python
}

// awaitMeter waits until unit 1 of a meter answers.
func awaitMeter(t *testing.T, endpoint string, exited <-chan struct{}, out *bytes.Buffer) {
	t.Helper()
	awaitMeterOf(t, Device{
		ID: "d", Endpoint: endpoint, Unit: 1, Timeout: 500 * time.Millisecond, Live: 1,
		Points: []Point{{Signal: 2, Name: "A", Table: Holding, Address: 1000, Type: Int16}},
	}, exited, out)
}

// awaitMeterOf waits until a device answers.
func awaitMeterOf(t *testing.T, d Device, exited <-chan struct{}, out *bytes.Buffer) {
	t.Helper()
	a, err := New(Config{Logger: slog.New(slog.DiscardHandler), Devices: []Device{d}})
	if err != nil {
		t.Fatal(err)
	}
	for limit := time.After(60 * time.Second); ; {
		_, err := a.ReadOnce(t.Context(), d.ID)
		if err == nil {
			return
		}
		select {
		case <-exited:
			t.Fatalf("the meter ended: %s", out.String())
		case <-limit:
			t.Fatalf("the meter doesn't answer: %v; it says %s", err, out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// start starts a program that ends with the test.
func start(t *testing.T, cmd *exec.Cmd, out *bytes.Buffer) (kill func(), exited <-chan struct{}) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	kill = func() {
		cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(kill)
	return kill, ended
}

// twoTTYs is a cable between two terminals of socat's, and how to unplug it.
func twoTTYs(t *testing.T) (ours, theirs string, unplug func()) {
	t.Helper()
	foreign.Program(t, "socat", "socat")
	dir := t.TempDir()
	ours, theirs = filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	unplug = plug(t, ours, theirs)
	return ours, theirs, unplug
}

func plug(t *testing.T, ours, theirs string) (unplug func()) {
	t.Helper()
	var out bytes.Buffer
	unplug, exited := start(t, exec.Command("socat", "pty,raw,echo=0,link="+ours, "pty,raw,echo=0,link="+theirs), &out)
	for limit := time.After(30 * time.Second); ; {
		_, err := os.Stat(ours)
		_, err2 := os.Stat(theirs)
		if err == nil && err2 == nil {
			return unplug
		}
		select {
		case <-exited:
			t.Fatalf("socat ended: %s", out.String())
		case <-limit:
			t.Fatalf("no terminals: %s", out.String())
		case <-time.After(5 * time.Millisecond):
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
func everyKind(id, endpoint string, unit uint8, base telemetry.SignalID) (Device, []telemetry.Value) {
	d := Device{ID: id, Endpoint: endpoint, Unit: unit, Live: base, PollEvery: 50 * time.Millisecond, Timeout: 5 * time.Second}
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
	near, beyondAHole := uint16(1011), uint16(1110) // both hold 1
	add(Point{Table: Holding, Address: 1000, Type: Int16, Factor: &near}, telemetry.FloatValue(-123450))
	add(Point{Table: Holding, Address: 1000, Type: Int16, Factor: &beyondAHole}, telemetry.FloatValue(-123450))
	return d, want
}

func TestAgainstPymodbus(t *testing.T) {
	python := python(t)
	for _, transport := range []Transport{TCP, RTUOverTCP} {
		t.Run(string(transport), func(t *testing.T) {
			address := freeAddress(t)
			_, port, _ := net.SplitHostPort(address)
			endpoint := string(transport) + "://" + address
			againstPymodbus(t, endpoint, []string{python, "testdata/meter.py", string(transport), port}, telemetry.NotConnected)
		})
	}
	t.Run(string(RTU), func(t *testing.T) {
		ours, theirs, _ := twoTTYs(t)
		endpoint := "rtu://" + ours + "?baud=9600&parity=N"
		againstPymodbus(t, endpoint, []string{python, "testdata/meter.py", string(RTU), theirs}, telemetry.Timeout)
	})
}

func againstPymodbus(t *testing.T, endpoint string, meter []string, whenDead telemetry.Reason) {
	var out bytes.Buffer
	kill, exited := start(t, exec.Command(meter[0], meter[1:]...), &out)
	awaitMeter(t, endpoint, exited, &out)
	d, want := everyKind("d", endpoint, 1, 1000)
	e, _ := everyKind("e", endpoint, 2, 2000)
	d.Timeout, e.Timeout = time.Second, time.Second
	if whenDead == telemetry.Timeout { // a line: leave it time for who doesn't answer
		d.PollEvery, e.PollEvery = 400*time.Millisecond, 400*time.Millisecond
	}
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
	if r := last[len(last)-1].Samples[0].Quality.Reason(); r != whenDead {
		t.Errorf("reason %q, expected %q", r, whenDead)
	}

	var again bytes.Buffer
	start(t, exec.Command(meter[0], meter[1:]...), &again)
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
	if s := a.Stats(); (s.Endpoints[0].Reconnects == 0) != (whenDead == telemetry.Timeout) {
		t.Errorf("%+v", s.Endpoints)
	}
}
