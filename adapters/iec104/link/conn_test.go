package link

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/apdu"
	"github.com/busbar/busbar/test/await"
)

// quick has timers that a test can wait for.
var quick = Config{T1: 300 * time.Millisecond, T2: 50 * time.Millisecond, T3: 200 * time.Millisecond, K: 12, W: 8}

// connected is a controlling station, and the other end as it is on the wire.
func connected(t testing.TB, c Config) (*Conn, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ours, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := Drive(ours, c, Controlling)
	t.Cleanup(func() {
		conn.Close()
		theirs.Close()
	})
	return conn, theirs
}

// ends takes what comes until the connection has ended, and returns why.
func ends(t testing.TB, c *Conn) (messages int, err error) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case <-c.Messages():
			messages++
		case <-c.Ended():
			return messages, c.Err()
		case <-limit:
			t.Fatal("it goes on")
		}
	}
}

func confirm(t testing.TB, theirs net.Conn) {
	t.Helper()
	if _, err := io.ReadFull(theirs, make([]byte, 6)); err != nil {
		t.Error(err)
	}
	theirs.Write([]byte("\x68\x04\x0B\x00\x00\x00"))
}

const oneI = "\x68\x05\x00\x00\x00\x00\x01"

// Whatever the other end does, the connection ends with an error that says what it was, at
// once or within t1, and nothing of it is left.
func TestHostile(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, c := range []struct {
		name, bytes string
		start       bool // it is started first
		end         bool // and the other end closes then
		want        error
	}{
		{"half a header, and the end", "\x68\x04", false, true, apdu.ErrHalf},
		{"half an octet's worth, and the end", "\x68", false, true, apdu.ErrHalf},
		{"the end", "", false, true, io.EOF},
		{"another protocol", "GET / HTTP/1.1\r\n\r\n", false, false, apdu.ErrStart},
		{"a length of 3", "\x68\x03\x07\x00\x00", false, false, apdu.ErrLength},
		{"a length of 255", "\x68\xFF", false, false, apdu.ErrLength},
		{"a jump of the numbers", "\x68\x05\x0A\x00\x00\x00\x01", true, false, ErrSequence},
		{"a frame twice", oneI + oneI, true, false, ErrSequence},
		{"an acknowledgement of the future", "\x68\x04\x01\x00\x0A\x00", true, false, ErrAcknowledge},
		{"information before the start", oneI, false, false, ErrNotStarted},
		{"a master", "\x68\x04\x07\x00\x00\x00", true, false, ErrRole},
		{"5000 confirmations, and then silence", strings.Repeat("\x68\x04\x0B\x00\x00\x00", 5000), false, false, ErrT1},
		{"silence", "", true, false, ErrT1},
		{"half an APDU, and silence", oneI[:5], true, false, ErrT1},
		{"300 at once, and silence", strings.Repeat("\x68\x04\x43\x00\x00\x00", 300), true, false, ErrT1},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, theirs := connected(t, quick)
			if c.start {
				go confirm(t, theirs)
				if err := conn.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			theirs.Write([]byte(c.bytes))
			if c.end {
				theirs.Close()
			} else {
				go io.Copy(io.Discard, theirs)
			}
			if _, err := ends(t, conn); !errors.Is(err, c.want) {
				t.Errorf("%v, expected %v", err, c.want)
			}
			if err := conn.Send(context.Background(), []byte{1}); err == nil {
				t.Error("it still sends")
			}
		})
	}
	await.True(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= before+1 })
}

// What isn't acknowledged ends the connection after t1, though the other end is there.
func TestNoAcknowledgement(t *testing.T) {
	conn, theirs := connected(t, quick)
	go confirm(t, theirs)
	if err := conn.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	go func() { // it answers tests, and nothing else
		r := apdu.NewReader(theirs)
		for {
			f, err := r.Next()
			if err != nil {
				return
			}
			if f.Function == apdu.TestAct {
				theirs.Write([]byte("\x68\x04\x83\x00\x00\x00"))
			}
		}
	}()
	conn.Send(context.Background(), []byte{1})
	if _, err := ends(t, conn); !errors.Is(err, ErrT1) {
		t.Error(err)
	}
}

// A slow other end that sends octet by octet is understood.
func TestDrip(t *testing.T) {
	conn, theirs := connected(t, Default)
	go confirm(t, theirs)
	if err := conn.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if m := <-conn.Messages(); m.Event != Started {
		t.Fatal(m)
	}
	for _, b := range []byte(oneI) {
		theirs.Write([]byte{b})
	}
	if m := <-conn.Messages(); m.Event != Data || len(m.ASDU) != 1 {
		t.Fatal(m)
	}
}

// Who takes nothing makes the other end wait, loses nothing, and ends no connection.
func TestNobodyTakes(t *testing.T) {
	conn, theirs := connected(t, quick)
	station := Drive(theirs, Config{T1: time.Minute, T2: 50 * time.Millisecond, T3: time.Minute, K: 12, W: 8}, Controlled)
	defer station.Close()
	go func() {
		for range station.Messages() {
		}
	}()
	if err := conn.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	const frames = 3 * longestQueue
	var sent atomic.Int64
	go func() {
		for n := range frames {
			if station.Send(context.Background(), []byte{byte(n), byte(n >> 8)}) != nil {
				return
			}
			sent.Add(1)
		}
	}()
	await.True(t, "it waits", func() bool { return sent.Load() >= longestQueue-1 })
	waited := time.Now()
	await.True(t, "all timers have passed", func() bool { return time.Since(waited) > 2*(quick.T1+quick.T3) })
	if n := sent.Load(); n > longestQueue+int64(quick.K)+2 {
		t.Errorf("it has sent %d", n)
	}
	for got := 0; got < frames; {
		select {
		case m := <-conn.Messages():
			if m.Event != Data {
				continue
			}
			if n := int(m.ASDU[0]) | int(m.ASDU[1])<<8; n != got {
				t.Fatalf("%d, expected %d", n, got)
			}
			got++
		case <-conn.Ended():
			t.Fatal(conn.Err())
		}
	}
}

// 100,000 frames go over a real connection, through three wraps of their numbers.
func TestManyFrames(t *testing.T) {
	conn, theirs := connected(t, Default)
	station := Drive(theirs, Default, Controlled)
	defer station.Close()
	if err := conn.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	frames := 100_000
	if testing.Short() && os.Getenv("BUSBAR_TORTURE") == "" {
		frames = 40_000
	}
	go func() {
		for n := range frames {
			if station.Send(context.Background(), []byte{byte(n), byte(n >> 8), byte(n >> 16)}) != nil {
				return
			}
		}
	}()
	for got := 0; got < frames; {
		select {
		case m := <-conn.Messages():
			if m.Event != Data {
				continue
			}
			if n := int(m.ASDU[0]) | int(m.ASDU[1])<<8 | int(m.ASDU[2])<<16; n != got {
				t.Fatalf("%d, expected %d", n, got)
			}
			got++
		case <-conn.Ended():
			t.Fatal(conn.Err())
		}
	}
	if err := conn.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}
