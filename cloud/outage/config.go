package outage

import "time"

// Config is how the engine decides. The zero value isn't valid; see Defaults.
type Config struct {
	Weights Weights

	// Settle is how long nothing must have changed until an incident is probable,
	// Hurry after how long it is, whatever changes.
	Settle, Hurry time.Duration
	// Reclose is how long after its beginning people are told of an incident,
	// by the slowest device on the way to the source that closes again by itself.
	BreakerReclose, RecloserReclose time.Duration
	// Return is how long it takes beyond that until it is known that supply is back.
	Return time.Duration
	// DeviceReclose is that of devices that differ, by id.
	DeviceReclose map[string]time.Duration

	// Poll is how often gateways ask their meters. A meter that hasn't been told
	// silent for two polls by a gateway that runs has supply.
	Poll time.Duration
	// Unexplained is how long evidence of a loss counts that nothing explains: a last
	// gasp that no time-out follows, a meter that is silent by itself.
	Unexplained time.Duration
	// CallLasts is how long a call counts.
	CallLasts time.Duration
	// Together is how far apart what turns out to have one cause may have begun. What
	// was there for longer stays an incident of its own below one further up.
	Together time.Duration
	// Restoring is how long an incident waits, once something in it has supply
	// again, until what still hasn't is an incident of its own.
	Restoring time.Duration
	// Verify is how long is waited for answers after it, VerifyShare the share of
	// what can answer that must.
	Verify      time.Duration
	VerifyShare float64

	// ClockTolerance is how far before its arrival, by the clock of what tells it,
	// evidence may be to be believed.
	ClockTolerance time.Duration

	// AskEvery is how often the same gateway or point is asked at most, AskMost how
	// many points at once, AsksPerMinute how many points altogether.
	AskEvery               time.Duration
	AskMost, AsksPerMinute int

	// References is how many pieces of evidence an incident names at most.
	References int
	// Keep is how long an incident that is over is kept.
	Keep time.Duration
}

// Weights are costs: of an opened device, and of evidence that an explanation
// contradicts.
type Weights struct {
	Device float64 // a switch or transformer that has opened
	Line   float64 // a broken line
	// A position of good quality that an explanation contradicts.
	ToldOpen, ToldClosed float64

	LastGasp, Timeout, Call, Unanswered float64 // of a loss
	Voltage                             float64 // all phases of it
	Mains                               float64 // of a gateway, failed or there
	Alive                               float64 // power-up, answer, ping
	Quiet                               float64 // a meter of which a gateway that runs says nothing
	Word                                float64 // of an operator or a crew
}

// Defaults are the defaults.
func Defaults() Config {
	return Config{
		Weights: Weights{Device: 1.5, Line: 5.75, ToldOpen: 8, ToldClosed: 4, LastGasp: 1, Timeout: 0.5, Call: 0.25, Unanswered: 0.5,
			Voltage: 3, Mains: 2, Alive: 3, Quiet: 0.25, Word: 20},
		Settle: 3 * time.Second, Hurry: 8 * time.Second,
		BreakerReclose: 5 * time.Second, RecloserReclose: 25 * time.Second, Return: 15 * time.Second,
		Poll: time.Minute, Unexplained: 5 * time.Minute, CallLasts: 2 * time.Hour,
		Together: 2 * time.Minute, Restoring: 90 * time.Second, Verify: 5 * time.Minute, VerifyShare: 0.95,
		ClockTolerance: 5 * time.Minute,
		AskEvery:       5 * time.Minute, AskMost: 50, AsksPerMinute: 500,
		References: 50, Keep: 24 * time.Hour,
	}
}
