package control

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/world"
)

// Status is how things are.
type Status struct {
	Scenario string  `json:"scenario"`
	Seed     uint64  `json:"seed"`
	Start    int64   `json:"start_us"`
	Now      int64   `json:"time_us"` // of the grid
	End      int64   `json:"end_us"`
	Speed    float64 `json:"speed"`
	Behind   float64 `json:"behind"` // s of real time that the last step was late and that aren't caught up with
	Over     bool    `json:"over"`

	Points    int     `json:"points"` // service points
	Out       int     `json:"out"`    // of them without supply
	Customers int     `json:"customers_out"`
	Faults    []Fault `json:"faults"`
	Open      []Off   `json:"open"` // what isn't in its normal position, a thousand at most
}

// Off is a line, switch or transformer that isn't in its normal position.
type Off struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"`     // breaker, fuse and so on, line or transformer
	Position  string `json:"position"` // open, closed or between
	Tripped   bool   `json:"tripped,omitempty"`
	LockedOut bool   `json:"locked_out,omitempty"`
}

// listed bounds how many of something are listed.
const listed = 1000

func (s *server) status(w http.ResponseWriter, _ *http.Request) { answer(w, s.now()) }

func (s *server) now() Status { return s.statusOf(s.live.Picture()) }

func (s *server) statusOf(p live.Picture) Status {
	l := s.live
	speed, behind := l.Speed()
	x := Status{Scenario: l.Name(), Seed: l.Seed(), Start: l.Start(), Now: p.At, End: l.End(), Speed: speed, Behind: behind.Seconds(), Over: l.Over(),
		Points: l.Snapshot().Points(), Out: len(p.Out), Customers: p.Customers, Faults: []Fault{}, Open: []Off{}}
	for _, f := range l.Faults() {
		x.Faults = append(x.Faults, faultOf(f))
	}
	for _, edge := range p.Off[:min(len(p.Off), listed)] {
		x.Open = append(x.Open, s.off(int(edge)))
	}
	return x
}

func (s *server) off(edge int) Off {
	snapshot := s.live.Snapshot()
	x := Off{ID: snapshot.EdgeAsset(edge).ID, Kind: kindOf(snapshot, edge), Position: position(snapshot.Edge(edge).Phases, s.live.Position(edge)).String()}
	v := s.live.Switch(edge)
	x.Tripped, x.LockedOut = v.Tripped, v.LockedOut
	return x
}

func position(has, open grid.Phases) live.Position {
	switch has & open {
	case 0:
		return live.Closed
	case has:
		return live.Open
	}
	return live.Between
}

func kindOf(s *grid.Snapshot, edge int) string {
	switch e := s.Edge(edge); e.Kind {
	case grid.KindSwitch:
		return s.Model().Switches[e.Index].Type.String()
	case grid.KindTransformer:
		return "transformer"
	}
	return "line"
}

// State is the status, and what the page draws by index of the Drawing.
type State struct {
	Status
	Next   uint64   `json:"next"` // for ?since=
	Dead   []int32  `json:"dead"`
	Partly []int32  `json:"partly"`
	Off    []int32  `json:"off"`
	News   []Happen `json:"news"` // the latest, in the order of time
}

// Happen is something that has happened.
type Happen struct {
	At     int64  `json:"time_us"`
	What   string `json:"what"`
	Of     string `json:"of,omitempty"`
	Fault  string `json:"fault,omitempty"`
	Lost   int    `json:"lost,omitempty"` // service points that lost their supply
	Back   int    `json:"back,omitempty"` // that have it again
	Number uint64 `json:"number"`
}

func (s *server) present(since string) State {
	from, _ := strconv.ParseUint(since, 10, 64)
	p := s.live.Picture()
	list, next, _ := s.live.Changes(from)
	x := State{Status: s.statusOf(p), Next: next, Dead: there(p.Dead), Partly: there(p.Partly), Off: there(p.Off), News: []Happen{}}
	for _, c := range slices.Backward(list) {
		if c.Event != nil && len(x.News) < shown {
			x.News = append(x.News, s.happen(c))
		}
	}
	slices.Reverse(x.News)
	return x
}

// shown bounds how many happenings are told at once.
const shown = 100

// there is a list that isn't null in JSON.
func there(list []int32) []int32 {
	if list == nil {
		return []int32{}
	}
	return list
}

func (s *server) happen(c live.Change) Happen {
	e, snapshot := c.Event, s.live.Snapshot()
	h := Happen{At: e.At, What: e.Kind.String(), Lost: c.Lost, Back: c.Back, Number: c.Number}
	switch {
	case e.Edge != grid.None:
		h.Of = snapshot.EdgeAsset(e.Edge).ID
	case e.Point != grid.None:
		h.Of = snapshot.PointAsset(e.Point).ID
	}
	if f, ok := s.live.FaultAt(e.Fault); ok {
		if h.Fault = f.ID; h.Of == "" {
			h.Of = f.Asset
		}
	}
	return h
}

// Asset is what one has at present. Those that don't apply are left out.
type Asset struct {
	ID     string       `json:"id"`
	Kind   string       `json:"kind"`
	Time   int64        `json:"time_us"`
	Levels world.Levels `json:"levels"` // percent of nominal by phase, of its node

	Point       *live.Point       `json:"point,omitempty"`
	Transformer *live.Transformer `json:"transformer,omitempty"`
	Switch      *live.Switch      `json:"switch,omitempty"`
	Position    string            `json:"position,omitempty"`
}

var errUnknown = errors.New("the grid has no such service point, line, switch, transformer or node")

func (s *server) asset(w http.ResponseWriter, r *http.Request) {
	id, l, snapshot := r.PathValue("id"), s.live, s.live.Snapshot()
	a := Asset{ID: id, Time: l.Now()}
	edge, point, node := snapshot.EdgeOf(id), snapshot.PointOf(id), snapshot.Node(id)
	switch {
	case point != grid.None:
		x := l.Point(point)
		a.Kind, a.Point, node = "service point", &x, snapshot.Point(point).Node
	case edge != grid.None:
		a.Kind, node = kindOf(snapshot, edge), snapshot.Edge(edge).B
		a.Position = position(snapshot.Edge(edge).Phases, l.Position(edge)).String()
		switch snapshot.Edge(edge).Kind {
		case grid.KindTransformer:
			x := l.Transformer(edge)
			a.Transformer = &x
		case grid.KindSwitch:
			x := l.Switch(edge)
			a.Switch = &x
		}
	case node != grid.None:
		a.Kind = "node"
	default:
		refuse(w, http.StatusNotFound, errUnknown)
		return
	}
	a.Levels = l.Node(node)
	answer(w, a)
}

// Time is one in µs UTC as people read it.
func Time(us int64) string { return time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05") }
