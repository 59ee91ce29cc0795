package p1

import (
	"testing"
	"time"

	"github.com/busbar/busbar/sim/simbench"
	"github.com/busbar/busbar/sim/smartmeter"
)

// A simulated meter says the same to dsmr-parser as to us, is silent without supply, and has
// noted afterwards what was.
func TestSimulatedMeterAsDsmrParser(t *testing.T) {
	t.Parallel()
	profile, err := simbench.Load("H0-A")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC) // in the hour that comes twice
	m := smartmeter.New(smartmeter.Config{
		Seed: 3, Profile: profile, RatedPower: 6000, Zone: amsterdam(t), Logged: 9,
		InterruptionEvery: time.Hour, InterruptionLasts: 4 * time.Minute, SagEvery: 10 * time.Minute, SwellEvery: 20 * time.Minute,
	}, start)
	look := func(since time.Duration) (Telegram, int) {
		text := m.Telegram(start.Add(since))
		compare(t, since.String(), text, 20, oracle(t, text, "V5"))
		told, err := Parse(text, amsterdam(t))
		if err != nil || told.Broken != 0 || !told.Checked {
			t.Fatalf("%v, %d broken lines of %q", err, told.Broken, text)
		}
		n := 0
		for _, code := range []string{"1-0:32.32.0", "1-0:52.32.0", "1-0:72.32.0", "1-0:32.36.0", "1-0:52.36.0", "1-0:72.36.0"} {
			r, _ := register(told.Registers, code)
			v, _ := r.Value.Float()
			n += int(v)
		}
		return told, n
	}
	before, counted := look(0)
	if text := m.Telegram(start.Add(62 * time.Minute)); text != nil {
		t.Errorf("without supply it says %q", text)
	}
	after, now := look(65 * time.Minute)
	if len(before.Failures) != 9 || len(after.Failures) != 10 || !after.Failures[0].End.Equal(start.Add(64*time.Minute)) || after.Failures[0].Lasted != 4*time.Minute {
		t.Errorf("it had noted %v, and then %v", before.Failures, after.Failures)
	}
	if now-counted != 6+3 {
		t.Errorf("it has counted %d sags and swells, expected 9", now-counted)
	}
}
