package modbus

import (
	"bytes"
	"os"
	"testing"
	"time"

	goburrow "github.com/goburrow/modbus"

	"github.com/busbar/busbar/telemetry"
)

// tape is a port that plays what it has been given, and then falls silent.
type tape struct {
	sent  []byte
	plays []byte
	piece int
}

func (p *tape) Write(b []byte) (int, error) {
	p.sent = append(p.sent, b...)
	return len(b), nil
}

func (p *tape) Read(b []byte) (int, error) {
	if len(p.sent) == 0 || len(p.plays) == 0 { // nothing comes before the request
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b[:min(len(b), p.piece)], p.plays)
	p.plays = p.plays[n:]
	return n, nil
}

func (p *tape) Close() error                      { return nil }
func (p *tape) SetDeadline(time.Time) error       { return nil }
func (p *tape) SetReadDeadline(t time.Time) error { return nil }

// writeOn sends a write whose answer is on the tape, and returns what was sent.
func writeOn(t testing.TB, transport Transport, echoes bool, pdu goburrow.ProtocolDataUnit, answer []byte, piece int) (sent []byte, sure certainty, err error) {
	e, _ := ParseEndpoint("rtu+tcp://h?baud=4000000")
	e.Transport = transport
	l := newLink(t.Context(), e, opener{}, new(busCounters))
	if f, line := l.framing.(*rtu); line {
		f.echoes = echoes
	}
	p := &tape{plays: answer, piece: piece}
	l.port, l.answered, l.watch = p, true, func() bool { return true }
	l.stations[1] = &station{}
	m := newMeter(Device{ID: "d", Unit: 1}, e)
	sure, err = l.write(t.Context(), m, 0, pdu)
	return p.sent, sure, err
}

// What owes answers isn't written to: one of them could be taken for that to the write.
func TestWhoOwesAnswersIsNotWrittenTo(t *testing.T) {
	e, _ := ParseEndpoint("rtu+tcp://h")
	l := newLink(t.Context(), e, opener{}, new(busCounters))
	p := &tape{}
	l.port, l.watch = p, func() bool { return true }
	m := newMeter(Device{ID: "d", Unit: 1}, e)
	l.stations[1] = &station{owed: []debt{{shape{6, 4}, time.Now()}}}
	if sure, err := l.write(t.Context(), m, 0, writeRequest(6, 8, 1, nil)); sure != notWritten || err == nil || len(p.sent) > 0 {
		t.Errorf("%d, %v, % x", sure, err, p.sent)
	}
	l.stations[1].owed, l.port = nil, nil
	if sure, err := l.write(t.Context(), m, 0, writeRequest(6, 8, 1, nil)); sure != notWritten || reasonOf(err) != telemetry.NotConnected {
		t.Errorf("%d, %v", sure, err)
	}
}

// A write is called executed only if its answer is there, whole and right, and not
// its echo; and nothing that comes makes it be sent again.
func FuzzWriteAnswers(f *testing.F) {
	requests := []goburrow.ProtocolDataUnit{
		writeRequest(5, 3, 0xFF00, nil), writeRequest(6, 8, 4711, nil), writeRequest(15, 9, 1, []byte{1, 1}),
		writeRequest(16, 10, 2, []byte{4, 0, 1, 2, 3}), writeRequest(22, 12, 0xFFF7, []byte{0, 8}),
	}
	expected := func(transport Transport, pdu goburrow.ProtocolDataUnit, sent []byte) []byte {
		reply := writeReply(pdu)
		body := reply.head[:reply.size]
		if transport != TCP {
			return withCRC(1, body)
		}
		return append([]byte{sent[0], sent[1], 0, 0, 0, byte(len(body) + 1), 1}, body...)
	}
	for kind, pdu := range requests {
		for _, transport := range []Transport{TCP, RTU} {
			whole := expected(transport, pdu, []byte{0, 1})
			f.Add(whole, byte(kind), transport == TCP, false, byte(200))
			f.Add(append(bytes.Clone(whole), whole...), byte(kind), transport == TCP, true, byte(3))
			f.Add(whole[:len(whole)-1], byte(kind), transport == TCP, false, byte(200))
		}
	}
	f.Add(withCRC(1, []byte{0x85, 2}), byte(0), false, false, byte(9))
	f.Fuzz(func(t *testing.T, answer []byte, kind byte, tcp, echoes bool, piece byte) {
		transport := RTU
		if tcp {
			transport, echoes = TCP, false
		}
		pdu := requests[int(kind)%len(requests)]
		sent, sure, err := writeOn(t, transport, echoes, pdu, answer, int(piece)+1)
		want := expected(transport, pdu, sent)
		request := len(sent)
		if whole := 7 + 1 + len(pdu.Data); tcp && request != whole || !tcp && request != 1+1+len(pdu.Data)+2 {
			t.Fatalf("%d bytes sent", request)
		}
		copies := bytes.Count(answer, want)
		if echoes && bytes.Equal(sent, want) {
			copies--
		}
		switch {
		case (sure == written) != (err == nil):
			t.Fatalf("certainty %d, %v", sure, err)
		case sure == written && copies < 1:
			t.Fatalf("% x counts as the answer", answer)
		case sure == notWritten && exceptionOf(err) == 0:
			t.Fatalf("nothing was written, it says, though it was sent: %v", err)
		}
		if got, sure, err := writeOn(t, transport, echoes, pdu, append(bytes.Repeat(want, 1), want...), int(piece)+1); sure != written {
			t.Fatalf("the answer to % x isn't taken: %v", got, err)
		}
	})
}
