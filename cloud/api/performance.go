package api

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alarm/performance"
	"github.com/busbar/busbar/telemetry"
)

const (
	// floodSpan is how far is looked back for the beginning of a flood that goes on.
	floodSpan = 2 * time.Hour
	// mostFlooding bounds the annunciations that are looked at for it.
	mostFlooding = 5000

	longestReport  = 31 * 24 * time.Hour
	mostReported   = 200_000 // annunciations
	mostStanding   = 1000
	mostConditions = 100
)

// FloodState is whether more alarms ask for attention than people can attend to.
type FloodState struct {
	Zone  string             `json:"zone" doc:"Empty: all that is seen"`
	Last  int                `json:"last_10_min" doc:"Annunciations"`
	Flood *performance.Flood `json:"flood" doc:"That goes on; null: none does"`
}

type floodAnswer struct {
	Body struct {
		Whole FloodState   `json:"whole"`
		Zones []FloodState `json:"zones" doc:"Those with annunciations within the last two hours, by name"`
	}
}

type performanceQuery struct {
	From int64  `query:"from_us" required:"true" doc:"First instant, µs UTC"`
	To   int64  `query:"to_us" required:"true" doc:"The instant after the last, µs UTC; at most 31 days later"`
	Zone string `query:"zone" maxLength:"256" doc:"Only of gateways of this zone; empty: of all"`
}

// Performance is what alarms have asked of people.
type Performance struct {
	From        telemetry.Micros       `json:"from_us"`
	To          telemetry.Micros       `json:"to_us" doc:"Not later than now"`
	Targets     string                 `json:"targets" doc:"What they are called" example:"isa18.2-2016"`
	Annunciated int                    `json:"annunciated"`
	Verdicts    []performance.Verdict  `json:"verdicts" doc:"Each figure beside its target"`
	Hours       []performance.Count    `json:"hours" doc:"Annunciations in each hour from from_us on"`
	Windows     int                    `json:"windows" doc:"Of 10 minutes, from from_us on"`
	Over        int                    `json:"over" doc:"Windows with more than 10 annunciations"`
	Peak        performance.Count      `json:"peak" doc:"The first of the windows with most"`
	Floods      []performance.Flood    `json:"floods"`
	Top         []performance.Often    `json:"top" doc:"The 10 conditions that were annunciated most often"`
	Chattering  []performance.Often    `json:"chattering" doc:"Conditions that were annunciated three times within 60 s; count: in how many annunciations. At most 100"`
	Fleeting    int                    `json:"fleeting" doc:"Annunciations of alarms that were over within 10 s"`
	Stale       []performance.Standing `json:"stale" doc:"Alarms that had been active for more than 24 h at the end, the oldest first. At most 100"`
	Priorities  []performance.Split    `json:"priorities" doc:"Critical first"`
	Shelved     []alarm.Shelf          `json:"shelved" doc:"What is shelved or out of service now, those that began first first"`
}

type performanceAnswer struct{ Body Performance }

func registerPerformance(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "get-alarm-flood", Method: http.MethodGet, Path: "/api/v1/alarm-flood",
		Summary: "Whether more alarms ask for attention than people can attend to", Tags: []string{"Alarms"},
		Description: "A flood begins with the eleventh annunciation within 10 minutes, and is over when there are fewer than five.",
	}, func(ctx context.Context, _ *struct{}) (*floodAnswer, error) {
		now := telemetry.MicrosOf(time.Now())
		list, err := alarm.Annunciations(ctx, o.Store, now-telemetry.Micros(floodSpan.Microseconds()), now+1, mostFlooding)
		if err != nil {
			return nil, o.fault(ctx, "read the annunciations", err)
		}
		by := map[string][]telemetry.Micros{}
		var all []telemetry.Micros
		for _, a := range list {
			all = append(all, a.Told)
			if a.Zone != "" {
				by[a.Zone] = append(by[a.Zone], a.Told)
			}
		}
		answer := &floodAnswer{}
		answer.Body.Whole = floodState("", all, now)
		answer.Body.Zones = []FloodState{}
		for zone, times := range by {
			answer.Body.Zones = append(answer.Body.Zones, floodState(zone, times, now))
		}
		slices.SortFunc(answer.Body.Zones, func(a, b FloodState) int { return cmp.Compare(a.Zone, b.Zone) })
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "get-alarm-performance", Method: http.MethodGet, Path: "/api/v1/alarm-performance",
		Summary: "What alarms have asked of people, held against targets", Tags: []string{"Alarms"},
		Description: "By the figures of EEMUA 191, ISA-18.2 and IEC 62682. What was shelved, out of service or suppressed isn't counted.",
	}, func(ctx context.Context, q *performanceQuery) (*performanceAnswer, error) {
		p, err := o.performance(ctx, *q)
		if err != nil {
			return nil, err
		}
		return &performanceAnswer{p}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "get-alarm-performance-table", Method: http.MethodGet, Path: "/api/v1/alarm-performance/table",
		Summary: "The same as a table", Tags: []string{"Alarms"},
		Description: "CSV after RFC 4180 in UTF-8. kind says what a line is of: a figure, an hour, a flood, a priority, or a condition among the top, chattering, stale or shelved.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The table, with a line of headings",
			Content:     map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, func(ctx context.Context, q *performanceQuery) (*huma.StreamResponse, error) {
		p, err := o.performance(ctx, *q)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			_, w := humago.Unwrap(c)
			w.Header().Set("Content-Type", "text/csv; charset=utf-8")
			w.Header().Set("Content-Disposition", `attachment; filename="alarm-performance.csv"`)
			table := csv.NewWriter(w)
			table.UseCRLF = true
			// A client that is gone gets nothing.
			_ = table.WriteAll(p.table())
		}}, nil
	})
}

func floodState(zone string, times []telemetry.Micros, now telemetry.Micros) FloodState {
	s := FloodState{Zone: zone}
	for _, at := range times {
		if now.Sub(at) < performance.Window {
			s.Last++
		}
	}
	if floods := performance.Floods(times, now); len(floods) > 0 && floods[len(floods)-1].Ended == nil {
		s.Flood = &floods[len(floods)-1]
	}
	return s
}

func (o Options) performance(ctx context.Context, q performanceQuery) (Performance, error) {
	from, to := telemetry.Micros(q.From), min(telemetry.Micros(q.To), telemetry.MicrosOf(time.Now()))
	if q.From < 0 || q.To < q.From || q.To-q.From > longestReport.Microseconds() {
		return Performance{}, huma.Error422UnprocessableEntity("to_us must be at or after from_us, and at most 31 days after it")
	}
	to = max(from, to)
	list, err := alarm.Annunciations(ctx, o.Store, from-telemetry.Micros(floodSpan.Microseconds()), to, mostReported)
	if err != nil {
		return Performance{}, o.fault(ctx, "read the annunciations", err)
	}
	if len(list) == mostReported {
		return Performance{}, huma.Error422UnprocessableEntity(fmt.Sprintf("there are more than %d annunciations in this time, ask for less of it", mostReported-1))
	}
	standing, err := alarm.StandingAt(ctx, o.Store, to-telemetry.Micros(performance.Stale.Microseconds()), to, mostStanding)
	if err != nil {
		return Performance{}, o.fault(ctx, "read what is active", err)
	}
	shelves, err := alarm.Shelves(ctx, o.Store)
	if err != nil {
		return Performance{}, o.fault(ctx, "list what is shelved", err)
	}
	in := performance.Input{From: from, To: to}
	for _, a := range list {
		if q.Zone == "" || a.Zone == q.Zone {
			in.Annunciations = append(in.Annunciations, performance.Annunciation{
				Condition: performance.Condition{Gateway: a.Gateway, Rule: a.Rule, Asset: a.Asset, Device: a.Device},
				At:        a.Told, Priority: a.Priority, Raised: a.Raised, Cleared: a.Cleared})
		}
	}
	for _, a := range standing {
		if q.Zone == "" || a.Zone == q.Zone {
			in.Active = append(in.Active, performance.Standing{Condition: performance.Condition{Gateway: a.Gateway, Rule: a.Rule, Asset: a.Asset, Device: a.Device},
				Alarm: a.Alarm, Priority: a.Priority, Raised: a.Raised})
		}
	}
	if q.Zone != "" {
		shelves = slices.DeleteFunc(shelves, func(f alarm.Shelf) bool { return f.Zone != q.Zone })
	}
	targets, name := o.Targets, o.TargetsName
	if targets == nil {
		targets, name = performance.Presets[performance.DefaultPreset], performance.DefaultPreset
	}
	r := performance.Of(in, targets)
	return Performance{
		From: r.From, To: r.To, Targets: name, Annunciated: r.Annunciated, Verdicts: r.Verdicts, Hours: atMost(r.Hours, len(r.Hours)), Windows: r.Windows, Over: r.Over,
		Peak: r.Peak, Floods: atMost(r.Floods, len(r.Floods)), Top: atMost(r.Top, len(r.Top)), Chattering: atMost(r.Chattering, mostConditions), Fleeting: r.Fleeting,
		Stale: atMost(r.Stale, mostConditions), Priorities: r.Priorities, Shelved: shelves,
	}, nil
}

// atMost is the first entries of a list, which is never null.
func atMost[T any](list []T, most int) []T { return append([]T{}, list[:min(len(list), most)]...) }

// table is the report in lines of one form.
func (p Performance) table() [][]string {
	lines := [][]string{{"kind", "name", "gateway", "rule", "asset", "device", "priority", "from", "until", "value", "share", "target", "met"}}
	at := func(us telemetry.Micros) string { return us.Moment().UTC().Format("2006-01-02T15:04:05.000000Z") }
	until := func(us *telemetry.Micros) string {
		if us == nil {
			return ""
		}
		return at(*us)
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	line := func(kind, name string, c performance.Condition, priority telemetry.Priority, from, to, value, share, target, met string) {
		// What begins so is a formula to a spreadsheet.
		cells := []string{kind, name, c.Gateway, c.Rule, c.Asset, c.Device, string(priority), from, to, value, share, target, met}
		for i, cell := range cells[:6] {
			if strings.ContainsAny(cell[:min(len(cell), 1)], "=+-@\t\r") {
				cells[i] = "'" + cell
			}
		}
		lines = append(lines, cells)
	}
	none := performance.Condition{}
	for _, v := range p.Verdicts {
		target := ""
		if v.Target != nil {
			target = number(*v.Target)
		}
		line("figure", string(v.Figure), none, "", at(p.From), at(p.To), number(v.Value), "", target, strconv.FormatBool(v.Met))
	}
	for _, h := range p.Hours {
		line("hour", "", none, "", at(h.From), at(min(p.To, h.From+telemetry.Micros(time.Hour.Microseconds()))), strconv.Itoa(h.N), "", "", "")
	}
	for _, f := range p.Floods {
		line("flood", "", none, "", at(f.Began), until(f.Ended), strconv.Itoa(f.N), "", "", "")
	}
	for _, s := range p.Priorities {
		line("priority", "", none, s.Priority, "", "", strconv.Itoa(s.N), number(s.Share), "", "")
	}
	for _, t := range p.Top {
		line("top", "", t.Condition, t.Priority, "", "", strconv.Itoa(t.N), number(t.Share), "", "")
	}
	for _, t := range p.Chattering {
		line("chattering", "", t.Condition, t.Priority, "", "", strconv.Itoa(t.N), number(t.Share), "", "")
	}
	for _, s := range p.Stale {
		line("stale", s.Alarm, s.Condition, s.Priority, at(s.Raised), "", "", "", "", "")
	}
	for _, s := range p.Shelved {
		line(string(s.State), s.By+": "+s.Reason, performance.Condition{Gateway: s.Gateway, Rule: s.Rule, Asset: s.Asset, Device: s.Device}, s.Priority, at(s.Since), until(s.Until), "", "", "", "")
	}
	return lines
}
