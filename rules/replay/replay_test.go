package replay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

const epoch = telemetry.Micros(1_780_000_000_000_000)

func model() rules.Model {
	return rules.Model{
		Gateway: "gw",
		Devices: []rules.Device{{ID: "m1", Asset: "f1", PollEvery: time.Second}, {ID: "rtu", Asset: "f1"}},
		Signals: []telemetry.Signal{
			{ID: 11, Device: "m1", Asset: "f1", Name: "PhV.phsA", Unit: "V", Kind: telemetry.Gauge},
			{ID: 12, Device: "m1", Asset: "f1", Name: "A.phsA", Unit: "A", Kind: telemetry.Gauge},
			{ID: 13, Device: "rtu", Asset: "f1", Name: "Pos", Unit: "1", Kind: telemetry.State},
		},
	}
}

var entries = []rules.Rule{
	{Name: "low", When: "PhV.phsA < 207", For: new(configfile.Duration(2 * time.Second))},
	{Name: "sensor", When: "PhV.phsA < 10 and A.phsA > 5"},
	{Name: "opened", When: "not Pos", For: new(configfile.Duration(2500 * time.Millisecond))},
}

// play replays what was committed together, and is what it raises and clears.
func play(t *testing.T, committed ...[]Sample) (events []string, counts Counts) {
	t.Helper()
	engine, problems := rules.Compile(entries, model())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r := New(engine, model(), func(e telemetry.Event) {
		events = append(events, fmt.Sprintf("%g %s %s", float64(e.Time-epoch)/1e6, e.Kind, e.Alarm.Rule))
	})
	for _, samples := range committed {
		r.Take(samples)
	}
	return events, r.Counts()
}

// at is a sample of another table, whose ids are others.
func at(seconds float64, device, name string, v float64) Sample {
	return Sample{device, name, telemetry.Sample{Time: epoch + telemetry.Micros(seconds*1e6), Value: telemetry.FloatValue(v), Signal: 99}}
}

// block is seconds from until of a meter, signal by signal, as blocks have them.
func block(from, until int, volts, amperes float64) (out []Sample) {
	for s := from; s < until; s++ {
		out = append(out, at(float64(s), "m1", "PhV.phsA", volts))
	}
	for s := from; s < until; s++ {
		out = append(out, at(float64(s), "m1", "A.phsA", amperes))
	}
	return out
}

func TestSamplesAreReplayedInTheirTime(t *testing.T) {
	// In one commit voltage and current go together: the old current never meets the new
	// voltage.
	events, counts := play(t, slices.Concat(block(0, 5, 230, 50), block(5, 10, 0, 0)), block(10, 12, 230, 50))
	if want := []string{"5 alarm-raised low", "10 alarm-cleared low"}; !slices.Equal(events, want) {
		t.Errorf("%q, expected %q", events, want)
	}
	if want := (Counts{Replayed: 24, From: epoch, To: epoch + 11_000_000}); counts != want {
		t.Errorf("%+v, expected %+v", counts, want)
	}
}

func TestTimePassesInAReplay(t *testing.T) {
	events, _ := play(t, []Sample{at(0, "rtu", "Pos", 1), at(1, "rtu", "Pos", 0)}, block(0, 5, 230, 50), []Sample{at(7, "rtu", "Pos", 1)})
	if want := []string{"1 alarm-raised opened", "7 alarm-cleared opened"}; !slices.Equal(events, want) {
		t.Errorf("%q, expected %q", events, want)
	}
	// Nor does it take another sample of the same signal, if others say how late it is.
	events, _ = play(t, []Sample{at(1, "rtu", "Pos", 0)}, block(0, 5, 230, 50))
	if want := []string{"1 alarm-raised opened"}; !slices.Equal(events, want) {
		t.Errorf("%q, expected %q", events, want)
	}
	// What is closed before the time is over raises nothing.
	if events, _ := play(t, []Sample{at(1, "rtu", "Pos", 0)}, block(0, 3, 230, 50), []Sample{at(3, "rtu", "Pos", 1)}, block(4, 9, 230, 50)); len(events) > 0 {
		t.Errorf("%q", events)
	}
}

// What a device committed in whatever order, the alarms are the same.
func TestTheOrderWithinACommitDoesntMatter(t *testing.T) {
	committed := slices.Concat(block(0, 4, 230, 50), block(4, 9, 3, 50), block(9, 20, 230, 1), []Sample{at(2, "rtu", "Pos", 0), at(12, "rtu", "Pos", 1)})
	want, _ := play(t, committed)
	if len(want) != 6 {
		t.Fatalf("%q", want)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(committed), func(i, j int) { committed[i], committed[j] = committed[j], committed[i] })
		if got, _ := play(t, committed); !slices.Equal(got, want) {
			t.Fatalf("%q, expected %q", got, want)
		}
	}
}

func TestWhatIsLeftOutIsCounted(t *testing.T) {
	untimed, estimated := at(1, "m1", "PhV.phsA", 0), at(2, "m1", "PhV.phsA", 0)
	untimed.Quality = untimed.Quality.WithTime(telemetry.SinceBoot)
	estimated.Quality = telemetry.Estimated
	_, counts := play(t, []Sample{untimed, estimated, at(3, "m1", "PhV.phsB", 0), at(3, "m9", "PhV.phsA", 0)})
	if counts != (Counts{Unknown: 2, Untimed: 1, Estimated: 1}) {
		t.Errorf("%+v", counts)
	}
}

// A clock that was set back goes on from there.
func TestAReplayFollowsTheClock(t *testing.T) {
	back := at(0, "rtu", "Pos", 0)
	back.Quality |= telemetry.ClockJumped
	events, _ := play(t, []Sample{at(1000, "rtu", "Pos", 1)}, []Sample{back}, block(0, 5, 230, 50))
	if want := []string{"0 alarm-raised opened"}; !slices.Equal(events, want) {
		t.Errorf("%q, expected %q", events, want)
	}
}
