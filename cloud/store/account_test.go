package store

import (
	"reflect"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func TestAccountsFromOutsideAreBounded(t *testing.T) {
	good := func() telemetry.Account {
		return telemetry.Account{Epoch: "0000000000000001", From: 2 * telemetry.Quarter, To: 3 * telemetry.Quarter, Devices: []telemetry.DeviceAccount{
			{Device: "meter", Scheduled: 1, Read: 1, Delivered: 1, Bad: map[string]uint64{"timeout": 1}}}}
	}
	many := map[string]uint64{}
	for i := range mostReasons + 1 {
		many[strings.Repeat("x", i+1)] = 1
	}
	cases := map[string]func(*telemetry.Account){
		"":                      func(*telemetry.Account) {},
		"epoch":                 func(a *telemetry.Account) { a.Epoch = "1" },
		"whole quarter-hours":   func(a *telemetry.Account) { a.From++ },
		"want whole":            func(a *telemetry.Account) { a.To++ },
		"account from":          func(a *telemetry.Account) { a.To = a.From },
		"at most 31 days":       func(a *telemetry.Account) { a.To = a.From + LongestAccount + telemetry.Quarter },
		"from 1970":             func(a *telemetry.Account) { a.From = -telemetry.Quarter },
		"to 2100":               func(a *telemetry.Account) { a.From, a.To = lastInstant, lastInstant+telemetry.Quarter },
		"31 days, from":         func(a *telemetry.Account) { a.From, a.To = -1<<63, 1<<62 },
		"name of 0 bytes":       func(a *telemetry.Account) { a.Devices[0].Device = "" },
		"name of 257 bytes":     func(a *telemetry.Account) { a.Devices[0].Device = strings.Repeat("x", 257) },
		"samples are too many":  func(a *telemetry.Account) { a.Devices[0].Delivered = MostCounted + 1 },
		"1099511627777 samples": func(a *telemetry.Account) { a.Devices[0].Bad["timeout"] = MostCounted + 1 },
		"more than 32 reasons":  func(a *telemetry.Account) { a.Devices[0].Bad = many },
		"a reason of 0 bytes":   func(a *telemetry.Account) { a.Devices[0].Bad = map[string]uint64{"": 1} },
		"a reason of 65 bytes":  func(a *telemetry.Account) { a.Devices[0].Bad = map[string]uint64{strings.Repeat("x", 65): 1} },
	}
	for want, change := range cases {
		a := good()
		change(&a)
		err := CheckAccount(a)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestLossesFromOutsideAreBounded(t *testing.T) {
	good := func() telemetry.Loss {
		return telemetry.Loss{Epoch: "0000000000000001", Stream: "telemetry", SeqFirst: 3, SeqLast: 5, Reason: telemetry.LostThinned,
			Devices: []telemetry.DeviceLoss{{Device: "meter", Quarter: telemetry.Quarter, Count: 2}}}
	}
	events := telemetry.Loss{Epoch: "0000000000000001", Stream: "events", SeqFirst: 3, SeqLast: 5, Reason: telemetry.LostDiscarded}
	if err := CheckLoss(events); err != nil {
		t.Errorf("discarded events: %v", err)
	}
	for want, change := range map[string]func(*telemetry.Loss){
		"":                  func(*telemetry.Loss) {},
		"epoch":             func(l *telemetry.Loss) { l.Epoch = "1" },
		"unknown stream":    func(l *telemetry.Loss) { l.Stream = "backfill" },
		"are no range":      func(l *telemetry.Loss) { l.SeqFirst = 6 },
		"3 to 922337203":    func(l *telemetry.Loss) { l.SeqLast = 1 << 63 },
		"a reason of 0":     func(l *telemetry.Loss) { l.Reason = "" },
		"a reason of 65":    func(l *telemetry.Loss) { l.Reason = telemetry.LossReason(strings.Repeat("x", 65)) },
		"discarded":         func(l *telemetry.Loss) { l.Reason = telemetry.LostDiscarded },
		"name of 0 bytes":   func(l *telemetry.Loss) { l.Devices[0].Device = "" },
		"no quarter-hour":   func(l *telemetry.Loss) { l.Devices[0].Quarter++ },
		"-900000000 is no ": func(l *telemetry.Loss) { l.Devices[0].Quarter = -telemetry.Quarter },
		"4102444800000000 ": func(l *telemetry.Loss) { l.Devices[0].Quarter = lastInstant },
		"step -1":           func(l *telemetry.Loss) { l.Step = -1 },
		"step 256":          func(l *telemetry.Loss) { l.Step = 256 },
		"too many":          func(l *telemetry.Loss) { l.Devices[0].Count = MostCounted + 1 },
	} {
		l := good()
		change(&l)
		err := CheckLoss(l)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// Each step of thinning counts once, however often and with whichever ranges it
// was declared before it happened.
func TestStepsOfThinning(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		declare := func(step int, first, last, count uint64) {
			write(t, s, func(tx *Tx) error {
				return tx.DeclareLoss("gw", telemetry.Loss{Epoch: "0000000000000001", Stream: "telemetry", SeqFirst: first, SeqLast: last, Reason: telemetry.LostThinned, Step: step,
					Devices: []telemetry.DeviceLoss{{Device: "meter", Quarter: telemetry.Quarter, Count: count}}}, 1)
			})
		}
		for _, c := range []struct {
			step               int
			first, last, count uint64
			want               uint64
		}{
			{1, 0, 99, 50, 50},
			{1, 0, 99, 50, 50},    // told again
			{2, 0, 99, 50, 100},   // as much again
			{1, 100, 199, 7, 107}, // of others
			{3, 0, 199, 20, 127},  // and then a crash, while the log received 0 to 49
			{3, 50, 199, 15, 122},
			{0, 0, 9, 1, 123}, // by a gateway that doesn't tell its steps
			{0, 0, 9, 2, 125},
		} {
			declare(c.step, c.first, c.last, c.count)
			var got uint64
			if err := s.reader.QueryRow(`SELECT SUM(samples) FROM device_loss`).Scan(&got); err != nil || got != c.want {
				t.Errorf("after %+v: %d, %v", c, got, err)
			}
		}
	})
}

func TestOutages(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		change := func(stream string, at telemetry.Micros, state, was string) {
			write(t, s, func(tx *Tx) error {
				return tx.SaveLink("gw", telemetry.Link{Stream: stream, State: state, Was: was, Cause: "why " + state}, at)
			})
		}
		// Told out of order, and some of it twice.
		change("telemetry", 500, "up", "throttled")
		for range 2 {
			change("telemetry", 100, "down", "up")
		}
		change("telemetry", 200, "up", "down")
		change("telemetry", 300, "down", "up")
		change("telemetry", 400, "throttled", "down")
		change("events", 350, "down", "up")
		write(t, s, func(tx *Tx) error {
			return tx.SaveLink("other", telemetry.Link{Stream: "events", State: "down", Was: "up"}, 1)
		})
		outage := func(stream, state string, from, to telemetry.Micros) Outage {
			o := Outage{Stream: stream, State: state, Cause: "why " + state, From: from, To: &to}
			if to == 0 {
				o.To = nil
			}
			return o
		}
		open := outage("events", "down", 350, 0)
		first, second, throttled := outage("telemetry", "down", 100, 200), outage("telemetry", "down", 300, 400), outage("telemetry", "throttled", 400, 500)
		for _, c := range []struct {
			from, to telemetry.Micros
			want     []Outage
		}{
			{0, 1000, []Outage{open, first, second, throttled}},
			{150, 160, []Outage{first}},
			{0, 100, []Outage{}},
			{200, 300, []Outage{}},
			{200, 301, []Outage{second}},
			{310, 340, []Outage{second}},
			{600, 700, []Outage{open}},
		} {
			got, err := s.Outages(t.Context(), "gw", c.from, c.to, Page[OutagePlace]{Limit: 10})
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("from %d to %d: %+v, want %+v (%v)", c.from, c.to, got, c.want, err)
			}
		}
		if err := CheckLink(telemetry.Link{Stream: "events", State: "down", Was: "up"}); err != nil {
			t.Error(err)
		}
		for _, l := range []telemetry.Link{{Stream: "x", State: "up", Was: "down"}, {Stream: "events", State: "x", Was: "down"},
			{Stream: "events", State: "up"}, {Stream: "events", State: "up", Was: "down", Lasted: -1}} {
			if CheckLink(l) == nil {
				t.Errorf("%+v is taken", l)
			}
		}
	})
}

// What was stored before received was counted is in its counts.
func TestReceivedIsCountedFromChunks(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		write(t, s, func(tx *Tx) error {
			for _, minute := range []int64{29, 30, 30, 44} {
				if err := tx.AddChunk(Chunk{Bundle: 7, Minute: minute, Samples: 10, Block: []byte("x")}); err != nil {
					return err
				}
			}
			return nil
		})
		migration, err := migrations.ReadFile("migrations/" + s.dialect.folder + "/0003_completeness.sql")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(migration), "INSERT INTO received")
		statement, _, _ := strings.Cut(after, ";")
		if _, err := s.writer.Exec("INSERT INTO received" + statement); err != nil {
			t.Fatal(err)
		}
		for quarter, want := range map[int64]int{1: 10, 2: 30} {
			var samples, late int
			err := s.Read(t.Context(), func(tx *Tx) error {
				return tx.QueryRow(`SELECT samples, late FROM received WHERE quarter = ? AND bundle = 7`, []any{quarter}, &samples, &late)
			})
			if err != nil || samples != want || late != 0 {
				t.Errorf("quarter %d: %d samples, %d late, want %d (%v)", quarter, samples, late, want, err)
			}
		}
	})
}
