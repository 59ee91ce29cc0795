package opcuaconn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/uacp"
	"github.com/gopcua/opcua/uapolicy"
)

// A server that says something else than a server should, or nothing.
func TestBadServers(t *testing.T) {
	ack := func(a uacp.Acknowledge) []byte {
		body, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.LittleEndian.AppendUint32([]byte("ACKF"), uint32(8+len(body))), body...)
	}
	good := ack(uacp.Acknowledge{ReceiveBufSize: 65535, SendBufSize: 65535})
	refusal := []byte("ERRF\x10\x00\x00\x00\x00\x00\x83\x80\xff\xff\xff\xff")
	for what, c := range map[string]struct {
		says []byte
		want string
	}{
		"nothing":                       {nil, "doesn't answer in time"},
		"another protocol":              {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), `begins with "HTTP"`},
		"a refusal":                     {refusal, "the server ends the connection: BadTCPEndpointURLInvalid"},
		"a chunk without end":           {[]byte("ACKF\xff\xff\xff\xff"), "chunk of 4294967295 bytes"},
		"a chunk that is none":          {[]byte("ACKF\x01\x00\x00\x00"), "chunk of 1 bytes"},
		"half an acknowledgement":       {[]byte("ACKF\x0c\x00\x00\x00\x00\x00\x00\x00"), "an acknowledgement"},
		"that it takes next to nothing": {ack(uacp.Acknowledge{ReceiveBufSize: 16}), "chunks of 16 bytes only"},
		"a message first":               {[]byte("MSGF\x08\x00\x00\x00"), "instead of an acknowledgement"},
		"no channel":                    {good, "open a secure channel: the server doesn't answer in time"},
		"a message without a channel":   {append(bytes.Clone(good), "MSGF\x18\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"...), "of another channel"},
		"a channel with another policy": {append(bytes.Clone(good), "OPNF\x18\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...), errProtection.Error()},
		"goodbye":                       {append(bytes.Clone(good), "CLOF\x10\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"...), "has closed the connection"},
		"a refusal of the channel":      {append(bytes.Clone(good), refusal...), "BadTCPEndpointURLInvalid"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				conn.Write(c.says)
				for b := make([]byte, 1024); err == nil; _, err = conn.Read(b) {
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = Dial(ctx, Config{Endpoint: "opc.tcp://" + l.Addr().String(), Security: Security{Policy: PolicyNone}}, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, expected %s", err, c.want)
			}
		})
	}
}

func TestNothingIsSentOpenlyToOtherMachines(t *testing.T) {
	if _, err := Dial(t.Context(), Config{Endpoint: "opc.tcp://192.0.2.1", Security: Security{Policy: PolicyNone}}, Options{}); err == nil || !strings.Contains(err.Error(), "is refused") {
		t.Errorf("%v", err)
	}
}

// keysOf are those of both ends of a channel.
func keysOf(t testing.TB, policy Policy) (ours, servers *uapolicy.EncryptionAlgorithm) {
	t.Helper()
	a, b := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	ours, err := uapolicy.Symmetric(policy.URI(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	if servers, err = uapolicy.Symmetric(policy.URI(), b, a); err != nil {
		t.Fatal(err)
	}
	return ours, servers
}

// receiving is the receiver of channel 7 with the key 1, where somebody waits for the
// answer to request 5.
func receiving(t testing.TB, policy Policy, mode Mode) (*receiver, *uapolicy.EncryptionAlgorithm, chan reply) {
	ours, servers := keysOf(t, policy)
	answer := make(chan reply, 1)
	c := &channel{protect: protection{policy: policy, mode: mode}, id: 7, tokens: []token{{1, ours}},
		waiting: map[uint32]chan reply{5: answer}, lost: make(chan struct{}), opened: make(chan time.Duration, 1)}
	return &receiver{channel: c, parts: map[uint32][]byte{}}, servers, answer
}

// chunk is one of a message from the server.
func chunk(t testing.TB, kind byte, channel, key, sequence, request uint32, body []byte, keys *uapolicy.EncryptionAlgorithm, mode Mode) []byte {
	t.Helper()
	out := []byte{'M', 'S', 'G', kind, 0, 0, 0, 0}
	for _, v := range []uint32{channel, key, sequence, request} {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	out, err := seal(append(out, body...), chunkHeader+4, keys, mode)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestChunks(t *testing.T) {
	type part struct {
		kind                            byte
		channel, key, sequence, request uint32
		body                            string
	}
	for what, c := range map[string]struct {
		parts []part
		want  string // the answer
		err   string // what ends the channel
	}{
		"one":                            {[]part{{final, 7, 1, 1, 5, "whole"}}, "whole", ""},
		"three":                          {[]part{{intermediate, 7, 1, 1, 5, "in "}, {intermediate, 7, 1, 2, 5, "three "}, {final, 7, 1, 3, 5, "parts"}}, "in three parts", ""},
		"between others":                 {[]part{{intermediate, 7, 1, 8, 5, "a"}, {final, 7, 1, 9, 4, "nobody waits"}, {final, 7, 1, 10, 5, "b"}}, "ab", ""},
		"twice":                          {[]part{{final, 7, 1, 1, 5, "first"}, {final, 7, 1, 2, 5, "second"}}, "first", ""},
		"around the end":                 {[]part{{intermediate, 7, 1, math.MaxUint32 - 5, 5, "a"}, {final, 7, 1, 1, 5, "b"}}, "ab", ""},
		"broken off":                     {[]part{{intermediate, 7, 1, 1, 5, "a"}, {aborted, 7, 1, 2, 5, "\x00\x00\x80\x80\xff\xff\xff\xff"}}, "error: the server breaks its answer off: BadTCPMessageTooLarge", ""},
		"of another channel":             {[]part{{final, 8, 1, 1, 5, "a"}}, "", "of another channel"},
		"by a key that nobody has given": {[]part{{final, 7, 2, 1, 5, "a"}}, "", "a key that it hasn't been given"},
		"again":                          {[]part{{intermediate, 7, 1, 1, 5, "a"}, {intermediate, 7, 1, 1, 5, "a"}}, "", "chunk 1 follows chunk 1"},
		"with one missing":               {[]part{{intermediate, 7, 1, 1, 5, "a"}, {final, 7, 1, 3, 5, "a"}}, "", "chunk 3 follows chunk 1"},
	} {
		for _, mode := range []Mode{Sign, SignAndEncrypt} {
			r, keys, answer := receiving(t, Basic256Sha256, mode)
			var err error
			for _, p := range c.parts {
				if err = r.take(chunk(t, p.kind, p.channel, p.key, p.sequence, p.request, []byte(p.body), keys, mode)); err != nil {
					break
				}
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s, %s: %v, expected %q", what, mode, err, c.err)
			}
			got := ""
			select {
			case a := <-answer:
				if got = string(a.body); a.err != nil {
					got = "error: " + a.err.Error()
				}
			default:
			}
			if got != c.want || r.held != 0 && c.err == "" {
				t.Errorf("%s, %s: %q, expected %q; %d bytes are kept", what, mode, got, c.want, r.held)
			}
		}
	}
}

// What somebody on the way has changed, anywhere, is noticed.
func TestChangedChunks(t *testing.T) {
	for _, policy := range []Policy{Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss} {
		for _, mode := range []Mode{Sign, SignAndEncrypt} {
			_, keys, _ := receiving(t, policy, mode)
			good := chunk(t, final, 7, 1, 1, 5, []byte("a message"), keys, mode)
			for i := 4; i < len(good); i++ {
				r, _, answer := receiving(t, policy, mode)
				changed := bytes.Clone(good)
				changed[i] ^= 1
				if err := r.take(changed); err == nil || len(answer) > 0 {
					t.Errorf("%s, %s: byte %d of %d", policy, mode, i, len(good))
				}
			}
			for i := range good {
				r, _, answer := receiving(t, policy, mode)
				if err := r.take(good[:i]); err == nil || len(answer) > 0 {
					t.Errorf("%s, %s: %d bytes of %d", policy, mode, i, len(good))
				}
			}
		}
	}
}

// Answers that don't end don't fill the memory.
func TestEndlessAnswers(t *testing.T) {
	r, keys, _ := receiving(t, Basic256Sha256, Sign)
	body := make([]byte, 60000)
	for i := uint32(1); ; i++ {
		err := r.take(chunk(t, intermediate, 7, 1, i, 5, body, keys, Sign))
		if err != nil {
			if !errors.Is(err, errWire) || r.held > longestMessage {
				t.Errorf("%v with %d bytes", err, r.held)
			}
			return
		}
		if i > 2*longestMessage/uint32(len(body)) {
			t.Fatalf("%d bytes are kept", r.held)
		}
	}
}

// A message just as long as fits a chunk, and one byte more, with every policy and mode.
func TestFullChunks(t *testing.T) {
	for _, policy := range []Policy{Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss} {
		for _, mode := range []Mode{Sign, SignAndEncrypt} {
			ours, servers := keysOf(t, policy)
			for size := shortestChunk; size < shortestChunk+40; size++ {
				most := (protection{policy: policy, mode: mode}).mostBody(size, ours)
				full := chunk(t, final, 7, 1, 1, 5, make([]byte, most), ours, mode)
				over := chunk(t, final, 7, 1, 1, 5, make([]byte, most+1), ours, mode)
				if len(full) > size || len(over) <= size {
					t.Errorf("%s, %s: %d bytes make a chunk of %d, one more one of %d: %d fit", policy, mode, most, len(full), len(over), size)
				}
				if body, err := unseal(full, chunkHeader+4, servers, mode, false); err != nil || len(body) != most+sequenceHeader {
					t.Errorf("%s, %s: %d bytes, %v", policy, mode, len(body), err)
				}
			}
		}
	}
}

// FuzzTake: whatever chunks a server sends, nothing panics, and no more is kept than came.
func FuzzTake(f *testing.F) {
	for _, mode := range []Mode{ModeNone, Sign, SignAndEncrypt} {
		_, keys, _ := receiving(f, Basic256Sha256, mode)
		f.Add(byte(len(mode)), chunk(f, final, 7, 1, 1, 5, []byte("whole"), keys, mode))
		f.Add(byte(len(mode)), append(chunk(f, intermediate, 7, 1, 1, 5, []byte("a"), keys, mode), chunk(f, aborted, 7, 1, 2, 5, []byte("b"), keys, mode)...))
	}
	f.Add(byte(0), (protection{policy: PolicyNone}).openHeader(7))
	f.Fuzz(func(t *testing.T, which byte, sent []byte) {
		mode := []Mode{ModeNone, Sign, SignAndEncrypt}[which%3]
		policy := Basic256Sha256
		if mode == ModeNone {
			policy = PolicyNone
		}
		r, _, _ := receiving(t, policy, mode)
		in, buffer := bytes.NewReader(sent), make([]byte, longestChunk)
		for {
			one, err := readChunk(in, buffer)
			if err != nil {
				return
			}
			if err := r.take(one); err != nil {
				return
			}
			if r.held > len(sent) {
				t.Fatalf("%d bytes of %d", r.held, len(sent))
			}
		}
	})
}
