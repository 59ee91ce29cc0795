package ntp

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/busbar/busbar/telemetry"
)

var quiet = slog.New(slog.DiscardHandler)

// noon is when the machine of these tests booted.
var noon = telemetry.MicrosOf(time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC))

// fake is a time server. Its clock is off by what it is told.
type fake struct {
	off       time.Duration
	leap      byte
	stratum   byte // 0: a kiss of death
	code      string
	delay     time.Duration // root delay
	dispersal time.Duration
	stale     time.Duration // since it was set itself
	mute      bool
	change    func(answer []byte)

	mu    sync.Mutex
	asked []time.Time
}

func good() *fake { return &fake{stratum: 2, delay: time.Millisecond, dispersal: time.Millisecond} }

// world has servers by name, and a clock that began at noon.
type world struct {
	began   time.Time
	servers map[string]*fake
}

func (w *world) sinceBoot() telemetry.Micros {
	return telemetry.Micros(time.Since(w.began).Microseconds()) + 5_000_000
}

func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	s := w.servers[name]
	if err != nil || s == nil {
		return nil, &net.DNSError{Err: "no such host", Name: address}
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		request := make([]byte, 48)
		if _, err := io.ReadFull(far, request); err != nil {
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, time.Now())
		mute := s.mute
		s.mu.Unlock()
		if !mute {
			far.Write(s.answer(request, noon+w.sinceBoot()))
		}
		io.ReadFull(far, request) // until the other end gives up
	}()
	return near, nil
}

// set changes the server.
func (s *fake) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *fake) answer(request []byte, now telemetry.Micros) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	now += telemetry.Micros(s.off.Microseconds())
	a := make([]byte, 48)
	a[0] = s.leap<<6 | 4<<3 | 4
	a[1] = s.stratum
	a[2], a[3] = 6, 0xe8
	short := func(at int, d time.Duration) {
		binary.BigEndian.PutUint32(a[at:], uint32(int64(d)<<16/int64(time.Second)))
	}
	long := func(at int, t telemetry.Micros) {
		binary.BigEndian.PutUint64(a[at:], uint64(int64(t)/1_000_000+2_208_988_800)<<32|uint64(int64(t)%1_000_000)<<32/1_000_000)
	}
	short(4, s.delay)
	short(8, s.dispersal)
	copy(a[12:16], s.code)
	long(16, now-telemetry.Micros(s.stale.Microseconds()))
	copy(a[24:32], request[40:48])
	long(32, now)
	long(40, now)
	if s.change != nil {
		s.change(a)
	}
	return a
}

func (s *fake) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.asked...)
}

// offers are what a client has offered.
type offers struct {
	mu   sync.Mutex
	list []Measurement
	by   []int
}

func (o *offers) offer(m Measurement, agreeing int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list, o.by = append(o.list, m), append(o.by, agreeing)
}

func (o *offers) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list)
}

func (w *world) client(o *offers, names ...string) *Client {
	return New(Options{Servers: names, SinceBoot: w.sinceBoot, Offer: o.offer, Dial: w.dial, Log: quiet})
}
