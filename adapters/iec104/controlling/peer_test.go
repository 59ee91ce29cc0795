package controlling

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/iec104peer"
)

// heard keeps what a station tells.
type heard struct {
	mu    sync.Mutex
	last  map[uint32]asdu.Object
	cause map[uint32]asdu.Cause
	ended []ended
}

type ended struct {
	of      asdu.Type
	e       Ending
	objects int
}

func (h *heard) Told(a *asdu.ASDU, _ time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range a.Len() {
		o := a.Object(i)
		h.last[o.Address], h.cause[o.Address] = o, a.Cause
	}
	return nil
}

func (h *heard) Idle() error { return nil }

func (h *heard) Keep(done func(bool)) error { done(true); return nil }

func (h *heard) Ended(of asdu.Type, _ uint16, e Ending, objects int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = append(h.ended, ended{of, e, objects})
	return nil
}

func (h *heard) has(of asdu.Type, e Ending) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.ended {
		if one.of == of && one.e == e {
			return true
		}
	}
	return false
}

func (h *heard) value(address uint32) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, told := h.last[address]
	if !told {
		return -1e9
	}
	return o.Value
}

func (h *heard) of(address uint32) (asdu.Object, asdu.Cause) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[address], h.cause[address]
}

var settings = Config{
	Params: asdu.IEC104, Stations: []uint16{1}, Originator: 7, Counters: time.Hour, Sync: time.Hour, Zone: time.UTC, Respond: time.Second,
}

func encryption(t testing.TB, keys *iec104peer.Keys, pair iec104peer.Pair) *tls.Config {
	t.Helper()
	own, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(keys.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, RootCAs: roots}
}

// run has a station asked until the test ends.
func run(t testing.TB, g *Group, config Config) (*Client, *heard) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := g.Started(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c, h := NewClient(conn, config, slog.New(slog.DiscardHandler)), &heard{last: map[uint32]asdu.Object{}, cause: map[uint32]asdu.Cause{}}
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(running, h)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return c, h
}

func open(t testing.TB, encryption *tls.Config, addresses ...string) *Group {
	ctx, cancel := context.WithCancel(context.Background())
	g := Open(ctx, Links{Addresses: addresses, TLS: encryption, T0: 10 * time.Second, Link: link.Default})
	t.Cleanup(func() {
		cancel()
		g.Wait()
	})
	return g
}

// Everything that is told, asked for and commanded goes between us and stations that we
// didn't write, with and without encryption.
func TestStations(t *testing.T) {
	for _, kind := range iec104peer.Kinds {
		for _, encrypted := range []bool{false, true} {
			name := string(kind)
			if encrypted {
				name += ", encrypted"
			}
			t.Run(name, func(t *testing.T) {
				var keys *iec104peer.Keys
				var config *tls.Config
				if encrypted {
					keys = iec104peer.NewKeys(t)
					config = encryption(t, keys, keys.Client)
				}
				s := iec104peer.Start(t, kind, keys)
				c, h := run(t, open(t, config, s.Address()), settings)
				converse(t, kind, s, c, h)
			})
		}
	}
}

func converse(t *testing.T, kind iec104peer.Kind, s *iec104peer.Station, c *Client, h *heard) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	await.True(t, "interrogations and clock are complete", func() bool {
		return h.has(asdu.Interrogation, Complete) && h.has(asdu.CounterInterrogation, Complete) && h.has(asdu.ClockSync, Complete)
	})
	for address, want := range map[uint32]float64{1001: 1, 1002: 1, 1003: 10.5, 1004: -321, 1005: 4711} {
		if got := h.value(address); got != want {
			t.Errorf("%d is %v, expected %v", address, got, want)
		}
	}
	await.True(t, "the clock is set", func() bool { return strings.Contains(s.Said(), "clock ") })

	s.Do("set 1001 2")
	await.True(t, "the switch is told", func() bool { return h.value(1001) == 2 })
	if o, cause := h.of(1001); cause != asdu.Spontaneous || !o.Time.Believable() {
		t.Errorf("%v %+v", cause, o)
	} else if at, _ := o.Time.In(time.UTC); time.Since(at).Abs() > time.Minute {
		t.Errorf("it is told of %v", at)
	}
	s.Do("invalid 1004")
	await.True(t, "it is invalid", func() bool { o, _ := h.of(1004); return o.Quality&asdu.Invalid != 0 })

	if err := c.Read(ctx, 1, 1002); err != nil {
		t.Error("read:", err)
	} else if _, cause := h.of(1002); cause != asdu.Requested {
		t.Error("read:", cause)
	}
	if err := c.Test(ctx, 1); err != nil {
		t.Error("test:", err)
	}

	breaker := Command{Station: 1, Type: asdu.DoubleCommand, Object: asdu.Object{Address: 2001, Value: 1}}
	var refused RefusedError
	if _, err := c.Command(ctx, breaker); !errors.As(err, &refused) || !NotSent(err) {
		t.Error("it is executed without being selected:", err)
	}
	selecting := breaker
	selecting.Object.Select = true
	if _, err := c.Command(ctx, selecting); err != nil {
		t.Fatal("select:", err)
	}
	done, err := c.Command(ctx, breaker)
	if err != nil {
		t.Fatal("execute:", err)
	}
	if err := <-done; err != nil {
		t.Error("execute:", err)
	}
	await.True(t, "the switch is shown off", func() bool { return h.value(1001) == 1 })
	if n := strings.Count(s.Said(), "command 2001"); n != 1 {
		t.Errorf("executed %d times", n)
	}

	if done, err = c.Command(ctx, Command{Station: 1, Type: asdu.SingleCommand, Object: asdu.Object{Address: 2002, Value: 0}}); err != nil {
		t.Error("direct:", err)
	} else if err := <-done; err != nil && kind != iec104peer.C104 { // which terminates what was selected first only
		t.Error("direct:", err)
	}
	await.True(t, "the lamp is off", func() bool { return h.value(1002) == 0 })
	if _, err := c.Command(ctx, Command{Station: 1, Type: asdu.SetShortFloat, Object: asdu.Object{Address: 2003, Value: 12.25}}); err != nil {
		t.Error("set point:", err)
	}
	await.True(t, "the set point is taken", func() bool { return strings.Contains(s.Said(), "command 2003") })
	if _, err := c.Command(ctx, Command{Station: 1, Type: asdu.SetShortFloat, Object: asdu.Object{Address: 2003, Value: 13.25}}); err != nil {
		t.Error("a set point right behind another one:", err)
	}
	for range 2 { // the second answer to the first isn't the answer to the second
		if _, err := c.Command(ctx, Command{Station: 1, Type: asdu.SingleCommand, Object: asdu.Object{Address: 2004, Value: 1}}); !errors.As(err, &refused) {
			t.Error("what is refused:", err)
		}
	}
	if err := c.Read(ctx, 1, 1003); err != nil {
		t.Error("read:", err)
	}
	if v := h.value(1003); v != 13.25 {
		t.Errorf("the set point is %v", v)
	}
	selecting.Object.Value = 2
	if _, err := c.Command(ctx, selecting); err != nil {
		t.Fatal("select:", err)
	}
	if err := c.Deselect(ctx, selecting); err != nil {
		t.Error("deselect:", err)
	}
	if kind == iec104peer.C104 {
		timed := Command{Station: 1, Type: asdu.SingleCommandTime, Object: asdu.Object{Address: 2005, Value: 1, Select: true}}
		if _, err := c.Command(ctx, timed); err != nil {
			t.Error("select with a time:", err)
		}
		timed.Object.Select = false
		if _, err := c.Command(ctx, timed); err != nil {
			t.Error("execute with a time:", err)
		}
	}
}

// Who isn't trusted gets no link, though the encryption seems to be complete, and says why.
func TestNotTrusted(t *testing.T) {
	for _, kind := range iec104peer.Kinds {
		keys := iec104peer.NewKeys(t)
		s := iec104peer.Start(t, kind, keys)
		for name, config := range map[string]*tls.Config{
			"another authority's": encryption(t, keys, keys.Foreign), "plaintext": nil,
			"no certificate": {RootCAs: encryption(t, keys, keys.Client).RootCAs},
			"another host":   {RootCAs: encryption(t, keys, keys.Client).RootCAs, ServerName: "elsewhere.example"},
		} {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if c, err := open(t, config, s.Address()).Started(ctx); err == nil || ctx.Err() != nil {
				t.Errorf("%s, %s: %v, %v", kind, name, c, err)
			}
			cancel()
		}
	}
}

// Of two links one is started; when it fails, the other one is, and is asked for
// everything.
func TestRedundancy(t *testing.T) {
	first, second := iec104peer.Start(t, iec104peer.C104, nil), iec104peer.Start(t, iec104peer.C104, nil)
	g := open(t, nil, first.Address(), second.Address())
	await.True(t, "both are connected", func() bool { return len(g.Connected()) == 2 })
	second.Do("set 1003 99")
	c, h := run(t, g, settings)
	await.True(t, "it is told by the first", func() bool { return h.value(1003) == 10.5 })
	first.Kill()
	await.True(t, "the first one has ended", func() bool {
		select {
		case <-c.ended:
			return true
		default:
			return false
		}
	})
	_, h = run(t, g, settings)
	await.True(t, "it is told by the second", func() bool { return h.value(1003) == 99 })
}

// A station that was away is connected again, by itself.
func TestReconnect(t *testing.T) {
	s := iec104peer.Start(t, iec104peer.C104, nil)
	g := open(t, nil, s.Address())
	c, _ := run(t, g, settings)
	s.Kill()
	<-c.ended
	if _, err := c.Command(context.Background(), Command{Station: 1, Type: asdu.SingleCommand}); !NotSent(err) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := g.Started(ctx); err == nil || ctx.Err() != nil {
		t.Fatal("there is a link to nobody")
	}
	s.Restart()
	_, h := run(t, g, settings)
	await.True(t, "it is interrogated", func() bool { return h.has(asdu.Interrogation, Complete) })
}
