package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/explain"
	"github.com/busbar/busbar/adapters/wire"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/gateway"
	"github.com/busbar/busbar/gatewayconfig"
)

type captureCommand struct {
	program.Logging `set:"log_level=warn"`
	Config          string        `help:"The configuration that describes the device." required:"" placeholder:"FILE" type:"path"`
	Device          string        `help:"The device's id in it." required:"" placeholder:"ID"`
	For             time.Duration `help:"How long; by default until stopped." placeholder:"DURATION"`
	File            string        `arg:"" help:"The file to write, which mustn't exist; - for the standard output."`
}

func (captureCommand) Help() string {
	return `It writes what goes to and from a device of iec104 or iec101 to a file of the pcap
format, which Wireshark and busbar device explain read. If the configuration's gateway
is running on this machine, that is what goes over its own link; else the device is
read meanwhile as a gateway does. Of an encrypted link it has what is inside. Of a
serial line it has what goes to and from all stations on it.

Examples:
  busbar device capture --config gateway.yaml --device bay-rtu --for 1m bay.pcap
  busbar device capture --config gateway.yaml --device bay-rtu - | wireshark -k -i -

In Wireshark, a port other than 2404 is decoded as IEC 60870-5-104 by Analyze, Decode As.
A serial line is decoded as IEC 60870-5-101 in the same way; the sizes of its fields are
that protocol's preferences.`
}

func (c captureCommand) Run(ctx context.Context) (err error) {
	config, device, err := target{Config: c.Config, Device: c.Device}.load()
	if err != nil {
		return err
	}
	out := os.Stdout
	if c.File != "-" {
		if out, err = os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	return program.UntilStopped(ctx, gateway.CaptureDevice(ctx, config, filepath.Dir(c.Config), device, c.Logger(), out))
}

type explainCommand struct {
	Config            string `help:"The configuration that describes the device, and with it the sizes of fields." placeholder:"FILE" type:"path"`
	Device            string `help:"The device's id in it." placeholder:"ID"`
	IEC101            bool   `name:"iec101" help:"Frames are those of IEC 60870-5-101; a capture of a serial line says so itself."`
	CauseOctets       int    `help:"How many octets a cause of transmission has; by default 2, and of iec101 1." placeholder:"N"`
	AddressOctets     int    `help:"How many octets a common address has; by default 2, and of iec101 1." placeholder:"N"`
	ObjectOctets      int    `help:"How many octets an object's address has; by default 3, and of iec101 2." placeholder:"N"`
	LinkAddressOctets int    `help:"How many octets the address of a link has, of iec101." default:"1" placeholder:"N"`
	Hex               string `help:"Frames as hexadecimal digits, instead of a file." placeholder:"DIGITS"`
	File              string `arg:"" optional:"" help:"A capture, of the format pcap or pcapng; - for the standard input."`
}

func (explainCommand) Help() string {
	return `It says what each frame of IEC 60870-5-104 or -101 means: from where to where, its
control field, and of an ASDU the type, cause, station, addresses, values, flags and times.
What isn't a frame is shown with what is wrong with it. The exit code is 1 if something was.
Of a capture, the connections whose first octet is that of an APDU are explained.

Examples:
  busbar device explain bay.pcap
  busbar device explain --hex "68 0e 00 00 00 00 64 01 06 00 01 00 00 00 00 14"
  busbar device explain --iec101 --hex 1049014a16`
}

func (c explainCommand) Run() error {
	if (c.Hex == "") == (c.File == "") {
		return program.Usage{Err: errors.New("what is to be explained? expected a file, or --hex")}
	}
	params, link, err := c.sizes()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	e := explainer{out: out, streams: map[string]*explained{}, stream: func(serial bool) explain.Stream {
		return explain.Stream{Params: params(serial), Serial: serial, Link: link}
	}}
	if c.Hex != "" {
		b, err := hex.DecodeString(strings.Map(digit, strings.TrimPrefix(c.Hex, "0x")))
		if err != nil {
			return program.Usage{Err: fmt.Errorf("--hex: %w", err)}
		}
		s := e.stream(c.IEC101)
		e.print("", append(s.Take(b), s.End()...))
	} else if err := e.file(c.File); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if e.bad {
		out.Flush()
		return program.Silent(program.ExitFailure)
	}
	return nil
}

// digit leaves out what is between digits.
func digit(r rune) rune {
	if strings.ContainsRune(" \t\r\n:-,", r) {
		return -1
	}
	return r
}

// sizes are those of fields, by whether they are those of iec101.
func (c explainCommand) sizes() (params func(serial bool) asdu.Params, link int, err error) {
	link = c.LinkAddressOctets
	var of *asdu.Params
	if c.Config != "" || c.Device != "" {
		config, device, err := target{Config: c.Config, Device: c.Device}.load()
		if err != nil {
			return nil, 0, err
		}
		d := config.Devices[slices.IndexFunc(config.Devices, func(d gatewayconfig.Device) bool { return d.ID == device })]
		if d.IEC104 == nil && d.IEC101 == nil {
			return nil, 0, program.Usage{Err: fmt.Errorf("device %q isn't read by iec104 or iec101", device)}
		}
		t := d.TelecontrolDevice("")
		if of = &t.Params; t.Serial != nil {
			link = t.Serial.Octets
		}
	}
	if link < 0 || link > 2 {
		return nil, 0, program.Usage{Err: fmt.Errorf("--link-address-octets %d, expected 0 to 2", link)}
	}
	params = func(serial bool) asdu.Params {
		p := asdu.IEC104
		if serial {
			p = asdu.IEC101
		}
		if of != nil {
			p = *of
		}
		for _, given := range []struct {
			from int
			to   *int
		}{{c.CauseOctets, &p.Cause}, {c.AddressOctets, &p.Address}, {c.ObjectOctets, &p.Object}} {
			if given.from != 0 {
				*given.to = given.from
			}
		}
		return p
	}
	if err := params(false).Check(); err != nil {
		return nil, 0, program.Usage{Err: err}
	}
	return params, link, nil
}

// explainer prints what goes over links.
type explainer struct {
	out     io.Writer
	stream  func(serial bool) explain.Stream
	streams map[string]*explained // by what stands before their lines
	bad     bool
}

// explained is one way of a link.
type explained struct {
	explain.Stream
	foreign bool // it is something else
	next    uint32
}

func (e *explainer) file(name string) error {
	in := os.Stdin
	if name != "-" {
		var err error
		if in, err = os.Open(name); err != nil {
			return err
		}
		defer in.Close()
	}
	err := wire.Read(in, e.packet)
	ways := make([]string, 0, len(e.streams))
	for way := range e.streams {
		ways = append(ways, way)
	}
	slices.Sort(ways)
	for _, way := range ways {
		if s := e.streams[way]; !s.foreign {
			e.print(way+"  ", s.End())
		}
	}
	return err
}

func (e *explainer) packet(p wire.Packet) {
	way := fmt.Sprintf("%v > %v", p.From, p.To)
	if p.Serial() {
		way = map[bool]string{true: "sent", false: "received"}[p.Sent]
	}
	s := e.streams[way]
	if s == nil {
		s = &explained{Stream: e.stream(p.Serial()), next: p.Seq}
		s.foreign = !p.Serial() && p.Data[0] != 0x68
		e.streams[way] = s
	}
	if s.foreign {
		return
	}
	before := p.At.UTC().Format("2006-01-02 15:04:05.000000") + "  " + way + "  "
	if p.From != (netip.AddrPort{}) {
		switch ahead := int32(p.Seq - s.next); {
		case ahead > 0:
			e.print(before, append(s.End(), fmt.Sprintf("bad: %d octets before this are missing", ahead)))
		case int(-ahead) >= len(p.Data): // it was sent again
			return
		default:
			p.Data = p.Data[-ahead:]
			p.Seq -= uint32(ahead)
		}
		s.next = p.Seq + uint32(len(p.Data))
	}
	e.print(before, s.Take(p.Data))
	if p.Serial() { // each piece is a frame
		e.print(before, s.End())
	}
}

func (e *explainer) print(before string, lines []string) {
	for _, line := range lines {
		e.bad = e.bad || strings.Contains(line, "bad: ")
		fmt.Fprintln(e.out, before+line)
	}
}
