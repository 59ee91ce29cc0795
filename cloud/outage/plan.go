package outage

// coverage is what it depends on which planned switching an incident is part of.
type coverage struct {
	plans, grown int
	start        int64
	node         int32
}

// cover finds the planned switching that an incident is part of, or is no longer.
func (e *Engine) cover(x *incident) {
	now := coverage{e.planning, e.grown, x.Start, x.node}
	if x.covered == now {
		return
	}
	x.covered = now
	switch plan := e.planOf(x); {
	case plan != nil && e.planned(x.Plan) == nil:
		x.Plan, x.Class = plan.ID, Planned
	case plan == nil && x.Plan != "" && x.RestoredAt == 0 && (x.node != none || e.planned(x.Plan) == nil):
		if x.Plan = ""; x.Class != Planned {
			return
		}
		switch {
		case x.AnnouncedAt == 0:
			x.Class = Open
		case len(x.out) == 0 && x.Lossy > 0:
			x.Class = PhaseLoss
		default:
			x.Class = Sustained
		}
	}
}

// planOf is the first planned switching that has an incident in its time.
func (e *Engine) planOf(x *incident) *Plan {
	if x.node == none {
		return nil
	}
	for i := range e.plans {
		plan := &e.plans[i]
		if x.Start < plan.From || x.Start >= plan.Until {
			continue
		}
		for _, id := range plan.Devices {
			if point := e.net.s.PointOf(id); point != none && int32(point) == x.point {
				return plan
			}
			edge := e.net.s.EdgeOf(id)
			if edge == none {
				continue
			}
			if below := e.net.node[edge]; below != none && e.net.isBelow(x.node, below) {
				return plan
			}
		}
	}
	return nil
}

func (e *Engine) planned(id string) *Plan {
	for i := range e.plans {
		if e.plans[i].ID == id && id != "" {
			return &e.plans[i]
		}
	}
	return nil
}

// overrun reports whether the planned switching that an incident is part of should be over.
func (e *Engine) overrun(x *incident) bool {
	plan := e.planned(x.Plan)
	if plan == nil || e.now >= plan.Until {
		return true
	}
	if x.plannedTo != plan.Until {
		x.plannedTo = plan.Until
		e.wake(plan.Until)
	}
	return false
}
