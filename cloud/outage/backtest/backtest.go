// Package backtest lets the outage engine conclude from evidence that was written down,
// at the times at which it arrived.
package backtest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/grid"
)

// Finding is an outage that people would have been told of, as busbar-sim score
// reads it.
type Finding struct {
	What       string   `json:"what"`
	Incident   string   `json:"incident"`
	Detected   int64    `json:"detected_us"`  // when it was probable
	Announced  int64    `json:"announced_us"` // when people were told
	Device     string   `json:"device"`
	Confidence float64  `json:"confidence"` // when people were told
	Start      int64    `json:"start_us"`
	End        int64    `json:"end_us"`
	Points     []string `json:"points"`
	Restored   []Part   `json:"restored"`
	NestedIn   string   `json:"nested_in,omitempty"`
	// How many pieces of evidence of each kind it rests on.
	Counts map[outage.Kind]int `json:"evidence"`
}

// Part is what had supply again before the end.
type Part struct {
	At     int64    `json:"time_us"`
	Points []string `json:"points"`
}

// Result is what came of a run.
type Result struct {
	Findings  []Finding
	Evidence  int
	Strange   int // pieces about what the network hasn't got
	Began     int // incidents
	Momentary int // that were over before anybody was told
	PhaseLoss int
	Withdrawn int
	Merged    int
	Asked     int // service points
}

// longestLine bounds a piece of evidence.
const longestLine = 1 << 20

// Run takes evidence, one piece a line, of a network as it is when it begins. The error
// names the line.
func Run(network *grid.Model, c outage.Config, from io.Reader) (Result, error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	var r *Recorder
	n := 1
	for ; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var v outage.Evidence
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return Result{}, fmt.Errorf("line %d: %w", n, err)
		}
		if r == nil {
			r = New(network.At(v.Arrival), c, v.Arrival)
		}
		if err := r.Take(v); err != nil {
			return Result{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Result{}, fmt.Errorf("line %d: %w", n, err)
	}
	if r == nil {
		return Result{}, nil
	}
	return r.Result(), nil
}

// Recorder is an engine whose conclusions are written down.
type Recorder struct {
	Engine   *outage.Engine
	Told     func(outage.Change) // is told of each change, if it isn't nil
	last     int64
	result   Result
	told     map[string]outage.Incident
	first    map[string]float64 // confidence when people were told
	probable map[string][]int64
}

// New begins at a time.
func New(network *grid.Snapshot, c outage.Config, at int64) *Recorder {
	c.Keep = 1 << 62 // nothing is over for good
	return &Recorder{Engine: outage.New(network, c, at), last: at, told: map[string]outage.Incident{}, first: map[string]float64{}, probable: map[string][]int64{}}
}

// Take takes a piece, at its time of arrival, which mustn't be before the last one's.
func (r *Recorder) Take(v outage.Evidence) error {
	if v.Arrival < r.last {
		return fmt.Errorf("it arrived before what stands before it")
	}
	r.advance(v.Arrival)
	r.result.Evidence++
	return r.Engine.Take(v)
}

func (r *Recorder) advance(to int64) {
	r.last = to
	changes, asks := r.Engine.Advance(to)
	for _, c := range changes {
		if r.Told != nil {
			r.Told(c)
		}
		r.told[c.Incident.ID] = c.Incident
		if c.Kind == outage.Settled || c.Kind == outage.Reopened && c.Incident.ProbableAt != 0 {
			r.probable[c.Incident.ID] = append(r.probable[c.Incident.ID], c.At)
		}
		if c.Kind == outage.Announce {
			r.first[c.Incident.ID] = c.Incident.Confidence
		}
	}
	for _, a := range asks {
		r.result.Asked += len(a.Points)
	}
}

// after is how long the engine goes on after the last piece, µs.
const after = int64(1800e6)

// Result ends the run.
func (r *Recorder) Result() Result {
	r.advance(r.last + after)
	out := r.result
	out.Strange = r.Engine.Strange()
	for _, x := range r.told {
		out.Began++
		switch {
		case x.State == outage.Merged:
			out.Merged++
		case x.Class == outage.PhaseLoss:
			out.PhaseLoss++
		case !x.Announced() && x.State == outage.Withdrawn:
			out.Withdrawn++
		case !x.Announced():
			out.Momentary++
		case len(x.Ever) > 0:
			out.Findings = append(out.Findings, r.findings(x)...)
		}
	}
	slices.SortFunc(out.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Detected, b.Detected), cmp.Compare(a.Incident, b.Incident))
	})
	return out
}

// findings is an incident's interruptions, those apart that were momentary.
func (r *Recorder) findings(x outage.Incident) (all []Finding) {
	f := Finding{What: "outage", Incident: x.ID, Announced: x.AnnouncedAt, Device: x.Device, Confidence: r.first[x.ID], NestedIn: x.NestedIn, Counts: x.Counts}
	detected := x.ProbableAt
	for _, i := range x.Interruptions {
		if i.End-i.Start < sustained {
			continue
		}
		f.Detected, f.Device, f.Start, f.End, f.Points = max(r.settled(x, i.Start), i.Start), i.Device, i.Start, i.End, i.Points
		all = append(all, f)
	}
	f.Device, f.Start, f.End, f.Points, f.Restored = x.Device, x.Start, x.RestoredAt, x.Ever, nil
	f.Detected = max(detected, x.Seen)
	if x.State == outage.Withdrawn {
		f.End = x.OverAt
	}
	if f.End != 0 {
		f.End = max(f.End, f.Start)
	}
	out := map[string]bool{}
	for _, id := range x.Out {
		out[id] = true
	}
	for _, s := range x.Steps {
		if s.At >= f.Start && (f.End == 0 || s.At < f.End) {
			f.Restored = append(f.Restored, Part{s.At, slices.DeleteFunc(slices.Clone(s.Points), func(id string) bool { return out[id] })})
		}
	}
	if len(all) > 0 && f.End != 0 && f.End-f.Start < sustained {
		return all
	}
	return append(all, f)
}

// sustained is how long an interruption lasts that isn't momentary, µs.
const sustained = int64(180e6)

// settled is when an interruption was probable first.
func (r *Recorder) settled(x outage.Incident, start int64) int64 {
	for _, at := range r.probable[x.ID] {
		if at >= start {
			return at
		}
	}
	return x.Seen
}

// Write writes findings as lines.
func Write(w io.Writer, findings []Finding) error {
	lines := json.NewEncoder(w)
	for _, f := range findings {
		if err := lines.Encode(f); err != nil {
			return err
		}
	}
	return nil
}
