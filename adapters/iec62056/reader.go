package iec62056

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// reader takes what a meter says, without what was sent to it: many optical heads give that
// back.
type reader struct {
	line    Line
	timeout time.Duration
	ctx     context.Context
	pending []byte // has come and isn't taken
	echo    []byte // may come back before anything else
}

func (r *reader) write(text string) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.line.SetWriteDeadline(time.Now().Add(r.timeout))
	_, err := r.line.Write([]byte(text))
	r.echo = []byte(text)
	return r.explain(err)
}

// more waits for the next bytes.
func (r *reader) more() error {
	var chunk [512]byte
	r.line.SetReadDeadline(time.Now().Add(r.timeout))
	if err := r.ctx.Err(); err != nil {
		return r.explain(err)
	}
	n, err := r.line.Read(chunk[:])
	for i, b := range chunk[:n] {
		chunk[i] = b & 0x7F // of eight bits that a server passes on, the highest is the parity
	}
	r.pending = append(r.pending, chunk[:n]...)
	if len(r.echo) > 0 && len(r.pending) >= len(r.echo) {
		r.pending = bytes.TrimPrefix(r.pending, r.echo)
		r.echo = nil
	}
	if n > 0 {
		return nil
	}
	return r.explain(err)
}

// echoing reports whether all that has come may be what was sent.
func (r *reader) echoing() bool {
	return len(r.echo) > 0 && bytes.HasPrefix(r.echo, r.pending)
}

func (r *reader) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(r.ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("it takes longer than %v", longestTime)
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing comes for %v: %w", r.timeout, os.ErrDeadlineExceeded)
	}
	return err
}

// identification is the line /XXXZ and what the meter calls itself, without its end.
func (r *reader) identification() ([]byte, error) {
	const most = 256
	for {
		if !r.echoing() {
			if at := bytes.IndexByte(r.pending, '/'); at > 0 {
				r.pending = r.pending[at:]
			}
			if end := bytes.IndexByte(r.pending, '\n'); end >= 0 {
				line := bytes.TrimSpace(r.pending[:end])
				if len(line) < 5 || line[0] != '/' {
					return nil, fmt.Errorf("%.40q, expected a line like /ABC5type", line)
				}
				r.pending = r.pending[end+1:]
				return line, nil
			}
			if len(r.pending) > most {
				return nil, fmt.Errorf("more than %d bytes without the end of a line", most)
			}
		}
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// acknowledge asks for the data read-out at a speed, with the one of baud.
func (r *reader) acknowledge(ctx context.Context, identification []byte, speed byte, baud int) error {
	wait := reaction
	if c := identification[3]; c >= 'a' && c <= 'z' {
		wait = quickReaction
	}
	select {
	case <-ctx.Done():
		return r.explain(ctx.Err())
	case <-time.After(wait):
	}
	r.pending = r.pending[:0]
	if err := r.write(string([]byte{ack, '0', speed, '0', '\r', '\n'})); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	// What is written is under way for this long, whatever the port says.
	time.Sleep(time.Duration(len(r.echo)*10) * time.Second / time.Duration(baud))
	return nil
}

// block is the data block, of which the check character is right, or that has none, as meters
// of mode A may.
func (r *reader) block() ([]byte, error) {
	begin := -1 // of the block in pending
	checked := false
	seen := 0
	for {
		if begin < 0 && !r.echoing() {
			switch at := bytes.IndexByte(r.pending, stx); {
			case at >= 0:
				begin, checked = at+1, true
			case bytes.IndexByte(r.pending, '(') >= 0:
				begin = 0
			}
			seen = max(0, begin)
		}
		if begin >= 0 {
			if end, whole := blockEnd(r.pending[begin:], checked, seen-begin); whole {
				return check(r.pending[begin:], end, checked)
			}
			seen = max(begin, len(r.pending)-2)
		}
		if len(r.pending) > longest {
			return nil, fmt.Errorf("more than %d bytes without the end of a read-out", longest)
		}
		if err := r.more(); err != nil {
			return nil, err
		}
	}
}

// blockEnd is where a block ends, at ETX or, without check characters, at a line with !. From
// is up to where it has been looked for before.
func blockEnd(block []byte, checked bool, from int) (end int, whole bool) {
	from = max(0, from)
	if checked {
		at := bytes.IndexByte(block[from:], etx)
		return from + at, at >= 0 && from+at+1 < len(block)
	}
	at := bytes.Index(block[from:], []byte("!\r\n"))
	return from + at, at >= 0
}

// check is the data of a block that ends with ! at end, or of which ETX stands there and the
// check character behind it: all of it behind STX, ETX too, is 0 by exclusive or with that.
func check(block []byte, end int, checked bool) ([]byte, error) {
	if !checked {
		return block[:end], nil
	}
	bcc := byte(0)
	for _, b := range block[:end+1] {
		bcc ^= b
	}
	if told := block[end+1]; told != bcc {
		return nil, fmt.Errorf("the check character is %#02x, the meter says %#02x", bcc, told)
	}
	if last := bytes.LastIndexByte(block[:end], '!'); last >= 0 {
		end = last
	}
	return block[:end], nil
}
