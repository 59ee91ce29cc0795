package telemetry

// EventKind says what an Event reports.
type EventKind string

const (
	AlarmRaised    EventKind = "alarm-raised"
	AlarmCleared   EventKind = "alarm-cleared"
	GatewayStarted EventKind = "gateway-started"
	GatewayStopped EventKind = "gateway-stopped"
	SamplesLost    EventKind = "samples-lost" // an entry of the completeness ledger
)

// Priority is the ISA-18.2 priority of an alarm.
type Priority string

const (
	Low      Priority = "low"
	Medium   Priority = "medium"
	High     Priority = "high"
	Critical Priority = "critical"
)

// Event is a change that people or programs act on. It travels in its own
// stream, ahead of telemetry, as one JSON object.
type Event struct {
	Kind EventKind `json:"kind"`
	// Time is when it began in the field: the source time of the first sample
	// of the condition that raised or cleared an alarm.
	Time Micros `json:"time_us"`
	// Decided is when the gateway held the sample, or reached the instant, that
	// confirmed it. Latency to the operator is measured from here.
	Decided Micros `json:"decided_us"`

	Alarm     *AlarmChange `json:"alarm,omitempty"`
	Lifecycle *Lifecycle   `json:"lifecycle,omitempty"`
	Loss      *Loss        `json:"loss,omitempty"`
}

// AlarmChange is the part of an Event that raises or clears an alarm. The two
// events of one occurrence carry the same ID.
type AlarmChange struct {
	ID       string   `json:"id"`
	Rule     string   `json:"rule"`
	Asset    string   `json:"asset"`
	Device   string   `json:"device,omitempty"`
	Priority Priority `json:"priority"`
	Summary  string   `json:"summary"`
	// Inputs are the values that decided, in the order the rule names them.
	Inputs []Input `json:"inputs,omitempty"`
}

// Input is one signal's value at the moment a rule decided.
type Input struct {
	Signal  SignalID `json:"signal"`
	Name    string   `json:"name"`
	Device  string   `json:"device"`
	Unit    string   `json:"unit"`
	Value   *float64 `json:"value"` // nil: no value
	Quality string   `json:"quality"`
	Time    Micros   `json:"time_us"`
}

// Lifecycle reports a start or stop of the gateway, and what its earlier
// processes had committed, so that the ledger knows what to expect.
type Lifecycle struct {
	Version   string      `json:"version"`
	Start     uint64      `json:"start"` // counts the gateway's starts, from 1
	Committed []Committed `json:"committed"`
}

// Committed is the number of sequence numbers that one epoch of one stream had
// on disk when its process ended: they run from 0 to Count−1.
type Committed struct {
	Epoch  string `json:"epoch"`
	Stream string `json:"stream"`
	Count  uint64 `json:"count"`
}

// Loss is an entry of the completeness ledger: sequence numbers that were
// accepted and then given up, and why.
type Loss struct {
	Epoch    string `json:"epoch"`
	Stream   string `json:"stream"`
	SeqFirst uint64 `json:"seq_first"`
	SeqLast  uint64 `json:"seq_last"`
	Reason   string `json:"reason"`
}
