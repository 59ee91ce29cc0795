package ft12

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/modbus"
	"github.com/busbar/busbar/adapters/wire"
)

// Config is a line and how it is spoken over: the same for all stations on it.
type Config struct {
	Endpoint modbus.Endpoint // a serial port, or a server that passes its octets on
	Balanced bool            // there is one station, and either end begins
	Octets   int             // of the link address, 0 to 2
	// Timeout is how long a station may take to begin its answer, beside the time on the
	// line.
	Timeout time.Duration
	Retries int // of what isn't answered
	// Poll is how often a station is asked that has had nothing to say; of a balanced one,
	// how long nothing may come before the link is tested.
	Poll time.Duration
}

// Station is one on a line.
type Station struct {
	Config
	Address uint16 // of the link
}

func (s Station) String() string {
	if s.Octets == 0 {
		return s.Endpoint.String()
	}
	return fmt.Sprintf("%v link %d", s.Endpoint, s.Address)
}

// Lines are the lines on which stations are. It is safe for concurrent use.
type Lines struct {
	mu   sync.Mutex
	open map[modbus.Endpoint]*line
	taps map[modbus.Endpoint]*wire.Tap
}

// Tap is told what goes over a line, frame by frame.
func (l *Lines) Tap(e modbus.Endpoint) *wire.Tap {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tap(e)
}

func (l *Lines) tap(e modbus.Endpoint) *wire.Tap {
	if l.taps == nil {
		l.taps = map[modbus.Endpoint]*wire.Tap{}
	}
	if l.taps[e] == nil {
		l.taps[e] = &wire.Tap{}
	}
	return l.taps[e]
}

// Open has a station be kept available until ctx ends. Stations of one endpoint share its
// line, and with it their Config.
func (l *Lines) Open(ctx context.Context, s Station) *Link {
	k := &Link{station: s, changed: make(chan struct{}), gone: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[modbus.Endpoint]*line{}
	}
	n := l.open[s.Endpoint]
	if n != nil {
		n.add(k)
	} else {
		running, stop := context.WithCancel(context.Background())
		n = &line{config: s.Config, tap: l.tap(s.Endpoint), open: opener(s.Endpoint), woken: make(chan struct{}, 1), stop: stop, ended: make(chan struct{})}
		l.open[s.Endpoint] = n
		n.add(k) // before it runs: a balanced line on which nobody is has ended
		go n.run(running)
	}
	context.AfterFunc(ctx, func() { l.leave(n, k) })
	return k
}

// leave takes a station off its line. The last one closes it before it is gone, so that
// who comes next finds the port free.
func (l *Lines) leave(n *line, k *Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(k.gone)
	defer k.left()
	if n.remove(k) > 0 {
		return
	}
	n.stop()
	<-n.ended
	delete(l.open, n.config.Endpoint)
}

// Link keeps a station available. It is safe for concurrent use.
type Link struct {
	station Station
	gone    chan struct{} // closed when it is off its line

	mu      sync.Mutex
	conn    *Conn // nil: it isn't available
	err     error // why not, the last time
	tries   int   // how many attempts have failed
	changed chan struct{}
	off     bool // it is off its line

	state // of the line's goroutine
}

// Wait returns when the station is off its line, after its context has ended.
func (k *Link) Wait() { <-k.gone }

func (k *Link) set(c *Conn, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn = c; c == nil {
		k.err = err
		k.tries++
	} else if k.off {
		c.Close()
	}
	close(k.changed)
	k.changed = make(chan struct{})
}

// left ends what is open of a link that is off its line.
func (k *Link) left() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.off = true; k.conn != nil {
		k.conn.Close()
	}
}

// Connected is where the station is, if it is available.
func (k *Link) Connected() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return nil
	}
	return []string{k.station.String()}
}

// Started returns the link once it is available. It fails when ctx ends, or an attempt to
// make it available has failed; the attempts go on.
func (k *Link) Started(ctx context.Context) (*Conn, error) {
	k.mu.Lock()
	before := k.tries
	k.mu.Unlock()
	for {
		k.mu.Lock()
		changed, c, err, tries := k.changed, k.conn, k.err, k.tries
		k.mu.Unlock()
		switch {
		case c != nil && c.Err() == nil && !c.isClosed():
			return c, nil
		case tries > before:
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
