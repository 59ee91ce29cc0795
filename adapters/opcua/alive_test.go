package opcua

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/opcuaconn"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/opcuapeer"
)

// A server that is killed, and comes again with other indices of its namespaces, is read
// on; meanwhile everything is bad, and says why.
func TestServerKilledAndRestarted(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		c, _ := begin(t, plant(t, p, "Counter", "Name"))
		c.await(t, "values", func() bool { return good(c.last(1)) && good(c.last(2)) })
		p.Kill()
		c.await(t, "that there are none", func() bool {
			return c.last(1).Quality == telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.NotConnected)|telemetry.Stale &&
				c.last(2).Quality.Validity() == telemetry.Bad && c.last(live).Value == telemetry.BoolValue(false)
		})
		p.Restart(opcuapeer.Settings{Shift: 3})
		c.await(t, "values again", func() bool {
			return good(c.last(1)) && good(c.last(2)) && c.last(live).Value == telemetry.BoolValue(true)
		})
		if s := c.last(2); s.Value != telemetry.TextValue("Transformer 1") {
			t.Errorf("%+v", s)
		}
	})
}

// A server that is connected and says nothing is noticed within three keep-alives, and
// read on when it goes on.
func TestServerFrozen(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{})
		d := plant(t, p, "Counter", "Name")
		c, _ := begin(t, d)
		c.await(t, "values", func() bool { now, _ := c.of(1); return len(now) > 5 })
		frozen := time.Now()
		p.Freeze()
		c.await(t, "that it is silent", func() bool {
			return c.last(1).Quality == telemetry.MakeQuality(telemetry.Bad, telemetry.GatewayTime, telemetry.Timeout)|telemetry.Stale &&
				c.last(live).Value == telemetry.BoolValue(false)
		})
		t.Logf("noticed after %v", time.Since(frozen).Round(10*time.Millisecond))
		p.Thaw()
		c.await(t, "values again", func() bool { return good(c.last(1)) && c.last(live).Value == telemetry.BoolValue(true) })
	})
}

// slow is how often a counter counts of which no value may be missing: a server that logs
// somebody in may sample nothing for some hundred milliseconds, and never has a value that
// came and went meanwhile.
const slow = time.Second

// What a server has recorded while it couldn't be reached is read from its history: no
// value is missing, and none comes twice.
func TestHistoryFillsTheGap(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		if kind == opcuapeer.Milo {
			t.Skip("it has no history")
		}
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{Period: slow})
		d := plant(t, p, "Counter")
		d.SampleEvery, d.Queue = 10*time.Millisecond, 10
		overACut(t, p, d, 0)
	})
}

// The same after a line that was cut for ten minutes: as much as these servers record.
func TestTortureTenMinutesOfHistory(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("takes 11 minutes; BUSBAR_TORTURE=1 runs it")
	}
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		if kind == opcuapeer.Milo {
			t.Skip("it has no history")
		}
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{Period: slow})
		d := plant(t, p, "Counter")
		d.SampleEvery, d.Queue = 100*time.Millisecond, 10
		overACut(t, p, d, 10*time.Minute)
	})
}

// What a server has queued meanwhile is fetched by taking its subscriptions over, also
// without a history.
func TestSubscriptionsAreTakenOver(t *testing.T) {
	each(t, func(t *testing.T, kind opcuapeer.Kind) {
		if kind == opcuapeer.Asyncua {
			t.Skip("it hands none over")
		}
		p := opcuapeer.Start(t, kind, opcuapeer.Settings{Period: slow})
		d := plant(t, p, "Counter")
		d.Server.Security = opcuaconn.Security{}
		d.Server.Trust = []configfile.Path{configfile.Path(p.Certificate())}
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte(opcuapeer.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		d.Server.Username, d.Server.PasswordFile = opcuapeer.User, configfile.Path(password) // they don't hand them over to nobody
		d.SampleEvery, d.Queue, d.History = 10*time.Millisecond, 1000, false
		overACut(t, p, d, 0)
	})
}

// overACut reads a counter over a line that is cut until that is noticed, and then for as
// long again as is said, and checks that each of its values has come, once.
func overACut(t *testing.T, p *opcuapeer.Server, d Device, longer time.Duration) {
	via := newRelay(t, p.Endpoint())
	d.Server.Endpoint = via.endpoint
	c, _ := begin(t, d)
	c.await(t, "values", func() bool { now, _ := c.of(1); return len(now) > 3 })
	via.cut()
	c.await(t, "that there are none", func() bool { return c.last(live).Value == telemetry.BoolValue(false) })
	before := c.last(live).Time
	time.Sleep(longer)
	via.mend()
	if d.History {
		c.await(t, "the past", func() bool { _, past := c.of(1); return len(past) > 0 })
	}
	c.await(t, "values again", func() bool {
		now, _ := c.of(1)
		return len(now) > 0 && now[len(now)-1].Time.Sub(before) > 3*time.Second
	})
	now, past := c.of(1)
	var counted []uint64
	for _, s := range append(now, past...) {
		if good(s) {
			counted = append(counted, s.Value.Bits())
		}
	}
	slices.Sort(counted)
	for i := 1; i < len(counted); i++ {
		if counted[i] != counted[i-1]+1 {
			t.Errorf("%d after %d", counted[i], counted[i-1])
		}
	}
	t.Logf("%d values, of which %d of the past", len(counted), len(past))
}

// Connections that are broken off again and again leave nothing behind.
func TestReconnectingLeavesNothingBehind(t *testing.T) {
	p := opcuapeer.Start(t, opcuapeer.Asyncua, opcuapeer.Settings{})
	via := newRelay(t, p.Endpoint())
	d := plant(t, p, "Counter", "Nothing")
	d.Server.Endpoint = via.endpoint
	c, _ := begin(t, d)
	var before int
	for n := range 6 {
		c.await(t, "values", func() bool { return good(c.last(1)) && c.last(live).Value == telemetry.BoolValue(true) })
		if n == 0 {
			before = runtime.NumGoroutine()
		}
		via.mend()
		c.await(t, "that there are none", func() bool { return c.last(live).Value == telemetry.BoolValue(false) })
	}
	c.await(t, "values", func() bool { return good(c.last(1)) })
	const passing = 4 // requests that have just been made
	limit := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+passing && time.Now().Before(limit) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before+passing {
		t.Errorf("%d goroutines after 6 connections, %d before", after, before)
	}
}
