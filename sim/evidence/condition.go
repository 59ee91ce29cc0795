package evidence

// WrongClock is a meter or a gateway whose clock is off by far more than others'.
type WrongClock struct {
	Point, Gateway string // one of them
	Off            int64  // µs
}

// WrongClocks are those of meters, and then those of gateways.
func (e *Edge) WrongClocks() (list []WrongClock) {
	wrong := func(of int) bool { return e.chance(drawWrongClock, of, 0, e.config.WrongClocks) }
	for point := range e.meters {
		if m := &e.meters[point]; m.there && wrong(point) {
			list = append(list, WrongClock{Point: e.id(point), Off: m.clock})
		}
	}
	for i := range e.gateways {
		if g := &e.gateways[i]; wrong(1<<30 + i) {
			list = append(list, WrongClock{Gateway: g.id, Off: g.clock})
		}
	}
	return list
}

// Silent is the service points whose meter never answers.
func (e *Edge) Silent() (ids []string) {
	for point := range e.meters {
		if m := &e.meters[point]; m.there && m.silent {
			ids = append(ids, e.id(point))
		}
	}
	return ids
}

// Dropout is a time in which the connection of a gateway fails by itself.
type Dropout struct {
	Gateway     string
	From, Until int64
}

// Dropouts are those that have begun up to now and weren't returned before.
func (e *Edge) Dropouts() (list []Dropout) {
	list, e.dropouts = e.dropouts, nil
	return list
}
