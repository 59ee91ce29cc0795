package history

import (
	"github.com/busbar/busbar/cloud/outage/cim"
	"github.com/busbar/busbar/cloud/outage/desk"
)

// CIMOf is an outage as other systems are told of it.
func CIMOf(o desk.Outage) cim.Outage {
	out := cim.Outage{ID: o.ID, Name: o.DeviceName, Planned: o.Class == "planned", Status: string(o.State), Reported: o.Found, Cause: o.Cause,
		Began: o.Began, Customers: &o.Customers, CustomersOut: &o.CustomersOut, Equipment: o.Device, Feeder: o.Feeder}
	if o.Restored != nil {
		out.Ended = *o.Restored
	}
	if e := o.Expected; e != nil {
		out.Restored, out.Confidence = e.P80, 80
		out.ExpectedEnd = e.P50
	}
	return out
}

// CIMOfPlan is planned switching as other systems are told of it.
func CIMOfPlan(p desk.Planned) cim.Outage {
	return cim.Outage{ID: p.ID, Planned: true, Status: string(p.State), Reported: p.At, Cause: p.Reason, Comment: p.Comment,
		ExpectedStart: p.From, ExpectedEnd: p.Until, Customers: &p.Customers, Equipment: p.Devices[0], Feeder: p.Feeder}
}
