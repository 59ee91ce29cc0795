// Package ntp asks time servers for the time by NTPv4 (RFC 5905), as a client
// that only listens. It sets no clock: what it finds is an offset from the
// kernel's time since the boot, which needs no right but to send packets, and
// works in a machine that booted in 1970.
package ntp

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// Options are what a Client needs.
type Options struct {
	Servers []string // host or host:port
	// SinceBoot is the clock that the servers are asked by. It must go evenly, and
	// never be set.
	SinceBoot func() telemetry.Micros
	// Offer is told what the servers agree on, and how many of them.
	Offer func(m Measurement, agreeing int)
	// Dial is net.Dialer's if it is nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// Client asks a list of servers again and again.
type Client struct {
	o       Options
	started time.Time

	mu      sync.Mutex
	servers []server
	last    Measurement // offered last; of no server before the first
	lastAt  time.Time
	trouble string // of the last round, "" if it gave the time
	pace    pace
	// What the most servers agreed on lately.
	agreed   Measurement
	agreedBy int
	agreedAt time.Time
}

// server is one of the list.
type server struct {
	name    string
	state   string // as last logged; "" is good
	resting time.Time
	rest    time.Duration // the next one's length
}

// New makes a client. Nothing is sent before Run.
func New(o Options) *Client {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	c := &Client{o: o, started: time.Now(), pace: pace{interval: shortest}}
	for _, name := range o.Servers {
		c.servers = append(c.servers, server{name: name})
	}
	return c
}

// Run asks until ctx ends.
func (c *Client) Run(ctx context.Context) {
	for {
		timer := time.NewTimer(c.round(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// round asks every server that doesn't rest once, and returns when to ask again.
func (c *Client) round(ctx context.Context) time.Duration {
	type reply struct {
		m   Measurement
		err error
	}
	replies := make([]reply, len(c.servers))
	var asking sync.WaitGroup
	asked := 0
	for i := range c.servers {
		if time.Now().Before(c.servers[i].resting) {
			continue
		}
		asked++
		asking.Go(func() { replies[i].m, replies[i].err = c.ask(ctx, c.servers[i].name) })
	}
	asking.Wait()
	if ctx.Err() != nil {
		return shortest
	}
	c.mu.Lock()
	var answers []Measurement
	for i, r := range replies {
		switch {
		case r.err != nil:
			c.servers[i].failed(r.err, c.o.Log)
		case r.m.Server != "":
			answers = append(answers, r.m)
		}
	}
	m, agreeing, ok := c.judge(answers)
	wait := c.pace.next(asked > 0, ok, m, c.last)
	if ok {
		c.last, c.lastAt, c.trouble = m, time.Now(), ""
		if agreeing >= c.agreedBy || time.Since(c.agreedAt) >= forget {
			c.agreed, c.agreedBy, c.agreedAt = m, agreeing, c.lastAt
		}
	}
	c.mu.Unlock()
	if ok {
		c.o.Offer(m, agreeing)
	}
	return wait
}

// judge decides what the answers of a round come to, and says what has changed.
func (c *Client) judge(answers []Measurement) (m Measurement, agreeing int, ok bool) {
	m, agreeing, others, ok := choose(answers)
	switch {
	case len(answers) == 0:
		c.trouble = "no server has given the time"
	case !ok:
		c.trouble = fmt.Sprintf("of the %d servers that answered no more than %d agree", len(answers), agreeing)
	case c.agreedBy > agreeing && m.contradicts(c.agreed) && time.Since(c.agreedAt) < forget:
		// The one server that is left may be the one that is wrong.
		c.trouble = fmt.Sprintf("%s contradicts what %d servers had agreed on", m.Server, c.agreedBy)
		ok = false
	}
	for _, a := range answers {
		s := &c.servers[slices.IndexFunc(c.servers, func(s server) bool { return s.name == a.Server })]
		s.rest = 0
		state := ""
		if slices.Contains(others, a) {
			state = wrong
		}
		s.change(state, c.o.Log)
	}
	return m, agreeing, ok
}

// forget is how long what servers agreed on isn't overturned by fewer.
const forget = 2 * time.Hour

// wrong is the state of a server that doesn't agree with the others.
const wrong = "it contradicts the others"

func (s *server) failed(err error, log *slog.Logger) {
	if k, refused := err.(kiss); refused {
		s.rest = min(max(longest, 2*s.rest), longestRest)
		if k.final() {
			s.rest = longestRest
		}
		s.resting = time.Now().Add(s.rest)
	}
	s.change(plain(err), log)
}

func (s *server) change(state string, log *slog.Logger) {
	if s.state == state {
		return
	}
	if s.state = state; state == "" {
		log.Info("time server answers", "server", s.name)
	} else {
		log.Warn("time server isn't used", "server", s.name, "cause", state)
	}
}

// Stats are a client's state for people.
type Stats struct {
	// Silent is for how long the servers have given no time, 0 if they did when they
	// were last asked, and Cause why.
	Silent time.Duration
	Cause  string
	// Unused are servers that aren't used, with the cause, and Wrong those of them
	// that contradict the others.
	Unused, Wrong []string
}

// Stats may be called at any time, also of no client.
func (c *Client) Stats() (s Stats) {
	if c == nil {
		return Stats{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.Cause = c.trouble; s.Cause != "" {
		since := c.lastAt
		if since.IsZero() {
			since = c.started
		}
		s.Silent = time.Since(since)
	}
	for _, server := range c.servers {
		if server.state != "" {
			s.Unused = append(s.Unused, server.name+": "+server.state)
		}
		if server.state == wrong {
			s.Wrong = append(s.Wrong, server.name)
		}
	}
	return s
}

const (
	// A server is asked every shortest at first, and up to longest when the clock
	// needs no correction.
	shortest = 64 * time.Second
	longest  = 1024 * time.Second
	// firstRetry is after the first round that gave no time; it is doubled each
	// time, up to the interval. RFC 4330 asks for 15 s at least.
	firstRetry = 16 * time.Second
	// longestRest is for a server that wants never to be asked again: addresses
	// change hands.
	longestRest = 24 * time.Hour
	// coarse is a correction that is worth asking more often for.
	coarse = telemetry.Micros(10_000)
)

// pace says how long to wait between rounds.
type pace struct {
	interval time.Duration
	retry    time.Duration // after the next failure; 0: the first
}

// next is how long to wait after a round that gave m, if ok, where last was given
// before.
func (p *pace) next(asked, ok bool, m, last Measurement) time.Duration {
	wait := p.interval
	first := last.Server == ""
	switch {
	case !asked:
	case !ok:
		// While the time isn't known it is worth more.
		most := longest
		if first {
			most = shortest
		}
		p.retry = min(max(firstRetry, 2*p.retry), most)
		wait = p.retry
	default:
		p.retry = 0
		if by := m.Began - last.Began; first || by > coarse || by < -coarse {
			p.interval = max(shortest, p.interval/2)
		} else {
			p.interval = min(longest, 2*p.interval)
		}
		wait = p.interval
	}
	// Gateways that lost their power together mustn't ask in step.
	return wait + rand.N(wait/8)
}
