package telemetry

// ControlAction is a step of operating a device.
type ControlAction string

const (
	ControlSelect  ControlAction = "select"  // reserve the point for one value
	ControlOperate ControlAction = "operate" // write it
	ControlCancel  ControlAction = "cancel"  // give the reservation up
	ControlExpire  ControlAction = "expire"  // nobody operated in time
)

// ControlOrigin is where somebody asks from. There is none for the cloud: it can't
// ask a gateway to write to a device.
type ControlOrigin string

const (
	ControlLocal  ControlOrigin = "local"         // a person or program on the gateway's own machine
	ControlMaster ControlOrigin = "iec104-master" // a control centre that the gateway serves
	ControlRule   ControlOrigin = "rule"          // a rule of the gateway's own configuration, because of its alarm
)

// ControlOutcome is what came of a step.
type ControlOutcome string

const (
	// ControlBegun is told before anything is written. If nothing follows it, the
	// gateway ended in between, and it may have been executed.
	ControlBegun ControlOutcome = "begun"
	ControlDone  ControlOutcome = "done" // and the device shows it
	// ControlRefused is the gateway's own refusal: nothing was written.
	ControlRefused ControlOutcome = "refused"
	// ControlFailed is that the device wasn't reached or refused it: nothing was
	// executed.
	ControlFailed ControlOutcome = "failed"
	// ControlUnconfirmed is that the device took it, and doesn't show it.
	ControlUnconfirmed ControlOutcome = "unconfirmed"
	// ControlUnknown is that it may have been executed, now or later: the answer
	// didn't come, and the device doesn't show it.
	ControlUnknown ControlOutcome = "unknown"
)

// Control is one step of somebody's attempt to operate a point of a device. Values
// are text, as Value.String has it, so that no integer loses digits.
type Control struct {
	ID        string         `json:"id"` // of the attempt: the same in all of its steps
	Action    ControlAction  `json:"action"`
	Device    string         `json:"device"`
	Signal    string         `json:"signal"`
	Asset     string         `json:"asset,omitempty"`
	Unit      string         `json:"unit,omitempty"`
	Origin    ControlOrigin  `json:"origin"`
	By        string         `json:"by"`                  // who asks, as they say
	Requested string         `json:"requested,omitempty"` // the value asked for
	Old       string         `json:"old,omitempty"`       // what the device showed before
	ReadBack  string         `json:"read_back,omitempty"` // and afterwards
	Outcome   ControlOutcome `json:"outcome"`
	Cause     string         `json:"cause,omitempty"`  // why it isn't done, in a word
	Detail    string         `json:"detail,omitempty"` // and in a sentence
}
