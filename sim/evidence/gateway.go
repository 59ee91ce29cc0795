package evidence

import (
	"cmp"
	"slices"
	"time"

	"github.com/busbar/busbar/grid"
)

// gateway reads the meters behind a transformer, and is supplied there; or it tells of
// switches.
type gateway struct {
	id      string
	telecom int // grid.None if that always works
	clock   int64
	phase   int64 // when it asks, µs from a multiple of the poll

	supply
	running   bool
	connected bool // what it sends arrives
	cut       int  // failures of its connection that last
	gone      bool // as told
	connects  int  // counts changes of its connection
	waiting   []Event
	meters    []int32 // points
	switches  []int   // edges
	station   bool    // it has a battery, and nothing but switches
	// It is in a substation, whose telecom is the utility's own and has the station's battery.
	substation bool
	arrived    int64 // when its last position does
}

// telecom is a node of a telecom network.
type telecom struct {
	supply
	up     bool
	serves []int
}

// supply is that of a gateway or telecom node.
type supply struct {
	node int
	on   bool
	turn int // counts its changes
}

// changed looks whether a supply has come or gone.
func (e *Edge) changed(s *supply) bool {
	on := runs(e.world.NodeLevel(s.node))
	if on == s.on {
		return false
	}
	s.on = on
	s.turn++
	return true
}

// plant places meters, gateways and telecom nodes, and tells of the meters.
func (e *Edge) plant() {
	s, now := e.world.Snapshot(), e.world.Now()
	e.meters = make([]meter, s.Points())
	for point := range e.meters {
		node, id := gatewayOf(s, s.Point(point).Node)
		g, ok := e.byNode[node]
		if !ok {
			g = len(e.gateways)
			e.byNode[node] = g
			phase := int64(e.random(drawPoll, g, 0).Float64() * float64(time.Duration(e.config.Poll).Microseconds()))
			e.gateways = append(e.gateways, gateway{id: id, supply: supply{node: node, on: true}, telecom: grid.None, phase: phase, running: true, connected: true,
				clock: e.clock(1<<30 + g)})
		}
		level := e.world.Level(point)
		has := e.config.Equip(e.seed, point)
		e.meters[point] = meter{
			there: has.Metered, auxiliary: has.Auxiliary, silent: has.Silent, gateway: g, clock: e.clock(point),
			level: level, told: level, supplied: true, answers: true,
		}
		if m := &e.meters[point]; m.there {
			e.gateways[g].meters = append(e.gateways[g].meters, int32(point))
			by := Measured
			if m.auxiliary {
				by = Auxiliary
			}
			e.out = append(e.out, Event{Arrival: now, Source: now, Kind: Meter, Point: e.id(point), Gateway: id, PoweredBy: by})
			if m.silent {
				m.answers = false
				e.poll(now, point)
			}
		}
	}
	e.number = int64(len(e.out))
	e.plantStations()
	if n := e.config.TelecomServes; n > 0 {
		var served []int
		for g := range e.gateways {
			if !e.gateways[g].substation {
				served = append(served, g)
			}
		}
		for serves := range slices.Chunk(served, n) {
			t := telecom{supply: supply{on: true}, up: true, serves: serves}
			for _, g := range serves {
				e.gateways[g].telecom = len(e.telecom)
			}
			t.node = e.gateways[serves[e.random(drawTelecom, serves[0], 0).IntN(len(serves))]].node
			e.telecom = append(e.telecom, t)
		}
	}
	for g := range e.gateways {
		e.nextDropout(now, g, 0)
	}
}

// plantStations places what tells of switches: the gateways that the model names for them.
// Such a gateway has its supply, which charges its battery, on the side from which its first switch is
// fed.
func (e *Edge) plantStations() {
	s := e.world.Snapshot()
	byID := map[string]int{}
	for i := range e.gateways {
		byID[e.gateways[i].id] = i
	}
	for edge := range s.Edges() {
		x := s.Edge(edge)
		if x.Kind != grid.KindSwitch || !s.Model().Switches[x.Index].Telemetered() {
			continue
		}
		v := &s.Model().Switches[x.Index]
		id := cmp.Or(v.Gateway, gatewayID(cmp.Or(v.Substation, v.ID)))
		g, has := byID[id]
		if !has {
			node := x.A
			if s.Normal().Supply(node) == edge {
				node = x.B
			}
			g = len(e.gateways)
			byID[id] = g
			e.gateways = append(e.gateways, gateway{id: id, supply: supply{node: node, on: true}, telecom: grid.None, running: true, connected: true, clock: e.clock(1<<30 + g), station: true, substation: v.Substation != ""})
		}
		e.gateways[g].switches = append(e.gateways[g].switches, edge)
		at := position{open: e.isOpen(edge)}
		e.switches[edge] = &signal{gateway: g, now: at, told: at}
	}
}

// Teller is the gateway that tells of a telemetered switch, whether it runs, and whether it has a
// connection.
func (e *Edge) Teller(edge int) (gateway string, runs, connected bool) {
	v := e.switches[edge]
	if v == nil {
		return "", false, false
	}
	g := &e.gateways[v.gateway]
	return g.id, g.running, g.connected
}

// Reader is that of the meter of a service point.
func (e *Edge) Reader(point int) (gateway string, runs, connected bool) {
	g := &e.gateways[e.meters[point].gateway]
	return g.id, g.running, g.connected
}

// gatewayOf is where the gateway of a node is: behind the next transformer
// upstream in normal operation, or at the source.
func gatewayOf(s *grid.Snapshot, node int) (int, string) {
	for n := node; ; n = s.Normal().Upstream(n) {
		edge := s.Normal().Supply(n)
		if edge == grid.None {
			return n, gatewayID(s.NodeID(n))
		}
		if s.Edge(edge).Kind == grid.KindTransformer {
			return n, gatewayID(s.EdgeAsset(edge).ID)
		}
	}
}

// gatewaySupply looks where gateways and telecom nodes have lost or got supply.
func (e *Edge) gatewaySupply(at int64) {
	for i := range e.gateways {
		g := &e.gateways[i]
		if !e.changed(&g.supply) {
			continue
		}
		turn := g.turn
		if !g.on {
			holdUp := e.config.HoldUp
			if g.station {
				holdUp = e.config.StationBattery
			} else if g.running {
				e.send(at, i, Event{Source: at + g.clock, Kind: MainsFail})
			}
			e.after(at, holdUp, func(at int64) {
				if g.turn == turn && g.running {
					g.running = false
					e.connection(at, i)
				}
			})
			continue
		}
		boot := int64(0)
		if !g.running {
			boot = int64(30e6)
		}
		e.at(at+boot, func(at int64) {
			if g.turn != turn {
				return
			}
			if !g.running {
				g.running = true
				e.connection(at, i)
				for _, point := range g.meters {
					e.powerUp(at, int(point))
					e.poll(at, int(point))
					e.see(at, int(point))
				}
			}
			if !g.station {
				e.send(at, i, Event{Source: at + g.clock, Kind: MainsBack})
			}
		})
	}
	for i := range e.telecom {
		t := &e.telecom[i]
		if !e.changed(&t.supply) {
			continue
		}
		turn := t.turn
		wait := int64(60e6) // to start
		if !t.on {
			wait = time.Duration(e.config.TelecomBattery).Microseconds()
		}
		e.at(at+wait, func(at int64) {
			if t.turn == turn && t.up != t.on {
				t.up = t.on
				for _, g := range t.serves {
					e.connection(at, g)
				}
			}
		})
	}
}

// connection is a change of what a gateway's connection depends on. What it has
// kept it sends when it has one again.
func (e *Edge) connection(at int64, i int) {
	g := &e.gateways[i]
	connected := g.running && g.cut == 0 && (g.telecom == grid.None || e.telecom[g.telecom].up)
	if connected == g.connected {
		return // one more reason, or one fewer
	}
	g.connected = connected
	g.connects++
	turn := g.connects
	if !connected {
		e.after(at, e.config.SilentAfter, func(at int64) {
			if g.connects == turn && !g.gone {
				g.gone = true
				e.tell(at, 0, Event{Source: at, Kind: GatewayGone, Gateway: g.id})
			}
		})
		return
	}
	if g.gone {
		g.gone = false
		e.tell(at, 0, Event{Source: at, Kind: GatewayThere, Gateway: g.id})
	}
	for _, event := range g.waiting {
		e.pass(at, g, event)
	}
	g.waiting = nil
	for _, edge := range g.switches { // as the answer to an interrogation
		e.tellPosition(at, edge)
	}
}

// send is an event that a gateway has, which waits for its connection.
func (e *Edge) send(at int64, i int, event Event) {
	g := &e.gateways[i]
	event.Gateway = g.id
	if !g.connected {
		g.waiting = append(g.waiting, event)
		return
	}
	e.pass(at, g, event)
}

// pass is an event that goes over the gateway's connection. Positions don't overtake each other.
func (e *Edge) pass(at int64, g *gateway, event Event) {
	if event.Kind == Position {
		g.arrived = e.tell(at, g.arrived, event)
		return
	}
	e.tell(at, 0, event)
}

// Gateways is the ids of those for which is true.
func (e *Edge) Gateways(which func(gateway string, node int) bool) (ids []string) {
	for i := range e.gateways {
		if g := &e.gateways[i]; which(g.id, g.node) {
			ids = append(ids, g.id)
		}
	}
	return ids
}

// Cut takes the connection of the gateways for which is true from them, for a
// time in µs.
func (e *Edge) Cut(at, lasts int64, which func(gateway string, node int) bool) {
	for i := range e.gateways {
		if g := &e.gateways[i]; which(g.id, g.node) {
			e.at(at, func(at int64) { e.cut(at, i, 1) })
			e.at(at+lasts, func(at int64) { e.cut(at, i, -1) })
		}
	}
}

func (e *Edge) cut(at int64, i, by int) {
	e.gateways[i].cut += by
	e.connection(at, i)
}

func (e *Edge) nextDropout(at int64, i, turn int) {
	if e.config.Dropouts <= 0 {
		return
	}
	r := e.random(drawDropout, i, turn)
	begin := at + int64(r.ExpFloat64()*86400e6/e.config.Dropouts)
	e.at(begin, func(at int64) {
		e.cut(at, i, 1)
		until := at + exponential(r, e.config.DropoutLasts)
		e.dropouts = append(e.dropouts, Dropout{e.gateways[i].id, at, until})
		e.at(until, func(at int64) {
			e.cut(at, i, -1)
			e.nextDropout(at, i, turn+1)
		})
	})
}
