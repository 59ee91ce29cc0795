package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store"
)

// gatewayOn starts the gateway on a disk whose flushes take so much longer.
func (s site) gatewayOn(t testing.TB, flush time.Duration) *program {
	t.Helper()
	if flush == 0 {
		return start(t, s.dir, "busbar-gateway", "run", "--config", "gateway.yaml")
	}
	return launch(t, s.dir, "busbar-gateway", exec.Command("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", os.DevNull, "-e", "signal=none",
		"-e", "trace=fdatasync", "-e", fmt.Sprintf("inject=fdatasync:delay_exit=%d", flush.Microseconds()),
		filepath.Join(bin, "busbar-gateway"), "run", "--config", "gateway.yaml"))
}

// instantSite is a gateway whose alarms take no time, of meters that can be dead,
// and a cloud with the log in it.
func instantSite(t testing.TB, addresses []string, poll time.Duration) site {
	t.Helper()
	s := site{dir: t.TempDir(), console: freeAddress(t), status: freeAddress(t), broker: freeAddress(t)}
	write(t, s.dir, "cloud.yaml", fmt.Sprintf("console: {listen: %q}\nlog: {embedded: {listen: %q, path: log}}\nstore: {path: cloud.db}\n", s.console, s.broker))
	write(t, s.dir, "gateway.yaml", benchConfig(s.broker, s.status, addresses, poll, interruptionRule+"\n    for: 0s\n    keep_firing_for: 0s"))
	enrol(t, s.dir)
	return s
}

// awaitActive waits until there are so many alarms, of which the one that was
// raised last is active or not, and no other.
func (s site) awaitActive(t *testing.T, alarms int, active bool) alarmState {
	t.Helper()
	var list []alarmState
	await(t, fmt.Sprintf("%d alarms, the last active: %v", alarms, active), time.Minute, func() bool {
		list = s.alarms(t)
		if len(list) != alarms || list[0].Active != active {
			return false
		}
		for _, a := range list[1:] {
			if a.Active {
				return false
			}
		}
		return true
	})
	return list[0]
}

// history opens the store of a cloud that has stopped, and checks that no two alarms
// of one cause were ever active at once.
func (s site) history(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(s.dir, "cloud.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	active := map[string]string{}
	for after := int64(0); ; {
		facts, err := st.Facts(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(facts) == 0 {
			return st
		}
		for _, f := range facts {
			after = f.Seq
			if f.Kind != alarm.FactKind {
				continue
			}
			var a alarm.Alarm
			if err := json.Unmarshal(f.Data, &a); err != nil {
				t.Fatal(err)
			}
			cause := strings.Join([]string{a.Rule, a.Asset, a.Device}, "/")
			switch other := active[cause]; {
			case a.Active && other != "" && other != a.ID:
				t.Errorf("%s: alarm %s becomes active while %s is", cause, a.ID, other)
			case a.Active:
				active[cause] = a.ID
			case other == a.ID:
				delete(active, cause)
			}
		}
	}
}

// A gateway that is killed after it has sent an alarm and before that is on its
// disk starts without it: the cloud ends the alarm, and one that still holds is
// raised anew. If it was the clearing that was sent, the alarm is active again.
func TestKilledBetweenSendingAndCommitting(t *testing.T) {
	needStrace(t)
	t.Parallel()
	meter := newNoisyMeter(0)
	s := instantSite(t, []string{serve(t, meter)}, 100*time.Millisecond)
	cloud := s.cloud(t)
	gateway := s.gateway(t)
	s.awaitRise(t, committedSamples, 20)

	// killSlow kills the gateway once the cloud has what the meter does, while the
	// disk takes many seconds for a commit.
	killSlow := func(dead bool, alarms int) alarmState {
		t.Helper()
		slow := inject(t, gateway, s.dir, "fdatasync:delay_enter=5000000")
		await(t, "the disk is slow", time.Minute, func() bool { return slow.struck() > 0 })
		meter.dead.Store(dead)
		began := time.Now()
		a := s.awaitActive(t, alarms, dead)
		t.Logf("killed %v after the meter changed", time.Since(began).Round(time.Millisecond))
		gateway.kill()
		slow.end()
		return a
	}
	forgotten := killSlow(true, 1)
	gateway = s.gateway(t)
	raised := s.awaitActive(t, 2, true)
	s.awaitRise(t, committedSamples, 20) // its event is committed, too

	resumed := killSlow(false, 2)
	meter.dead.Store(true)
	gateway = s.gateway(t)
	if again := s.awaitActive(t, 2, true); again.ID != raised.ID || resumed.ID != raised.ID {
		t.Errorf("%s was raised, %s cleared, and then %s is active", raised.ID, resumed.ID, again.ID)
	}
	meter.dead.Store(false)
	s.awaitActive(t, 2, false)
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitComplete(t)
	cloud.stop()
	st := s.history(t)
	actions := func(id string) (list []string) {
		t.Helper()
		_, entries, err := alarm.Get(t.Context(), st, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, fmt.Sprintf("%s by %s", e.Action, e.By))
		}
		return list
	}
	if got := fmt.Sprint(actions(forgotten.ID)); got != "[raised by gateway bench cleared by cloud]" {
		t.Errorf("the alarm that was forgotten: %s", got)
	}
	if got := fmt.Sprint(actions(raised.ID)); got != "[raised by gateway bench cleared by gateway bench raised by cloud cleared by gateway bench]" {
		t.Errorf("the alarm whose clearing was forgotten: %s", got)
	}
}

// Alarms come and go all the time while the gateway is killed again and again, on a
// disk on which there is always one that was sent and isn't committed: in the end
// none is active that shouldn't be, none was lost, and none came twice.
func TestTortureKillsOnASlowDisk(t *testing.T) {
	needStrace(t)
	t.Parallel()
	kills := 8
	if torture {
		kills = 200
	}
	var meters []*noisyMeter
	var addresses []string
	for i := range 20 {
		m := newNoisyMeter(i)
		meters, addresses = append(meters, m), append(addresses, serve(t, m))
	}
	s := instantSite(t, addresses, 100*time.Millisecond)
	cloud := s.cloud(t)
	done := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for {
			m := meters[rand.IntN(len(meters))]
			m.dead.Store(!m.dead.Load())
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	for range kills {
		gateway := s.gatewayOn(t, 50*time.Millisecond)
		raised := s.metric(t, raisedAlarms)
		await(t, "alarms are raised", time.Minute, func() bool { return s.metric(t, raisedAlarms) > raised })
		pause(0, time.Second)
		gateway.kill()
	}
	close(done)
	changing.Wait()
	for _, m := range meters {
		m.dead.Store(false)
	}
	gateway := s.gatewayOn(t, 50*time.Millisecond) // and stops without losing anything
	await(t, "no alarm is active", time.Minute, func() bool {
		var list struct{ Alarms []alarmState }
		if s.metric(t, goodSamples) < 1000 || !s.ask(t, "/api/v1/alarms?state=open", &list) {
			return false
		}
		for _, a := range list.Alarms {
			if a.Active {
				return false
			}
		}
		return true
	})
	s.awaitSent(t, time.Minute)
	gateway.stop()
	s.awaitComplete(t)
	cloud.stop()
	st := s.history(t)
	_, all, err := alarm.List(t.Context(), st, false, store.Page[alarm.Place]{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	forgotten, resumed := 0, 0
	for _, a := range all {
		_, entries, err := alarm.Get(t.Context(), st, a.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			switch {
			case e.By != "cloud":
			case e.Action == alarm.Cleared:
				forgotten++
			default:
				resumed++
			}
		}
	}
	t.Logf("%d alarms over %d kills, of which %d were forgotten; of %d the clearing was", len(all), kills, forgotten, resumed)
	if forgotten+resumed == 0 {
		t.Error("no kill came between sending and committing: the test tests nothing")
	}
}

const raisedAlarms = `alarms_total{change="raised"}`
