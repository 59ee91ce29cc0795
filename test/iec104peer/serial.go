package iec104peer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// Serial is a station of IEC 60870-5-101, on lib60870-C, with the same objects as the
// others but for 1006 and 2005: of one octet of cause and common address, and two of an
// object's.
type Serial struct {
	Balanced   bool
	Link       uint16 // its address
	Octets     int    // of that
	Common     uint16 // address
	SingleChar bool   // it acknowledges by E5
}

// SerialStation is one that was started. Besides what others do, it tells of an object as
// class 2 by periodic IOA.
type SerialStation struct {
	program
	there, here string
	line        *exec.Cmd
	held        *os.File // has the line go on while the station is away
	tcp         string
}

// StartSerial starts a station at the end of a serial line, and returns when it is ready.
// It ends with the test. tcp is a server's address to which the line is connected; "":
// the line ends at a terminal of this machine.
func StartSerial(t testing.TB, s Serial, tcp string) *SerialStation {
	t.Helper()
	program101 := filepath.Join(peer.Root(), ".peers", "lib60870", "station")
	if _, err := os.Stat(program101); err != nil {
		peer.Missing(t, "no station on lib60870-C: %v; make peers", err)
	}
	dir := t.TempDir()
	n := &SerialStation{program{t: t}, filepath.Join(dir, "there"), filepath.Join(dir, "here"), nil, nil, tcp}
	mode, ack := "unbalanced", "frame"
	if s.Balanced {
		mode = "balanced"
	}
	if s.SingleChar {
		ack = "single"
	}
	n.args = []string{program101, n.there, mode, strconv.Itoa(int(s.Link)), strconv.Itoa(s.Octets), strconv.Itoa(int(s.Common)), ack}
	t.Cleanup(func() {
		n.end("lib60870")
		n.Unplug()
	})
	n.Plug()
	n.Restart()
	return n
}

// Endpoint is where a gateway finds the line.
func (n *SerialStation) Endpoint() string { return "rtu://" + n.here + "?baud=9600" }

// Plug connects the line.
func (n *SerialStation) Plug() {
	n.t.Helper()
	socat := peer.Program(n.t, "socat", "socat")
	other := "pty,raw,echo=0,link=" + n.here
	if n.tcp != "" {
		other = "tcp:" + n.tcp
	}
	n.line = exec.Command(socat, "pty,raw,echo=0,link="+n.there, other)
	if err := n.line.Start(); err != nil {
		n.t.Fatal(err)
	}
	await.True(n.t, "the line is there", func() bool {
		_, there := os.Stat(n.there)
		_, here := os.Stat(n.here)
		return there == nil && (here == nil || n.tcp != "")
	})
	var err error
	if n.held, err = os.OpenFile(n.there, os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		n.t.Fatal(err)
	}
}

// Unplug takes it away, from both ends.
func (n *SerialStation) Unplug() {
	if n.line != nil {
		n.line.Process.Kill()
		n.line.Wait()
		n.line = nil
		n.held.Close()
		os.Remove(n.there)
		os.Remove(n.here)
	}
}

// Restart ends the station, if it runs, and starts it again.
func (n *SerialStation) Restart() {
	n.t.Helper()
	before := strings.Count(n.Said(), "ready")
	n.start()
	await.True(n.t, "the station is ready", func() bool { return strings.Count(n.Said(), "ready") > before })
}
