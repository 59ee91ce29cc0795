package clock

import (
	"reflect"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// hold takes one sample and returns it as the record that waits.
func hold(t *testing.T, c *Clock) record.Record {
	t.Helper()
	received := time.Now()
	samples := []telemetry.Sample{{Time: telemetry.MicrosOf(received), Signal: 1, Value: telemetry.FloatValue(230)}}
	stamp := c.Stamp(received, samples)
	if stamp.Held == Nothing {
		t.Fatal("nothing is held")
	}
	stamp.Hold(&samples[0])
	return recordOf(t, c, samples)
}

// recordOf is the record that samples which are held are committed as.
func recordOf(t testing.TB, c *Clock, samples []telemetry.Sample) record.Record {
	t.Helper()
	block, err := new(telemetry.Encoder).AppendBlock(nil, telemetry.TableRef{Table: 1, Version: 1}, samples)
	if err != nil {
		t.Fatal(err)
	}
	return record.Record{
		Identity: record.Identity{Gateway: "gw", Epoch: 1, Stream: record.Telemetry, Last: uint64(len(samples)) - 1},
		Format:   record.FormatHeld, Payload: record.AppendHeld(nil, c.Boot(), nil, block),
	}
}

// waits fails the test unless the record has to wait.
func waits(t *testing.T, c *Clock, r record.Record) {
	t.Helper()
	before := r
	if ready, err := c.Prepare(&r); ready || err != nil || !reflect.DeepEqual(r, before) {
		t.Errorf("ready %v, %v: %+v", ready, err, r)
	}
}

// sent is the one sample of a record that is ready.
func sent(t *testing.T, c *Clock, r record.Record) telemetry.Sample {
	t.Helper()
	ready, err := c.Prepare(&r)
	if !ready || err != nil || r.Format != record.FormatBlock {
		t.Fatalf("ready %v, %v, %s", ready, err, r.Format)
	}
	_, samples, err := new(telemetry.Decoder).Block(r.Payload, nil)
	if err != nil || len(samples) != 1 {
		t.Fatalf("%v, %v", samples, err)
	}
	return samples[0]
}

// near checks a time, from which what the test itself took may be missing.
func near(t *testing.T, what string, got, want telemetry.Micros) {
	t.Helper()
	if got > want || got < want-second/2 {
		t.Errorf("%s is of %v, want %v", what, got.Time(), want.Time())
	}
}

func TestSamplesWaitUntilTheClockIsConfirmed(t *testing.T) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{})
	r := hold(t, c)
	f.pass(60 * second)
	c.Observe()
	waits(t, c, r)
	if _, ok := c.Began(); ok {
		t.Error("something is placed")
	}
	f.set(noon)
	f.synchronised, f.maxError = true, 0
	c.Observe()
	if began, ok := c.Began(); !ok || began != noon-67*second {
		t.Errorf("placed %v: the boot was at %v", ok, began.Time())
	}
	s := sent(t, c, r)
	near(t, "it", s.Time, noon-60*second)
	if s.Quality != 0 {
		t.Errorf("quality %v", s.Quality)
	}
	if other := (record.Record{Format: record.FormatEvent, Payload: []byte("{}")}); sendable(c, other) != record.FormatEvent {
		t.Error("an event has to wait")
	}
}

func sendable(c *Clock, r record.Record) string {
	if ready, err := c.Prepare(&r); !ready || err != nil {
		return ""
	}
	return r.Format
}

// A clock that nothing will confirm is good enough after a moment.
func TestAClockSetByHandPlacesSamplesToo(t *testing.T) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{})
	r := hold(t, c)
	f.set(noon)
	c.Observe()
	waits(t, c, r)
	f.pass(settle)
	c.Observe()
	s := sent(t, c, r)
	near(t, "it", s.Time, noon)
	if s.Quality.String() != "good (unsynchronised clock)" {
		t.Errorf("quality %v", s.Quality)
	}
}

func TestSamplesGoOutMarkedAfterTheLongestWait(t *testing.T) {
	f := &fake{}
	f.boot(0)
	c := start(f, &memory{})
	r := hold(t, c)
	f.pass(600*second - 1)
	c.Observe()
	waits(t, c, r)
	f.pass(1)
	c.Observe()
	s := sent(t, c, r)
	near(t, "it", s.Time, Minimum+7*second)
	if s.Quality.String() != "uncertain (unsynchronised clock)" {
		t.Errorf("quality %v", s.Quality)
	}
	// From then on nothing is held, and what is known later changes nothing.
	stamp := c.Stamp(time.Now(), nil)
	if stamp.Held != Nothing || !stamp.Guessed {
		t.Errorf("%+v", stamp)
	}
	f.set(noon)
	f.synchronised, f.maxError = true, 0
	c.Observe()
	if again := sent(t, c, r); again != s {
		t.Errorf("first %+v, then %+v", s, again)
	}
}

func TestOnlyCountersWaitForASource(t *testing.T) {
	f := &fake{}
	f.boot(noon)
	c := start(f, &memory{}, requireSync)
	if h := c.Stamp(time.Now(), nil).Held; h != Counters {
		t.Fatalf("held: %v", h)
	}
	r := hold(t, c)
	waits(t, c, r)
	f.set(noon + hour)
	f.synchronised, f.maxError = true, 0
	c.Observe()
	near(t, "it", sent(t, c, r).Time, noon+hour)
	if h := c.Stamp(time.Now(), nil).Held; h != Nothing {
		t.Errorf("held: %v", h)
	}
	// The source goes, and nothing waits before the holdover is over.
	f.synchronised = false
	f.pass(holdover + second)
	c.Observe()
	if h := c.Stamp(time.Now(), nil).Held; h != Counters {
		t.Errorf("after the holdover, held: %v", h)
	}
	r = hold(t, c)
	f.pass(600 * second)
	c.Observe()
	if s := sent(t, c, r); s.Quality.String() != "good (unsynchronised clock)" {
		t.Errorf("quality %v", s.Quality)
	}
	if s := start(f, &memory{}).Stats(); s.Holding != Nothing {
		t.Errorf("without require_sync, held: %v", s.Holding)
	}
}

// Two boots end before the time is known. In the third it is: what they left
// lies before it, one behind the other, and says that it is a guess.
func TestEarlierBootsLieBeforeThePresent(t *testing.T) {
	f, m := &fake{}, &memory{}
	var records []record.Record
	for range 2 {
		f.boot(0)
		c := start(f, m)
		for range 2 {
			records = append(records, hold(t, c))
			f.pass(90 * second)
			c.Observe()
		}
	}
	f.boot(0)
	c := start(f, m)
	waits(t, c, records[0])
	f.set(noon)
	f.synchronised, f.maxError = true, 0
	c.Observe()
	var times []telemetry.Micros
	for _, r := range records {
		s := sent(t, c, r)
		if s.Quality.String() != "uncertain (unsynchronised clock)" {
			t.Errorf("quality %v", s.Quality)
		}
		times = append(times, s.Time)
	}
	if times[3] > noon-7*second || times[3] < noon-hour {
		t.Errorf("the last is of %v", times[3].Time())
	}
	for i := range times[1:] {
		if times[i+1] <= times[i] {
			t.Errorf("sample %d is of %v, the next of %v", i, times[i].Time(), times[i+1].Time())
		}
	}
	again := start(f, m)
	for i, r := range records {
		if s := sent(t, again, r); s.Time != times[i] {
			t.Errorf("sample %d is of %v after a restart", i, s.Time.Time())
		}
	}
}

func TestABootThatNobodyRemembers(t *testing.T) {
	f := &fake{}
	f.boot(0)
	r := hold(t, start(f, &memory{}))
	f.boot(noon)
	c := start(f, &memory{notes: []byte("nonsense")})
	waits(t, c, r)
	f.pass(settle)
	c.Observe()
	if s := sent(t, c, r); s.Time >= noon || s.Time < noon-hour || s.Quality.Validity() != telemetry.Uncertain {
		t.Errorf("%v, %v", s.Time.Time(), s.Quality)
	}
}

// What a record becomes must be on disk before it is sent.
func TestNothingIsPlacedWhileNotesCannotBeSaved(t *testing.T) {
	f, m := &fake{}, &memory{}
	f.boot(0)
	c := start(f, m)
	r := hold(t, c)
	m.full = true
	f.set(noon)
	f.synchronised, f.maxError = true, 0
	c.Observe()
	if ready, err := c.Prepare(&r); ready || err == nil || r.Format != record.FormatHeld {
		t.Errorf("ready %v, %v", ready, err)
	}
	m.full = false
	sent(t, c, r)
}

func TestPreparedRecordsAreSigned(t *testing.T) {
	f := &fake{}
	f.boot(0)
	var signed []string
	c := start(f, &memory{}, func(o *Options) {
		o.Sign = func(r *record.Record) error { signed = append(signed, r.Format); return nil }
	})
	r := hold(t, c)
	waits(t, c, r)
	f.pass(600 * second)
	c.Observe()
	sent(t, c, r)
	if !reflect.DeepEqual(signed, []string{record.FormatBlock}) {
		t.Errorf("signed %v", signed)
	}
}

// FuzzPrepare: whatever waits, it is sent with times that can be, or as it is.
func FuzzPrepare(f *testing.F) {
	machine := &fake{}
	machine.boot(noon)
	machine.synchronised = true
	block, err := new(telemetry.Encoder).AppendBlock(nil, telemetry.TableRef{}, []telemetry.Sample{
		{Time: 5, Quality: telemetry.Quality(0).WithTime(telemetry.SinceBoot)}, {Time: -5, Signal: 9},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record.AppendHeld(nil, machine.id, []byte("polls"), block))
	f.Add(record.AppendHeld(nil, record.Boot{1, 2}, nil, block))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r := record.Record{Format: record.FormatHeld, Payload: payload}
		ready, err := start(machine, &memory{}).Prepare(&r)
		if err != nil || !ready || r.Format == record.FormatHeld {
			return
		}
		_, samples, err := new(telemetry.Decoder).Block(r.Payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range samples {
			if s.Quality.TimeQuality() == telemetry.SinceBoot {
				t.Fatalf("%+v is sent", s)
			}
		}
	})
}

// A process that is killed before it has noted that it holds something has still
// committed that; what the clock then says first is what places it.
func TestAProcessThatWasKilledHeldSamples(t *testing.T) {
	f, m := &fake{}, &memory{}
	f.boot(0)
	r := hold(t, start(f, m))
	c := start(f, m)
	f.pass(second)
	f.set(noon)
	f.synchronised, f.maxError = true, 0
	c.Observe()
	f.synchronised = false
	f.set(noon + hour)
	f.pass(hour)
	c.Observe()
	s := sent(t, c, r)
	near(t, "it", s.Time, noon-second)
	if s.Quality != 0 {
		t.Errorf("quality %v", s.Quality)
	}
}
