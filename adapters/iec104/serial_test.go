package iec104

import (
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/ft12"
	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/telemetry"
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
