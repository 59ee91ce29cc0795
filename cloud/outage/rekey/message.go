package rekey

import (
	"cmp"
	"encoding/json"

	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/telemetry"
)

// version is that of what docs/evidence.md describes: members may be added to it, none changes
// its meaning or goes.
const version = 1

// message is a piece of evidence as others read it. What people have written is not in it,
// nor who they are.
type message struct {
	Version        int            `json:"version"`
	Number         int64          `json:"number"`
	Kind           outage.Kind    `json:"kind"`
	Substation     string         `json:"substation"`
	Feeder         string         `json:"feeder"`
	Network        int64          `json:"network"` // the version of the model that says so; 0: there is none
	Asset          string         `json:"asset"`
	Gateway        string         `json:"gateway"`
	Device         string         `json:"device,omitempty"`
	Alarm          string         `json:"alarm,omitempty"`
	Rule           string         `json:"rule,omitempty"`
	Time           string         `json:"time,omitempty"`
	Since          string         `json:"since,omitempty"`
	Unsynchronised bool           `json:"unsynchronised,omitempty"`
	Arrived        string         `json:"arrived"`
	Taken          string         `json:"taken"`
	PoweredBy      string         `json:"powered_by,omitempty"`
	Levels         *outage.Levels `json:"levels,omitempty"`
	Open           *bool          `json:"open,omitempty"`
	Phases         grid.Phases    `json:"phases,omitempty"`
	LockedOut      bool           `json:"locked_out,omitempty"`
	Bad            bool           `json:"bad,omitempty"`
	Hz             float64        `json:"hz,omitempty"`
	Outage         string         `json:"outage,omitempty"`
	Into           string         `json:"into,omitempty"`
	Person         bool           `json:"person,omitempty"`
}

// row is a piece of evidence in the store. Place is an asset that says where it is of, if
// its own doesn't.
type row struct {
	number, taken int64
	place         string
	evidence.Observation
}

func (r row) asset() string { return cmp.Or(r.Asset, r.Switch, r.Point) }

// message is a row as JSON, and its key. n is nil if there is no network.
func (r row) message(n *network.Network) (key, value []byte) {
	m := message{
		Version: version, Number: r.number, Kind: r.Kind, Asset: r.asset(), Gateway: r.Gateway, Device: r.Device, Alarm: r.Alarm, Rule: r.Rule,
		Time: stamp(r.Source), Since: stamp(r.Since), Unsynchronised: r.Unsynchronised, Arrived: stamp(r.Arrival), Taken: stamp(r.taken),
		PoweredBy: r.PoweredBy, Levels: r.Levels, Open: r.Open, Phases: r.Phases, LockedOut: r.LockedOut, Bad: r.Bad, Hz: r.Hz,
		Outage: r.Incident, Into: r.Into, Person: r.ByPerson(),
	}
	if n != nil {
		m.Network = n.Version
		if m.Substation, m.Feeder = n.SupplyOf(m.Asset); m.Substation == "" && m.Feeder == "" {
			m.Substation, m.Feeder = n.SupplyOf(r.place)
		}
	}
	value, err := json.Marshal(m)
	if err != nil {
		panic(err) // it is texts and numbers
	}
	return []byte(m.Substation), value
}

func stamp(at int64) string {
	if at == 0 {
		return ""
	}
	return telemetry.Micros(at).Moment().Format("2006-01-02T15:04:05.000000Z")
}
