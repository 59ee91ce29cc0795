package controlled

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlling"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/iec104peer"
)

// heard is what our controlling station is told.
type heard struct {
	mu     sync.Mutex
	events []float64 // of object 3000
	last   map[uint32]asdu.Object
	ended  map[asdu.Type]controlling.Ending
}

func (h *heard) Told(a *asdu.ASDU, _ time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range a.Len() {
		o := a.Object(i)
		h.last[o.Address] = o
		if o.Address == 3000 && a.Cause == asdu.Spontaneous {
			h.events = append(h.events, o.Value)
		}
	}
	return nil
}

func (h *heard) Idle() error { return nil }

func (h *heard) Keep(done func(bool)) error { done(true); return nil }

func (h *heard) Ended(of asdu.Type, _ uint16, e controlling.Ending, _ int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended[of] = e
	return nil
}

func (h *heard) told() []float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// ask runs our controlling station at the address until the test ends or leave is called.
func (h *heard) ask(t *testing.T, address string) (c *controlling.Client, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g := controlling.Open(ctx, controlling.Links{Addresses: []string{address}, T0: 10 * time.Second, Link: link.Default})
	conn, err := g.Started(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c = controlling.NewClient(conn, controlling.Config{Params: asdu.IEC104, Stations: []uint16{1}, Counters: time.Hour, Sync: time.Hour, Zone: time.UTC, Respond: 10 * time.Second}, slog.New(slog.DiscardHandler))
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(running, h)
	}()
	leave = sync.OnceFunc(func() {
		stop()
		<-done
		cancel()
		g.Wait()
	})
	t.Cleanup(leave)
	return c, leave
}

func newHeard() *heard {
	return &heard{last: map[uint32]asdu.Object{}, ended: map[asdu.Type]controlling.Ending{}}
}

func tell(t testing.TB, s *Server, value int) {
	t.Helper()
	if err := s.Tell(Change{Station: 1, Address: 3000, Value: float64(value), At: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

// events takes those of object 3000 over one link: at least so many, unless the last one is
// among them. Then the link is stopped and closed, or torn down, and what has come is taken.
func events(t *testing.T, address string, least, last int, stop bool) (list []float64) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l := link.Drive(c, link.Default, link.Controlling)
	if err := l.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	for ending := false; ; {
		if !ending && len(list) >= min(least, 1) && (len(list) >= least || list[len(list)-1] == float64(last)) {
			ending = true
			if stop {
				go func() {
					l.Stop(context.Background())
					l.Net().Close()
				}()
			} else {
				l.Net().Close()
			}
		}
		select {
		case m := <-l.Messages():
			if m.Event != link.Data {
				continue
			}
			a, err := asdu.IEC104.Parse(m.ASDU)
			if err != nil {
				t.Fatal(err)
			}
			if a.Type == asdu.ShortFloatTime56 {
				list = append(list, a.Object(0).Value)
			}
		case <-l.Ended():
			return list
		}
	}
}

// A master that stops, leaves and comes back while there are events all the time is told
// each once, in order.
func TestReconnect(t *testing.T) {
	s, _, address := serve(t, Default, nil)
	const last = 3000
	go func() {
		for i := range last {
			tell(t, s, i+1)
			time.Sleep(50 * time.Microsecond) // so that they go on while links come and go
		}
	}()
	var told []float64
	links := 0
	for ; len(told) < last; links++ {
		told = append(told, events(t, address, 250, last, true)...)
	}
	for i, v := range told {
		if v != float64(i+1) {
			t.Fatalf("event %d is %v", i+1, v)
		}
	}
	if len(told) != last || s.Status()[0].Dropped != 0 || links < 5 {
		t.Errorf("%d events of %d over %d links: %+v", len(told), last, links, s.Status()[0])
	}
}

// A link that is torn down loses nothing either: what wasn't acknowledged comes again, and
// nothing else does.
func TestTorn(t *testing.T) {
	s, _, address := serve(t, Default, nil)
	const last = 1000
	for i := range last {
		tell(t, s, i+1)
	}
	var told []float64
	for n := 0; n < last; n = len(told) {
		now := events(t, address, 100, last, false)
		again := n - int(now[0]) + 1
		if again < 0 || again > link.Default.K {
			t.Fatalf("%v comes after %v", now[0], told[n-1])
		}
		told = append(told, now[again:]...)
	}
	for i, v := range told {
		if v != float64(i+1) {
			t.Fatalf("event %d is %v", i+1, v)
		}
	}
}

// Of more events than are kept, the oldest are lost, and counted.
func TestTooMany(t *testing.T) {
	c := Default
	c.Events = 10
	s, _, address := serve(t, c, nil)
	for i := range 25 {
		tell(t, s, i+1)
	}
	if st := s.Status()[0]; st.Waiting != 10 || st.Dropped != 16 { // with the end of initialization
		t.Errorf("%+v", st)
	}
	h := newHeard()
	h.ask(t, address)
	await.True(t, "the newest are told", func() bool { return len(h.told()) == 10 })
	if list := h.told(); list[0] != 16 || list[9] != 25 {
		t.Error(list)
	}
}

// Each group is told everything, and of one group one connection is served.
func TestGroups(t *testing.T) {
	c := Default
	c.Groups = []Group{{Name: "first", Masters: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, {Name: "second", Masters: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}}
	s, _, address := serve(t, c, nil)
	dial := func(from string) *link.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l := link.Drive(c, link.Default, link.Controlling)
		t.Cleanup(l.Close)
		return l
	}
	start := func(from string) *link.Conn {
		l := dial(from)
		if err := l.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		return l
	}
	one, two := start("127.0.0.1"), start("127.0.0.2")
	tell(t, s, 7)
	for _, l := range []*link.Conn{one, two} {
		for {
			m := <-l.Messages()
			if a, err := asdu.IEC104.Parse(m.ASDU); m.Event == link.Data && err == nil && a.Type == asdu.ShortFloatTime56 && a.Object(0).Value == 7 {
				break
			}
		}
	}
	start("127.0.0.1")
	for drained := false; !drained; {
		select {
		case <-one.Messages():
		case <-one.Ended():
			drained = true
		}
	}
	if two.Err() != nil {
		t.Error("the other group's connection has ended:", two.Err())
	}
	stranger := dial("127.0.0.3")
	<-stranger.Ended()
	if !errors.Is(stranger.Err(), io.EOF) {
		t.Error(stranger.Err())
	}
}

// What our controlling station asks for and commands is answered; a selection ends.
func TestOurs(t *testing.T) {
	c := Default
	c.Select = time.Nanosecond
	_, p, address := serve(t, c, nil)
	h := newHeard()
	client, _ := h.ask(t, address)
	await.True(t, "all is answered", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.ended) == 3
	})
	h.mu.Lock()
	for of, e := range h.ended {
		if e != controlling.Complete {
			t.Error(of, e)
		}
	}
	if len(h.last) != 305 || h.last[1004].Value != -321 || h.last[1005].Value != 4711 {
		t.Errorf("%d objects: %+v", len(h.last), h.last[1004])
	}
	h.mu.Unlock()

	ctx := context.Background()
	breaker := controlling.Command{Station: 1, Type: asdu.DoubleCommand, Object: asdu.Object{Address: 2001, Value: 2, Select: true}}
	if _, err := client.Command(ctx, breaker); err != nil {
		t.Error("select:", err)
	}
	refused := func(what string, cmd controlling.Command, cause asdu.Cause) {
		t.Helper()
		_, err := client.Command(ctx, cmd)
		var is controlling.RefusedError
		if !errors.As(err, &is) || is.Cause != cause {
			t.Errorf("%s: %v", what, err)
		}
	}
	breaker.Object.Select = false
	refused("a selection that has ended", breaker, asdu.ActivationCon)
	refused("a selection of what isn't selected", controlling.Command{Station: 1, Type: asdu.SingleCommand, Object: asdu.Object{Address: 2002, Select: true}}, asdu.ActivationCon)
	refused("no such object", controlling.Command{Station: 1, Type: asdu.SingleCommand, Object: asdu.Object{Address: 99}}, asdu.UnknownObject)
	refused("no such station", controlling.Command{Station: 9, Type: asdu.SingleCommand, Object: asdu.Object{Address: 2002}}, asdu.UnknownAddress)
	refused("another type", controlling.Command{Station: 1, Type: asdu.StepCommand, Object: asdu.Object{Address: 2002, Value: 1}}, asdu.UnknownType)
	if err := client.Read(ctx, 1, 99); err == nil {
		t.Error("an object is read that isn't there")
	}
	done, err := client.Command(ctx, controlling.Command{Station: 1, Type: asdu.SingleCommand, Object: asdu.Object{Address: 2006, Value: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("a command that has failed is terminated as done")
	}
	if p.commands(2001) != 0 || p.commands(2002) != 0 || p.commands(2006) != 1 {
		t.Errorf("%+v", p.executed)
	}
}

// Who isn't trusted isn't served.
func TestForeign(t *testing.T) {
	keys := iec104peer.NewKeys(t)
	_, _, address := serve(t, Default, keys)
	for name, pair := range map[string]*iec104peer.Pair{"ours": &keys.Client, "foreign": &keys.Foreign, "none": nil} {
		config := &tls.Config{RootCAs: authority(t, keys)}
		if pair != nil {
			own, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{own}
		}
		c, err := tls.Dial("tcp", address, config)
		if err == nil {
			l := link.Drive(c, link.Default, link.Controlling)
			err = l.Start(context.Background())
			l.Close()
		}
		if (err == nil) != (name == "ours") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := net.Dial("tcp", address); err == nil {
		l := link.Drive(c, link.Default, link.Controlling)
		if err := l.Start(context.Background()); err == nil {
			t.Error("without encryption it is served")
		}
		l.Close()
	}
}

func TestWrongPoints(t *testing.T) {
	s, _, _ := serve(t, Default, nil)
	for name, c := range map[string]Change{
		"no such point":  {Station: 1, Address: 1},
		"no such value":  {Station: 1, Address: 1001, Value: 4},
		"beyond a range": {Station: 1, Address: 1004, Value: 40000},
	} {
		if err := s.Tell(c); err == nil {
			t.Error(name, "is told")
		}
	}
	if p, _ := s.Point(1, 1004); p.Value != -321 {
		t.Error(p)
	}
	for name, list := range map[string][]Point{
		"twice":     {{Station: 1, Address: 1, Type: asdu.SinglePoint}, {Station: 1, Address: 1, Type: asdu.Scaled}},
		"a command": {{Station: 1, Address: 1, Type: asdu.SingleCommand}},
		"group 17":  {{Station: 1, Address: 1, Type: asdu.SinglePoint, Group: 17}},
		"group 5":   {{Station: 1, Address: 1, Type: asdu.Totals, Group: 5}},
		"broadcast": {{Station: 0xFFFF, Address: 1, Type: asdu.SinglePoint}},
		"too high":  {{Station: 1, Address: 1 << 24, Type: asdu.SinglePoint}},
	} {
		if _, err := New(Default, list, nil, nil, slog.New(slog.DiscardHandler)); err == nil {
			t.Error(name, "is taken")
		}
	}
}

// Whatever a master sends, the answers are ASDUs that can be read, or those of a type that
// nobody knows.
func FuzzRequest(f *testing.F) {
	points, controls := bay()
	for _, h := range []asdu.Header{
		{Type: asdu.Interrogation, Cause: asdu.Activation, Address: 1}, {Type: asdu.CounterInterrogation, Cause: asdu.Activation, Address: 0xFFFF},
		{Type: asdu.Read, Cause: asdu.Requested, Address: 1}, {Type: asdu.SingleCommand, Cause: asdu.Activation, Address: 1}, {Type: asdu.DoubleCommand, Cause: asdu.Deactivation, Address: 1},
	} {
		for _, address := range []uint32{0, 1001, 2002} {
			b, err := asdu.IEC104.Append(nil, h, []asdu.Object{{Address: address, Qualifier: 20}})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &plant{}
		s, err := New(Default, points, controls, p, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p.station = s
		v := newSession(s, s.queues[0], nil, "fuzz")
		v.guest = &guest{}
		v.serving = true
		for range 2 {
			v.take(t.Context(), b)
		}
		close(v.done) // as executions would wait for it
		s.executing.Wait()
		for n := 0; ; n++ {
			if v.prepare(); v.out == nil {
				break
			}
			var unknown asdu.UnknownTypeError
			if _, err := s.config.Params.Parse(v.out.asdu); err != nil && !errors.As(err, &unknown) {
				t.Fatalf("% x: %v", v.out.asdu, err)
			}
			if v.out = nil; n > 1000 {
				t.Fatal("there is no end")
			}
		}
	})
}
