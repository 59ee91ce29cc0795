package web

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// enteringRoutes take what people say of calls, switches, plans and crews.
func (f *fake) enteringRoutes(mux *http.ServeMux, list func(path string, of func(d *outageDesk, r *http.Request) (string, any, bool))) {
	list("/api/v1/switching", func(d *outageDesk, _ *http.Request) (string, any, bool) {
		return "switching", slices.Concat([]map[string]any{}, slices.Collect(maps.Values(d.switched))), true
	})
	list("/api/v1/planned-outages", func(d *outageDesk, _ *http.Request) (string, any, bool) {
		return "planned_outages", slices.Concat([]map[string]any{}, d.plans), true
	})
	list("/api/v1/reported-outages", func(d *outageDesk, _ *http.Request) (string, any, bool) {
		return "reported_outages", slices.Concat([]map[string]any{}, d.reported), true
	})
	list("/api/v1/estimate-record", func(*outageDesk, *http.Request) (string, any, bool) {
		of := func(group string, n int, p50, p80 any) map[string]any {
			return map[string]any{"group": group, "estimates": n, "open": 0, "coverage_50": p50, "coverage_80": p80, "pinball_50_min": nil, "pinball_80_min": nil}
		}
		return "", map[string]any{"from_us": 1, "records": []any{of("", 40, 0.55, 0.775), of("cloud", 38, 0.5, 0.8), of("people", 2, 1.0, 0.5)}}, true
	})
	list("/api/v1/assets", func(d *outageDesk, r *http.Request) (string, any, bool) {
		found := []any{}
		for _, id := range []string{"feeder-1-breaker", "F7", "L2", "T-mill"} {
			if strings.Contains(id, r.FormValue("text")) {
				found = append(found, map[string]any{"id": id, "name": "", "kind": "switch"})
			}
		}
		return "assets", found, true
	})
	list("/api/v1/assets/{id}/timeline", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "entries", slices.Concat([]map[string]any{}, d.told[r.PathValue("id")]), true
	})
	list("/api/v1/commands", func(d *outageDesk, r *http.Request) (string, any, bool) {
		return "commands", []any{map[string]any{"id": "c-1", "gateway": r.FormValue("gateway"), "epoch": "", "kind": "ping", "alarm": "", "by": "cloud", "issued_us": nowUs() - 60_000_000, "expires_us": nowUs(), "answered_us": nil, "state": "expired", "cause": ""}}, true
	})
	for _, route := range []string{"POST /api/v1/calls", "PUT /api/v1/switching/{asset}", "POST /api/v1/planned-outages", "PUT /api/v1/planned-outages/{id}", "POST /api/v1/planned-outages/{id}/cancel", "PUT /api/v1/crews/{id}"} {
		mux.HandleFunc(route, f.postEntry)
	}
}

func (f *fake) postEntry(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	var body map[string]any
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := &f.desk
	if d.refusal != "" {
		refuse(w, http.StatusConflict, d.refusal)
		return
	}
	said := fmt.Sprint(r.Method, " ", r.URL, " ", string(text))
	plan := func() map[string]any {
		return map[string]any{"id": "p-1", "revision": 1, "state": "ahead", "devices": body["devices"], "from_us": body["from_us"], "until_us": body["until_us"], "reason": body["reason"], "feeder": "feeder-1", "zone": "",
			"points": 12, "customers": 30, "critical": 1, "outages": []any{}, "by": body["by"], "at_us": nowUs(), "changed_by": body["by"], "changed_us": nowUs(), "comment": "", "cancelled": false}
	}
	switch path := r.URL.Path; {
	case path == "/api/v1/calls":
		body["id"], body["at_us"], body["outage"] = 2, nowUs(), ""
	case strings.HasPrefix(path, "/api/v1/switching/"):
		asset := r.PathValue("asset")
		is := map[string]any{"asset": asset, "kind": "switch", "position": "normal", "normal": "closed", "phases": "", "cut": false, "tag": "", "gateway": ""}
		maps.Copy(is, d.switched[asset])
		for _, key := range []string{"position", "cut", "tag", "phases", "comment", "by"} {
			if body[key] != nil {
				is[key] = body[key]
			}
		}
		is["at_us"] = nowUs()
		if d.switched == nil {
			d.switched = map[string]map[string]any{}
		}
		d.switched[asset], body = is, is
	case strings.HasPrefix(path, "/api/v1/crews/"):
		crew := map[string]any{"id": r.PathValue("id"), "outage": "", "at_us": nowUs(), "comment": ""}
		maps.Copy(crew, body)
		d.crews, body = append(d.crews, crew), crew
	case r.FormValue("dry_run") == "true":
		said, body = "", plan()
	case strings.HasSuffix(path, "/cancel"):
		body, d.plans = d.plans[0], nil
	default:
		body = plan()
		d.plans = []map[string]any{body}
	}
	if said != "" {
		d.entered = append(d.entered, said)
	}
	answer(w, http.StatusOK, body)
}

// said is what was entered last.
func (f *fake) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.desk.entered) == 0 {
		return ""
	}
	return f.desk.entered[len(f.desk.entered)-1]
}

// operated has the network not as in normal operation: a fuse is open and tagged, a tie is
// closed, and more switching is planned.
func (f *fake) operated() {
	f.mu.Lock()
	defer f.mu.Unlock()
	said := func(asset, position, normal, tag string) map[string]any {
		return map[string]any{"asset": asset, "kind": "switch", "position": position, "normal": normal, "phases": "", "cut": false, "tag": tag, "by": "Ana", "at_us": nowUs() - 600_000_000, "comment": "Works in the lane", "gateway": ""}
	}
	d := &f.desk
	d.switched = map[string]map[string]any{"F7": said("F7", "open", "closed", "Crew 3 works here"), "feeder-1-breaker": said("feeder-1-breaker", "open", "closed", "")}
	d.switched["feeder-1-breaker"]["gateway"] = "north-gw1"
	d.plans = []map[string]any{{"id": "p-1", "revision": 2, "state": "ahead", "devices": []string{"T-mill"}, "from_us": nowUs() + 3_600_000_000, "until_us": nowUs() + 10_800_000_000, "reason": "The oil is changed", "feeder": "feeder-1", "zone": "",
		"points": 20, "customers": 40, "critical": 1, "outages": []any{}, "by": "Ana", "at_us": nowUs(), "changed_by": "Ana", "changed_us": nowUs(), "comment": "", "cancelled": false}}
	d.told = map[string][]map[string]any{"T-mill": {
		{"at_us": nowUs() - 60_000_000, "kind": "outage", "of": "o-2", "action": "confirm", "by": "Ana", "gateway": "", "text": "", "comment": "It hums no more"},
		{"at_us": nowUs() - 300_000_000, "kind": "alarm", "of": "a1", "action": "raised", "by": "gateway north-gw1", "gateway": "north-gw1", "text": "oil-hot: The oil is hot", "comment": ""},
		{"at_us": nowUs() - 900_000_000, "kind": "quality", "of": "", "action": "voltage-sag", "by": "", "gateway": "north-gw1", "text": "phase B: 2, by meter", "comment": "", "since_us": nowUs() - 1_800_000_000},
		{"at_us": nowUs() - 3_000_000_000, "kind": "switching", "of": "", "action": "closed", "by": "Ben", "gateway": "", "text": "", "comment": "After the repair"},
	}}
	d.assets["F7"] = maps.Clone(d.assets["T-mill"])
	d.assets["F7"]["id"], d.assets["F7"]["kind"], d.assets["F7"]["name"], d.assets["F7"]["series"] = "F7", "switch", "", []any{}
}
