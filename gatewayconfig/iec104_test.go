package gatewayconfig

import (
	"reflect"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/kafkaconn"
)

// What the file says of a station is as the adapter takes it.
func TestIEC104Device(t *testing.T) {
	c, err := Parse("gateway.yaml", []byte(`gateway: {id: gw, control: enabled}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
  - id: bay
    iec104: {endpoint: "tls://rtu.example", redundant: ["tls://[2001:db8::1]:2404"], common_address: 3, sync_every: 1h, w: 4, time_zone: Europe/Berlin}
    signals:
      - {name: Pos, ioa: 1001, type: bool}
      - {name: A, ioa: 0x3EA, common_address: 4, unit: A, scale: 0.1}
      - {name: TotWh, ioa: 5, unit: W.h, kind: counter}
    control:
      - {signal: Pos, command: {ioa: 2001, type: double, time: true}, settle: 5s}
      - {signal: A, command: {ioa: 2002, type: float, select: false}, min: 0, max: 100}
`))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Devices[0]
	want := iec104.Device{
		ID: "bay", Addresses: []string{"rtu.example:19998", "[2001:db8::1]:2404"}, TLS: &kafkaconn.TLS{}, Dir: "dir", T0: 30 * time.Second,
		Link: link.Config{T1: 15 * time.Second, T2: 10 * time.Second, T3: 20 * time.Second, K: 12, W: 4}, Params: asdu.IEC104,
		Interrogate: time.Hour, Sync: time.Hour, Zone: "Europe/Berlin", Timeout: 10 * time.Second,
		Points: []iec104.Point{
			{Name: "Pos", Station: 3, Object: 1001, Scale: 1, Bool: true},
			{Name: "A", Station: 4, Object: 1002, Scale: 0.1},
			{Name: "TotWh", Station: 3, Object: 5, Scale: 1, Counter: true},
		},
		Controls: []iec104.Control{
			{Point: "Pos", Station: 3, Object: 2001, Type: asdu.DoubleCommandTime, Select: true, Settle: 5 * time.Second},
			{Point: "A", Station: 4, Object: 2002, Type: asdu.SetShortFloat, Settle: time.Second},
		},
	}
	if got := d.IEC104Device("dir"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, expected %+v", got, want)
	}
	if !d.ByChange() || d.Open() {
		t.Error("a station tells what changes, and of nothing that isn't written down")
	}
}
