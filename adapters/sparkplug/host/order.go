package host

import (
	"bytes"
	"fmt"
	"time"

	"github.com/busbar/busbar/adapters/sparkplug/payload"
	"github.com/busbar/busbar/adapters/sparkplug/topic"
)

// message is one of a node.
type message struct {
	*route
	payload []byte
}

// order is in which the messages of a node are taken: that of their numbers, which go
// from 0 to 255 and begin again.
type order struct {
	next    uint8
	held    map[uint8]held // those that came before their turn
	bytes   int            // that these take
	missing [4]uint64      // the numbers, as bits, that were passed over
	giveUp  time.Time      // when no longer waited for what is missing; zero: nothing is
}

type held struct {
	message
	at time.Time
}

// size is what a message takes while it waits, in bytes.
func (m held) size() int { return len(m.payload) + 128 }

const (
	// window is how far ahead of its turn a message may be; behind that it is a late one.
	window = 128
	// behindLast is where the message is that was the last one: it has come twice.
	behindLast = 255
	// maxHeld bounds what waits of one node, and maxHeldTogether that of all, in bytes.
	maxHeld         = 1 << 20
	maxHeldTogether = 16 << 20
)

// begin has messages of a node be taken from a number on, which is that behind a birth's,
// and forgets those that wait.
func (h *Host) begin(n *node, next uint8) {
	h.held -= n.bytes
	n.order = order{next: next}
}

func (o *order) miss(seq uint8)        { o.missing[seq/64] |= 1 << (seq % 64) }
func (o *order) found(seq uint8)       { o.missing[seq/64] &^= 1 << (seq % 64) }
func (o *order) missed(seq uint8) bool { return o.missing[seq/64]>>(seq%64)&1 != 0 }

// pass goes on to the number behind seq.
func (o *order) pass(seq uint8) {
	o.found(seq)
	o.next = seq + 1
}

// message takes a message as it comes.
func (h *Host) message(at time.Time, m message) {
	n := m.node
	if err := h.decoder.Decode(m.payload); err != nil {
		h.note(n, m.device, "message of an edge node can't be read", fmt.Errorf("%s: %w", m.kind, err))
		return
	}
	p := &h.decoder.Payload
	switch {
	case m.kind == topic.NDeath:
		h.died(n, at, p)
		return
	case p.HasSeq && p.Seq > 255:
		h.note(n, m.device, "message of an edge node can't be read", fmt.Errorf("%s: %w: its number is %d", m.kind, payload.ErrMalformed, p.Seq))
		return
	case m.kind == topic.NBirth:
		h.born(n, at, p)
		return
	case !n.online:
		h.ask(n, at)
		return
	case !p.HasSeq:
		h.process(at, m.route, p, false)
		return
	}
	seq := uint8(p.Seq)
	switch ahead := seq - n.next; {
	case ahead == 0:
		n.pass(seq)
		h.process(at, m.route, p, false)
		h.drain(n)
	case ahead < window:
		h.hold(n, seq, held{m, at})
	case n.missed(seq):
		n.found(seq)
		h.process(at, m.route, p, true)
	case ahead < behindLast:
		h.ask(n, at) // so many are missing that it can't be said how many
	}
}

// hold keeps a message until its turn comes.
func (h *Host) hold(n *node, seq uint8, m held) {
	if _, twice := n.held[seq]; twice {
		return
	}
	if n.held == nil {
		n.held = map[uint8]held{}
	}
	m.payload = bytes.Clone(m.payload) // which lies in more that came with it
	n.held[seq] = m
	n.bytes += m.size()
	h.held += m.size()
	if n.giveUp.IsZero() {
		n.giveUp = m.at.Add(h.config.ReorderTimeout)
		h.wake(n.giveUp)
	}
	if n.bytes > maxHeld || h.held > maxHeldTogether {
		h.release(n)
		h.ask(n, m.at)
	}
}

// drain takes those that were held and whose turn has come.
func (h *Host) drain(n *node) {
	for len(n.held) > 0 {
		m, ready := n.held[n.next]
		if !ready {
			return
		}
		h.takeHeld(n, n.next, m)
	}
	n.giveUp = time.Time{}
}

func (h *Host) takeHeld(n *node, seq uint8, m held) {
	delete(n.held, seq)
	n.bytes -= m.size()
	h.held -= m.size()
	n.pass(seq)
	if h.decoder.Decode(m.payload) == nil { // as it was when it came
		h.process(m.at, m.route, &h.decoder.Payload, false)
	}
}

// release takes all that are held, as what is missing isn't waited for any longer. If it
// comes after all, it is late.
func (h *Host) release(n *node) {
	if len(n.held) == 0 {
		return
	}
	lost := 0
	for len(n.held) > 0 {
		if m, ready := n.held[n.next]; ready {
			h.takeHeld(n, n.next, m)
			continue
		}
		seq := n.next
		n.pass(seq)
		n.miss(seq)
		lost++
	}
	n.giveUp = time.Time{}
	h.note(n, "", "messages of an edge node are missing", fmt.Errorf("%d of them didn't come in time", lost))
}
