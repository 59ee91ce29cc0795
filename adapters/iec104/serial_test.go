package iec104

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/ft12"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/iec104peer"
)

func onLine(t *testing.T, endpoint string, s iec104peer.Serial) Device {
	t.Helper()
	e, err := modbus.ParseEndpoint(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	d := device()
	d.Params = asdu.IEC101
	d.Serial = &ft12.Station{Config: ft12.Config{Endpoint: e, Balanced: s.Balanced, Octets: s.Octets, Timeout: time.Second, Retries: 3, Poll: 50 * time.Millisecond}, Address: s.Link}
	return d
}

// A station on a serial line is read, commanded, lost and found again, as one of 104 is.
func TestSerialDevice(t *testing.T) {
	for name, s := range map[string]iec104peer.Serial{
		"unbalanced":        {Link: 1, Octets: 1, Common: 1},
		"unbalanced E5 two": {Link: 300, Octets: 2, Common: 1, SingleChar: true},
		"balanced":          {Link: 3, Octets: 1, Common: 1, Balanced: true},
		"balanced E5 none":  {Octets: 0, Common: 1, Balanced: true, SingleChar: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			station := iec104peer.StartSerial(t, s, "")
			lifeOfDevice(t, onLine(t, station.Endpoint(), s), station, telemetry.Timeout)
		})
	}
}

// Two stations and one that is silent share a line behind a server that passes octets on.
func TestStationsOfOneLine(t *testing.T) {
	gateway, stations := listen(t), listen(t)
	first := iec104peer.StartSerial(t, iec104peer.Serial{Link: 1, Octets: 1, Common: 1}, stations.Addr().String())
	a, err := stations.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := iec104peer.StartSerial(t, iec104peer.Serial{Link: 2, Octets: 1, Common: 2}, stations.Addr().String())
	b, err := stations.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second.Do("set 1003 77")
	go func() {
		for {
			c, err := gateway.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.MultiWriter(a, b), c)
			go io.Copy(c, a)
			go io.Copy(c, b)
		}
	}()
	endpoint := "rtu+tcp://" + gateway.Addr().String() + "?baud=57600"
	var devices []Device
	for n, id := range []string{"one", "two", "none"} {
		d := onLine(t, endpoint, iec104peer.Serial{Link: uint16(n + 1), Octets: 1})
		d.ID, d.Controls, d.Live = id, nil, telemetry.SignalID(100+10*n)
		d.Points = []Point{{Name: "Level", Station: uint16(n + 1), Object: 1003, Scale: 1, Signal: d.Live + 1}}
		d.Serial.Timeout = 200 * time.Millisecond
		devices = append(devices, d)
	}
	adapter := New(devices, slog.New(slog.DiscardHandler))
	sink := &collector{last: map[telemetry.SignalID]telemetry.Sample{}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		adapter.Run(ctx, sink)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	await.True(t, "both are read, and the third isn't", func() bool {
		return sink.of(101).Value == telemetry.FloatValue(10.5) && sink.of(111).Value == telemetry.FloatValue(77) && sink.of(121).Quality.Reason() == telemetry.Timeout
	})
	first.Do("set 1003 12.5")
	second.Do("periodic 1003")
	await.True(t, "a change is told", func() bool { return sink.of(101).Value == telemetry.FloatValue(12.5) })
	if sink.of(120).Value != telemetry.BoolValue(false) || sink.of(110).Value != telemetry.BoolValue(true) {
		t.Errorf("%v, %v", sink.of(120), sink.of(110))
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A station's clock is set over a line, in the station's zone, and it confirms that.
func TestSerialClock(t *testing.T) {
	for name, s := range map[string]iec104peer.Serial{"unbalanced": {Link: 1, Octets: 1, Common: 1}, "balanced": {Link: 3, Octets: 1, Common: 1, Balanced: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			station := iec104peer.StartSerial(t, s, "")
			d := onLine(t, station.Endpoint(), s)
			d.Sync, d.Zone = time.Hour, "Asia/Kolkata"
			_, sink := run(t, d)
			zone, err := time.LoadLocation(d.Zone)
			if err != nil {
				t.Fatal(err)
			}
			await.True(t, "the clock is set", func() bool {
				_, told, has := strings.Cut(station.Said(), "clock ")
				told, _, has2 := strings.Cut(told, "\n")
				if !has || !has2 {
					return false
				}
				at, err := time.ParseInLocation("2006-01-02 15:04", strings.TrimSpace(told), zone)
				if err != nil || time.Since(at).Abs() > 2*time.Minute {
					t.Fatalf("it is set to %q, %v", told, err)
				}
				return true
			})
			await.True(t, "it is interrogated behind that", func() bool { return sink.of(level).Value == telemetry.FloatValue(106) })
		})
	}
}
