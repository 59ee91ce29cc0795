package telemetry

// EventKind says what an Event reports.
type EventKind string

const (
	AlarmRaised    EventKind = "alarm-raised"
	AlarmCleared   EventKind = "alarm-cleared"
	AlarmCaptured  EventKind = "alarm-captured" // what was measured before and after an alarm was raised
	GatewayStarted EventKind = "gateway-started"
	GatewayStopped EventKind = "gateway-stopped"
	GatewayAlive   EventKind = "gateway-alive"   // a gateway that had nothing else to say for a while, or has said nothing of itself for an hour
	SamplesLost    EventKind = "samples-lost"    // an entry of the completeness ledger
	SamplesCounted EventKind = "samples-counted" // what became of the samples of a quarter-hour
	LinkChanged    EventKind = "link-changed"    // a stream's way to the log was lost or is back
	ClockChanged   EventKind = "clock-changed"   // the gateway's clock was set, stepped, or lost its source
	BufferDamaged  EventKind = "buffer-damaged"  // a file of the buffer was set aside as unreadable

	CommandAnswered  EventKind = "command-answered"  // a command was carried out or refused
	ControlAttempted EventKind = "control-attempted" // somebody wanted to write to a device, and what came of it

	CounterRolledOver EventKind = "counter-rolled-over" // a counter passed its end and counts on from its beginning
	CounterReset      EventKind = "counter-reset"       // a counter fell: the meter was swapped, cleared or restarted

	ConfigurationApplied    EventKind = "configuration-applied"     // the gateway runs with another one, and it has held
	ConfigurationRolledBack EventKind = "configuration-rolled-back" // it has tried another one, and runs with the one before

	MasterMissed     EventKind = "master-missed"      // events that a control centre was never told, as too many waited
	UpdateConfirmed  EventKind = "update-confirmed"   // the gateway runs with another version, and has proved itself with it
	UpdateRolledBack EventKind = "update-rolled-back" // it has tried another version, and runs with the one before

	SupplyFailed   EventKind = "last-gasp"       // the gateway's own supply has failed, and it runs from what is left
	SupplyRestored EventKind = "supply-restored" // it is back

	SupplyInterrupted EventKind = "supply-interrupted" // a meter has had no supply for some time, by its own log, and has it again

	VoltageSag   EventKind = "voltage-sag"   // a meter has counted sags of a phase's voltage
	VoltageSwell EventKind = "voltage-swell" // a meter has counted swells of a phase's voltage
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

	// Clock is the clock that gave Time and Decided, if it wasn't synchronised.
	Clock *ClockReading `json:"clock,omitempty"`

	Alarm     *AlarmChange `json:"alarm,omitempty"`
	Lifecycle *Lifecycle   `json:"lifecycle,omitempty"`
	Presence  *Presence    `json:"presence,omitempty"`
	Capture   *Capture     `json:"capture,omitempty"`
	Loss      *Loss        `json:"loss,omitempty"`
	Account   *Account     `json:"account,omitempty"`
	Link      *Link        `json:"link,omitempty"`
	Step      *ClockStep   `json:"step,omitempty"`
	Damage    *Damage      `json:"damage,omitempty"`

	Answer  *CommandAnswer `json:"answer,omitempty"`
	Control *Control       `json:"control,omitempty"`
	Counter *CounterChange `json:"counter,omitempty"`

	Configuration *Reconfiguration `json:"configuration,omitempty"`

	Missed *Missed `json:"missed,omitempty"`
	Update *Update `json:"update,omitempty"`

	LastGasp *LastGasp    `json:"last_gasp,omitempty"`
	Restored *Restoration `json:"restored,omitempty"`

	Interruption *Interruption `json:"interruption,omitempty"`
	Disturbance  *Disturbance  `json:"disturbance,omitempty"`
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
	// Confirmed is the source time of the sample that confirmed it, or the instant at
	// which its time was over; 0 from gateways that don't say.
	Confirmed Micros `json:"confirmed_us,omitempty"`
	// Version names the rule as it was: its conditions, numbers and times. It is the
	// same wherever they are; "" from gateways that don't say.
	Version string `json:"rule_version,omitempty"`
	// Method is how what the rule reads was measured: sampled, device-event or half-cycle;
	// "" if the rule doesn't say.
	Method string `json:"method,omitempty"`
	// Group is the rule's group of alarms that have one cause, and FirstUp the id of the
	// alarm that was raised first of those of the group that were active then: this one's
	// own if it was.
	Group   string `json:"group,omitempty"`
	FirstUp string `json:"first_up,omitempty"`
	// Inputs are the values that decided, in the order the rule names them.
	Inputs []Input `json:"inputs,omitempty"`
}

// Input is one signal's value at the moment a rule decided.
type Input struct {
	Signal  SignalID `json:"signal"`
	Name    string   `json:"name"`
	Device  string   `json:"device"`
	Unit    string   `json:"unit"`
	Value   *float64 `json:"value"`           // nil: no value
	State   string   `json:"state,omitempty"` // what the value is called, if it has a name
	Quality string   `json:"quality"`
	Time    Micros   `json:"time_us"`
}

// Capture is what was measured around the moment at which an alarm was raised.
type Capture struct {
	Alarm string `json:"alarm"` // its id
	Rule  string `json:"rule"`
	// From and To bound the source times of the samples: as long before the event's Time
	// and after it as the rule asks for, less where the gateway didn't run, or there were
	// too many samples.
	From    Micros           `json:"from_us"`
	To      Micros           `json:"to_us"`
	Signals []CapturedSignal `json:"signals"`
}

// CapturedSignal is the samples of one signal, by time.
type CapturedSignal struct {
	Signal  SignalID         `json:"signal"`
	Name    string           `json:"name"`
	Device  string           `json:"device"`
	Unit    string           `json:"unit"`
	Samples []CapturedSample `json:"samples"`
	// Truncated says that between From and the first sample there were more than there
	// was room for.
	Truncated bool `json:"truncated,omitempty"`
}

// CapturedSample is one of them.
type CapturedSample struct {
	Time    Micros   `json:"time_us"`
	Value   *float64 `json:"value"`             // nil: no value
	Quality string   `json:"quality,omitempty"` // "" is good
}

// Lifecycle reports a start or stop of the gateway, and what its earlier
// processes had committed, so that the ledger knows what to expect.
type Lifecycle struct {
	Version   string      `json:"version"`
	Start     uint64      `json:"start"` // counts the gateway's starts, from 1
	Committed []Committed `json:"committed"`
	// DownSince is when the process before was last known to run; 0 if there was
	// none, or if a clock that wasn't set would have to say it.
	DownSince Micros `json:"down_since_us,omitempty"`
	// ActiveAlarms are the ids of the alarms that a gateway which starts knows to be
	// active. An alarm that isn't among them was forgotten, and nothing but the start
	// ends it. Nil: unknown, as of a gateway that stops.
	ActiveAlarms []string `json:"active_alarms,omitzero"`
	// Presence is said by a gateway that starts; nil by one that stops, or doesn't know
	// of heartbeats.
	Presence *Presence `json:"presence,omitempty"`
}

// Presence says by what a gateway's silence is noticed, and which others could tell
// what it means.
type Presence struct {
	// Every is the longest time, in µs, that passes between two records of a gateway
	// which can send: its heartbeat.
	Every int64 `json:"every_us"`
	// Site and Feeder are where the gateway stands and what feeds it, Uplink is the
	// carrier of its way to the log; "" if its configuration doesn't say.
	Site   string `json:"site,omitempty"`
	Feeder string `json:"feeder,omitempty"`
	Uplink string `json:"uplink,omitempty"`
}

// Committed is the number of sequence numbers that one epoch of one stream had
// on disk when its process ended: they run from 0 to Count−1. Events are sent
// before, so the log may have a few more of a process that was killed.
type Committed struct {
	Epoch  string `json:"epoch"`
	Stream string `json:"stream"`
	Count  uint64 `json:"count"`
}

// LossReason is why accepted samples were given up.
type LossReason string

const (
	LostThinned    LossReason = "thinned"     // the buffer was full: kept at a lower resolution
	LostBufferFull LossReason = "buffer-full" // the buffer was full: dropped
	LostDiskFull   LossReason = "disk-full"   // the disk was full before the buffer was
	LostUnreadable LossReason = "unreadable"  // the file that held them is damaged
	LostDiscarded  LossReason = "discarded"   // never committed: the disk didn't take them in time; samples have no sequence numbers
)

// Loss is an entry of the completeness ledger: samples or events that were
// accepted and then given up, and why. One loss may be told in several events,
// each with a part of the counts.
type Loss struct {
	Epoch  string `json:"epoch"`
	Stream string `json:"stream"`
	// The sequence numbers concerned. Of a thinned range some samples are still
	// there; of any other reason none. Both are 0 for samples that were discarded.
	SeqFirst uint64     `json:"seq_first"`
	SeqLast  uint64     `json:"seq_last"`
	Reason   LossReason `json:"reason"`
	// Step is which thinning of the range this was, counted from 1: each gives up
	// other samples of the same numbers. 0 for any other reason, and from gateways
	// that don't say.
	Step int `json:"step,omitempty"`
	// Counts of the samples given up. Both lists have the same sum; they are
	// absent where the content can't be read any more.
	Signals []SignalLoss `json:"signals,omitempty"`
	Devices []DeviceLoss `json:"devices,omitempty"`
}

// Missed is how many events a control centre that the gateway serves was never told. What
// was measured isn't lost: it is telemetry as well.
type Missed struct {
	Master string `json:"master"` // the name of its group in the configuration
	Count  uint64 `json:"count"`
}

// SignalLoss is how many samples of a signal were given up.
type SignalLoss struct {
	Signal SignalID `json:"signal"`
	Count  uint64   `json:"count"`
}

// DeviceLoss is how many samples of a device that fall into one quarter-hour
// were given up.
type DeviceLoss struct {
	Device  string `json:"device"`
	Quarter Micros `json:"quarter_us"` // its start
	Count   uint64 `json:"count"`
}

// Quarter is the length of a settlement interval, in µs.
const Quarter Micros = 15 * 60 * 1_000_000

// QuarterOf is the start of the quarter-hour of UTC that m falls into.
func QuarterOf(m Micros) Micros {
	if m < 0 {
		return (m+1)/Quarter*Quarter - Quarter
	}
	return m / Quarter * Quarter
}

// Account says what became of the samples that were due from From until To,
// whole quarter-hours. An account replaces the one of the same epoch and
// interval that has a lower revision; those of different epochs add up.
type Account struct {
	Epoch    string          `json:"epoch"`
	From     Micros          `json:"from_us"`
	To       Micros          `json:"to_us"`
	Revision uint32          `json:"revision"`
	Devices  []DeviceAccount `json:"devices"`
}

// DeviceAccount counts a device's samples by the time they were taken or due.
// Scheduled = Read + Suppressed + the sum of Bad + Missed + Down.
type DeviceAccount struct {
	Device     string `json:"device"`
	Scheduled  uint64 `json:"scheduled"`            // values that the configuration asks for
	Read       uint64 `json:"read"`                 // read, with a value
	Suppressed uint64 `json:"suppressed,omitempty"` // read, and left out by a deadband
	// Bad is without a value, by reason. It includes what wasn't asked for to spare
	// the neighbours of a silent device, for the reason of its silence.
	Bad    map[string]uint64 `json:"bad,omitempty"`
	Missed uint64            `json:"missed,omitempty"` // not asked for: the poll before wasn't over
	Down   uint64            `json:"down,omitempty"`   // not asked for: no gateway was running
	// Delivered is how many samples went into the buffer: those read, those bad and
	// asked for, and what the gateway adds itself, such as ChannelLive. Less those
	// that were discarded before they were committed.
	Delivered uint64 `json:"delivered"`
}

// Link reports that a stream's way to the log has changed.
type Link struct {
	Stream string `json:"stream"` // events, telemetry or backfill
	State  string `json:"state"`  // up, down, throttled
	Was    string `json:"was"`
	Cause  string `json:"cause,omitempty"`
	// Lasted is how long the state before had lasted, in µs.
	Lasted int64 `json:"lasted_us"`
}

// ClockState is how far a gateway knows the time.
type ClockState string

const (
	ClockUnset        ClockState = "unset"        // not since the boot: times are a lower bound
	ClockFreeRunning  ClockState = "free-running" // once, but nothing confirms it now
	ClockSynchronised ClockState = "synchronised" // a source confirms it
)

// ClockReading says which clock gave an event's times. Once the time of that
// boot is known, they can be corrected by SinceBoot.
type ClockReading struct {
	State     ClockState `json:"state"`
	Boot      string     `json:"boot"`          // the kernel's id of this boot
	SinceBoot int64      `json:"since_boot_us"` // at Decided
}

// ClockStep reports a change of the clock's state, or a step of it.
type ClockStep struct {
	State ClockState `json:"state"`
	Was   ClockState `json:"was"`
	// Step is by how much the clock was moved forward, in µs; 0 if it wasn't.
	Step int64  `json:"step_us,omitempty"`
	Boot string `json:"boot"`
	// Offset is the time of the boot, in µs since 1970-01-01 UTC; 0 while the
	// clock is unset.
	Offset Micros `json:"boot_us,omitempty"`
}

// Damage reports a file that was set aside.
type Damage struct {
	File  string `json:"file"` // below the buffer's directory
	Cause string `json:"cause"`
}

// CommandResult is what became of a command.
type CommandResult string

const (
	CommandDone    CommandResult = "done"
	CommandRefused CommandResult = "refused"
)

// CommandAnswer says what a gateway did about a command, in the command's words.
type CommandAnswer struct {
	ID     string        `json:"id"`
	Kind   string        `json:"kind"`
	Alarm  string        `json:"alarm,omitempty"`
	Device string        `json:"device,omitempty"`
	By     string        `json:"by"`
	Result CommandResult `json:"result"`
	Cause  string        `json:"cause,omitempty"` // why it was refused; NoAnswer of a device that didn't
	// Of a device that was read, and has answered: its asset, when it was asked, and what was
	// read of it, the voltages first, at most MostRead. What is older than Began was told
	// before, and is no answer.
	Asset string  `json:"asset,omitempty"`
	Began Micros  `json:"began_us,omitempty"`
	Read  []Input `json:"read,omitempty"`
}

// NoAnswer is the cause in the answer about a device that was read in vain.
const NoAnswer = "no-answer"

// MostRead bounds what an answer tells of a device.
const MostRead = 16

// CounterChange reports that a counter is below what it was. What it has counted
// meanwhile is After − Before + Modulus after a roll-over; after a reset nobody knows.
type CounterChange struct {
	Signal SignalID `json:"signal"`
	Device string   `json:"device"`
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Asset  string   `json:"asset"`
	// Before is the last value that had risen, After the first below it.
	Before     float64 `json:"before"`
	BeforeTime Micros  `json:"before_us"`
	After      float64 `json:"after"`
	AfterTime  Micros  `json:"after_us"`
	// Modulus is after how much the counter begins again; 0 after a reset.
	Modulus float64 `json:"modulus,omitempty"`
}

// Reconfiguration says what configuration a gateway has tried while it ran, from the
// event's Time to its Decided, and what became of it.
type Reconfiguration struct {
	// Before and After are the SHA-256 of the two files, in hexadecimal. A gateway whose
	// configuration was rolled back runs with Before.
	Before string `json:"before"`
	After  string `json:"after"`
	By     string `json:"by"` // who asked for it, as they said themselves
	// The devices that came, went, and changed: 100 of each at most. Unlisted is how many
	// more there were.
	Added    []string `json:"added,omitempty"`
	Removed  []string `json:"removed,omitempty"`
	Changed  []string `json:"changed,omitempty"`
	Unlisted int      `json:"unlisted,omitempty"`
	// Cause is why it was rolled back.
	Cause string `json:"cause,omitempty"`
}

// Update says which version a machine has tried, and what became of it.
type Update struct {
	Version string `json:"version"`
	From    string `json:"from"`
	Epoch   uint64 `json:"epoch"`
	// Cause is why it was rolled back.
	Cause string `json:"cause,omitempty"`
}

// LastGasp is what a gateway says whose own supply has failed at the event's Time.
type LastGasp struct {
	Boot string `json:"boot"` // the kernel's id of this boot
	// Runtime is how long the battery lasts, in s, as the UPS says; nil if none does.
	Runtime *float64 `json:"battery_runtime_s,omitempty"`
	// Active are the alarms that were, as rule and asset or device; Unlisted is how many
	// more there were.
	Active   []ActiveAlarm `json:"active,omitempty"`
	Unlisted int           `json:"unlisted,omitempty"`
}

// ActiveAlarm names an alarm that is active.
type ActiveAlarm struct {
	Rule   string `json:"rule"`
	Asset  string `json:"asset"`
	Device string `json:"device,omitempty"`
}

// Restoration says that the gateway's own supply is back at the event's Time.
type Restoration struct {
	Since Micros `json:"since_us"` // the Time of the last gasp
	Boot  string `json:"boot"`     // that of the last gasp
	// Away is how long the supply was, in µs; nil if a clock that wasn't set would have
	// to say it.
	Away *int64 `json:"away_us,omitempty"`
}

// Interruption is a time without supply that a meter has noted in its own log, from the
// event's Time on, by its own clock. It is told once, when the meter is read again: of a meter
// that is read for the first time, also what was long ago.
type Interruption struct {
	Device string `json:"device"`
	Asset  string `json:"asset"`
	To     Micros `json:"to_us"`
}

// Disturbance is sags or swells that a meter has counted of a phase's voltage. The event's Time
// is that of the reading that shows them; they were between Since and it. They are power
// quality, and say nothing of an interruption.
type Disturbance struct {
	Device string `json:"device"`
	Asset  string `json:"asset"`
	Phase  string `json:"phase"`    // A, B or C
	Count  uint64 `json:"count"`    // how many more than at Since; at least 1
	Since  Micros `json:"since_us"` // the reading before
}
