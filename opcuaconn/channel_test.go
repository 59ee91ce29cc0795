package opcuaconn

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
)

// opened is a channel without protection, and its server's end, with small buffers.
func opened(t *testing.T) (*channel, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	for _, c := range []net.Conn{ours, server} {
		c.(*net.TCPConn).SetReadBuffer(32 << 10)
		c.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	go func() {
		asked, err := readChunk(server, make([]byte, longestChunk))
		if err != nil {
			return
		}
		buf := ua.NewBuffer(asked[chunkHeader:])
		buf.ReadString()
		buf.ReadBytes()
		buf.ReadBytes()
		buf.ReadUint32() // the sequence number
		c := &channel{}
		p := protection{policy: PolicyNone, mode: ModeNone}
		out := c.appendSequence(p.openHeader(7), buf.ReadUint32())
		out = append(out, encoded(t, &ua.OpenSecureChannelResponse{ResponseHeader: goodHeader,
			SecurityToken: &ua.ChannelSecurityToken{ChannelID: 7, TokenID: 1, RevisedLifetime: 3600000}})...)
		out, _ = seal(out, len(out), nil, ModeNone)
		server.Write(out)
	}()
	c, err := newChannel(t.Context(), ours, protection{policy: PolicyNone, mode: ModeNone}, bounds{chunk: shortestChunk}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c, server
}

// begun waits until something is being written.
func begun(c *channel) {
	for len(c.writing) == 0 {
		time.Sleep(time.Millisecond)
	}
}

func manyNodes(n int) *ua.ReadRequest {
	r := &ua.ReadRequest{}
	for range n {
		r.NodesToRead = append(r.NodesToRead, &ua.ReadValueID{NodeID: ua.NewTwoByteNodeID(1), AttributeID: ua.AttributeIDValue, DataEncoding: &ua.QualifiedName{}})
	}
	return r
}

// A server that sends as long as nobody reads, before it reads itself, gets what is
// being written all the same.
func TestBothSidesWriteAtOnce(t *testing.T) {
	c, server := opened(t)
	go func() {
		begun(c)
		sequence := uint32(2)
		for range 200 { // 12 MB that nobody has asked for
			server.Write(chunk(t, final, 7, 1, sequence, 999, make([]byte, 60000), nil, ModeNone))
			sequence++
		}
		buffer := make([]byte, longestChunk)
		for {
			part, err := readChunk(server, buffer)
			if err != nil {
				return
			}
			if part[3] == final {
				request := uint32(part[20]) | uint32(part[21])<<8
				server.Write(chunk(t, final, 7, 1, sequence, request, encoded(t, values("whole")), nil, ModeNone))
				return
			}
		}
	}()
	response, err := c.send(t.Context(), manyNodes(30000), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := response.(*ua.ReadResponse); len(r.Results) != 1 || r.Results[0].Value.Value() != "whole" {
		t.Errorf("%+v", r)
	}
}

// Who is told to stop stops, though another one is just writing to a server that reads
// nothing, and a channel that is closed then ends what is being written.
func TestAServerThatReadsNothing(t *testing.T) {
	c, _ := opened(t)
	writing := make(chan error)
	go func() {
		_, err := c.send(t.Context(), manyNodes(60000), nil)
		writing <- err
	}()
	begun(c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.send(ctx, manyNodes(1), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	c.close()
	if err := <-writing; err == nil || !c.ended() {
		t.Errorf("%v", err)
	}
}

// What a server takes isn't exceeded.
func TestRequestsThatAreTooLarge(t *testing.T) {
	c, _ := opened(t)
	for _, most := range []bounds{{chunk: shortestChunk, message: 10000}, {chunk: shortestChunk, chunks: 1}} {
		c.most = most
		if _, err := c.send(t.Context(), manyNodes(1000), nil); !errors.Is(err, ua.StatusBadRequestTooLarge) || c.ended() {
			t.Errorf("%+v: %v", most, err)
		}
	}
}
