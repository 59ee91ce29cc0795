package opcuaconn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/gopcua/opcua/ua"
)

var errHungUp = errors.New("the server has closed the connection")

// receive takes what the server sends until the channel is lost.
func (c *channel) receive() {
	in := receiver{channel: c, parts: map[uint32][]byte{}}
	r := bufio.NewReaderSize(c.conn, longestChunk)
	buffer := make([]byte, longestChunk)
	for {
		chunk, err := readChunk(r, buffer)
		if err == nil {
			err = in.take(chunk)
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errHungUp
			}
			c.fail(err)
			return
		}
	}
}

// receiver puts the chunks of messages together.
type receiver struct {
	*channel
	last  uint32 // sequence number
	begun bool
	parts map[uint32][]byte // of messages that aren't whole yet, by request
	held  int               // bytes of them
}

// take takes one chunk, which it doesn't keep.
func (r *receiver) take(chunk []byte) error {
	if len(chunk) < chunkHeader {
		return fmt.Errorf("%w: a chunk of %d bytes", errWire, len(chunk))
	}
	kind := string(chunk[:3])
	switch kind {
	case failure:
		refused, err := decodeServerError(chunk[8:])
		if err != nil {
			return err
		}
		return refused
	case open, message:
	default:
		return io.EOF
	}
	var body []byte
	var err error
	if kind == open {
		body, err = r.protect.unsealOpen(chunk)
	} else {
		body, err = r.unsealMessage(chunk)
	}
	if err != nil {
		return err
	}
	if len(body) < sequenceHeader {
		return fmt.Errorf("%w: a chunk without a sequence header", errWire)
	}
	sequence, request := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:])
	if err := r.follow(sequence); err != nil {
		return err
	}
	body = body[sequenceHeader:]
	if kind == open {
		if chunk[3] != final {
			return fmt.Errorf("%w: a secure channel in several chunks", errWire)
		}
		return r.takeOpen(body, request)
	}
	return r.join(chunk[3], request, body)
}

// unsealMessage is what the chunk of a message holds, by the key that it names.
func (r *receiver) unsealMessage(chunk []byte) ([]byte, error) {
	const clear = chunkHeader + 4
	if len(chunk) < clear {
		return nil, fmt.Errorf("%w: a chunk of %d bytes", errWire, len(chunk))
	}
	r.mu.Lock()
	id, tokens := r.id, r.tokens
	r.mu.Unlock()
	if binary.LittleEndian.Uint32(chunk[8:]) != id {
		return nil, fmt.Errorf("%w: a message of another channel", errWire)
	}
	for _, key := range tokens {
		if key.id == binary.LittleEndian.Uint32(chunk[chunkHeader:]) {
			return unseal(chunk, clear, key.keys, r.protect.mode, false)
		}
	}
	return nil, fmt.Errorf("%w: by a key that it hasn't been given", errProtection)
}

// follow checks that no chunk is missing, and none comes twice (OPC 10000-6, 6.7.2.4).
func (r *receiver) follow(sequence uint32) error {
	next := sequence == r.last+1
	around := r.last > math.MaxUint32-1024 && sequence < 1024
	if r.begun && !next && !around {
		return fmt.Errorf("%w: chunk %d follows chunk %d", errProtection, sequence, r.last)
	}
	r.last, r.begun = sequence, true
	return nil
}

// join puts a chunk to its message, and gives the whole one to who waits for it. What
// nobody waits for is left out.
func (r *receiver) join(kind byte, request uint32, body []byte) error {
	before, more := r.parts[request]
	r.mu.Lock()
	answer, ok := r.waiting[request]
	r.mu.Unlock()
	forget := func() {
		r.held -= len(before)
		delete(r.parts, request)
	}
	if !ok {
		forget()
		return nil
	}
	give := func(a reply) {
		select {
		case answer <- a:
		default: // it has had its answer
		}
	}
	switch {
	case kind == aborted:
		forget()
		why, err := decodeServerError(body)
		if err != nil {
			return err
		}
		give(reply{err: fmt.Errorf("the server breaks its answer off: %w", statusError(why.status))})
	case r.held+len(body) > longestMessage:
		return fmt.Errorf("%w: answers of more than %d bytes", errWire, longestMessage)
	case kind == intermediate:
		r.parts[request] = append(before, body...)
		r.held += len(body)
	case more:
		forget()
		give(reply{body: append(before, body...)})
	default:
		give(reply{body: append([]byte(nil), body...)})
	}
	return nil
}

// decode reads a response. gopcua's decoder panics on some of what a server may send.
func decode(body []byte) (response ua.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			response, err = nil, fmt.Errorf("%w: a message that can't be decoded: %v", errWire, p)
		}
	}()
	if err := bounded(body); err != nil {
		return nil, err
	}
	_, v, err := ua.DecodeService(body)
	if err != nil {
		return nil, fmt.Errorf("%w: a message that can't be decoded: %w", errWire, err)
	}
	response, ok := v.(ua.Response)
	if !ok || response.Header() == nil {
		return nil, fmt.Errorf("%w: %T instead of a response", errWire, v)
	}
	return response, nil
}

func encode(request ua.Request) ([]byte, error) {
	id := ua.ServiceTypeID(request)
	if id == 0 {
		return nil, fmt.Errorf("%T is no request", request)
	}
	body, err := ua.NewFourByteExpandedNodeID(0, id).Encode()
	if err != nil {
		return nil, err
	}
	rest, err := ua.Encode(request)
	return append(body, rest...), err
}

// statusError is a status that the server answers with, as the specification names it.
type statusError ua.StatusCode

func (e statusError) Error() string { return Status(ua.StatusCode(e)) }
func (e statusError) Unwrap() error { return ua.StatusCode(e) }
