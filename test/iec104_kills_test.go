package test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/adapters/iec104/link"
	"github.com/busbar/busbar/test/iec104peer"
)

const stationYAML = `gateway: {id: north-gw1, site: north}
forward: {kafka: {brokers: ["%s"]}}
buffer: {path: buffer, max_size: 64MiB}
time: {source: assumed}
status: {listen: "%s"}
serve:
  iec104:
    listen: "%s"
    signals: [{device: rtu, signal: Count, ioa: 1001, type: float, events: true}]
devices:
  - id: rtu
    iec104: {endpoint: "tcp://%s"}
    signals: [{name: Count, ioa: 1, kind: state}]
`

// uncommanded is the owner of a station that isn't commanded.
type uncommanded struct{}

func (uncommanded) Select(context.Context, controlled.Command) error          { return nil }
func (uncommanded) Cancel(controlled.Command)                                 {}
func (uncommanded) Execute(context.Context, controlled.Command, func()) error { return nil }
func (uncommanded) SetClock(uint16, time.Time) error                          { return nil }

// rtu is a station whose object 1 counts; it isn't killed.
func rtu(t *testing.T) (s *controlled.Server, address string) {
	config := controlled.Default
	config.Events = 1_000_000
	s, err := controlled.New(config, []controlled.Point{{Station: 1, Address: 1, Type: asdu.Bitstring}}, nil, uncommanded{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-served })
	return s, l.Addr().String()
}

// counted are the numbers that a master was told as events, in its order.
func counted(t *testing.T, said string) (list []int) {
	for line := range strings.Lines(said) {
		words := strings.Fields(line)
		if len(words) > 4 && words[0] == "told" && words[1] == "1001" && words[3] == "SPONTANEOUS" {
			v, err := strconv.ParseFloat(words[4], 64)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, int(v))
		}
	}
	return list
}

// A gateway that reads a station and serves a control room is killed again and again. No
// event is lost on the way, each comes in order, and no more come twice than the messages
// that weren't acknowledged when it was killed.
func TestKilledBetweenStationAndControlRoom(t *testing.T) {
	t.Parallel()
	station, field := rtu(t)
	s := site{dir: t.TempDir(), status: freeAddress(t)}
	served := freeAddress(t)
	write(t, s.dir, "gateway.yaml", fmt.Sprintf(stationYAML, freeAddress(t), s.status, served, field))
	run := func() *program { return start(t, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml") }
	gateway := run()
	master := iec104peer.StartMaster(t, served, nil)
	master.Do("link")
	told := func() []int { return counted(t, master.Said()) }
	linked := func(what string, is func() bool) {
		t.Helper()
		asked := time.Time{}
		await(t, what, time.Minute, func() bool {
			// c104 crashes if it is asked for what its state doesn't allow.
			if time.Since(asked) > 300*time.Millisecond {
				asked = time.Now()
				switch master.State() {
				case "CLOSED":
					master.Do("link")
				case "OPEN_MUTED":
					master.Do("start")
				}
			}
			return is()
		})
	}
	linked("what there is at first is told", func() bool { return len(told()) == 1 })
	number, stop, stopped := 0, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case at := <-tick.C:
				number++
				if err := station.Tell(controlled.Change{Station: 1, Address: 1, Value: float64(number), At: at}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	const kills = 12
	for n := range kills {
		before := len(told())
		linked("events are told", func() bool { return len(told()) > before+20+n*10 })
		if n%3 == 2 { // with a master that is away meanwhile
			master.Kill()
		}
		gateway.kill()
		gateway = run()
		if n%3 == 2 {
			time.Sleep(100 * time.Millisecond)
			master.Restart()
			master.Do("link")
		}
	}
	close(stop)
	<-stopped
	linked("the last event is told", func() bool { list := told(); return len(list) > 0 && list[len(list)-1] == number })
	list, next, again := told(), 0, 0
	for _, v := range list {
		switch {
		case v == next+1:
			next++
		case v > next:
			t.Fatalf("%d is told after %d: what is between is lost", v, next)
		default:
			again++
		}
	}
	t.Logf("%d events over %d kills, %d of them told twice", number, kills, again)
	if most := kills * 2 * link.Default.K; again > most { // of the link to the station, and of that to the master
		t.Errorf("%d events are told twice, expected at most %d", again, most)
	}
}
