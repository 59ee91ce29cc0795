// Package iec62056 reads meters by the data read-out of IEC 62056-21, over an optical head or
// a current loop: mode C, and modes A and B as far as they differ. The caller has the line.
package iec62056

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/busbar/busbar/adapters/obis"
	"github.com/busbar/busbar/telemetry"
)

// Line is what a meter is behind.
type Line interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// SetBaud changes the speed once all that was written is on its way.
	SetBaud(baud int) error
}

// Readout is what a meter has said.
type Readout struct {
	Identification string // maker, type and version, as the meter gives them
	Mode           byte   // A, B or C
	Baud           int    // at which the data came
	Registers      []obis.Register
	Broken         int // data sets that couldn't be read
}

// Options are how a meter is read.
type Options struct {
	// Address is that of the device, of several on one line; "": whichever hears.
	Address string
	// Baud is the speed at which it begins: 300, as the standard has it.
	Baud int
	// Fastest bounds the speed that is agreed on. On a line whose speed can't be changed it
	// is that of the line.
	Fastest int
	// Timeout is how long the meter may say nothing when it is to.
	Timeout time.Duration
}

// The speeds of modes C and B, by the character of the identification.
var (
	speedsC = map[byte]int{'0': 300, '1': 600, '2': 1200, '3': 2400, '4': 4800, '5': 9600, '6': 19200}
	speedsB = map[byte]int{'A': 600, 'B': 1200, 'C': 2400, 'D': 4800, 'E': 9600, 'F': 19200}
)

// Fastest is the highest speed that meters agree on, in baud.
const Fastest = 19200

const (
	stx, etx, ack = 0x02, 0x03, 0x06
	// longest bounds a read-out, in bytes, and longestTime how long it may take, which is
	// that of some 7,000 bytes at 300 baud.
	longest     = 64 << 10
	longestTime = 4 * time.Minute
	// reaction is after how long a meter wants to be answered at the earliest; those that
	// are quick say so.
	reaction, quickReaction = 200 * time.Millisecond, 20 * time.Millisecond
)

// CheckAddress says what is wrong with the address of a device.
func CheckAddress(address string) error {
	if len(address) > 32 || strings.ContainsFunc(address, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != ' '
	}) {
		return errors.New("expected at most 32 letters, digits and spaces")
	}
	return nil
}

// Read asks a meter once for all that it tells. It sets the line back to the speed at which
// it began.
func Read(ctx context.Context, line Line, o Options) (Readout, error) {
	ctx, cancel := context.WithTimeout(ctx, longestTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { line.SetReadDeadline(time.Unix(1, 0)); line.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	r := reader{line: line, timeout: o.Timeout, ctx: ctx}
	if err := line.SetBaud(o.Baud); err != nil {
		return Readout{}, err
	}
	if err := r.write("/?" + o.Address + "!\r\n"); err != nil {
		return Readout{}, fmt.Errorf("ask for the identification: %w", err)
	}
	identification, err := r.identification()
	if err != nil {
		return Readout{}, fmt.Errorf("identification: %w", err)
	}
	out := Readout{Identification: string(identification), Mode: 'A', Baud: o.Baud}
	z := identification[4]
	if speed := speedsB[z]; speed != 0 {
		out.Mode = 'B'
		if speed > o.Fastest {
			return out, fmt.Errorf("the meter goes on with %d baud, and the line has at most %d", speed, o.Fastest)
		}
		out.Baud = speed
		if err := line.SetBaud(speed); err != nil {
			return out, err
		}
	} else if speed := speedsC[z]; speed != 0 {
		out.Mode = 'C'
		for z > '0' && speed > o.Fastest {
			z--
			speed = speedsC[z]
		}
		out.Baud = speed
		if err := r.acknowledge(ctx, identification, z, o.Baud); err != nil {
			return out, err
		}
		if err := line.SetBaud(speed); err != nil {
			return out, err
		}
	}
	defer line.SetBaud(o.Baud)
	block, err := r.block()
	if err != nil {
		return out, fmt.Errorf("read-out at %d baud: %w", out.Baud, err)
	}
	out.Registers, out.Broken = Parse(block)
	if len(out.Registers) == 0 {
		return out, errors.New("a read-out without a register")
	}
	return out, nil
}

// Parse is the registers in a block of data sets, and how many sets couldn't be read. Those of
// past billing periods aren't among them.
func Parse(block []byte) (registers []obis.Register, broken int) {
	broken = obis.Sets(block, func(s obis.Set) {
		c, err := obis.ParseCode(s.Name)
		switch {
		case err != nil:
			broken++
			return
		case c.F != obis.Current || c.C == 0 && c.D == 9: // the clock, which is another one at each reading
			return
		}
		value := s.Values[0]
		n, unit, ok := obis.Measured(value)
		if !ok || c.C >= 96 || unit == "" && c.C == 0 {
			registers = append(registers, obis.Text(c, value))
			return
		}
		registers = append(registers, obis.Register{Code: c, Value: telemetry.FloatValue(n.Float()), Unit: unit})
	}) + broken
	return registers, broken
}
