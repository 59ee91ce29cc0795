package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/adapters"
	"github.com/busbar/busbar/telemetry"
)

func disturbed(l log) (list []string) {
	for _, e := range slices.Concat(l.of(telemetry.VoltageSag), l.of(telemetry.VoltageSwell)) {
		d := e.Disturbance
		list = append(list, fmt.Sprintf("%s %s %s of %s: %d", e.Kind, d.Phase, d.Device, d.Asset, d.Count))
	}
	return list
}

// What a meter counts of its voltage is told when it rises, also while the gateway is away.
func TestWhatAMeterCountsOfItsVoltage(t *testing.T) {
	port := newP1Port(t)
	b := newBench(t)
	b.source = strings.Replace(b.source, "rules:", fmt.Sprintf(`
  - id: house
    asset: point-1
    p1: {endpoint: "tcp://%s"}
rules:
  - {name: counted, on: {device: house}, when: TotW > 5000, summary: counted}`, port.Addr()), 1)
	b.config = b.parse(b.source)
	counts := func(kilowatts, sags, swells int) []string {
		return []string{fmt.Sprintf("1-0:1.7.0(%06.3f*kW)", float64(kilowatts)), "1-0:2.7.0(00.000*kW)", fmt.Sprintf("1-0:32.32.0(%05d)", sags), fmt.Sprintf("1-0:72.36.0(%05d)", swells)}
	}
	begun := telemetry.MicrosOf(time.Now())
	stop := b.run()
	port.lines <- counts(6, 5, 1)
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmRaised)) == 1 })
	stop()
	away := telemetry.MicrosOf(time.Now())
	port.lines <- counts(6, 7, 1)
	stop = b.run()
	defer stop()
	l := b.read(func(l log) bool { return len(disturbed(l)) > 0 })
	if e := l.of(telemetry.VoltageSag)[0]; e.Disturbance.Since < begun || e.Disturbance.Since > away || e.Time <= away {
		t.Errorf("%d since %d, expected since one from %d to %d", e.Time, e.Disturbance.Since, begun, away)
	}
	port.lines <- counts(1, 3, 1) // another meter
	b.read(func(l log) bool { return len(l.of(telemetry.AlarmCleared)) == 1 })
	port.lines <- counts(1, 4, 3)
	l = b.read(func(l log) bool { return len(disturbed(l)) > 2 })
	want := []string{"voltage-sag A house of point-1: 2", "voltage-sag A house of point-1: 1", "voltage-swell C house of point-1: 2"}
	if got := disturbed(l); !slices.Equal(got, want) {
		t.Errorf("%q, expected %q", got, want)
	}
}

func TestByHowMuchACounterHasRisen(t *testing.T) {
	d := disturbances{devices: map[string][]counted{}}
	sag := func(count uint64) adapters.Disturbances {
		return adapters.Disturbances{Kind: telemetry.VoltageSag, Phase: "A", Count: count}
	}
	swell, other := sag(3), sag(9)
	swell.Kind, other.Phase = telemetry.VoltageSwell, "B"
	for i, c := range []struct {
		device        string
		now           adapters.Disturbances
		by            uint64
		since         telemetry.Micros
		changed, read bool // what is to be kept, by which interval
	}{
		{"d", sag(5), 0, 0, true, false},
		{"d", sag(5), 0, 1, false, true},
		{"d", sag(8), 3, 2, true, true},
		{"d", swell, 0, 0, true, false},
		{"d", other, 0, 0, true, false},
		{"e", sag(9), 0, 0, true, false},
		{"d", sag(2), 0, 3, true, true},
		{"d", sag(3), 1, 7, true, true},
	} {
		by, since := d.take(c.device, c.now, telemetry.Micros(i+1))
		if by != c.by || c.by > 0 && since != c.since || d.changed != c.changed || d.read != c.read {
			t.Errorf("%d: by %d since %d, changed %v, read %v", i, by, since, d.changed, d.read)
		}
		d.changed, d.read = false, false
	}
}
