package controlling

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/test/await"
)

// script answers what a client sends, by hand: what no real station can be made to do.
type script struct {
	t    *testing.T
	conn *link.Conn
}

// scripted is a client of a station that answers by take.
func scripted(t *testing.T, config Config, take func(s script, a asdu.ASDU)) (*Client, *heard) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s := script{t, link.Drive(c, link.Default, link.Controlled)}
			go func() {
				defer s.conn.Close()
				for {
					select {
					case m := <-s.conn.Messages():
						if m.Event != link.Data {
							continue
						}
						a, err := asdu.IEC104.Parse(m.ASDU)
						if err != nil {
							t.Error(err)
							return
						}
						take(s, a)
					case <-s.conn.Ended():
						return
					}
				}
			}()
		}
	}()
	return run(t, open(t, nil, listener.Addr().String()), config)
}

// says sends an answer.
func (s script) says(h asdu.Header, objects ...asdu.Object) {
	b, err := asdu.IEC104.Append(nil, h, objects)
	if err != nil {
		s.t.Error(err)
	}
	s.conn.Send(context.Background(), b)
}

// mirrors sends back what came with another cause.
func (s script) mirrors(a asdu.ASDU, c asdu.Cause, negative bool) {
	a.Header.Cause, a.Header.Negative = c, negative
	s.says(a.Header, a.Object(0))
}

var quickly = Config{Params: asdu.IEC104, Stations: []uint16{1}, Zone: time.UTC, Respond: 100 * time.Millisecond}

func point(a uint32, v float64) (asdu.Header, asdu.Object) {
	return asdu.Header{Type: asdu.SinglePoint, Cause: asdu.InterrogatedStation, Address: 1}, asdu.Object{Address: a, Value: v}
}

// An interrogation that vanishes is sent again, and spontaneous data before its
// confirmation don't confuse it.
func TestVanishing(t *testing.T) {
	var asked atomic.Int64
	_, h := scripted(t, quickly, func(s script, a asdu.ASDU) {
		if asked.Add(1) == 1 {
			return
		}
		s.says(asdu.Header{Type: asdu.SinglePoint, Cause: asdu.Spontaneous, Address: 1}, asdu.Object{Address: 7, Value: 1})
		s.mirrors(a, asdu.ActivationCon, false)
		header, object := point(8, 1)
		s.says(header, object)
		s.mirrors(a, asdu.ActivationTermin, false)
	})
	await.True(t, "it is complete", func() bool { return h.has(asdu.Interrogation, Complete) })
	if h.value(7) != 1 || h.value(8) != 1 || asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// One that begins and never ends is sent again, and incomplete in the end; one that nobody
// answers is unanswered, and one that is refused isn't sent again.
func TestInterrogationEndings(t *testing.T) {
	for want, answer := range map[Ending]func(s script, a asdu.ASDU){
		Incomplete: func(s script, a asdu.ASDU) {
			s.mirrors(a, asdu.ActivationCon, false)
			header, object := point(8, 1)
			s.says(header, object)
		},
		Unanswered: func(script, asdu.ASDU) {},
		Refused:    func(s script, a asdu.ASDU) { s.mirrors(a, asdu.UnknownAddress, false) },
	} {
		t.Run(want.String(), func(t *testing.T) {
			var asked atomic.Int64
			_, h := scripted(t, quickly, func(s script, a asdu.ASDU) {
				asked.Add(1)
				answer(s, a)
			})
			await.True(t, "it has ended", func() bool { return h.has(asdu.Interrogation, want) })
			if expected := map[Ending]int{Incomplete: mostTries, Unanswered: mostTries, Refused: 1}[want]; asked.Load() != int64(expected) {
				t.Errorf("asked %d times, expected %d", asked.Load(), expected)
			}
		})
	}
}

// Each way in which a command can end is told apart: refused, once or twice, not answered,
// lost, and confirmed and then ended as not done.
func TestCommandEndings(t *testing.T) {
	const silent, twice, closes, ended, expired = 1, 2, 3, 4, 5
	answer := func(s script, a asdu.ASDU) {
		if a.Type == asdu.Interrogation {
			s.mirrors(a, asdu.ActivationCon, false)
			s.mirrors(a, asdu.ActivationTermin, false)
			return
		}
		switch a.Object(0).Address {
		case twice:
			s.mirrors(a, asdu.ActivationCon, true)
			s.mirrors(a, asdu.UnknownObject, false)
		case closes:
			s.conn.Close()
		case ended:
			s.mirrors(a, asdu.ActivationCon, false)
			s.mirrors(a, asdu.ActivationTermin, true)
		case expired: // the end of a selection, which nobody waits for any more
			s.mirrors(a, asdu.ActivationTermin, false)
			s.mirrors(a, asdu.ActivationCon, false)
		}
	}
	c, _ := scripted(t, quickly, answer)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := func(address uint32) (<-chan error, error) {
		return c.Command(ctx, Command{Station: 1, Type: asdu.SingleCommand, Object: asdu.Object{Address: address}})
	}
	var refused RefusedError
	for range 3 {
		if _, err := command(twice); !errors.As(err, &refused) || !NotSent(err) {
			t.Error(err)
		}
	}
	if _, err := command(silent); !errors.Is(err, errUnanswered) || NotSent(err) {
		t.Error(err)
	}
	if done, err := command(ended); err != nil {
		t.Error(err)
	} else if err := <-done; !errors.As(err, &refused) {
		t.Error(err)
	}
	if done, err := command(expired); err != nil {
		t.Error(err)
	} else if err := <-done; !errors.Is(err, errUnanswered) {
		t.Error(err)
	}
	if _, err := command(closes); !errors.Is(err, errLost) || NotSent(err) {
		t.Error(err)
	}
	if _, err := command(closes); !errors.Is(err, errGone) || !NotSent(err) {
		t.Error(err)
	}
}

// What is no ASDU, or none that is known, is left out, and the link goes on.
func TestBadASDUs(t *testing.T) {
	c, h := scripted(t, quickly, func(s script, a asdu.ASDU) {
		s.mirrors(a, asdu.ActivationCon, false)
		for _, bad := range []string{"\x01", "\x0d\x01\x03\x00\x01\x00\x01\x00\x00\x00\x00\x20\x41\x00\x00\x00", "\xfa\x01\x03\x00\x01\x00", "\x01\x80\x03\x00\x01\x00\x01\x00\x00"} {
			s.conn.Send(context.Background(), []byte(bad))
		}
		header, object := point(8, 1)
		s.says(header, object)
		s.mirrors(a, asdu.ActivationTermin, false)
	})
	await.True(t, "the rest is taken", func() bool { return h.has(asdu.Interrogation, Complete) })
	if h.value(8) != 1 {
		t.Error("the good one is missing")
	}
	counted := make(chan uint64, 1)
	c.Do(context.Background(), func() error {
		counted <- c.malformed
		return nil
	})
	if n := <-counted; n != 4 {
		t.Errorf("%d are left out", n)
	}
}
