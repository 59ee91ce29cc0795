package iec104peer

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/peer"
)

// Master is a controlling station.
type Master struct{ program }

// StartMaster starts one for the station at this address, which it connects to. It ends with
// the test. With keys, socat encrypts the connection with the client's certificate: c104 as
// a client can't, because its TLS asks for the name of the host and isn't told it.
func StartMaster(t testing.TB, address string, keys *Keys) *Master {
	t.Helper()
	command, missing := c104("master.py")
	if missing != "" {
		peer.Missing(t, "no c104: %s; make peers", missing)
	}
	m := &Master{program{t: t}}
	if keys != nil {
		tunnel := peer.Address(t)
		_, port, _ := net.SplitHostPort(tunnel)
		peer.Run(t, peer.Program(t, "socat", "socat"), "TCP-LISTEN:"+port+",bind=127.0.0.1,reuseaddr,fork",
			fmt.Sprintf("OPENSSL:%s,cafile=%s,cert=%s,key=%s,commonname=server", address, keys.CA, keys.Client.Cert, keys.Client.Key))
		address = tunnel
	}
	_, port, _ := net.SplitHostPort(address)
	m.args = append(command, port)
	t.Cleanup(func() { m.end("master") })
	m.Restart()
	return m
}

// StartJavaMaster starts one on j60870, which encrypts by itself and starts the transfer. It does
// what Master.java says.
func StartJavaMaster(t testing.TB, address string, keys *Keys) *Master {
	t.Helper()
	command, missing := j60870("Master")
	if missing != "" {
		peer.Missing(t, "no j60870: %s; make peers", missing)
	}
	m := &Master{program{t: t}}
	_, port, _ := net.SplitHostPort(address)
	m.args = append(command, port)
	if keys != nil {
		m.args = append(m.args, keys.CA, keys.Client.Cert, keys.Client.Key)
	}
	t.Cleanup(func() { m.end("master") })
	m.Restart()
	return m
}

// Restart ends it, if it runs, and starts it again.
func (m *Master) Restart() {
	m.t.Helper()
	before := len(m.Said())
	m.start()
	await.True(m.t, "the master is ready", func() bool { return strings.Contains(m.Said()[before:], "ready\n") })
}

// Await waits until it has said a text, as a part of what it says.
func (m *Master) Await(text string) {
	m.t.Helper()
	await.True(m.t, "the master says: "+text, func() bool { return strings.Contains(m.Said(), text) })
}

// State is that of its connection, as c104 names it; "" at first.
func (m *Master) State() string {
	said := m.Said()
	at := strings.LastIndex(said, "state ")
	if at < 0 {
		return ""
	}
	state, _, _ := strings.Cut(said[at+len("state "):], "\n")
	return state
}

// Ask has it do something, and reports whether that was done.
func (m *Master) Ask(what string) bool {
	m.t.Helper()
	before := len(m.Said())
	m.Do("%s", what)
	done := false
	await.True(m.t, "the master has done: "+what, func() bool {
		_, rest, has := strings.Cut(m.Said()[before:], "did "+what+" ")
		done = strings.HasPrefix(rest, "True\n")
		return has && strings.Contains(rest, "\n")
	})
	return done
}
