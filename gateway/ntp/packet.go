package ntp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// packetBytes is the length of a packet without extensions: RFC 5905, 7.3.
const packetBytes = 48

const (
	version    = 4
	modeClient = 3
	modeServer = 4
)

// request is what a server is asked with. It says nothing of this machine: the
// server copies cookie, drawn at random, into the answer, which nobody else can
// know (RFC 9109, and draft-ietf-ntp-data-minimization).
func request(cookie uint64) []byte {
	p := make([]byte, packetBytes)
	p[0] = version<<3 | modeClient
	binary.BigEndian.PutUint64(p[40:], cookie)
	return p
}

// answer is a server's packet.
type answer struct {
	leap, stratum      uint8
	delay, dispersal   time.Duration // from the server to its reference clock
	reference          string        // with stratum 0 the kiss code
	set                telemetry.Micros
	received, answered telemetry.Micros
}

var errOther = errors.New("its answer is to another request")

// parse takes an answer to the request with that cookie apart.
func parse(p []byte, cookie uint64) (a answer, err error) {
	switch {
	case len(p) < packetBytes:
		return a, fmt.Errorf("its answer has %d bytes, expected %d", len(p), packetBytes)
	case p[0]&7 != modeServer:
		return a, fmt.Errorf("its packet has mode %d, expected %d", p[0]&7, modeServer)
	case p[0]>>3&7 < 3 || p[0]>>3&7 > version:
		return a, fmt.Errorf("it speaks version %d, expected %d", p[0]>>3&7, version)
	case binary.BigEndian.Uint64(p[24:]) != cookie:
		return a, errOther
	}
	return answer{
		leap: p[0] >> 6, stratum: p[1],
		delay: short(p[4:]), dispersal: short(p[8:]),
		reference: strings.ToValidUTF8(strings.TrimRight(string(p[12:16]), "\x00"), "?"),
		set:       instant(p[16:]), received: instant(p[32:]), answered: instant(p[40:]),
	}, nil
}

// short is a duration in units of 2⁻¹⁶ s.
func short(p []byte) time.Duration {
	return time.Duration(int64(binary.BigEndian.Uint32(p)) * int64(time.Second) >> 16)
}

// since1900 is the seconds from the start of NTP's first era until 1970.
const since1900 = 2_208_988_800

// instant is a time in seconds since 1900, modulo 2³², and units of 2⁻³² s: that one
// of them which is the nearest to the time when this program was written. 0 says
// that there is none.
func instant(p []byte) telemetry.Micros {
	if binary.BigEndian.Uint64(p) == 0 {
		return 0
	}
	second := int64(earliest) / 1_000_000
	second += int64(int32(binary.BigEndian.Uint32(p) - uint32(second+since1900)))
	fraction := uint64(binary.BigEndian.Uint32(p[4:])) * 1_000_000 >> 32
	return telemetry.Micros(second*1_000_000 + int64(fraction))
}

// earliest is a time that has passed when this program was written.
var earliest = telemetry.MicrosOf(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC))

// kiss is a refusal by a server: a kiss-o'-death packet, RFC 5905, 7.4. Other codes,
// or none, come from servers that don't know the time yet.
type kiss struct{ code string }

func (k kiss) Error() string { return fmt.Sprintf("it refuses to answer: %q", k.code) }

// final reports whether the server wants never to be asked again.
func (k kiss) final() bool { return k.code == "DENY" || k.code == "RSTR" }

const (
	notSynchronised = 3  // the leap indicator's alarm
	maxStratum      = 15 // of a server that is synchronised
	// longestUnset is how long ago a server may have been set itself: MAXPOLL.
	longestUnset = telemetry.Micros(1<<17) * 1_000_000
)

// check finds what makes an answer useless: RFC 5905, A.5.1.1.
func (a answer) check() error {
	switch {
	case a.stratum == 0 && (a.reference == "RATE" || kiss{a.reference}.final()):
		return kiss{a.reference}
	case a.stratum == 0, a.leap == notSynchronised, a.stratum > maxStratum:
		return errors.New("it isn't synchronised itself")
	case a.answered < earliest:
		return fmt.Errorf("it says that it is %v, which has passed", a.answered.Time())
	case a.answered < a.received:
		return errors.New("it answered before it was asked")
	case a.set == 0: // nothing obliges it to tell
	case a.set > a.answered:
		return errors.New("it was set at a time that hasn't come")
	case a.answered-a.set > longestUnset:
		return fmt.Errorf("it was last set at %v", a.set.Time().Truncate(time.Hour))
	}
	return nil
}
