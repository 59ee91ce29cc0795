package outage

// merge is that somebody says that an incident is part of another one: whatever its device
// opens is out in that one.
func (e *Engine) merge(x *incident, into string) {
	by := e.byID[into]
	if by == nil || by == x || by.State.Over() {
		e.strange++
		return
	}
	if x.edge != none {
		by.with = append(by.with, x.edge)
	}
	by.with = append(by.with, x.with...)
	by.touched = true
	e.absorb(x, by)
}

// gather gives incidents the findings of devices that somebody has said are of them.
func (e *Engine) gather(found []*finding) {
	for _, x := range e.incidents {
		for _, edge := range x.with {
			for _, f := range found {
				if f.of == nil && f.edge == edge && len(f.points) > 0 {
					f.of = x
					x.found = append(x.found, f)
				}
			}
		}
	}
}
