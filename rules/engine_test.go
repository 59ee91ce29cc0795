package rules

import (
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

const (
	byPoll   = time.Second
	byChange = 0
)

func hot(t testing.TB, poll, delay, keep time.Duration) *rig {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: poll}, "TopOilTmp", "AmbTmp")
	return newRig(t, m, Rule{Name: "hot", On: Target{Asset: "T1"}, When: "TopOilTmp > 95", ClearWhen: "TopOilTmp < 90",
		For: lasting(delay), KeepFiringFor: lasting(keep)})
}

func (r *rig) oil(t float64, v any) { r.t.Helper(); r.read(t, "monitor", "TopOilTmp", v) }

func TestRaisedAndClearedAtOnce(t *testing.T) {
	r := hot(t, byPoll, 0, 0)
	r.oil(0, 95)
	r.want()
	r.oil(1, 95.1)
	r.want("1 raised hot")
	r.oil(2, 96)
	r.oil(3, 92)
	r.oil(4, 90)
	r.want()
	r.oil(5, 89.9)
	r.want("5 cleared hot")
	r.oil(6, 94)
	r.want()
}

func TestForIsCompletedBySamples(t *testing.T) {
	r := hot(t, byPoll, 2*time.Second, 0)
	r.oil(0, 99)
	r.oil(1, 99)
	r.want()
	r.oil(2, 99)
	r.want("0 raised hot")
}

func TestAContrarySampleStartsForAnew(t *testing.T) {
	r := hot(t, byPoll, 2*time.Second, 0)
	for s, v := range []float64{99, 99, 94, 99, 99} {
		r.oil(float64(s), v)
	}
	r.want()
	r.oil(5, 99)
	r.want("3 raised hot")
}

func TestKeepFiringFor(t *testing.T) {
	r := hot(t, byPoll, 0, 2*time.Second)
	for s, v := range []float64{99, 80, 80, 92, 80, 80} {
		r.oil(float64(s), v)
	}
	r.want("0 raised hot")
	r.oil(6, 80)
	r.want("4 cleared hot")
}

func TestTheClockCompletesForWhenNoSampleIsDue(t *testing.T) {
	r := hot(t, byPoll, time.Second, 0)
	r.oil(0, 99)
	r.tick(1.005)
	r.want() // the next sample is due
	r.oil(1.003, 80)
	r.want()

	r.oil(2, 99)
	r.oil(2.9995, 99)
	if next := r.engine.NextDeadline(); next.After(at(3.005).Time()) {
		t.Errorf("the deadline is %s", next)
	}
	r.tick(3.004)
	r.want()
	r.tick(3.005)
	r.want("2 raised hot")
	if next := r.engine.NextDeadline(); !next.IsZero() {
		t.Errorf("a deadline at %s, expected none", next)
	}
}

func TestTheClockCompletesForOfValuesByChange(t *testing.T) {
	r := hot(t, byChange, time.Minute, time.Minute)
	r.oil(0, 99)
	r.tick(60)
	r.want()
	r.tick(60.005)
	r.want("0 raised hot")
	r.oil(100, 80)
	r.tick(160.005)
	r.want("100 cleared hot")
}

func TestASampleFindsWhatTheClockWouldHaveDone(t *testing.T) {
	r := hot(t, byChange, time.Minute, 0)
	r.oil(0, 99)
	r.oil(60, 80)
	r.want("0 raised hot", "60 cleared hot")
	r.oil(100, 99)
	r.oil(159.999, 80)
	r.want()
}

func TestASilentDeviceConfirmsNothing(t *testing.T) {
	r := hot(t, byPoll, 2*time.Second, time.Second)
	r.oil(0, 99)
	r.oil(1, silent{})
	r.tick(2.005)
	r.tick(10)
	r.want()

	r.oil(20, 99)
	r.tick(30) // nothing at all is read
	r.want()
	for s := 40.0; s < 43; s++ {
		r.oil(s, 99)
	}
	r.want("40 raised hot")
	r.oil(43, 80)
	r.oil(44, silent{})
	r.tick(50)
	r.want()
	r.oil(51, 80)
	r.oil(52, 80)
	r.want("51 cleared hot")
}

func TestTheClockConfirmsNothingThatHasGoneStale(t *testing.T) {
	r := hot(t, byPoll, 10*time.Second, 0)
	r.oil(0, 99)
	r.tick(20)
	r.oil(21, 80)
	r.want()
}

func TestAShortUnknownStretchIsNotCounted(t *testing.T) {
	r := hot(t, byPoll, 3*time.Second, 0)
	r.oil(0, 99)
	r.oil(1, 99)
	r.oil(2, silent{})
	r.oil(3, 99) // 2 s since it was last known
	r.oil(4, 99)
	r.want()
	r.oil(5, 99)
	r.want("0 raised hot")
}

func TestALongUnknownStretchStartsForAnew(t *testing.T) {
	r := hot(t, byPoll, 2*time.Second, 0)
	r.oil(0, 99)
	r.oil(1, 99)
	r.oil(4.5, 99) // more than three polls without a sample
	r.oil(5.5, 99)
	r.want()
	r.oil(6.5, 99)
	r.want("4.5 raised hot")
}

func TestUnknownNeitherRaisesNorClears(t *testing.T) {
	r := hot(t, byPoll, 0, 0)
	r.oil(0, silent{})
	r.want()
	r.oil(1, 99)
	r.want("1 raised hot")
	r.oil(2, silent{})
	r.oil(3, flagged{20, telemetry.MakeQuality(telemetry.Bad, 0, telemetry.SensorFailure)})
	r.tick(1000)
	r.want()
	r.oil(1001, 20)
	r.want("1001 cleared hot")
}

func TestOldSamplesArePassedOver(t *testing.T) {
	r := hot(t, byPoll, 0, 0)
	r.oil(10, 80)
	r.oil(11, before{99, 2})
	r.want()
	r.oil(12, 99)
	r.oil(13, before{80, 1.5})
	r.want("12 raised hot")

	r.engine.Update(at(14).Time(), []telemetry.Sample{{Time: at(5), Signal: 1, Value: telemetry.FloatValue(80), Quality: telemetry.ClockJumped}}, r.emit)
	r.want("12 cleared hot")
	r.oil(6, 99)
	r.want("6 raised hot")
}

func TestAClockSetBackStartsForAnew(t *testing.T) {
	r := hot(t, byPoll, 2*time.Second, 0)
	r.oil(100, 99)
	r.oil(101, 99)
	r.oil(50, flagged{99, telemetry.ClockJumped})
	r.oil(51, 99)
	r.want()
	r.oil(52, 99)
	r.want("50 raised hot")
}

func TestAClockSetForwardDoesNotCountAsTime(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: byPoll})
	r := newRig(t, m, Rule{Name: "dead", On: Target{Device: "m1"}, When: "not ChLiv", For: lasting(10 * time.Second)})
	r.read(0, "m1", telemetry.ChannelLive, false)
	r.read(3600, "m1", telemetry.ChannelLive, flagged{0, telemetry.ClockJumped})
	r.read(3609, "m1", telemetry.ChannelLive, false)
	r.want()
	r.read(3610, "m1", telemetry.ChannelLive, false)
	r.want("3600 raised dead")
}

func TestAnotherDevicesLateSampleDoesNotStartForAnew(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "oil", Asset: "T1", PollEvery: byPoll}, "TopOilTmp")
	meter(&m, Device{ID: "air", Asset: "T1", PollEvery: byPoll}, "AmbTmp")
	r := newRig(t, m, Rule{Name: "rise", When: "TopOilTmp - AmbTmp > 60", For: lasting(2 * time.Second)})
	for s := range 2 {
		r.read(float64(s), "oil", "TopOilTmp", 99)
		r.engine.Update(at(float64(s)+0.2).Time(), []telemetry.Sample{r.sample(float64(s)-0.1, "air", "AmbTmp", 20)}, r.emit)
	}
	r.want()
	r.read(2, "oil", "TopOilTmp", 99)
	r.want("0 raised rise")
}

func TestASampleFromTheFutureDoesNotHideLaterOnes(t *testing.T) {
	r := hot(t, byPoll, 0, 0)
	r.oil(10, before{80, -86400})
	r.oil(11, 99)
	r.want("11 raised hot")
}

func TestOneExchangeIsEvaluatedOnce(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "monitor", Asset: "T1", PollEvery: byPoll}, "TopOilTmp", "AmbTmp")
	r := newRig(t, m, Rule{Name: "rise", On: Target{Asset: "T1"}, When: "TopOilTmp - AmbTmp > 60", ClearWhen: "TopOilTmp > 0 and AmbTmp > 0"})
	r.read(0, "monitor", "TopOilTmp", 60, "AmbTmp", 10)
	r.read(1, "monitor", "TopOilTmp", 75, "AmbTmp", 25)
	r.want()
	r.read(2, "monitor", "TopOilTmp", 90, "AmbTmp", 25)
	r.want("2 raised rise")
}

func TestEachDeviceIsEvaluatedOnItsOwn(t *testing.T) {
	for _, together := range []bool{false, true} {
		m := Model{}
		meter(&m, Device{ID: "oil", Asset: "T1", PollEvery: byPoll}, "TopOilTmp")
		meter(&m, Device{ID: "air", Asset: "T1", PollEvery: byPoll}, "AmbTmp")
		r := newRig(t, m, Rule{Name: "rise", When: "TopOilTmp - AmbTmp > 60"})
		r.read(0, "air", "AmbTmp", 10)
		oil, air := r.sample(1, "oil", "TopOilTmp", 75), r.sample(1, "air", "AmbTmp", 25)
		if together {
			r.engine.Update(at(1).Time(), []telemetry.Sample{oil, air}, r.emit)
		} else {
			r.engine.Update(at(1).Time(), []telemetry.Sample{oil}, r.emit)
			r.engine.Update(at(1).Time(), []telemetry.Sample{air}, r.emit)
		}
		r.want("1 raised rise", "1 cleared rise")
	}
}

func TestTheClockDoesNotCountUnknownTime(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		m := Model{}
		meter(&m, Device{ID: "oil", Asset: "T1", PollEvery: time.Second}, "TopOilTmp")
		meter(&m, Device{ID: "air", Asset: "T1", PollEvery: 10 * time.Second}, "AmbTmp")
		rule := Rule{Name: "x", When: "unknown(TopOilTmp > 0) or AmbTmp > 40", For: lasting(9 * time.Second)}
		r := newRig(t, m, rule)
		r.read(0, "oil", "TopOilTmp", 50)
		r.read(0, "air", "AmbTmp", 50)
		r.read(5, "oil", "TopOilTmp", 50)
		r.read(5, "air", "AmbTmp", silent{}) // unknown until the oil's value goes stale after 8 s
		if restarted {
			r.restart(rule)
		}
		r.tick(9.005)
		r.read(12, "air", "AmbTmp", silent{})
		r.want()
		r.read(16, "air", "AmbTmp", silent{})
		r.want("0 raised x")
	}
}

func TestEventsSayWhatDecided(t *testing.T) {
	r := hot(t, byPoll, time.Second, 0)
	r.oil(0, 99)
	r.oil(1, 101.5)
	e := r.events[0]
	if e.Kind != telemetry.AlarmRaised || e.Time != at(0) || e.Decided != at(1.005) {
		t.Errorf("kind %s, time %g, decided %g", e.Kind, seconds(e.Time), seconds(e.Decided))
	}
	a := e.Alarm
	if a.Rule != "hot" || a.Asset != "T1" || a.Device != "" || a.Priority != telemetry.Medium || a.Summary != "hot at T1" {
		t.Errorf("alarm %+v", a)
	}
	if a.ID != "e69fffebecc481d7" {
		t.Errorf("id %s", a.ID)
	}
	if len(a.Inputs) != 1 {
		t.Fatalf("inputs %+v", a.Inputs)
	}
	if i := a.Inputs[0]; i.Signal != 1 || i.Name != "TopOilTmp" || i.Device != "monitor" || i.Unit != "Cel" || *i.Value != 101.5 || i.Quality != "good" || i.Time != at(1) {
		t.Errorf("input %+v", i)
	}
	r.oil(2, 50)
	if cleared := r.events[1].Alarm; cleared.ID != a.ID {
		t.Errorf("cleared as %s, raised as %s", cleared.ID, a.ID)
	}
	r.oil(3, 99)
	r.oil(4, 99)
	if again := r.events[2].Alarm; again.ID == a.ID {
		t.Error("two occurrences share an id")
	}
}

func TestSummary(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PollEvery: byPoll}, "TopOilTmp", "PhV.phsA", "AmbTmp")
	r := newRig(t, m, Rule{Name: "hot", On: Target{Device: "m1"}, When: "TopOilTmp > 95", Priority: telemetry.Critical,
		Summary: `{{.asset}}/{{ .device }}: {{ .TopOilTmp }} °C, {{ printf "%.1f V" .PhV.phsA }}, ambient {{ .AmbTmp }}`})
	r.read(0, "m1", "TopOilTmp", float64(float32(95.3)), "PhV.phsA", 230.04, "AmbTmp", silent{})
	if got, want := r.events[0].Alarm.Summary, "f1/m1: 95.3 °C, 230.0 V, ambient –"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
	if a := r.events[0].Alarm; a.Device != "m1" || a.Priority != telemetry.Critical || len(a.Inputs) != 1 {
		t.Errorf("alarm %+v", a)
	}
}

func TestUpdateAllocatesNothingWhenNothingFires(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "f1", PoweredBy: PoweredByMeasured, Supply: "s", PollEvery: byPoll}, "PhV.phsA", "PhV.phsB", "PhV.phsC")
	meter(&m, Device{ID: "m2", Asset: "f2", Supply: "s", PollEvery: byPoll}, "PhV.phsA", "PhV.phsB", "PhV.phsC")
	r := newRig(t, m, Rule{Use: "en50160", For: lasting(time.Hour)}, Rule{Use: "supervision", For: lasting(time.Hour)})
	samples := []telemetry.Sample{
		r.sample(0, "m1", "PhV.phsA", 230), r.sample(0, "m1", "PhV.phsB", 230), r.sample(0, "m1", "PhV.phsC", 230), r.sample(0, "m1", "ChLiv", true),
		r.sample(0, "m2", "PhV.phsA", 0), r.sample(0, "m2", "PhV.phsB", 0), r.sample(0, "m2", "PhV.phsC", 0), r.sample(0, "m2", "ChLiv", false),
	}
	now := at(0).Time()
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		for i := range samples {
			samples[i].Time += 1_000_000
		}
		r.engine.Update(now, samples, r.emit)
		r.engine.Tick(now, r.emit)
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
	r.want()
}

// Events and samples are in the time of the clock that the engine was given,
// whatever the wall clock of the machine says.
func TestEventsHaveTheTimeOfTheSamples(t *testing.T) {
	m := Model{}
	meter(&m, Device{ID: "m1", Asset: "T1", PollEvery: time.Second}, "TopOilTmp")
	r := newRig(t, m, Rule{Name: "hot", When: "TopOilTmp > 90"})
	r.engine.SetClock(func(at time.Time) telemetry.Micros { return telemetry.MicrosOf(at.Add(24 * time.Hour)) })
	read := at(86400)
	r.engine.Update(at(1).Time(), []telemetry.Sample{{Time: read, Signal: 1, Value: telemetry.FloatValue(99)}}, r.emit)
	if len(r.events) != 1 || r.events[0].Time != read || r.events[0].Decided != at(86401) {
		t.Errorf("%+v", r.events)
	}
}
