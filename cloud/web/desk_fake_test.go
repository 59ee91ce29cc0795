package web

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
)

// outageDesk is what the fake knows of outages and the network: tables of the API's JSON.
type outageDesk struct {
	outages  map[string]map[string]any
	timeline map[string][]map[string]any
	steps    map[string][]map[string]any
	points   map[string][]map[string]any
	calls    map[string][]map[string]any
	crews    []map[string]any
	network  map[string]any
	heard    string // of the network, by the letters of the API; "": it can't be told
	lines    map[string]map[string]any
	source   string // whether what feeds each of them has supply
	other    string // and what is beyond their ties
	assets   map[string]map[string]any
	health   map[string]map[string]any
	switched map[string]map[string]any
	plans    []map[string]any
	reported []map[string]any
	acted    []map[string]any            // steps with outages
	entered  []string                    // what was said of calls, switches, plans and crews: method, path and body
	refusal  string                      // why that is refused; "": it isn't
	told     map[string][]map[string]any // what has happened, by asset
}

func (f *fake) deskRoutes(mux *http.ServeMux) {
	list := func(path string, of func(d *outageDesk, r *http.Request) (string, any, bool)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			name, body, known := of(&f.desk, r)
			switch {
			case !known:
				refuse(w, http.StatusNotFound, "there is no such thing")
			case name == "":
				answer(w, http.StatusOK, body)
			default:
				answer(w, http.StatusOK, map[string]any{"seq": f.seq, name: body, "next": nil})
			}
		})
	}
	part := func(of func(d *outageDesk) map[string][]map[string]any) func(d *outageDesk, id string) any {
		return func(d *outageDesk, id string) any {
			if found := of(d)[id]; found != nil {
				return found
			}
			return []any{}
		}
	}
	points, calls := part(func(d *outageDesk) map[string][]map[string]any { return d.points }), part(func(d *outageDesk) map[string][]map[string]any { return d.calls })
	list("/api/v1/outages", func(d *outageDesk, r *http.Request) (string, any, bool) {
		found := []any{}
		for _, o := range d.outages {
			if over := o["state"] == "completed" || o["state"] == "dismissed"; r.FormValue("state") == "all" || !over {
				found = append(found, o)
			}
		}
		return "outages", found, true
	})
	list("/api/v1/outages/{id}", func(d *outageDesk, r *http.Request) (string, any, bool) {
		id := r.PathValue("id")
		detail := map[string]any{"timeline": d.timeline[id], "steps": d.steps[id], "children": []any{}, "needing": map[string]any{"life_support": 1, "critical": 0, "important": 2}}
		for k, v := range d.outages[id] {
			detail[k] = v
		}
		return "", detail, d.outages[id] != nil
	})
	list("/api/v1/outages/{id}/points", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "points", points(d, r.PathValue("id")), true
	})
	list("/api/v1/outages/{id}/evidence", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "evidence", []any{map[string]any{"seq": 1, "at_us": nowUs(), "source_us": nil, "kind": "last-gasp", "asset": "SP-1", "gateway": "north-gw1", "device": "meter-1", "alarm": "", "rule": "", "by": "", "comment": ""}}, true
	})
	list("/api/v1/calls", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "calls", calls(d, r.FormValue("outage")), true
	})
	list("/api/v1/crews", func(d *outageDesk, _ *http.Request) (string, any, bool) { return "crews", d.crews, true })
	list("/api/v1/grid/map", func(d *outageDesk, _ *http.Request) (string, any, bool) { return "", d.network, d.network != nil })
	list("/api/v1/grid/heard", func(d *outageDesk, _ *http.Request) (string, any, bool) {
		count := func(letter string) int { return strings.Count(d.heard, letter) }
		return "", map[string]any{"version": 3, "as_of_us": 1, "points": d.heard, "heard": count("h"), "silent": count("s"), "unmeasured": count("u")}, d.heard != ""
	})
	list("/api/v1/grid/out", func(d *outageDesk, _ *http.Request) (string, any, bool) {
		if d.network == nil {
			return "", nil, false
		}
		ids := d.network["points"].(map[string]any)["id"].([]string)
		letters := []byte(strings.Repeat("-", len(ids)))
		at := make(map[string]int, len(ids))
		for i, id := range ids {
			at[id] = i
		}
		for id, o := range d.outages {
			letter := byte('o')
			if o["state"] == "suspected" || o["state"] == "probable" {
				letter = 'm'
			}
			for _, p := range d.points[id] {
				if i, known := at[fmt.Sprint(p["id"])]; known && o["state"] != "completed" && letters[i] != 'o' {
					letters[i] = letter
				}
			}
		}
		return "", map[string]any{"version": 3, "as_of_us": 1, "points": string(letters), "out": strings.Count(string(letters), "o"), "maybe": strings.Count(string(letters), "m")}, true
	})
	list("/api/v1/assets/{id}/one-line/feeding", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "", map[string]any{"feeder": "feeder-1", "source": d.source, "dead": []int{}, "ties": []any{map[string]any{"id": "tie", "supply": d.other}}}, d.source != ""
	})
	list("/api/v1/assets/{id}/one-line", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "", d.lines[r.PathValue("id")], d.lines[r.PathValue("id")] != nil
	})
	list("/api/v1/assets/{id}/health", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "", d.health[r.PathValue("id")], d.health[r.PathValue("id")] != nil
	})
	list("/api/v1/assets/{id}", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "", d.assets[r.PathValue("id")], d.assets[r.PathValue("id")] != nil
	})
	list("/api/v1/outage-codes", func(*outageDesk, *http.Request) (string, any, bool) {
		code := func(code, name string) []any { return []any{map[string]any{"code": code, "name": name}} }
		return "", map[string]any{"causes": code("tree", "Tree or branch"), "failures": code("overhead-line", "Overhead line"), "remedies": code("repaired", "Repaired")}, true
	})
	mux.HandleFunc("POST /api/v1/outages/{id}/actions", f.postAction)
	f.enteringRoutes(mux, list)
}

// leadsTo is where each step leads.
var leadsTo = map[string]string{"confirm": "confirmed", "assign": "assigned", "en-route": "en-route", "on-site": "on-site", "repaired": "repaired",
	"restored": "restored", "verify": "verified", "complete": "completed"}

func (f *fake) postAction(w http.ResponseWriter, r *http.Request) {
	var step map[string]any
	if err := json.NewDecoder(r.Body).Decode(&step); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	action := fmt.Sprint(step["action"])
	id := r.PathValue("id")
	f.mu.Lock()
	o := f.desk.outages[id]
	revision, crew := o["revision"], step["crew"]
	f.mu.Unlock()
	switch {
	case fmt.Sprint(step["revision"]) != fmt.Sprint(revision):
		refuse(w, http.StatusConflict, "the outage has changed since")
		return
	case action == "complete" && (step["cause"] == nil || step["failure"] == nil || step["remedy"] == nil):
		refuse(w, http.StatusConflict, "complete isn't possible, the outage is verified: cause, failure and remedy missing")
		return
	}
	f.setOutage(id, func(o map[string]any) {
		if to := leadsTo[action]; to != "" {
			o["state"] = to
		}
		if crew != nil {
			o["crew"] = crew
		}
		f.desk.acted = append(f.desk.acted, step)
		// Before it is told, for who hears of it asks at once.
		f.desk.timeline[id] = append(f.desk.timeline[id], map[string]any{"seq": f.seq, "at_us": nowUs(), "action": action, "state": o["state"], "by": step["by"], "comment": step["comment"], "detail": ""})
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	answer(w, http.StatusOK, f.desk.outages[id])
}

// setOutage changes an outage, or adds it, and tells of it.
func (f *fake) setOutage(id string, change func(o map[string]any)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := &f.desk
	if d.outages == nil {
		d.outages, d.timeline, d.steps, d.points, d.calls = map[string]map[string]any{}, map[string][]map[string]any{}, map[string][]map[string]any{}, map[string][]map[string]any{}, map[string][]map[string]any{}
	}
	o := map[string]any{}
	if before := d.outages[id]; before != nil {
		for k, v := range before {
			o[k] = v
		}
	} else {
		began := nowUs() - 300_000_000
		o = map[string]any{"id": id, "revision": 0, "state": "probable", "class": "sustained", "evidence_says": "probable", "device": "L2", "device_kind": "line", "device_name": "",
			"phases": "ABC", "confidence": 0.93, "candidates": []any{}, "feeder": "feeder-1", "substation": "north", "zone": "", "x": nil, "y": nil, "began_us": began, "earliest_us": began,
			"latest_us": began, "found_us": began, "announced_us": began, "restored_us": nil, "over_us": nil, "updated_us": began, "points": 12, "points_out": 12, "customers": 30,
			"customers_out": 30, "lossy": 0, "critical": 0, "high": 0, "island": false, "alarm": "", "alarms": 0, "acknowledged": false, "acknowledged_by": "", "merged_into": "",
			"nested_in": "", "split_from": "", "plan": "", "crew": "", "expected": nil, "cause": "", "failure": "", "remedy": "", "verdict": ""}
		d.timeline[id] = []map[string]any{{"seq": 1, "at_us": began, "action": "suspect", "state": "suspected", "by": "cloud", "comment": "", "detail": "12 service points"}}
		d.steps[id] = []map[string]any{}
	}
	change(o)
	o["revision"] = o["revision"].(int) + 1
	d.outages[id] = o
	f.seq++
	f.broadcast(message{"outage", f.seq, o})
}

// network fills the fake with one feeder of n service points in a spiral, its drawing, and
// two outages on it.
func (f *fake) network(n int) {
	const side = 1_000_000
	ids, xs, ys, customers, feeders := make([]string, n), make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	lines := map[string]any{}
	var lid []string
	var lx, ly, tx, ty []int
	var low []bool
	for i := range n {
		turn, r := float64(i)*2.399963, math.Sqrt(float64(i)/float64(n))*side/2
		ids[i], xs[i], ys[i], customers[i] = fmt.Sprintf("SP-%d", i), int(side/2+r*math.Cos(turn)), int(side/2+r*math.Sin(turn)), 1+i%4
		if i >= 8 {
			lid, lx, ly, tx, ty, low = append(lid, fmt.Sprintf("C%d", i)), append(lx, xs[i-8]), append(ly, ys[i-8]), append(tx, xs[i]), append(ty, ys[i]), append(low, i%3 != 0)
		}
	}
	lines["id"], lines["x"], lines["y"], lines["to_x"], lines["to_y"], lines["low"] = append(lid, "L2"), append(lx, side/4), append(ly, side/4), append(tx, side*3/4), append(ty, side/2), append(low, false)
	s := func(id int64, asset, name, unit string, v any, quality string) map[string]any {
		return map[string]any{"id": id, "gateway": "north-gw1", "device": asset + "-rtu", "name": name, "unit": unit, "asset": asset, "kind": "gauge",
			"states": map[string]string{"0": "open", "1": "closed"}, "latest": map[string]any{"t": nowUs() - 5_000_000, "v": v, "q": quality}}
	}
	node := func(id string, column, row int, customers int, counted bool) map[string]any {
		return map[string]any{"id": id, "name": "", "busbar": strings.Contains(id, "kV"), "column": column, "row": row, "service_points": customers, "customers": customers, "counted": counted}
	}
	branch := func(id, kind, of string, from, to int, position any, series ...any) map[string]any {
		return map[string]any{"id": id, "name": "", "kind": kind, "type": of, "from": from, "to": to, "in_loop": false, "position": position, "series": slices.Concat([]any{}, series)}
	}
	f.mu.Lock()
	f.desk.network = map[string]any{"version": 3, "as_of_us": 1, "coordinates": "local", "x0": 0, "y0": 0, "step": 1, "feeders": []string{"feeder-1"},
		"points": map[string]any{"id": ids, "x": xs, "y": ys, "customers": customers, "feeder": feeders}, "lines": lines,
		"devices":     map[string]any{"id": []string{"feeder-1-breaker", "T-mill"}, "x": []int{side / 4, side * 3 / 4}, "y": []int{side / 4, side / 2}, "kind": []string{"switch", "transformer"}, "open": []bool{false, false}},
		"substations": map[string]any{"id": []string{"north"}, "name": []string{"North substation"}, "x": []int{side / 4}, "y": []int{side / 4}},
		"nowhere":     map[string]any{"points": 2, "lines": 0, "devices": 0}}
	f.desk.heard, f.desk.health = strings.Repeat("h", n), health()
	drawing := map[string]any{"feeder": "feeder-1", "head": "feeder-1-breaker", "columns": 3, "rows": 6, "more": 0, "series": []any{s(907, "feeder-1", "TotW", "kW", 1250.0, "good")},
		"nodes": []any{node("north-hv", 0, 0, 0, false), node("north-20kV", 0, 1, 0, false), node("f1-0", 0, 2, 0, false), node("f1-1", 0, 3, 0, false), node("mill", 0, 4, 0, false),
			node("mill-lv", 0, 5, 40, true), node("park-lv", 1, 4, 12, true), node("lane", 2, 4, 3, false)},
		"branches": []any{branch("T1", "transformer", "", 0, 1, nil), branch("feeder-1-breaker", "switch", "breaker", 1, 2, s(901, "feeder-1-breaker", "Pos", "1", 1.0, "good"),
			s(902, "feeder-1-breaker", "PhV.phsA", "V", 11_620.0, "good"), s(903, "feeder-1-breaker", "A.phsA", "A", 87.0, "good")),
			branch("L1", "line", "cable", 2, 3, nil), branch("L2", "line", "overhead", 3, 4, nil), branch("T-mill", "transformer", "", 4, 5, nil, s(904, "T-mill", "PhV.phsA", "V", nil, "bad (timeout)")),
			branch("T-park", "transformer", "", 3, 6, nil), branch("F7", "switch", "fuse", 3, 7, nil)},
		"ties": []any{map[string]any{"id": "tie", "name": "", "type": "load-switch", "at": 4, "within": -1, "other": "feeder-2", "other_node": "f2-1", "position": s(905, "tie", "Pos", "1", 0.0, "good")}}}
	f.desk.lines, f.desk.source, f.desk.other = map[string]map[string]any{"feeder-1": drawing}, "live", "live"
	f.desk.crews = []map[string]any{{"id": "crew-3", "name": "Crew 3", "state": "available", "outage": "", "comment": "", "by": "ana", "at_us": nowUs()}}
	f.desk.assets = map[string]map[string]any{"T-mill": {"id": "T-mill", "kind": "transformer", "name": "Mill", "type": "", "zone": "", "substation": "", "feeder": "feeder-1", "transformer": "T1", "phases": "ABC",
		"voltage_v": 20_000, "properties": map[string]string{"rated_power": "400 kVA"}, "connections": []any{}, "supplied_by": []any{map[string]any{"id": "L2", "kind": "line", "name": ""}, map[string]any{"id": "feeder-1-breaker", "kind": "switch", "name": ""}},
		"energised": "ABC", "in_loop": false, "behind": map[string]any{"service_points": 20, "customers": 40}, "series": []any{s(1, "T-mill", "PhV.phsA", "V", 229.0, "good")}, "alarms": []any{}}}
	f.mu.Unlock()
	f.setOutage("o-1", func(o map[string]any) { o["x"], o["y"] = side/2, side/2; o["critical"] = 1 })
	f.setOutage("o-2", func(o map[string]any) {
		o["device"], o["state"], o["x"], o["y"], o["customers"], o["customers_out"], o["device_name"] = "T-mill", "suspected", side*3/4, side/2, 40, 4, "Mill"
	})
	f.mu.Lock()
	for i := range min(12, n) {
		f.desk.points["o-1"] = append(f.desk.points["o-1"], map[string]any{"id": ids[i], "name": "", "customers": 1, "priority": "normal", "out": true, "since_us": 1, "until_us": nil, "x": nil, "y": nil})
	}
	f.desk.calls["o-1"] = []map[string]any{{"id": 1, "at_us": nowUs(), "service_point": "SP-1", "says": "no-supply", "text": "All dark since five", "by": "ana", "outage": "o-1"}}
	f.mu.Unlock()
}
