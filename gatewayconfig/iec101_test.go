package gatewayconfig

import (
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/ft12"
)

func iec101Config(devices string) string {
	return `gateway: {id: gw}
forward: {kafka: {brokers: ["localhost:9092"]}}
buffer: {path: data}
devices:
` + devices
}

func TestStationsOnALine(t *testing.T) {
	config, err := Parse("gateway.yaml", []byte(iec101Config(`  - id: a
    iec101: {endpoint: "rtu:///dev/ttyS0?baud=9600"}
    signals: [{name: Pos, ioa: 1001, type: bool}]
  - id: b
    iec101: {endpoint: "rtu:///dev/ttyS0?baud=9600", link_address: 2, common_address: 2}
    signals: [{name: Pos, ioa: 1001, type: bool}]
  - id: c
    iec101: {endpoint: "rtu+tcp://10.0.0.1:4001", mode: balanced, link_address_octets: 0, address_octets: 2, common_address: 300}
    signals: [{name: Pos, ioa: 1001, type: bool}]
`)))
	if err != nil {
		t.Fatal(err)
	}
	b, c := config.Devices[1].IEC101Device(), config.Devices[2].IEC101Device()
	if b.Serial.Address != 2 || b.Points[0].Station != 2 || b.Params != asdu.IEC101 || b.Serial.Endpoint.Line.Baud != 9600 {
		t.Errorf("%+v", b)
	}
	want := ft12.Config{Endpoint: c.Serial.Endpoint, Balanced: true, Timeout: 500 * time.Millisecond, Retries: 3, Poll: 20 * time.Second}
	if c.Serial.Config != want || c.Serial.Address != 0 || c.Serial.Endpoint.Address != "10.0.0.1:4001" {
		t.Errorf("%+v", c.Serial)
	}
}

func TestWhatIsWrongWithALine(t *testing.T) {
	const signals = "\n    signals: [{name: Pos, ioa: 1001, unit: '1'}]\n"
	one := func(keys string) string {
		return "  - id: a\n    iec101: {endpoint: \"rtu:///dev/ttyS0\"" + keys + "}" + signals
	}
	two := func(keys string) string {
		return one("") + "  - id: b\n    iec101: {endpoint: \"rtu:///dev/ttyS0\"" + keys + "}" + signals
	}
	for devices, want := range map[string]string{
		strings.Replace(one(""), "rtu:///dev/ttyS0", "tcp://h:1", 1):   "devices[0].iec101.endpoint: \"tcp://h:1\", expected rtu:///dev/ttyUSB0?baud=9600 or rtu+tcp://host:port",
		strings.Replace(one(""), "rtu:///dev/ttyS0", "rtu+tcp://h", 1): "expected rtu:///dev/ttyUSB0?baud=9600 or rtu+tcp://host:port",
		one(", mode: both"):                        "devices[0].iec101.mode: \"both\", expected unbalanced or balanced",
		one(", link_address_octets: 0"):            "link_address_octets: 0, expected 1 to 2 of a link that is unbalanced",
		one(", link_address: 256"):                 "link_address: 256, expected at most 255 in 1 octets",
		one(", common_address: 300"):               "common_address: 300, expected 1 to 254 in one octet",
		two(""):                                    "devices[1].iec101.link_address: 1 is device \"a\" already",
		two(", link_address: 2, link_timeout: 1s"): "devices[1].iec101: the line is that of device \"a\", with other settings",
		one("") + "    poll_every: 1s\n":           "expected interrogate_every in iec101",
		one("") + "  - {id: m, modbus: {endpoint: \"rtu:///dev/ttyS0\"}, signals: [{name: V, input: 0, type: int16, unit: V}]}\n": "devices[1].modbus.endpoint: rtu:///dev/ttyS0 is read by iec101 already",
		"  - {id: m, modbus: {endpoint: \"rtu:///dev/ttyS0\"}, signals: [{name: V, input: 0, type: int16, unit: V}]}\n" + one(""): "devices[1].iec101.endpoint: rtu:///dev/ttyS0 is read by modbus already",
	} {
		if _, err := Parse("gateway.yaml", []byte(iec101Config(devices))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, expected %s", devices, err, want)
		}
	}
}
