// Package controlling is a controlling station of IEC 60870-5-104: it keeps the links to a
// controlled station, interrogates it and sees to it that the answer is whole, takes what
// it tells, and commands it.
package controlling

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/adapters/wire"
)

// Links are how a controlled station is reached. Several addresses are a redundancy group:
// all of them are connected, and one is started.
type Links struct {
	Addresses []string      // host:port
	TLS       *tls.Config   // nil: none
	T0        time.Duration // for a connection, with its encryption
	Link      link.Config
	Tap       *wire.Tap // told what goes over all of them; nil: nobody
}

// Group keeps links connected until its context ends.
type Group struct {
	links Links

	mu      sync.Mutex
	up      []*link.Conn // by address; nil: not connected
	failed  []error      // why not, the last time
	tries   []int        // how many attempts have ended
	changed chan struct{}
	next    int // the address that is started first
	running sync.WaitGroup
}

// Between attempts to connect, the wait doubles from the first to the last of these, each
// drawn between half of it and all of it.
const (
	firstWait = time.Second
	lastWait  = 10 * time.Second
	// settled is how long a connection has to have lasted for the next wait to be the first.
	settled = time.Minute
)

// Open connects the links, and again whenever they have failed, until ctx ends.
func Open(ctx context.Context, l Links) *Group {
	n := len(l.Addresses)
	g := &Group{links: l, up: make([]*link.Conn, n), failed: make([]error, n), tries: make([]int, n), changed: make(chan struct{})}
	for i := range l.Addresses {
		g.running.Go(func() { g.keep(ctx, i) })
	}
	return g
}

// Wait returns when all links are closed, after the context has ended.
func (g *Group) Wait() { g.running.Wait() }

// Connected are the addresses that are connected, whether they are started or not.
func (g *Group) Connected() (list []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, c := range g.up {
		if c != nil {
			list = append(list, g.links.Addresses[i])
		}
	}
	return list
}

func (g *Group) set(i int, c *link.Conn, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.up[i] = c
	if c == nil {
		g.failed[i] = err
		g.tries[i]++
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// keep keeps one link connected.
func (g *Group) keep(ctx context.Context, i int) {
	wait := firstWait
	for {
		c, err := g.dial(ctx, g.links.Addresses[i])
		if err == nil {
			began := time.Now()
			g.set(i, c, nil)
			select {
			case <-c.Ended():
			case <-ctx.Done():
			}
			c.Close()
			<-c.Ended()
			err = c.Err()
			if time.Since(began) > settled {
				wait = firstWait
			}
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		g.set(i, nil, fmt.Errorf("%s: %w", g.links.Addresses[i], err))
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, lastWait)
	}
}

// dial makes a connection. That its encryption seems to be complete says nothing about
// whether the station takes our certificate: by TLS 1.3 that shows only when it answers.
func (g *Group) dial(ctx context.Context, address string) (*link.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, g.links.T0)
	defer cancel()
	var d interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if g.links.TLS != nil {
		d = &tls.Dialer{Config: g.links.TLS}
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return link.Drive(g.links.Tap.Conn(c), g.links.Link, link.Controlling), nil
}

// errNone is that no attempt has ended yet.
var errNone = errors.New("iec104: no link is connected")

// Started returns a link that has confirmed to be started: one that is connected, or the
// first that comes to be. It fails when ctx ends, or when each address has failed once
// more without one; the group then goes on connecting.
func (g *Group) Started(ctx context.Context) (Link, error) {
	g.mu.Lock()
	before := append([]int(nil), g.tries...)
	g.mu.Unlock()
	for {
		g.mu.Lock()
		changed := g.changed
		var c *link.Conn
		at, all := 0, true
		for n := range g.up {
			i := (g.next + n) % len(g.up)
			if g.up[i] != nil && g.up[i].Err() == nil && c == nil {
				c, at = g.up[i], i
			}
			all = all && g.tries[i] > before[i]
		}
		err := errors.Join(g.failed...)
		g.mu.Unlock()
		switch {
		case c != nil:
			if err := c.Start(ctx); err == nil {
				return c, nil
			} else if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			g.mu.Lock()
			g.next = (at + 1) % len(g.up)
			g.mu.Unlock()
			if len(g.up) > 1 {
				continue
			}
		case all && err == nil:
			return nil, errNone
		case all:
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
