package explain

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/busbar/busbar/adapters/iec104/apdu"
	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/ft12"
)

// Stream explains what goes one way over a link, however it is cut into pieces. The zero
// value isn't one: Params are needed.
type Stream struct {
	Params asdu.Params
	Serial bool // frames of FT 1.2
	Link   int  // octets of the link address; of Serial

	rest []byte
}

// Take explains the frames that are there as a whole. After octets that aren't one, it goes
// on with the next piece, as nothing says where a frame begins.
func (s *Stream) Take(b []byte) (lines []string) {
	s.rest = append(s.rest, b...)
	for len(s.rest) > 0 {
		line, n, err := s.next(s.rest)
		if err != nil {
			lines = append(lines, "bad: "+bare(err)+": "+hex.EncodeToString(s.rest))
			s.rest = nil
			break
		}
		if n == 0 {
			break
		}
		lines = append(lines, line)
		s.rest = s.rest[n:]
	}
	return lines
}

// End explains what is left.
func (s *Stream) End() []string {
	if len(s.rest) == 0 {
		return nil
	}
	line := "bad: it isn't there as a whole: " + hex.EncodeToString(s.rest)
	s.rest = nil
	return []string{line}
}

func bare(err error) string {
	text := strings.TrimPrefix(err.Error(), "iec104: ")
	return strings.TrimPrefix(text, "ft12: ")
}

// next explains the first frame; n is 0 if it isn't there as a whole.
func (s *Stream) next(b []byte) (line string, n int, err error) {
	if s.Serial {
		f, n, err := ft12.Parse(b, s.Link)
		if err != nil || n == 0 {
			return "", 0, err
		}
		return s.with(f.String(), f.ASDU), n, nil
	}
	// What is wrong is told as soon as it is there.
	if b[0] != apdu.Start || len(b) >= 2 && (b[1] < 4 || int(b[1]) > apdu.MaxLen-2) {
		_, err := apdu.Parse(b)
		if err == nil || len(b) < 6 {
			err = fmt.Errorf("%w: % x", apdu.ErrStart, b[:1])
			if b[0] == apdu.Start {
				err = fmt.Errorf("%w: %d", apdu.ErrLength, b[1])
			}
		}
		return "", 0, err
	}
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return "", 0, nil
	}
	n = 2 + int(b[1])
	f, err := apdu.Parse(b[:n])
	if err != nil {
		return "", 0, err
	}
	return s.with(f.String(), f.ASDU), n, nil
}

func (s *Stream) with(frame string, b []byte) string {
	if b == nil {
		return frame
	}
	return frame + "  " + ASDU(s.Params, b)
}
