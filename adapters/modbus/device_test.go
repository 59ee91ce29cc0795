package modbus

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestNewReportsEveryError(t *testing.T) {
	good := func() Device {
		return Device{ID: "m1", Endpoint: "tcp://10.0.0.11", Unit: 1, Live: 1,
			Points: []Point{{Signal: 2, Name: "Hz", Table: Input, Address: 0x46, Type: Float32}}}
	}
	if _, err := New(Config{Devices: []Device{good()}}); err != nil {
		t.Fatalf("a good device: %v", err)
	}
	cases := []struct {
		name   string
		change func(*Device)
		want   []string
	}{
		{"no id", func(d *Device) { d.ID = "" }, []string{`device "": id: missing`}},
		{"ascii endpoint", func(d *Device) { d.Endpoint = "ascii:///dev/ttyUSB0" }, []string{`device "m1": endpoint: "ascii:///dev/ttyUSB0", expected tcp://host:port, rtu:///dev/ttyUSB0?baud=9600&parity=N or rtu+tcp://host:port`}},
		{"endpoint with path", func(d *Device) { d.Endpoint = "tcp://10.0.0.11:502/1" }, []string{"expected tcp://host:port"}},
		{"bare address", func(d *Device) { d.Endpoint = "10.0.0.11:502" }, []string{"expected tcp://host:port"}},
		{"no host", func(d *Device) { d.Endpoint = "tcp://:502" }, []string{"expected tcp://host:port"}},
		{"port 0", func(d *Device) { d.Endpoint = "tcp://h:0" }, []string{"port 0, expected 1 to 65535"}},
		{"port 65536", func(d *Device) { d.Endpoint = "tcp://h:65536" }, []string{"port 65536, expected 1 to 65535"}},
		{"period", func(d *Device) { d.PollEvery = time.Microsecond }, []string{"poll every: 1µs is too short, at least 1ms"}},
		{"timeout", func(d *Device) { d.Timeout = -1 }, []string{"timeout: -1ns is negative"}},
		{"pause", func(d *Device) { d.Pause = -1 }, []string{"pause: -1ns, expected 0s to 10s"}},
		{"pause after connect", func(d *Device) { d.PauseAfterConnect = time.Minute }, []string{"pause after connect: 1m0s, expected 0s to 10s"}},
		{"no points", func(d *Device) { d.Points = nil }, []string{"points: none"}},
		{"table", func(d *Device) { d.Points[0].Table = "output" }, []string{`device "m1": point "Hz": table: "output", expected coil, discrete, input or holding`}},
		{"type", func(d *Device) { d.Points[0].Type = "float" }, []string{`type: "float", expected bool, int8`}},
		{"table and type", func(d *Device) { d.Points[0].Table, d.Points[0].Type = "", "" }, []string{`table: ""`, `type: "", expected bool, int8`}},
		{"number in coils", func(d *Device) { d.Points[0].Table = Coil }, []string{"type: float32, but table coil has only bool"}},
		{"beyond the end", func(d *Device) { d.Points[0].Address = 65535 }, []string{"address: float32 at 65535 would end at 65536, the last address is 65535"}},
		{"64 bits beyond the end", func(d *Device) { d.Points[0].Type, d.Points[0].Address = Int64, 65533 }, []string{"int64 at 65533 would end at 65536"}},
		{"order", func(d *Device) { d.Points[0].Order = "ABDC" }, []string{`order: "ABDC", expected ABCD, CDAB, BADC or DCBA`}},
		{"scale", func(d *Device) { d.Points[0].Scale = math.NaN() }, []string{"scale: NaN is not a number"}},
		{"offset", func(d *Device) { d.Points[0].Offset = math.Inf(-1) }, []string{"offset: -Inf is not a number"}},
		{"scaled bool", func(d *Device) {
			d.Points[0] = Point{Signal: 2, Name: "Pos", Table: Coil, Type: Bool, Scale: 2}
		}, []string{"type: bool has no scale, offset or factor"}},
		{"one signal twice", func(d *Device) { d.Points = append(d.Points, d.Points[0]) }, []string{`signal 2 is also that of device "m1": point "Hz"`}},
		{"live is a point's", func(d *Device) { d.Live = 2 }, []string{`point "Hz": signal 2 is also that of device "m1"`}},
		{"everything at once", func(d *Device) { d.Endpoint, d.Timeout, d.Points[0].Order = "", -1, "X" }, []string{"endpoint:", "timeout:", "order:"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := good()
			c.change(&d)
			_, err := New(Config{Devices: []Device{d}})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q\nlacks %q", err, want)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(c.want) {
				t.Errorf("%d errors, expected %d:\n%v", lines, len(c.want), err)
			}
		})
	}
	t.Run("one id twice", func(t *testing.T) {
		other := good()
		other.Live, other.Points[0].Signal = 3, 4
		if _, err := New(Config{Devices: []Device{good(), other}}); err == nil || !strings.Contains(err.Error(), "configured twice") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the last register", func(t *testing.T) {
		d := good()
		d.Points[0].Type, d.Points[0].Address = Float64, 65532
		if _, err := New(Config{Devices: []Device{d}}); err != nil {
			t.Error(err)
		}
	})
}

func TestDefaults(t *testing.T) {
	points := []Point{{Table: Holding, Type: Uint16}, {Table: Holding, Type: Uint16, Address: 17}, {Table: Holding, Type: Uint16, Address: 50}}
	for maxGap, want := range map[int]int{0: 2, 16: 2, 15: 3, -1: 3, 40: 1} {
		m := newMeter(Device{Points: points, Reads: Reads{MaxGap: maxGap}}, Endpoint{})
		if requests := m.newReader().requests; len(requests) != want {
			t.Errorf("gap %d: %v", maxGap, requests)
		}
		if m.PollEvery != time.Second || m.Timeout != time.Second {
			t.Errorf("every %v, timeout %v", m.PollEvery, m.Timeout)
		}
	}
}
