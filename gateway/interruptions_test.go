package gateway

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

// p1Port is a P1 port behind a serial device server, which says the same until it is told
// other lines.
type p1Port struct {
	net.Listener
	lines chan []string
}

func newP1Port(t *testing.T) *p1Port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &p1Port{l, make(chan []string)}
	t.Cleanup(func() { l.Close() })
	clients := make(chan net.Conn)
	go func() {
		defer close(clients)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			clients <- c
		}
	}()
	go func() {
		var client net.Conn
		var lines []string
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case c, open := <-clients:
				if !open {
					return
				}
				client = c
			case lines = <-p.lines:
			case <-again.C:
				if client != nil && lines != nil {
					fmt.Fprint(client, p1Telegram(lines...))
				}
			case <-t.Context().Done():
				return
			}
		}
	}()
	return p
}

var cet = time.FixedZone("", 3600)

// p1Telegram is a telegram of now.
func p1Telegram(lines ...string) string {
	text := "/BUS5gateway\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(" + time.Now().In(cet).Format("060102150405") + "W)\r\n" + strings.Join(lines, "\r\n") + "\r\n!"
	crc := uint16(0)
	for _, b := range []byte(text) {
		crc ^= uint16(b)
		for range 8 {
			odd := crc&1 != 0
			if crc >>= 1; odd {
				crc ^= 0xA001
			}
		}
	}
	return fmt.Sprintf("%s%04X\r\n", text, crc)
}

// failureLog is the line of a meter's log.
func failureLog(entries ...[2]time.Time) string {
	text := fmt.Sprintf("1-0:99.97.0(%d)(0-0:96.7.19)", len(entries))
	for _, e := range entries {
		text += fmt.Sprintf("(%sW)(%010d*s)", e[1].In(cet).Format("060102150405"), int(e[1].Sub(e[0]).Seconds()))
	}
	return text
}

// Three lines of configuration: the registers are signals that rules know, and what the meter
// has noted of its supply is told once, also over a restart.
func TestAMeterAtItsPort(t *testing.T) {
	port := newP1Port(t)
	b := newBench(t)
	b.source = strings.Replace(b.source, "rules:", fmt.Sprintf(`
  - id: house
    asset: point-1
    p1: {endpoint: "tcp://%s"}
rules:
  - {name: much, on: {device: house}, when: TotW > 5000, summary: much}`, port.Addr()), 1)
	b.config = b.parse(b.source)
	now := time.Now().Truncate(time.Second)
	first := [2]time.Time{now.Add(-300 * time.Hour), now.Add(-299 * time.Hour)}
	second := [2]time.Time{now.Add(-20 * time.Minute), now.Add(-10 * time.Minute)}
	third := [2]time.Time{now.Add(-8 * time.Minute), now.Add(-2 * time.Minute)}
	values := func(l log, name string) (list []telemetry.Value) {
		for _, birth := range l.births {
			for _, s := range birth.Signals {
				if s.Device != "house" || s.Name != name {
					continue
				}
				list = nil
				for _, p := range l.points {
					if p.Signal == s.ID {
						list = append(list, p.Value)
					}
				}
			}
		}
		return list
	}
	power := func(kilowatts float64) []string {
		return []string{fmt.Sprintf("1-0:1.7.0(%06.3f*kW)", kilowatts), "1-0:2.7.0(00.000*kW)", "1-0:1.8.1(000012.345*kWh)", "0-0:96.7.9(00002)", "1-0:32.32.0(00001)"}
	}
	stop := b.run()
	port.lines <- append(power(6), failureLog(second, first))
	l := b.read(func(l log) bool {
		return len(l.of(telemetry.AlarmRaised)) == 1 && len(l.of(telemetry.SupplyInterrupted)) == 2 && len(values(l, "Sag.phsA")) > 0
	})
	for name, want := range map[string]float64{"TotW": 6000, "DmdWh": 12345, "Intr.long": 2, "Sag.phsA": 1} {
		if got := values(l, name); len(got) == 0 || got[0] != telemetry.FloatValue(want) {
			t.Errorf("%s is %v, expected %v", name, got, want)
		}
	}
	for i, want := range [][2]time.Time{first, second} {
		e := l.of(telemetry.SupplyInterrupted)[i]
		if !e.Time.Time().Equal(want[0]) || e.Interruption == nil || !e.Interruption.To.Time().Equal(want[1]) || e.Interruption.Device != "house" || e.Interruption.Asset != "point-1" {
			t.Errorf("%+v, %+v, expected %v", e, e.Interruption, want)
		}
	}
	if n := len(values(l, "TotW")); n > 3 {
		t.Errorf("what hasn't changed is stored %d times", n)
	}
	stop()
	stop = b.run()
	defer stop()
	b.read(func(l log) bool { return len(l.of(telemetry.GatewayStarted)) == 2 })
	port.lines <- append(power(1), failureLog(second, first))
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmCleared)) == 1 })
	port.lines <- append(power(6.5), failureLog(third, second, first))
	l = b.read(func(l log) bool {
		return len(l.of(telemetry.AlarmRaised)) == 2 && len(l.of(telemetry.SupplyInterrupted)) > 2
	})
	told := l.of(telemetry.SupplyInterrupted)
	if len(told) != 3 || !told[2].Time.Time().Equal(third[0]) {
		t.Errorf("%d were told: %+v", len(told), told)
	}
}

func TestInterruptionsThatAreFresh(t *testing.T) {
	at := func(minutes ...int) (log []adapters.Interruption) {
		for _, m := range minutes {
			log = append(log, adapters.Interruption{From: time.Unix(int64(m)*60, 0), To: time.Unix(int64(m)*60+30, 0)})
		}
		return log
	}
	i := interruptions{}
	for n, c := range []struct {
		log  []adapters.Interruption
		want int
	}{{at(3, 2, 1), 3}, {at(3, 2, 1), 0}, {nil, 0}, {at(4, 3, 2), 1}, {at(4, 4, 5, 5), 1}, {at(0, -1), 0}} {
		if got := i.fresh("d", c.log); len(got) != c.want {
			t.Errorf("%d: %v", n, got)
		}
	}
	if fresh := i.fresh("other", at(9, 7, 8)); len(fresh) != 3 || fresh[0][0] != 7*60e6 || fresh[2][0] != 9*60e6 {
		t.Errorf("%v", fresh)
	}
}
