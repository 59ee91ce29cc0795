package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// alarms are those of a rule that were raised or cleared.
func (l log) alarms(kind telemetry.EventKind, rule string) (list []telemetry.AlarmChange) {
	for _, e := range l.of(kind) {
		if e.Alarm.Rule == rule {
			list = append(list, *e.Alarm)
		}
	}
	return list
}

// voltage is of the meter's alarms.
func voltage(e telemetry.Event) bool { return e.Alarm.Rule != diskRule }

// A gateway whose buffer can be neither written nor read starts, says so, and
// alarms. It tells nobody of ids that aren't on disk. When the disk is there,
// everything goes on by itself.
func TestStartsWithoutADisk(t *testing.T) {
	b := newBench(t)
	b.config.Gateway.Key = configfile.Path(filepath.Join(t.TempDir(), "gateway.key"))
	dir := string(b.config.Buffer.Path)
	if err := errors.Join(os.Remove(dir), os.Symlink(filepath.Base(dir), dir)); err != nil { // it leads to itself
		t.Fatal(err)
	}
	stop := b.run()
	l := b.read(func(l log) bool {
		return len(l.of(telemetry.GatewayStarted)) == 1 && len(l.alarms(telemetry.AlarmRaised, diskRule)) == 1
	})
	if a := l.alarms(telemetry.AlarmRaised, diskRule)[0]; a.Asset != "gw" || a.Priority != telemetry.High {
		t.Errorf("%+v", a)
	}
	b.meter.set(0)
	l = b.read(func(l log) bool { return slices.ContainsFunc(l.of(telemetry.AlarmRaised), voltage) })
	raised := l.of(telemetry.AlarmRaised)
	for _, input := range raised[slices.IndexFunc(raised, voltage)].Alarm.Inputs {
		if input.Signal != 0 || input.Name == "" {
			t.Errorf("%+v", input)
		}
	}
	if len(l.births) > 0 || l.samples > 0 {
		t.Errorf("%d births and %d samples of signals whose ids aren't on disk", len(l.births), l.samples)
	}

	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	b.meter.set(230)
	l = b.read(func(l log) bool {
		return len(l.births) > 0 && l.samples > 0 && len(l.alarms(telemetry.AlarmCleared, diskRule)) == 1 && slices.ContainsFunc(l.of(telemetry.AlarmCleared), voltage)
	})
	if up, down := l.alarms(telemetry.AlarmRaised, diskRule), l.alarms(telemetry.AlarmCleared, diskRule); len(up) != 1 || up[0].ID != down[0].ID {
		t.Errorf("raised %+v, cleared %+v", up, down)
	}
	if birth := l.births[0]; birth.Version != 8 || len(birth.Signals) != 8 {
		t.Errorf("birth %+v", birth)
	}
	stop()
	b.read(func(l log) bool { return len(l.of(telemetry.GatewayStopped)) == 1 })
	b.run()()
	l = b.read(func(l log) bool { return len(l.of(telemetry.GatewayStarted)) == 2 })
	if starts := l.of(telemetry.GatewayStarted); starts[1].Lifecycle.Start != 2 {
		t.Errorf("start %d", starts[1].Lifecycle.Start)
	}
}

// The alarm of a full disk comes when that isn't borne any longer: before, its own
// commit would be what the oldest records are given up for.
func TestAFullDiskIsAnAlarmLater(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	full, readOnly := fmt.Errorf("commit: %w", syscall.ENOSPC), fmt.Errorf("commit: %w", syscall.EROFS)
	for _, c := range []struct {
		since    time.Time
		cause    error
		patience time.Duration
		want     bool
	}{
		{time.Time{}, nil, 0, false},
		{ago(0), readOnly, 0, true},
		{ago(0), readOnly, diskPatience, false},
		{ago(diskPatience), readOnly, diskPatience, true},
		{ago(time.Minute), full, 0, false},
		{ago(time.Minute), full, diskPatience, false},
		{ago(2 * time.Minute), full, diskPatience, true},
	} {
		if got := overdue(c.since, c.cause, c.patience); got != c.want {
			t.Errorf("%v for %v, patience %v: %v", c.cause, time.Since(c.since), c.patience, got)
		}
	}
}
