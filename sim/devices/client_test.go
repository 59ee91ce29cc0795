package devices

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"
)

// serve runs a server until the test ends.
func serve(t testing.TB, units map[byte]Unit) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", units, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { s.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		served.Wait()
	})
	return s
}

// client is as little of a Modbus client as the tests need.
type client struct {
	net.Conn
	transaction uint16
}

func dial(t testing.TB, s *Server) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{Conn: conn}
}

func readRequest(table Table, address, quantity int) []byte {
	return []byte{byte(table), byte(address >> 8), byte(address), byte(quantity >> 8), byte(quantity)}
}

func frame(transaction uint16, unit byte, pdu []byte) []byte {
	adu := binary.BigEndian.AppendUint16(nil, transaction)
	adu = append(adu, 0, 0)
	adu = binary.BigEndian.AppendUint16(adu, uint16(1+len(pdu)))
	return append(append(adu, unit), pdu...)
}

// ask sends one request and returns the PDU of its answer.
func (c *client) ask(unit byte, pdu []byte) ([]byte, error) {
	c.transaction++
	if _, err := c.Write(frame(c.transaction, unit, pdu)); err != nil {
		return nil, err
	}
	var header [7]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return nil, err
	}
	if got := binary.BigEndian.Uint16(header[:]); got != c.transaction || header[6] != unit {
		return nil, fmt.Errorf("answer to transaction %d of unit %d, asked %d of %d", got, header[6], c.transaction, unit)
	}
	reply := make([]byte, int(binary.BigEndian.Uint16(header[4:]))-1)
	_, err := io.ReadFull(c, reply)
	return reply, err
}

// answers reads the meter's own counter.
func (c *client) answers(unit byte) (uint32, error) {
	reply, err := c.ask(unit, readRequest(HoldingRegisters, 0x1000, 2))
	if err != nil {
		return 0, err
	}
	if len(reply) != 6 {
		return 0, fmt.Errorf("answer % x", reply)
	}
	return binary.BigEndian.Uint32(reply[2:]), nil
}

// says reports whether an answer comes within a time in which it would have.
func (c *client) says(unit byte) bool {
	_ = c.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	_, err := c.answers(unit)
	var timeout net.Error
	if err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		panic(err)
	}
	return err == nil
}
