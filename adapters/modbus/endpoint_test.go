package modbus

import (
	"strings"
	"testing"
	"time"
)

func TestParseEndpoint(t *testing.T) {
	for endpoint, want := range map[string]Endpoint{
		"tcp://10.0.0.11:502":     {TCP, "10.0.0.11:502", Line{}},
		"tcp://10.0.0.11":         {TCP, "10.0.0.11:502", Line{}},
		"tcp://Meter.Example:050": {TCP, "meter.example:50", Line{}},
		"tcp://[fe80::1]:1502":    {TCP, "[fe80::1]:1502", Line{}},
		"tcp://[fe80::1]":         {TCP, "[fe80::1]:502", Line{}},

		"rtu+tcp://Moxa:4001":          {RTUOverTCP, "moxa:4001", Line{Baud: 9600, Parity: NoParity, StopBits: 1}},
		"rtu+tcp://moxa?baud=19200":    {RTUOverTCP, "moxa:502", Line{Baud: 19200, Parity: NoParity, StopBits: 1}},
		"rtu:///dev/ttyUSB0":           {RTU, "/dev/ttyUSB0", Line{Baud: 19200, Parity: Even, StopBits: 1}},
		"rtu:///dev//ttyUSB0?baud=300": {RTU, "/dev/ttyUSB0", Line{Baud: 300, Parity: Even, StopBits: 1}},
		"rtu:///dev/serial/by-id/usb-FTDI_A%20B?parity=N&stop_bits=2&data_bits=8&baud=9600&rs485=false": {
			RTU, "/dev/serial/by-id/usb-FTDI_A B", Line{Baud: 9600, Parity: NoParity, StopBits: 2}},
		"rtu:///dev/ttyS1?parity=O&rs485=true": {
			RTU, "/dev/ttyS1", Line{Baud: 19200, Parity: Odd, StopBits: 1, RS485: RS485{Enabled: true, RTSOnSend: true}}},
		"rtu:///dev/ttyS1?rs485=true&rts_on_send=false&rts_delay_before=1ms&rts_delay_after=20ms&rx_during_tx=true": {
			RTU, "/dev/ttyS1", Line{Baud: 19200, Parity: Even, StopBits: 1, RS485: RS485{true, false, time.Millisecond, 20 * time.Millisecond, true}}},
	} {
		if got, err := ParseEndpoint(endpoint); err != nil || got != want {
			t.Errorf("%s: %+v, %v, expected %+v", endpoint, got, err, want)
		}
	}
}

func TestEndpointErrorsNameTheOption(t *testing.T) {
	for endpoint, want := range map[string]string{
		"10.0.0.11:502":                                      "expected tcp://host:port",
		"tcp:10.0.0.11":                                      "expected tcp://host:port",
		"tcp://10.0.0.11:502/1":                              "expected tcp://host:port",
		"tcp://a@10.0.0.11:502":                              "expected tcp://host:port",
		"tcp://10.0.0.11#1":                                  "expected tcp://host:port",
		"rtu+tcp://:4001":                                    "expected tcp://host:port",
		"rtu+tcp://h:0":                                      "port 0, expected 1 to 65535",
		"tcp://h?baud=9600":                                  `option "baud" is unknown, expected no options`,
		"rtu+tcp://h?parity=N":                               `option "parity" is unknown, expected one of baud`,
		"rtu:///":                                            "expected the path of a serial port, like rtu:///dev/ttyUSB0",
		"rtu://dev/ttyUSB0":                                  "expected the path of a serial port, like rtu:///dev/ttyUSB0",
		"rtu:///dev/ttyS0?bauds=9600":                        `option "bauds" is unknown, expected one of baud, parity, stop_bits, data_bits, rs485`,
		"rtu:///dev/ttyS0?baud=fast":                         `baud is "fast", expected 300 to 4000000`,
		"rtu:///dev/ttyS0?baud=110":                          `baud is "110", expected 300 to 4000000`,
		"rtu:///dev/ttyS0?baud=":                             `baud is "", expected`,
		"rtu:///dev/ttyS0?parity=none":                       `parity is "none", expected N or E or O`,
		"rtu:///dev/ttyS0?stop_bits=1.5":                     `stop_bits is "1.5", expected 1 or 2`,
		"rtu:///dev/ttyS0?data_bits=7":                       `data_bits is "7", expected 8`,
		"rtu:///dev/ttyS0?rs485=yes":                         `rs485 is "yes", expected true or false`,
		"rtu:///dev/ttyS0?rts_on_send=true":                  "rts_on_send, rts_delay_before, rts_delay_after, rx_during_tx have an effect with rs485=true only",
		"rtu:///dev/ttyS0?baud=9600&baud=300":                "baud is given more than once",
		"rtu:///dev/ttyS0?rs485=true&rts_delay_before=1.5ms": `rts_delay_before is "1.5ms", expected 0ms to 100ms in whole milliseconds`,
		"rtu:///dev/ttyS0?rs485=true&rts_delay_after=5":      `rts_delay_after is "5", expected`,
		"rtu:///dev/ttyS0?a=%zz":                             "options:",
	} {
		if e, err := ParseEndpoint(endpoint); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+endpoint+`"`) {
			t.Errorf("%s: %+v, %v\nexpected %s", endpoint, e, err, want)
		}
	}
}

func TestOnePortHasOneSetting(t *testing.T) {
	for _, c := range []struct{ one, other, want string }{
		{"rtu:///dev/ttyS0?baud=9600", "rtu:///dev/./ttyS0?baud=9600&parity=E", ""},
		{"rtu:///dev/ttyS0?baud=9600", "rtu:///dev/ttyS1?baud=300", ""},
		{"rtu:///dev/ttyS0?baud=9600", "rtu:///dev/ttyS0", "/dev/ttyS0 has other line settings, 19200 baud 8E1, than for another device, 9600 baud 8E1, expected the same"},
		{"rtu:///dev/ttyS0?rs485=true", "rtu:///dev/ttyS0", "other line settings"},
		{"tcp://h:502", "rtu+tcp://h:502", "h:502 is spoken to by tcp and by rtu+tcp, expected one of them"},
		{"rtu+tcp://h:502", "rtu+tcp://h:502?baud=300", "other line settings"},
	} {
		d := device("d", "x", 1, 10, time.Second)
		e := device("e", "x", 2, 20, time.Second)
		d.Endpoint, e.Endpoint = c.one, c.other
		_, err := New(Config{Devices: []Device{d, e}})
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || c.want == "" || !strings.Contains(err.Error(), `device "e": endpoint: `) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s and %s: %v, expected %q", c.one, c.other, err, c.want)
		}
	}
}

// The values of Modbus over Serial Line V1.02, 2.5.1.1: a character has 11 bits,
// and above 19,200 baud the silence is fixed.
func TestTimesOfALine(t *testing.T) {
	for _, c := range []struct {
		line              Line
		hundred, silences time.Duration
	}{
		{Line{Baud: 9600, Parity: Even, StopBits: 1}, 114583 * time.Microsecond, 4010 * time.Microsecond},
		{Line{Baud: 9600, Parity: NoParity, StopBits: 1}, 104166 * time.Microsecond, 3645 * time.Microsecond},
		{Line{Baud: 19200, Parity: NoParity, StopBits: 2}, 57291 * time.Microsecond, 2005 * time.Microsecond},
		{Line{Baud: 115200, Parity: Even, StopBits: 1}, 9548 * time.Microsecond, 1750 * time.Microsecond},
		{Line{}, 0, 0},
	} {
		if got := c.line.Takes(100).Truncate(time.Microsecond); got != c.hundred {
			t.Errorf("%v: 100 characters take %v, expected %v", c.line, got, c.hundred)
		}
		if got := c.line.silence().Truncate(time.Microsecond); got != c.silences {
			t.Errorf("%v: silence %v, expected %v", c.line, got, c.silences)
		}
	}
}
