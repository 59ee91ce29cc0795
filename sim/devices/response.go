package devices

import (
	"encoding/binary"
	"slices"
	"time"
)

// response is what goes out for one request, and what becomes of the connection.
type response struct {
	pieces []piece
	end    ending
	away   time.Duration // of a restart
}

// piece is some bytes that go out a while after those before them were due.
type piece struct {
	after time.Duration
	bytes []byte
}

type ending int

const (
	goesOn ending = iota
	hangsUp
	breaksOff
	restarts
)

// counter is a unit that counts something.
type counter interface{ ResetCounters() }

// respond is the response of a unit which does something wrong.
func (p *place) respond(b *behaviour, f framing, request []byte) response {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	s := b.draw(now)
	end := goesOn
	switch {
	case s.has(HangUp):
		end = hangsUp
	case s.has(Reset):
		end = breaksOff
	}
	if c, counts := p.unit.(counter); counts && s.has(CounterReset) {
		c.ResetCounters()
	}
	if m, is := s.of(Restart); is {
		b.away = now.Add(m.Time)
		return response{end: restarts, away: m.Time}
	}
	if now.Before(b.away) || s.has(Silent) || end != goesOn && !s.has(Truncated) {
		return response{end: end}
	}
	var frame []byte
	if m, is := s.of(Garbage); is {
		frame = b.nonsense(m.Number)
	} else {
		frame = b.frame(s, f, request, p.id, b.pdu(s, p.unit, f.pdu(request)))
	}
	var before []byte
	if s.has(Stale) {
		before = b.last
	}
	b.last = slices.Clone(frame)
	return response{pieces: b.pieces(s, f, before, frame), end: end}
}

// pdu is what the unit answers.
func (b *behaviour) pdu(s met, u Unit, request []byte) []byte {
	if e := b.refusal(s, request); e != 0 {
		return refuse(nil, request[0], e)
	}
	if !s.has(Stuck) {
		return answer(nil, u, request)
	}
	if b.stuck == nil {
		b.stuck = map[string][]byte{}
	}
	pdu, is := b.stuck[string(request)]
	if !is {
		pdu = answer(nil, u, request)
		b.stuck[string(request)] = pdu
	}
	return slices.Clone(pdu)
}

func (b *behaviour) refusal(s met, request []byte) Exception {
	for _, m := range s {
		switch m.Kind {
		case Refuse:
			return Exception(m.Number)
		case Busy:
			return DeviceBusy
		case GatewayPath:
			return PathUnavailable
		case GatewayTarget:
			return TargetDoesNotAnswer
		case Holes, Limit:
			address, quantity, ok := addresses(request)
			if ok && m.Kind == Holes && address <= m.Span.Last && m.Span.First < address+quantity {
				return IllegalAddress
			}
			if ok && m.Kind == Limit && quantity > m.Number {
				return IllegalValue
			}
		}
	}
	return 0
}

// addresses is what a request is about, if that is valid.
func addresses(request []byte) (address, quantity int, ok bool) {
	if Table(request[0]) >= Coils && Table(request[0]) <= InputRegisters {
		_, address, quantity, e := readOf(request)
		return address, quantity, e == 0
	}
	switch request[0] {
	case writeCoil, writeRegister, writeCoils, writeRegisters, maskRegister:
		w, e := writtenBy(request)
		return w.address, w.quantity, e == 0
	}
	return 0, 0, false
}

// frame is the answer with what is wrong about it.
func (b *behaviour) frame(s met, f framing, request []byte, unit byte, pdu []byte) []byte {
	if pdu[0] <= byte(InputRegisters) {
		pdu = b.misread(s, pdu)
	}
	if m, is := s.of(WrongUnit); is {
		unit += byte(m.Number)
	}
	if s.has(WrongFunction) {
		pdu[0] = otherFunction(pdu[0])
	}
	frame := f.wrap(nil, request, unit, pdu)
	add := func(k Kind, at int) {
		if m, is := s.of(k); is {
			binary.BigEndian.PutUint16(frame[at:], binary.BigEndian.Uint16(frame[at:])+uint16(m.Number))
		}
	}
	if _, tcp := f.(mbap); tcp {
		add(WrongTransaction, 0)
		add(WrongLength, 4)
		if s.has(WrongProtocol) {
			frame[3] = 1
		}
	} else if s.has(WrongChecksum) {
		frame[len(frame)-1] ^= 1
	}
	if m, is := s.of(Truncated); is {
		frame = frame[:max(0, len(frame)-m.Number)]
	}
	return frame
}

// misread changes the answer to a read. What is no answer to its request has other
// values, as that to another request would.
func (b *behaviour) misread(s met, pdu []byte) []byte {
	size := 2
	if !Table(pdu[0]).registers() {
		size = 1
	}
	if s.has(Short) {
		pdu = pdu[:max(2, len(pdu)-size)]
	}
	if s.has(Long) {
		pdu = append(pdu, make([]byte, size)...)
	}
	pdu[1] = byte(len(pdu) - 2)
	if slices.ContainsFunc(s, func(m Misbehaviour) bool { info, _ := infoOf(m.Kind); return info.altered }) {
		for i := range pdu[2:] {
			pdu[2+i] = ^pdu[2+i]
		}
	}
	return pdu
}

// otherFunction reads the table beside that which a function reads.
func otherFunction(function byte) byte {
	switch Table(function) {
	case Coils, DiscreteInputs:
		return function ^ 3
	case HoldingRegisters, InputRegisters:
		return function ^ 7
	}
	return function + 1
}

// pieces is how the bytes go out.
func (b *behaviour) pieces(s met, f framing, before, frame []byte) []piece {
	var all []byte
	_, tcp := f.(mbap)
	noise := func() {
		if m, is := s.of(Noise); is {
			all = append(all, b.nonsense(m.Number)...)
		}
	}
	all = append(all, before...)
	if !tcp {
		noise()
	}
	all = append(all, frame...)
	if s.has(Duplicate) {
		all = append(all, frame...)
	}
	if tcp {
		noise()
	}
	late, _ := s.of(Late)
	if m, is := s.of(Drip); is {
		var pieces []piece
		for i := range all {
			pieces = append(pieces, piece{m.Time, all[i : i+1]})
		}
		if len(pieces) > 0 {
			pieces[0].after = late.Time
		}
		return pieces
	}
	if m, is := s.of(Split); is && len(all) > 1 {
		middle := len(all) / 2
		return []piece{{late.Time, all[:middle]}, {m.Time, all[middle:]}}
	}
	return []piece{{late.Time, all}}
}

func (b *behaviour) nonsense(n int) []byte {
	bytes := make([]byte, n)
	for i := range bytes {
		bytes[i] = byte(b.random.Uint32())
	}
	return bytes
}
