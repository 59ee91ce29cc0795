package controlled

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/iec104peer"
)

// plant is the process of a station: what is commanded is what is told.
type plant struct {
	station *Server

	mu       sync.Mutex
	executed []Command
	clock    time.Time
}

var errNo = errors.New("it is refused")

func (p *plant) Select(context.Context, Command) error { return nil }

func (p *plant) Cancel(Command) {}

func (p *plant) Execute(_ context.Context, c Command, accepted func()) error {
	if c.Address == 2004 {
		return errNo
	}
	accepted()
	p.mu.Lock()
	p.executed = append(p.executed, c)
	p.mu.Unlock()
	shown := map[uint32]uint32{2001: 1001, 2002: 1002, 2003: 1003, 2005: 1002}[c.Address]
	if shown == 0 {
		return errNo
	}
	return p.station.Tell(Change{Station: c.Station, Address: shown, Value: c.Object.Value, At: time.Now(), Cause: asdu.ReturnRemote})
}

func (p *plant) SetClock(_ uint16, at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = at
	return nil
}

func (p *plant) commands(address uint32) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.executed {
		if c.Address == address {
			n++
		}
	}
	return n
}

// bay is as the stations of iec104peer are, with a failing control and three hundred
// measurements more.
func bay() (points []Point, controls []Control) {
	points = []Point{
		{Station: 1, Address: 1001, Type: asdu.DoublePoint, Value: 1, Group: 1},
		{Station: 1, Address: 1002, Type: asdu.SinglePoint, Value: 1, Group: 1},
		{Station: 1, Address: 1003, Type: asdu.ShortFloat, Value: 10.5, Group: 2},
		{Station: 1, Address: 1004, Type: asdu.Scaled, Value: -321, Group: 2},
		{Station: 1, Address: 1005, Type: asdu.Totals, Value: 4711, Quiet: true},
	}
	for i := range uint32(300) {
		points = append(points, Point{Station: 1, Address: 3000 + i, Type: asdu.ShortFloat, Value: float64(i)})
	}
	return points, []Control{
		{Station: 1, Address: 2001, Type: asdu.DoubleCommand, Select: true},
		{Station: 1, Address: 2002, Type: asdu.SingleCommand},
		{Station: 1, Address: 2003, Type: asdu.SetShortFloat},
		{Station: 1, Address: 2004, Type: asdu.SingleCommand},
		{Station: 1, Address: 2005, Type: asdu.SingleCommand, Select: true},
		{Station: 1, Address: 2006, Type: asdu.SingleCommand},
	}
}

// serve serves a bay until the test ends, and returns where.
func serve(t testing.TB, c Config, keys *iec104peer.Keys) (s *Server, p *plant, address string) {
	t.Helper()
	points, controls := bay()
	p = &plant{}
	s, err := New(c, points, controls, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p.station = s
	var encryption *tls.Config
	if keys != nil {
		own, err := tls.LoadX509KeyPair(keys.Server.Cert, keys.Server.Key)
		if err != nil {
			t.Fatal(err)
		}
		encryption = &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: authority(t, keys)}
	}
	l, err := Listen("127.0.0.1:0", encryption)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s, p, l.Addr().String()
}

func authority(t testing.TB, keys *iec104peer.Keys) *x509.CertPool {
	ca, err := os.ReadFile(keys.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return pool
}

// A master that we didn't write is told everything, and has its commands executed.
func TestMaster(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %v", encrypted), func(t *testing.T) {
			var keys *iec104peer.Keys
			if encrypted {
				keys = iec104peer.NewKeys(t)
			}
			s, p, address := serve(t, Default, keys)
			converse(t, s, p, iec104peer.StartMaster(t, address, keys))
		})
	}
}

func converse(t *testing.T, s *Server, p *plant, m *iec104peer.Master) {
	// What c104 returns isn't asked for: it misses answers that come at once.
	ask := func(what, answer string) {
		t.Helper()
		before := len(m.Said())
		m.Ask(what)
		await.True(t, what+" is answered by "+answer, func() bool { return strings.Contains(m.Said()[before:], "answered "+answer+"\n") })
	}
	await.True(t, "it has started the transfer", func() bool {
		m.Ask("start") // which it doesn't always do by itself
		return s.Status()[0].Started != ""
	})
	// If it has missed the confirmation of the selection it selects again, and so it does if it
	// was that of the execution: what is executed is what was answered, and once for each try at most.
	selected := func(address uint32, what, answer string) {
		t.Helper()
		answered := func(said string) int { return strings.Count(said, "answered "+answer+"\n") }
		for tries := 1; tries <= 20; tries++ {
			before := len(m.Said())
			if m.Ask(what); !strings.Contains(m.Said()[before:], "did "+what+" True\n") {
				continue
			}
			await.True(t, what+" is answered by "+answer, func() bool { return answered(m.Said()[before:]) > 0 })
			await.True(t, what+" is executed as often as it is answered", func() bool { return p.commands(address) == answered(m.Said()) })
			if n := p.commands(address); n > tries {
				t.Errorf("%d is executed %d times in %d tries", address, n, tries)
			}
			return
		}
		t.Errorf("%s isn't answered by %s", what, answer)
	}
	ask("gi", "C_IC_NA_1 ACTIVATION_TERMINATION yes")
	for _, text := range []string{
		"told 1001 M_DP_NA_1 INTERROGATED_BY_STATION Double.OFF", "told 1002 M_SP_NA_1 INTERROGATED_BY_STATION True",
		"told 1003 M_ME_NC_1 INTERROGATED_BY_STATION 10.5", "told 1004 M_ME_NB_1 INTERROGATED_BY_STATION -321", "told 3299 M_ME_NC_1 INTERROGATED_BY_STATION 299",
	} {
		m.Await(text)
	}
	if strings.Contains(m.Said(), "told 1005") {
		t.Error("a counter is told by general interrogation")
	}
	ask("counters", "C_CI_NA_1 ACTIVATION_TERMINATION yes")
	m.Await("told 1005 M_IT_NA_1 REQUESTED_BY_GENERAL_COUNTER 4711")
	ask("group 2", "C_IC_NA_1 ACTIVATION_TERMINATION yes")
	m.Await("told 1004 M_ME_NB_1 INTERROGATED_BY_GROUP_2 -321")
	if strings.Contains(m.Said(), "told 1001 M_DP_NA_1 INTERROGATED_BY_GROUP_2") {
		t.Error("what isn't of the group is told")
	}
	m.Ask("read 1003")
	m.Await("told 1003 M_ME_NC_1 REQUEST 10.5")
	ask("test", "C_TS_TA_1 ACTIVATION_CON yes")
	ask("clock", "C_CS_NA_1 ACTIVATION_CON yes")
	p.mu.Lock()
	clock := p.clock
	p.mu.Unlock()
	if time.Since(clock).Abs() > time.Minute {
		t.Errorf("the clock is set to %v", clock)
	}

	if err := s.Tell(Change{Station: 1, Address: 1001, Value: 2, At: time.Now()}); err != nil {
		t.Error(err)
	}
	m.Await("told 1001 M_DP_TB_1 SPONTANEOUS Double.ON")
	if err := s.Tell(Change{Station: 1, Address: 1004, Value: 7, Quality: asdu.Invalid, At: time.Now()}); err != nil {
		t.Error(err)
	}
	m.Await("told 1004 M_ME_TE_1 SPONTANEOUS 7 Quality set: { Invalid }")

	selected(2001, "command 2001 1", "C_DC_NA_1 ACTIVATION_TERMINATION yes")
	m.Await("told 1001 M_DP_TB_1 RETURN_INFO_REMOTE Double.OFF")
	ask("command 2002 0", "C_SC_NA_1 ACTIVATION_TERMINATION yes")
	m.Await("told 1002 M_SP_TB_1 RETURN_INFO_REMOTE False")
	ask("command 2003 12.25", "C_SE_NC_1 ACTIVATION_TERMINATION yes")
	m.Await("told 1003 M_ME_TF_1 RETURN_INFO_REMOTE 12.25")
	ask("command 2004 1", "C_SC_NA_1 ACTIVATION_CON no")
	selected(2005, "command 2005 1", "C_SC_TA_1 ACTIVATION_TERMINATION yes")
	ask("command 2011 2", "C_DC_NA_1 UNKNOWN_IOA no")
	for address, want := range map[uint32]int{2002: 1, 2003: 1, 2004: 0} {
		if n := p.commands(address); n != want {
			t.Errorf("%d is executed %d times", address, n)
		}
	}

	m.Ask("stop")
	await.True(t, "it has stopped the transfer", func() bool { return s.Status()[0].Started == "" })
	for i := range 50 {
		if err := s.Tell(Change{Station: 1, Address: 3000, Value: 1000 + float64(i), At: time.Now()}); err != nil {
			t.Error(err)
		}
	}
	m.Do("unlink")
	m.Await("state CLOSED\n")
	if st := s.Status()[0]; st.Waiting != 50 {
		t.Errorf("%+v", st)
	}
	m.Do("link")
	await.True(t, "it has started the transfer again", func() bool {
		m.Ask("start")
		return s.Status()[0].Started != ""
	})
	m.Await("told 3000 M_ME_TF_1 SPONTANEOUS 1049.0")
	at := 0
	for i := range 50 {
		text := fmt.Sprintf("told 3000 M_ME_TF_1 SPONTANEOUS %d.0 ", 1000+i)
		next := strings.Index(m.Said()[at:], text)
		if next < 0 || strings.Count(m.Said(), text) != 1 {
			t.Fatalf("%s: %d times, or not in order", text, strings.Count(m.Said(), text))
		}
		at += next
	}
}
