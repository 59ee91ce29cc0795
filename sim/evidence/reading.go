package evidence

// Reads reports whether the gateway of a service point reads its meter now, and
// whether what the gateway has arrives: else it waits for its connection.
func (e *Edge) Reads(point int) (reads, arrives bool) {
	m := &e.meters[point]
	g := &e.gateways[m.gateway]
	return m.there && m.answers && g.running, g.connected
}
