package evidence

// Reads reports whether the gateway of a service point reads its meter now, and
// whether what the gateway has arrives: else it waits for its connection.
func (e *Edge) Reads(point int) (reads, arrives bool) {
	m := &e.meters[point]
	g := &e.gateways[m.gateway]
	return m.there && m.answers && g.running, g.connected
}

// ReadsAt is Reads of a meter at a node that a gateway is at, such as the low side of a transformer:
// one with a supply of its own. A node that has no gateway has a reliable one.
func (e *Edge) ReadsAt(node int) (reads, arrives bool) {
	i, has := e.byNode[node]
	if !has {
		return true, true
	}
	return e.gateways[i].running, e.gateways[i].connected
}
