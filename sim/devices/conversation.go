package devices

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

const (
	headerSize = 7   // transaction 2, protocol 2, length 2, unit 1
	maxADU     = 260 // header and a PDU of 253 bytes
)

// conversation is one client's connection. Requests that come together are
// answered together, in their order.
type conversation struct {
	server *Server
	conn   net.Conn
	out    []byte
}

// run returns nil when the client hangs up between two requests.
func (c *conversation) run(ctx context.Context) error {
	in := make([]byte, 4096)
	held := 0
	for {
		n, err := c.conn.Read(in[held:])
		held += n
		rest := in[:held]
		for {
			request, tail, err := split(rest)
			if err != nil {
				return err
			}
			if request == nil {
				break
			}
			if err := c.answer(ctx, request); err != nil {
				return err
			}
			rest = tail
		}
		if err := c.flush(); err != nil {
			return err
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(rest) == 0 {
				return nil
			}
			return err
		}
		held = copy(in, rest)
	}
}

// split takes the first request off a stream; it is nil if its end hasn't come.
// After an error there is no telling where the next request starts.
func split(stream []byte) (request, rest []byte, err error) {
	if len(stream) < headerSize {
		return nil, stream, nil
	}
	if p := binary.BigEndian.Uint16(stream[2:]); p != 0 {
		return nil, nil, fmt.Errorf("protocol identifier %d is not Modbus", p)
	}
	length := int(binary.BigEndian.Uint16(stream[4:]))
	if length < 2 || 6+length > maxADU {
		return nil, nil, fmt.Errorf("length field %d is not from 2 to %d", length, maxADU-6)
	}
	if len(stream) < 6+length {
		return nil, stream, nil
	}
	return stream[:6+length], stream[6+length:], nil
}

func (c *conversation) answer(ctx context.Context, request []byte) error {
	p, ok := c.server.units[request[6]]
	if !ok {
		c.reply(request, func(out, pdu []byte) []byte { return refuse(out, pdu[0], TargetDoesNotAnswer) })
		return nil
	}
	b := p.behaviour.Load()
	if b.Delay > 0 {
		if err := c.pause(ctx, b.Delay); err != nil {
			return err
		}
		b = p.behaviour.Load()
	}
	switch {
	case b.Silent:
	case b.Garbage:
		c.out = append(c.out, nonsense(request)...)
	default:
		c.reply(request, func(out, pdu []byte) []byte { return answer(out, p.unit, pdu) })
	}
	return nil
}

// reply wraps the PDU that appendPDU appends in the request's own header.
func (c *conversation) reply(request []byte, appendPDU func(out, pdu []byte) []byte) {
	start := len(c.out)
	c.out = append(c.out, request[:headerSize]...)
	c.out = appendPDU(c.out, request[headerSize:])
	binary.BigEndian.PutUint16(c.out[start+4:], uint16(len(c.out)-start-6))
}

func (c *conversation) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *conversation) pause(ctx context.Context, d time.Duration) error {
	if err := c.flush(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// nonsense depends on nothing but the request.
func nonsense(request []byte) []byte {
	random := rand.New(rand.NewPCG(uint64(request[6]), uint64(binary.BigEndian.Uint16(request))))
	noise := make([]byte, 1+random.IntN(64))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return noise
}
