package alarm

import "strings"

// Kind says who decides whether an alarm is active.
type Kind string

const (
	OfGateway  Kind = "gateway"  // a rule of a gateway, or what happened to it
	OfCloud    Kind = "cloud"    // the cloud, about a gateway
	OfExternal Kind = "external" // another system, whose alerts the cloud takes
)

// Kinds are all of them.
var Kinds = []Kind{OfGateway, OfCloud, OfExternal}

// externalID begins the ids of alarms from elsewhere, which no gateway may use.
const externalID = "external-"

func kindOf(id, rule string) Kind {
	switch {
	case strings.HasPrefix(id, externalID):
		return OfExternal
	case rule == RefusedRule || ofFleet(id) || strings.HasPrefix(id, outageID):
		return OfCloud
	}
	return OfGateway
}

// reserved reports whether an id is none that a gateway may give an alarm.
func reserved(id string) bool {
	return ofFleet(id) || strings.HasPrefix(id, externalID) || strings.HasPrefix(id, outageID)
}
