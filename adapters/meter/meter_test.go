package meter

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
)

// sink gives what is told signals, and keeps the last sample of each.
type sink struct {
	mu            sync.Mutex
	names         []string
	found         []adapters.Found
	earlier       []adapters.Found // what is known from before
	last          map[string]telemetry.Sample
	count         map[string]int
	interruptions []adapters.Interruption
	disturbances  []adapters.Disturbances
}

func (s *sink) Register(ctx context.Context, _ string, found []adapters.Found) ([]telemetry.SignalID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]telemetry.SignalID, len(found))
	for i, f := range found {
		at := slices.Index(s.names, f.Name)
		if at < 0 {
			at = len(s.names)
			s.names = append(s.names, f.Name)
			s.found = append(s.found, f)
		}
		ids[i] = telemetry.SignalID(100 + at)
	}
	return ids, ctx.Err()
}

func (s *sink) Known(context.Context, string) ([]adapters.Found, []telemetry.SignalID, error) {
	ids := make([]telemetry.SignalID, len(s.earlier))
	for i := range ids {
		ids[i] = telemetry.SignalID(50 + i)
	}
	return s.earlier, ids, nil
}

func (s *sink) Deliver(ctx context.Context, b adapters.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range b.Samples {
		name := "written"
		switch {
		case v.Signal == 9:
			name = "Live"
		case v.Signal >= 100:
			name = s.names[v.Signal-100]
		}
		s.last[name] = v
		s.count[name]++
	}
	if b.Interruptions != nil {
		s.interruptions = b.Interruptions
	}
	s.disturbances = b.Disturbances
	return ctx.Err()
}

// is is the last of a signal, in words.
func (s *sink) is(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, told := s.last[name]
	if !told {
		return "untold"
	}
	if v.Quality.Validity() != telemetry.Good {
		return v.Quality.String()
	}
	return v.Value.String()
}

// of is the last of a signal, and how often it was told.
func (s *sink) of(name string) (telemetry.Sample, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[name], s.count[name]
}

// noted takes what was said of interruptions.
func (s *sink) noted() []adapters.Interruption {
	s.mu.Lock()
	defer s.mu.Unlock()
	noted := s.interruptions
	s.interruptions = nil
	return noted
}

func (s *sink) await(t *testing.T, name, value string) {
	t.Helper()
	await.True(t, name+" "+value, func() bool { return s.is(name) == value })
}

func run(t *testing.T, d Device, earlier ...adapters.Found) (*Adapter, *sink) {
	t.Helper()
	if d.Live, d.ID = 9, "meter"; d.Timeout == 0 {
		d.Timeout = time.Minute
	}
	a, s := New([]Device{d}, slog.New(slog.DiscardHandler)), &sink{last: map[string]telemetry.Sample{}, count: map[string]int{}, earlier: earlier}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, s) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a, s
}

// port is a serial device server.
type port struct {
	net.Listener
	to chan net.Conn
}

func listen(t *testing.T) port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := port{l, make(chan net.Conn)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case p.to <- c:
			case <-t.Context().Done():
				c.Close()
				return
			}
		}
	}()
	return p
}

func (p port) endpoint() string { return "tcp://" + p.Addr().String() }

// checksum is that of DSMR, bit by bit.
func checksum(text string) uint16 {
	crc := uint16(0)
	for _, b := range []byte(text) {
		crc ^= uint16(b)
		for range 8 {
			odd := crc&1 != 0
			if crc >>= 1; odd {
				crc ^= 0xA001
			}
		}
	}
	return crc
}

// telegram is one of a P1 port of now, with further lines.
func telegram(clock time.Time, lines ...string) string {
	zone, _ := time.LoadLocation("Europe/Amsterdam")
	local := clock.In(zone)
	season := "W"
	if local.IsDST() {
		season = "S"
	}
	text := "/BUS5meter\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(" + local.Format("060102150405") + season + ")\r\n" + strings.Join(lines, "\r\n") + "\r\n!"
	return fmt.Sprintf("%s%04X\r\n", text, checksum(text))
}

func TestPort(t *testing.T) {
	t.Parallel()
	p := listen(t)
	a, s := run(t, Device{
		Protocol: P1, Endpoint: p.endpoint(), Zone: "Europe/Amsterdam",
		Points: []Point{{Name: "Consumed", Code: obis.Code{A: 1, C: 1, D: 8, E: 1, F: obis.Current}, Scale: 0.001, Signal: 1}},
	})
	c := <-p.to
	say := func(text string) { fmt.Fprint(c, text) }
	now := time.Now()
	measured := now.Add(-5 * time.Minute).Truncate(time.Second)
	zone, _ := time.LoadLocation("Europe/Amsterdam")
	season := map[bool]string{true: "S", false: "W"}
	stamp := func(at time.Time) string { return at.In(zone).Format("060102150405") + season[at.In(zone).IsDST()] }
	gas := "0-1:24.2.1(" + stamp(measured) + ")(00012.345*m3)"
	whole := telegram(now, "1-0:1.8.1(000123.456*kWh)", "1-0:1.7.0(01.193*kW)", "1-0:2.7.0(00.000*kW)", "1-0:32.7.0(230.1*V)",
		"1-0:99.97.0(1)(0-0:96.7.19)("+stamp(measured)+")(0000000240*s)", "0-1:24.1.0(003)", gas)
	say(whole[200:] + whole)
	s.await(t, "TotW", "1193")
	for name, want := range map[string]string{"written": "123.456", "PhV.phsA": "230.1", "Gas1.Vol": "12.345", "DmdWh": "123456", "Live": "true", "ClkErr": s.is("ClkErr"), "DmdWh.tariff1": "untold"} {
		if got := s.is(name); got != want {
			t.Errorf("%s is %s, expected %s", name, got, want)
		}
	}
	if v, _ := s.of("Gas1.Vol"); v.Time != telemetry.MicrosOf(measured) || v.Quality.TimeQuality() != telemetry.DeviceTime {
		t.Errorf("gas is %v", v)
	}
	if v, _ := s.of("TotW"); v.Time < telemetry.MicrosOf(now) {
		t.Errorf("power is of %v", v.Time.Time())
	}
	if s.is("ClkErr") == "untold" {
		t.Error("how wrong its clock is isn't told")
	}
	noted := s.noted()
	if want := []adapters.Interruption{{From: measured.Add(-4 * time.Minute), To: measured}}; len(noted) != 1 || !noted[0].From.Equal(want[0].From) || !noted[0].To.Equal(want[0].To) {
		t.Errorf("%v, expected %v", noted, want)
	}
	samples, err := a.ReadOnce(t.Context(), "meter")
	if err != nil || len(samples) < 6 {
		t.Errorf("%v, %v", samples, err)
	}
	// What is damaged isn't taken, and costs the next one nothing.
	say(strings.Replace(telegram(now, "1-0:1.7.0(09.999*kW)"), "9.999", "8.888", 1))
	say(telegram(now, "1-0:1.7.0(02.000*kW)", "1-0:2.7.0(00.500*kW)", gas))
	s.await(t, "TotW", "1500")
	if _, n := s.of("Gas1.Vol"); n != 1 {
		t.Errorf("the same reading of gas is told %d times", n)
	}
	// A meter whose clock is wrong isn't believed when it says when.
	s.noted()
	say(telegram(now.Add(-time.Hour), "1-0:1.7.0(03.000*kW)", "1-0:2.7.0(00.000*kW)", "1-0:99.97.0(1)(0-0:96.7.19)("+stamp(measured)+")(0000000240*s)"))
	s.await(t, "TotW", "3000")
	if got := s.is("ClkErr"); !strings.HasPrefix(got, "-36") && !strings.HasPrefix(got, "-35") || s.noted() != nil {
		t.Errorf("its clock is %s s ahead, or what it has noted is told", got)
	}
	c.Close()
	s.await(t, "TotW", "bad (not connected)")
	s.await(t, "written", "bad (not connected)")
	s.await(t, "Live", "false")
	c = <-p.to
	lost, _ := s.of("Gas1.Vol")
	say(telegram(time.Now(), "1-0:1.7.0(04.000*kW)", "1-0:2.7.0(00.000*kW)", "0-1:24.1.0(003)", gas))
	s.await(t, "TotW", "4000")
	// What was measured before the line was lost is the value again from now on.
	if v, _ := s.of("Gas1.Vol"); lost.Quality.Validity() != telemetry.Bad || v.Value != telemetry.FloatValue(12.345) || v.Time <= lost.Time {
		t.Errorf("gas is %v after %v", v, lost)
	}
	s.await(t, "Live", "true")
}

// A line that is silent, or says what nobody can read, is no meter, and a register that the
// meter tells no more has no value.
// A tariff that was told before the gateway started is missing when it isn't told first, and
// so is one that is written down.
func TestTariffsOfBefore(t *testing.T) {
	t.Parallel()
	low, high := "1-0:1.8.1(000123.000*kWh)", "1-0:1.8.2(000100.000*kWh)"
	begin := func(points []Point, earlier ...adapters.Found) (*sink, func(lines ...string)) {
		p := listen(t)
		_, s := run(t, Device{Protocol: P1, Endpoint: p.endpoint(), Zone: "Europe/Amsterdam", Points: points}, earlier...)
		c := <-p.to
		return s, func(lines ...string) { fmt.Fprint(c, telegram(time.Now(), lines...)) }
	}
	before, say := begin(nil)
	say(low, high)
	before.await(t, "DmdWh", "223000")
	before.mu.Lock()
	found := before.found
	before.mu.Unlock()
	for name, c := range map[string]struct {
		points  []Point
		earlier []adapters.Found
	}{
		"told":    {nil, found},
		"written": {[]Point{{Name: "High", Code: obis.Code{A: 1, C: 1, D: 8, E: 2, F: obis.Current}, Scale: 1, Signal: 1}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, say := begin(c.points, c.earlier...)
			say(low, "1-0:32.7.0(230.1*V)")
			s.await(t, "PhV.phsA", "230.1")
			if got := s.is("DmdWh"); got != "untold" {
				t.Errorf("the total is %s without a tariff", got)
			}
			say(low, high)
			s.await(t, "DmdWh", "223000")
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	p := listen(t)
	_, s := run(t, Device{Protocol: P1, Endpoint: p.endpoint(), Zone: "UTC", Timeout: 300 * time.Millisecond, Points: []Point{{Name: "Consumed", Code: obis.Code{A: 1, C: 1, D: 8, F: obis.Current}, Scale: 1, Signal: 1}}})
	<-p.to
	s.await(t, "written", "bad (timeout)")
	s.await(t, "Live", "false")
	c := <-p.to
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for text := strings.Repeat("rubbish /!1234\r\n", 3); ; {
			if _, err := fmt.Fprint(c, text); err != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		c := <-p.to
		for n := 0; ; n++ {
			lines := []string{"1-0:1.8.0(1*kWh)", "1-0:32.7.0(230.0*V)"}
			if n > 0 {
				lines = lines[:1]
			}
			if _, err := fmt.Fprint(c, telegram(time.Now(), lines...)); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	s.await(t, "written", "1000")
	s.await(t, "PhV.phsA", "bad (not implemented)")
	if got := s.is("written"); got != "1000" {
		t.Errorf("the other register is %s", got)
	}
}

// What an SML meter sends, and an encrypted P1 port, whose key is in a file.
func TestOtherPorts(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(fmt.Sprintf("%x\n", "busbar-test-key!")), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, c := range map[string]struct {
		device Device
		want   map[string]string
	}{
		"sml.bin":       {Device{Protocol: SML}, map[string]string{"TotW": "-1503", "DmdWh": "1.23456789e+07", "PhV.phsA": "230.1", "MtrId": "090142555300010203", "ClkErr": "untold"}},
		"encrypted.bin": {Device{Protocol: P1, Zone: "UTC", KeyFile: key}, map[string]string{"TotW": "1193", "Gas1.Id": "BUSBARGAS00000001", "Sag.phsA": "2"}},
	} {
		telegram, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		p := listen(t)
		c.device.Endpoint = p.endpoint()
		_, s := run(t, c.device)
		line := <-p.to
		for piece := range slices.Chunk(slices.Concat(telegram[50:], telegram), 40) { // as it drips from a slow line
			if _, err := line.Write(piece); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		for name, want := range c.want {
			s.await(t, name, want)
		}
	}
}

// Without a gateway that runs, only what is written down has signals.
func TestReadOnce(t *testing.T) {
	t.Parallel()
	p := listen(t)
	d := Device{ID: "meter", Protocol: P1, Endpoint: p.endpoint(), Zone: "UTC", Timeout: 10 * time.Second, Points: []Point{{Name: "V", Code: obis.Code{A: 1, C: 32, D: 7, F: obis.Current}, Scale: 1, Signal: 1}}}
	go func() {
		c := <-p.to
		fmt.Fprint(c, telegram(time.Now(), "1-0:32.7.0(231.0*V)", "1-0:52.7.0(232.0*V)"))
	}()
	samples, err := New([]Device{d}, nil).ReadOnce(t.Context(), "meter")
	if err != nil || len(samples) != 1 || samples[0].Value != telemetry.FloatValue(231) {
		t.Errorf("%v, %v", samples, err)
	}
	d.KeyFile = filepath.Join(t.TempDir(), "key")
	for _, c := range [][2]string{{"", "no such file"}, {"0011", "32 hexadecimal digits"}} {
		text, want := c[0], c[1]
		if text != "" {
			if err := os.WriteFile(d.KeyFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New([]Device{d}, nil).ReadOnce(t.Context(), "meter"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"p1 serial:///dev/ttyUSB0":                                "/dev/ttyUSB0 115200 baud 8N1",
		"p1 serial:///dev/ttyUSB0?baud=9600&data_bits=7&parity=E": "/dev/ttyUSB0 9600 baud 7E1",
		"sml serial:///dev/ttyUSB0":                               "/dev/ttyUSB0 9600 baud 8N1",
		"iec62056 serial:///dev/ttyUSB0":                          "/dev/ttyUSB0 300 baud 7E1",
		"iec62056 tcp://Host:4000?baud=9600":                      "host:4000 9600 baud 7E1",
		"sml tcp://[::1]:4000":                                    "[::1]:4000 9600 baud 8N1",
		"p1 tcp://host":                                           "", "p1 tcp://host:0": "", "p1 tcp://host:1?baud=9600": "", "p1 serial://dev/ttyUSB0": "", "p1 serial:///": "", "p1 udp://host:1": "",
		"iec62056 tcp://host:1?baud=115200": "", "sml serial:///dev/ttyUSB0?data_bits=5": "",
	} {
		protocol, endpoint, _ := strings.Cut(endpoint, " ")
		e, err := Protocol(protocol).ParseEndpoint(endpoint)
		if got := e.Path + e.Address + " " + e.Line.String(); err == nil && got != want || (err == nil) != (want != "") {
			t.Errorf("%s %s: %s, %v, expected %q", protocol, endpoint, got, err, want)
		}
	}
}
