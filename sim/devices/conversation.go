package devices

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
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

func (c *conversation) answer(ctx context.Context, request []byte) error {
	p, ok := c.server.units[request[6]]
	if !ok {
		c.reply(request, func(out, pdu []byte) []byte { return refuse(out, pdu[0], TargetDoesNotAnswer) })
		return nil
	}
	p.requests.Add(1)
	if !p.works() {
		if c.server.refuses.Load() {
			c.reply(request, func(out, pdu []byte) []byte { return refuse(out, pdu[0], TargetDoesNotAnswer) })
		}
		return nil
	}
	b := p.behaviour.Load()
	if b == nil {
		c.reply(request, func(out, pdu []byte) []byte { return answer(out, p.unit, pdu) })
		return nil
	}
	r := p.respond(b, mbap{}, request)
	due := time.Now()
	for _, piece := range r.pieces {
		if due = due.Add(piece.after); piece.after > 0 {
			if err := c.pause(ctx, due); err != nil {
				return err
			}
		}
		c.out = append(c.out, piece.bytes...)
	}
	if r.end == goesOn {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.server.end(c.conn, r)
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

func (c *conversation) pause(ctx context.Context, until time.Time) error {
	if err := c.flush(); err != nil {
		return err
	}
	return sleep(ctx, until)
}
