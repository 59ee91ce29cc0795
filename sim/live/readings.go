package live

// Quarters lets the load flow be that of each quarter-hour from now on, whatever the
// speed: for readings, which don't show the minutes between.
func (l *Live) Quarters() {
	l.step.Lock()
	defer l.step.Unlock()
	l.quarters = true
}

// Readings calls f for each service point of the last step: what its meter has,
// whether its gateway reads that, and whether what the gateway has arrives.
func (l *Live) Readings(f func(point int, has *Point, reads, arrives bool)) {
	l.step.Lock()
	defer l.step.Unlock()
	edge := l.play.Edge()
	for p := range l.state.points {
		reads, arrives := edge.Reads(p)
		f(p, &l.state.points[p], reads, arrives)
	}
}

// Reader is the gateway that reads the meter of a service point, whether it runs, and whether it has a
// connection; Teller is that of what tells of a telemetered switch.
func (l *Live) Reader(point int) (gateway string, runs, connected bool) {
	l.step.Lock()
	defer l.step.Unlock()
	return l.play.Edge().Reader(point)
}

// Teller is as Reader.
func (l *Live) Teller(edge int) (gateway string, runs, connected bool) {
	l.step.Lock()
	defer l.step.Unlock()
	return l.play.Edge().Teller(edge)
}

// fine reports whether the load flow is that of each minute.
func (l *Live) fine() bool { return !l.quarters && l.clock.speed <= 60 }
