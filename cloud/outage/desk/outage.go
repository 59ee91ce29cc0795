// Package desk keeps outages: what the engine of package outage concludes from the
// evidence, and what people do about it. Whatever changes is kept with who, when and why,
// in the transaction of the change.
package desk

import (
	"errors"

	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/telemetry"
)

// FactKind is the kind of the facts that hold an Outage after each of its changes.
const FactKind = "outage"

// Outage is one outage as it is now. It has the customers of all zones; who sees its zone
// sees all of it.
type Outage struct {
	ID         string          `json:"id"`
	Revision   int64           `json:"revision" doc:"Rises with each change"`
	State      lifecycle.State `json:"state" enum:"suspected,probable,confirmed,assigned,en-route,on-site,repaired,restored,verified,completed,dismissed,merged"`
	Class      string          `json:"class" enum:"open,momentary,sustained,planned,phase-loss" doc:"open: it isn't known yet whether it lasts"`
	Evidence   string          `json:"evidence_says" enum:"suspected,probable,confirmed,partial,restored,closed,merged,withdrawn" doc:"What the evidence alone says, whatever people do"`
	Device     string          `json:"device" doc:"The asset that has opened; empty: it isn't known"`
	DeviceKind string          `json:"device_kind" doc:"switch, transformer or line, or service_point"`
	DeviceName string          `json:"device_name"`
	Phases     string          `json:"phases" doc:"That have opened" example:"ABC"`
	Confidence float64         `json:"confidence" doc:"Of the device, from 0 to 1"`
	Candidates []Candidate     `json:"candidates" doc:"What explains the evidence, the best first; at most 5"`
	Feeder     string          `json:"feeder"`
	Substation string          `json:"substation"`
	Zone       string          `json:"zone" doc:"Of the device"`
	X          *float64        `json:"x" doc:"Where it is on the map; null: nothing near it has a position"`
	Y          *float64        `json:"y"`

	Began     telemetry.Micros  `json:"began_us" doc:"In the field, as far as is known"`
	Earliest  telemetry.Micros  `json:"earliest_us"`
	Latest    telemetry.Micros  `json:"latest_us"`
	Found     telemetry.Micros  `json:"found_us" doc:"When the cloud first suspected it"`
	Announced *telemetry.Micros `json:"announced_us" doc:"When people were told aloud; null: it may be a momentary one yet"`
	Restored  *telemetry.Micros `json:"restored_us"`
	Over      *telemetry.Micros `json:"over_us" doc:"When it was completed, dismissed or merged"`
	Updated   telemetry.Micros  `json:"updated_us"`

	Interruptions int64 `json:"interruptions" doc:"Times without supply before the last one, with supply in between"`

	Points       int64 `json:"points" doc:"Service points that ever were without supply in it"`
	PointsOut    int64 `json:"points_out" doc:"That are now"`
	Customers    int64 `json:"customers"`
	CustomersOut int64 `json:"customers_out"`
	Lossy        int64 `json:"lossy" doc:"Service points that have lost some of their phases only"`
	Critical     int64 `json:"critical" doc:"Of those out now, how many have that priority"`
	High         int64 `json:"high"`
	Island       bool  `json:"island" doc:"There is voltage below the open device, where no source is: it isn't restored"`

	Alarm          string `json:"alarm" doc:"The one alarm that stands for all of it; empty: it hasn't been raised"`
	Alarms         int64  `json:"alarms" doc:"That it stands for"`
	Acknowledged   bool   `json:"acknowledged" doc:"That alarm is"`
	AcknowledgedBy string `json:"acknowledged_by"`

	MergedInto string `json:"merged_into"`
	NestedIn   string `json:"nested_in" doc:"The outage after whose restoration this part was still without supply"`
	SplitFrom  string `json:"split_from"`
	Plan       string `json:"plan" doc:"The planned switching that covers it"`

	Crew     string               `json:"crew" doc:"Its id; empty: none is assigned"`
	Expected *lifecycle.Estimated `json:"expected" doc:"When supply is expected back; null: nobody has said"`
	lifecycle.Report
	Verdict string `json:"verdict" doc:"Why it was dismissed"`
}

// Candidate is an explanation of the evidence.
type Candidate struct {
	Device     string  `json:"device"`
	Confidence float64 `json:"confidence"`
}

// Needing are the customers of an outage that are without supply now, by the priority that
// was imported with them, and those of all zones as CustomersOut is. Priorities of the
// network's model are of service points, and don't count here.
type Needing struct {
	LifeSupport int64 `json:"life_support"`
	Critical    int64 `json:"critical"`
	Important   int64 `json:"important"`
}

// Step is a part of an outage that has supply again.
type Step struct {
	At           telemetry.Micros `json:"at_us"`
	Points       int64            `json:"points"`
	Customers    int64            `json:"customers"`
	CustomersOut int64            `json:"customers_out" doc:"Those that still were without after it"`
	Tie          string           `json:"tie" doc:"The switch through which they are supplied now, if that isn't the way that they lost"`
}

// OutageEntry is what has become of an outage, and who did it.
type OutageEntry struct {
	Seq     int64            `json:"seq" doc:"Of the fact that holds the outage after it"`
	At      telemetry.Micros `json:"at_us"`
	Action  lifecycle.Action `json:"action" enum:"suspect,find,confirm,assign,unassign,en-route,on-site,repaired,restored,relapse,verify,complete,dismiss,merge,split,edit,estimate,note,update,announce,step"`
	State   lifecycle.State  `json:"state" doc:"After it"`
	By      string           `json:"by" doc:"cloud, or who did it"`
	Comment string           `json:"comment" doc:"Why"`
	Detail  string           `json:"detail" doc:"What has changed, in words"`
}

// Point is a service point that is or was without supply in an outage.
type Point struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Customers int64             `json:"customers"`
	Priority  string            `json:"priority" enum:"normal,high,critical,"`
	Out       bool              `json:"out"`
	Since     telemetry.Micros  `json:"since_us"`
	Until     *telemetry.Micros `json:"until_us" doc:"When it had supply again; null: it hasn't"`
	X         *float64          `json:"x"`
	Y         *float64          `json:"y"`
}

// Evidence is something that speaks for an outage or against one, as it came.
type Evidence struct {
	Seq     int64             `json:"seq"`
	At      telemetry.Micros  `json:"at_us" doc:"When the cloud had it"`
	Source  *telemetry.Micros `json:"source_us" doc:"When it was so in the field; null: that isn't known"`
	Kind    string            `json:"kind" doc:"What it says, as docs/outage.md lists it" example:"timeout"`
	Asset   string            `json:"asset" doc:"What it is about"`
	Gateway string            `json:"gateway"`
	Device  string            `json:"device"`
	Alarm   string            `json:"alarm" doc:"The alarm that says so"`
	Rule    string            `json:"rule"`
	By      string            `json:"by" doc:"Who says so, if it is a person"`
	Comment string            `json:"comment"`
}

// Crew is who goes out.
type Crew struct {
	ID      string           `json:"id"`
	Name    string           `json:"name"`
	State   string           `json:"state" enum:"available,assigned,en-route,on-site,suspended,off-duty"`
	Outage  string           `json:"outage" doc:"That it has; empty: none"`
	Comment string           `json:"comment"`
	By      string           `json:"by" doc:"Who has said so last"`
	At      telemetry.Micros `json:"at_us"`
}

// Call is what a customer has said.
type Call struct {
	ID           int64            `json:"id"`
	At           telemetry.Micros `json:"at_us"`
	ServicePoint string           `json:"service_point"`
	Says         string           `json:"says" enum:"no-supply,supply-back,other"`
	Text         string           `json:"text"`
	By           string           `json:"by" doc:"Who took it"`
	Outage       string           `json:"outage" doc:"In which the service point was when it came, or came to be; empty: none"`
}

// Switching is how a line, switch or transformer is operated, where somebody has said so,
// or where it isn't in its normal position.
type Switching struct {
	Asset    string           `json:"asset"`
	Kind     string           `json:"kind" enum:"switch,line,transformer,"`
	Position string           `json:"position" enum:"open,closed,normal" doc:"normal: nobody says, it is taken to be as the model has it"`
	Normal   string           `json:"normal" enum:"open,closed,"`
	Phases   string           `json:"phases" doc:"That are open" example:"ABC"`
	Cut      bool             `json:"cut" doc:"Its conductor is cut"`
	Tag      string           `json:"tag" doc:"Why it may not be operated; empty: it may"`
	By       string           `json:"by" doc:"Who has said so last; telemetry: it is measured"`
	At       telemetry.Micros `json:"at_us"`
	Comment  string           `json:"comment"`
	Gateway  string           `json:"gateway" doc:"That measures it"`
}

var (
	ErrNotFound = errors.New("no such outage")
	ErrNoCrew   = errors.New("no such crew")
	ErrNoAsset  = errors.New("no such asset")
	ErrRevision = errors.New("the outage has changed since")
	ErrCrewBusy = errors.New("the crew has an outage")
	ErrMeasured = errors.New("its position is measured")
	ErrTagged   = errors.New("it is tagged")
)
