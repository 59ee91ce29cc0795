package iec62056

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/obis"
)

// data is a read-out as meters write it.
const data = "F.F(00000000)\r\n0.0.0(12345678)\r\nC.1.0(45464748)\r\n0.9.1(064503)\r\n1.8.0(000123.456*kWh)\r\n1.8.0*01(000100.000*kWh)\r\n1.8.1(000100.001*kWh)1.8.2(000023.455*kWh)\r\n" +
	"2.8.0(000000.100*kWh)\r\n1.6.1(03.45*kW)(2011101530)\r\n32.7(230.1*V)\r\n31.7(01.50*A)\r\n1-1:16.7.0(-1.5*kW)\r\nvendor(1)\r\n!\r\n"

const want = `Err=00000000 state
MtrId=BUS.. state
DmdWh=123456 W.h counter
DmdWh.tariff1=100001 W.h counter
DmdWh.tariff2=23455 W.h counter
SupWh=100 W.h counter
DmdW.max.tariff1=3450 W gauge
PhV.phsA=230.1 V gauge
A.phsA=1.5 A gauge
TotW=-1500 W gauge`

// scripted is a meter that says what a script has it say, and the line to it.
type scripted struct {
	net.Conn
	mu    sync.Mutex
	bauds []int
}

func (s *scripted) SetBaud(baud int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.bauds); n == 0 || s.bauds[n-1] != baud {
		s.bauds = append(s.bauds, baud)
	}
	return nil
}

// say lets a meter say something, a piece at a time.
func say(c net.Conn, text string, size int) {
	for piece := range slices.Chunk([]byte(text), size) {
		if _, err := c.Write(piece); err != nil {
			return
		}
	}
}

// hear is what comes up to the end of a line.
func hear(c net.Conn) string {
	var text []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(text, []byte("\n")) {
		if _, err := io.ReadFull(c, one); err != nil {
			break
		}
		text = append(text, one...)
	}
	return string(text)
}

// block is data with STX, ETX and the check character.
func block(data string) string {
	bcc := byte(0)
	for _, b := range []byte(data + "\x03") {
		bcc ^= b
	}
	return "\x02" + data + "\x03" + string([]byte{bcc})
}

func read(t *testing.T, o Options, meter func(net.Conn)) (Readout, []int, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); defer theirs.Close(); meter(theirs) }()
	line := &scripted{Conn: ours}
	out, err := Read(t.Context(), line, o)
	ours.Close()
	<-done
	return out, line.bauds, err
}

func said(registers []obis.Register) string {
	var list []string
	for _, r := range registers {
		name, kind := r.Name()
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s=%v %s", name, r.Value, r.Unit))+" "+string(kind))
	}
	return strings.Join(list, "\n")
}

func TestParse(t *testing.T) {
	registers, broken := Parse([]byte(data))
	got := said(registers)
	// Two registers say who the meter is, under two codes.
	if got = strings.Replace(got, "OBIS.r1_0_0_0_0=12345678 state\n", "", 1); got != strings.Replace(want, "BUS..", "45464748", 1) || broken != 2 {
		t.Errorf("%d are broken\n%s", broken, got)
	}
}

// Each mode, in pieces, with an echo and without.
func TestModes(t *testing.T) {
	plain := Options{Baud: 300, Fastest: 9600, Timeout: 30 * time.Second}
	addressed, slow := plain, plain
	addressed.Address, slow.Fastest = "12345678", 300
	for name, c := range map[string]struct {
		options        Options
		identification string
		ack            string // "": none comes
		answer         string
		bauds          string
		mode           byte
	}{
		"C":                {plain, "/BUS5meter\r\n", "\x06050\r\n", block(data), "[300 9600 300]", 'C'},
		"C, quick":         {plain, "/BUs4meter\r\n", "\x06040\r\n", block(data), "[300 4800 300]", 'C'},
		"C, too fast":      {plain, "/BUS6meter\r\n", "\x06050\r\n", block(data), "[300 9600 300]", 'C'},
		"C, fixed":         {slow, "/BUS5meter\r\n", "\x06000\r\n", block(data), "[300]", 'C'},
		"C, by address":    {addressed, "/BUS0meter\r\n", "\x06000\r\n", block(data), "[300]", 'C'},
		"B":                {plain, "/BUSDmeter\r\n", "", block(data), "[300 4800 300]", 'B'},
		"A":                {plain, "/BUS meter\r\n", "", block(data), "[300]", 'A'},
		"A, without check": {plain, "/BUS meter\r\n", "", data, "[300]", 'A'},
	} {
		for size, echo := range map[int]bool{1: false, 7: true} {
			t.Run(fmt.Sprintf("%s, echo %v, in pieces of %d", name, echo, size), func(t *testing.T) {
				t.Parallel()
				heard := ""
				out, bauds, err := read(t, c.options, func(m net.Conn) {
					request := hear(m)
					if heard = request; echo {
						say(m, request, size)
					}
					say(m, c.identification, size)
					if c.ack != "" {
						request = hear(m)
						if heard += request; echo {
							say(m, request, size)
						}
					}
					say(m, c.answer, size)
				})
				if err != nil || heard != "/?"+c.options.Address+"!\r\n"+c.ack || fmt.Sprint(bauds) != c.bauds || out.Mode != c.mode || len(out.Registers) != 11 {
					t.Errorf("%v, heard %q, speeds %v, %+v", err, heard, bauds, out)
				}
			})
		}
	}
}

// Whatever a meter does wrong, it is no read-out, and the error says why.
func TestWhatIsNotBelieved(t *testing.T) {
	flipped := []byte(block(data))
	flipped[bytes.IndexByte(flipped, '4')] ^= 1
	ask := func(m net.Conn) { hear(m); say(m, "/BUS0meter\r\n", 100); hear(m) }
	for wrong, c := range map[string]func(net.Conn){
		"identification: EOF":                    func(m net.Conn) { hear(m) },
		"read-out at 300 baud: EOF":              func(m net.Conn) { ask(m); say(m, block(data)[:100], 100) },
		"the check character is":                 func(m net.Conn) { ask(m); say(m, string(flipped), 100) },
		"more than 65536 bytes":                  func(m net.Conn) { ask(m); say(m, "\x02"+strings.Repeat("1.8.0(1)", 10_000), 4000) },
		"without a register":                     func(m net.Conn) { ask(m); say(m, block("!\r\n"), 100) },
		"expected a line like /ABC5type":         func(m net.Conn) { hear(m); say(m, "/BU\r\n", 100) },
		"more than 256 bytes":                    func(m net.Conn) { hear(m); say(m, strings.Repeat("x", 1000), 100) },
		"the meter goes on with 19200 baud":      func(m net.Conn) { hear(m); say(m, "/BUSFmeter\r\n", 100) },
		"identification: nothing comes for 50ms": func(m net.Conn) { hear(m); hear(m) },
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			o := Options{Baud: 300, Fastest: 9600, Timeout: 30 * time.Second}
			if strings.Contains(wrong, "50ms") {
				o.Timeout = 50 * time.Millisecond
			}
			_, _, err := read(t, o, c)
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%v, expected %q", err, wrong)
			}
			if strings.Contains(wrong, "50ms") != errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Whoever gives up gets no answer later, also while a meter says something all the time.
func TestGivenUp(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		hear(theirs)
		say(theirs, "/BUS0meter\r\n", 100)
		hear(theirs)
		for range 20 {
			say(theirs, "\x021.8.0(1)", 1)
		}
		cancel()
		for {
			if _, err := theirs.Write([]byte("1")); err != nil {
				return
			}
		}
	}()
	if _, err := Read(ctx, &scripted{Conn: ours}, Options{Baud: 300, Fastest: 300, Timeout: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ours.Close()
}

func TestAddresses(t *testing.T) {
	for address, right := range map[string]bool{"": true, "12345678": true, "AB 12": true, "1!": false, "1/2": false, "é": false, strings.Repeat("1", 33): false} {
		if err := CheckAddress(address); (err == nil) != right {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// stream is a line on which something comes and nothing else does.
type stream struct{ bytes.Reader }

func (*stream) Write(p []byte) (int, error)      { return len(p), nil }
func (*stream) SetReadDeadline(time.Time) error  { return nil }
func (*stream) SetWriteDeadline(time.Time) error { return nil }
func (*stream) SetBaud(int) error                { return nil }

func FuzzRead(f *testing.F) {
	for _, text := range []string{"/BUs meter\r\n" + block(data), "/?!\r\n/BUsAmeter\r\n" + data, "/BUs meter\r\n\x02\x03", "/BUs meter\r\n(((\r\n!\r\n", "/"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4 && text[0] == '/' && text[4] >= '0' && text[4] <= '6' {
			return // what has to be acknowledged takes its time
		}
		s := &stream{}
		s.Reset(text)
		out, err := Read(t.Context(), s, Options{Baud: 300, Fastest: 300, Timeout: time.Second})
		if err == nil && len(out.Registers) > len(text) {
			t.Errorf("%d registers in %d bytes", len(out.Registers), len(text))
		}
	})
}

func FuzzSets(f *testing.F) {
	f.Add([]byte(data))
	f.Add([]byte("1.8.0(\r\n(1)\r\n)("))
	f.Fuzz(func(t *testing.T, block []byte) {
		registers, broken := Parse(block)
		if len(registers)+broken > len(block)+1 {
			t.Errorf("%d registers and %d broken ones in %d bytes", len(registers), broken, len(block))
		}
		for _, r := range new(obis.Derivation).Derive(registers, time.Time{}) {
			r.Name()
			if again, err := obis.ParseCode([]byte(r.Code.String())); err != nil || again != r.Code {
				t.Errorf("%s is read as %s, %v", r.Code, again, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if registers, _ := Parse([]byte(data)); len(registers) == 0 {
			b.Fatal("nothing")
		}
	}
}
