package modbus

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Endpoint is where devices are reached, and how: devices with the same Address
// share it.
type Endpoint struct {
	Transport Transport
	Address   string // host:port, or the serial port's path
	Line      Line   // not with TCP
}

// Transport is how requests and answers are framed and carried.
type Transport string

const (
	TCP        Transport = "tcp"     // Modbus TCP
	RTU        Transport = "rtu"     // a serial port of this machine
	RTUOverTCP Transport = "rtu+tcp" // a serial device server that passes bytes on
)

// Line is how a serial line is driven. RTU has eight data bits.
type Line struct {
	Baud     int
	DataBits int // 7 or 8; 0 is 8
	Parity   Parity
	StopBits int
	RS485    RS485
}

type Parity string

const (
	NoParity Parity = "N"
	Even     Parity = "E"
	Odd      Parity = "O"
)

// RS485 is how the serial port's driver switches the direction of a two-wire
// line with RTS. Many converters switch by themselves and need nothing of it.
type RS485 struct {
	Enabled                 bool
	RTSOnSend               bool          // RTS is set while sending and cleared afterwards, or the other way round
	DelayBefore, DelayAfter time.Duration // from RTS to the first bit, and from the last one; whole milliseconds
	ReceiveWhileSending     bool          // what is sent is received too, and passed over
}

const (
	forms        = "tcp://host:port, rtu:///dev/ttyUSB0?baud=9600&parity=N or rtu+tcp://host:port"
	longestDelay = 100 * time.Millisecond
)

// ParseEndpoint reads tcp://host:port, rtu:///dev/ttyUSB0?baud=9600&parity=N or
// rtu+tcp://host:port. The port is 502 if it is left out. The options of rtu are
// baud (19200), parity (E), stop_bits (1) and data_bits (8); rs485 (false), and
// with it rts_on_send (true), rts_delay_before and rts_delay_after (0s), and
// rx_during_tx (false). That of rtu+tcp is baud (9600), by which silences are
// kept on the line behind the server. The error names the option.
func ParseEndpoint(endpoint string) (Endpoint, error) {
	wrong := fmt.Errorf("%q, expected %s", endpoint, forms)
	u, err := url.Parse(endpoint)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" || u.RawFragment != "" {
		return Endpoint{}, wrong
	}
	e := Endpoint{Transport: Transport(u.Scheme)}
	o := options{endpoint: endpoint}
	if o.values, err = url.ParseQuery(u.RawQuery); err != nil {
		return Endpoint{}, fmt.Errorf("%q: options: %w", endpoint, err)
	}
	switch e.Transport {
	case TCP, RTUOverTCP:
		if u.Hostname() == "" || u.Path != "" {
			return Endpoint{}, wrong
		}
		port := uint64(502)
		if s := u.Port(); s != "" {
			port, err = strconv.ParseUint(s, 10, 16)
			if err != nil || port == 0 {
				return Endpoint{}, fmt.Errorf("%q has port %s, expected 1 to 65535", endpoint, s)
			}
		}
		e.Address = net.JoinHostPort(strings.ToLower(u.Hostname()), strconv.FormatUint(port, 10))
		if e.Transport == RTUOverTCP {
			e.Line = Line{Baud: o.baud(9600), Parity: NoParity, StopBits: 1}
		}
	case RTU:
		if u.Host != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) == "/" {
			return Endpoint{}, fmt.Errorf("%q, expected the path of a serial port, like rtu:///dev/ttyUSB0", endpoint)
		}
		e.Address = path.Clean(u.Path)
		e.Line = o.line()
	default:
		return Endpoint{}, wrong
	}
	return e, o.finish()
}

// options takes the options of an endpoint one by one. It keeps the first error.
type options struct {
	endpoint string
	values   url.Values
	taken    []string
	err      error
}

func (o *options) line() Line {
	l := Line{
		Baud:     o.baud(19200),
		Parity:   Parity(o.choice("parity", string(Even), string(NoParity), string(Even), string(Odd))),
		StopBits: int(o.choice("stop_bits", "1", "1", "2")[0] - '0'),
	}
	o.choice("data_bits", "8", "8")
	l.RS485.Enabled = o.flag("rs485", false)
	given := slices.ContainsFunc(rs485Options, func(name string) bool { return o.values.Has(name) })
	if given && !l.RS485.Enabled {
		o.fail("%s have an effect with rs485=true only, expected both or none", strings.Join(rs485Options, ", "))
	}
	onSend := o.flag("rts_on_send", true)
	before, after, receive := o.delay("rts_delay_before"), o.delay("rts_delay_after"), o.flag("rx_during_tx", false)
	if l.RS485.Enabled {
		l.RS485 = RS485{true, onSend, before, after, receive}
	}
	return l
}

var rs485Options = []string{"rts_on_send", "rts_delay_before", "rts_delay_after", "rx_during_tx"}

func (o *options) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf("%q: %s", o.endpoint, fmt.Sprintf(format, args...))
	}
}

func (o *options) take(name, otherwise string) string {
	o.taken = append(o.taken, name)
	switch v := o.values[name]; len(v) {
	case 0:
		return otherwise
	case 1:
		return v[0]
	}
	o.fail("%s is given more than once, expected it once", name)
	return otherwise
}

func (o *options) choice(name, otherwise string, of ...string) string {
	v := o.take(name, otherwise)
	if !slices.Contains(of, v) {
		o.fail("%s is %q, expected %s", name, v, strings.Join(of, " or "))
		return otherwise
	}
	return v
}

func (o *options) flag(name string, otherwise bool) bool {
	return o.choice(name, strconv.FormatBool(otherwise), "true", "false") == "true"
}

func (o *options) baud(otherwise int) int {
	v := o.take("baud", strconv.Itoa(otherwise))
	baud, err := strconv.Atoi(v)
	if err != nil || baud < 300 || baud > 4_000_000 {
		o.fail("baud is %q, expected 300 to 4000000", v)
		return otherwise
	}
	return baud
}

func (o *options) delay(name string) time.Duration {
	v := o.take(name, "0s")
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > longestDelay || d%time.Millisecond != 0 {
		o.fail("%s is %q, expected 0ms to %v in whole milliseconds", name, v, longestDelay)
		return 0
	}
	return d
}

func (o *options) finish() error {
	for name := range o.values {
		if !slices.Contains(o.taken, name) {
			expected := "no options"
			if len(o.taken) > 0 {
				expected = "one of " + strings.Join(o.taken, ", ")
			}
			o.fail("option %q is unknown, expected %s", name, expected)
		}
	}
	return o.err
}

// Conflict says why two devices can't be on what is one port or connection.
func (e Endpoint) Conflict(other Endpoint) error {
	switch {
	case e.Address != other.Address || e == other:
		return nil
	case e.Transport != other.Transport:
		return fmt.Errorf("%s is spoken to by %s and by %s, expected one of them", e.Address, other.Transport, e.Transport)
	}
	return fmt.Errorf("%s has other line settings, %v, than for another device, %v, expected the same", e.Address, e.Line, other.Line)
}

// String is the endpoint without its options.
func (e Endpoint) String() string { return string(e.Transport) + "://" + e.Address }

func (l Line) String() string {
	s := fmt.Sprintf("%d baud %d%s%d", l.Baud, l.dataBits(), l.Parity, l.StopBits)
	if r := l.RS485; r.Enabled {
		s += fmt.Sprintf(" rs485 (rts_on_send=%v, delays %v and %v, rx_during_tx=%v)", r.RTSOnSend, r.DelayBefore, r.DelayAfter, r.ReceiveWhileSending)
	}
	return s
}

func (l Line) dataBits() int {
	if l.DataBits == 7 {
		return 7
	}
	return 8
}

// Takes is how long so many characters are under way.
func (l Line) Takes(characters int) time.Duration {
	if l.Baud == 0 {
		return 0
	}
	bits := 1 + l.dataBits() + l.StopBits
	if l.Parity != NoParity {
		bits++
	}
	return time.Duration(characters*bits) * time.Second / time.Duration(l.Baud)
}

// silence is what keeps frames apart: the time of 3.5 characters, and above 19,200
// baud 1.75 ms (Modbus over Serial Line V1.02, 2.5.1.1).
func (l Line) silence() time.Duration {
	if l.Baud > 19200 {
		return 1750 * time.Microsecond
	}
	return l.Takes(7) / 2
}
