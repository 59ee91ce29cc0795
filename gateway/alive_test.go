package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// idle is a gateway that has nothing to say after its first poll.
func idle(t *testing.T) *bench {
	b := newBench(t)
	b.source = strings.Replace(b.source, "poll_every: 10ms", "poll_every: 24h", 1)
	b.source = strings.Replace(b.source, "site: north}", "site: north, feeder: f2, uplink: carrier-a}", 1)
	b.config = b.parse(b.source)
	b.beat = 200 * time.Millisecond
	return b
}

// A gateway that has nothing to say is heard all the same, and says where it belongs.
func TestIdleGatewayIsHeard(t *testing.T) {
	b := idle(t)
	stop := b.run()
	defer stop()
	l := b.read(func(l log) bool { return len(l.of(telemetry.GatewayAlive)) >= 4 })
	want := telemetry.Presence{Every: 200_000, Site: "north", Feeder: "f2", Uplink: "carrier-a"}
	start, beats := l.of(telemetry.GatewayStarted)[0], l.of(telemetry.GatewayAlive)
	if start.Lifecycle.Presence == nil || *start.Lifecycle.Presence != want {
		t.Errorf("the start says %+v", start.Lifecycle.Presence)
	}
	for i, e := range beats {
		if e.Presence == nil || *e.Presence != want {
			t.Errorf("%+v", e.Presence)
		}
		if i > 0 && e.Decided-beats[i-1].Decided < 200_000 {
			t.Errorf("two within %d µs", e.Decided-beats[i-1].Decided)
		}
	}
}

// What is heard by its telemetry sends nothing else.
func TestTalkingGatewaySendsNoHeartbeats(t *testing.T) {
	b := newBench(t)
	b.beat = time.Second
	stop := b.run()
	defer stop()
	last := time.Now().Add(3 * time.Second)
	l := b.read(func(l log) bool { return len(l.times) > 0 && l.times[len(l.times)-1].Time().After(last) })
	if beats := l.of(telemetry.GatewayAlive); len(beats) > 0 {
		t.Errorf("%d heartbeats beside telemetry", len(beats))
	}
}

// While the log is away, heartbeats don't pile up.
func TestHeartbeatsDontPileUp(t *testing.T) {
	b := idle(t)
	b.beat = 20 * time.Millisecond
	address := b.cluster.ListenAddrs()[0]
	b.cluster.Close()
	stop := b.run()
	defer stop()
	time.Sleep(time.Second) // the outage
	if n := b.buffer.Events.Stats().Waiting; n > 5 {
		t.Errorf("%d events wait", n)
	}
	b.listen(address)
	b.read(func(l log) bool { return len(l.of(telemetry.GatewayAlive)) > 0 })
}

func TestPulse(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	p := pulse{told: at(100)}
	for _, c := range []struct {
		at    int
		count uint64
		due   bool
	}{{100, 0, false}, {159, 0, false}, {160, 0, true}, {161, 3, false}, {221, 3, true}, {222, 4, false},
		{3699, 5, false}, {3700, 6, true}, {3701, 7, true}} {
		if got := p.due(at(c.at), c.count, time.Minute); got != c.due {
			t.Errorf("%d at %d: %t", c.count, c.at, got)
		}
	}
	if p.told = at(3700); p.due(at(3702), 8, time.Minute) {
		t.Error("told again within the hour")
	}
}

// A gateway says how full its buffer is, and once which version it is.
func TestAGatewayTellsOfItsBuffer(t *testing.T) {
	b := newBench(t)
	b.telling = 20 * time.Millisecond
	stop := b.run()
	defer stop()
	l := b.read(func(l log) bool { return len(l.valuesOf("BufUse")) >= 3 && len(l.valuesOf("BufLeft")) > 0 })
	if use, _ := l.valuesOf("BufUse")[0].Float(); use <= 0 {
		t.Errorf("the buffer takes %v bytes", use)
	}
	if left, _ := l.valuesOf("BufLeft")[0].Float(); left <= 0 {
		t.Errorf("it lasts %v s", left)
	}
	if got := l.valuesOf("SwRev"); len(got) != 1 || got[0] != telemetry.TextValue("test") {
		t.Errorf("the version is %v", got)
	}
}
