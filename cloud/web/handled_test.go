package web

import (
	"encoding/json"
	"fmt"
	"net/http"
)

type flood struct {
	Began int64  `json:"began_us"`
	Ended *int64 `json:"ended_us"`
	Count int    `json:"count"`
	Peak  int    `json:"peak"`
}

// limits are for how long the fake lets alarms be shelved, in seconds.
var limits = map[string]int64{"critical": 3600, "high": 8 * 3600, "medium": 24 * 3600, "low": 7 * 86_400}

func (f *fake) postDeed(w http.ResponseWriter, r *http.Request) {
	var body struct {
		By, Reason string
		Seconds    int64
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.By == "" || body.Reason == "" {
		refuse(w, http.StatusUnprocessableEntity, "validation failed")
		return
	}
	id := r.PathValue("id")
	f.mu.Lock()
	a := f.find(id)
	f.mu.Unlock()
	if a == nil {
		refuse(w, http.StatusNotFound, "no such alarm")
		return
	}
	var to *handled
	action := map[string]string{"shelve": "shelved", "unshelve": "unshelved", "out-of-service": "out-of-service", "in-service": "in-service"}[r.PathValue("deed")]
	switch action {
	case "shelved":
		if body.Seconds < 1 || body.Seconds > limits[a.Priority] {
			refuse(w, http.StatusUnprocessableEntity, "alarms of priority "+a.Priority+" may not be shelved for so long")
			return
		}
		to = &handled{State: action, Since: nowUs(), Until: new(nowUs() + body.Seconds*1_000_000), By: body.By, Reason: body.Reason}
	case "out-of-service":
		to = &handled{State: action, Since: nowUs(), By: body.By, Reason: body.Reason}
	case "":
		refuse(w, http.StatusNotFound, "no such operation")
		return
	}
	f.change(func() *alarm {
		a.Handling = to
		a.step(action, nowUs(), body.By, body.Reason)
		return a
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	answer(w, http.StatusOK, *a)
}

// suppress says that another alarm stands for one.
func (f *fake) suppress(id, by string) {
	f.change(func() *alarm {
		a := f.find(id)
		a.SuppressedBy = by
		a.step("suppressed", nowUs(), "cloud", "")
		return a
	})
}

// handled keeps some alarms of the substation quiet, has one chatter and gives them feeders.
func (f *fake) handled() {
	f.mu.Lock()
	for i, a := range f.alarms {
		a.Feeder = fmt.Sprintf("feeder-%d", 1+i%2)
	}
	f.mu.Unlock()
	f.raise(alarm{ID: "b1", Priority: "medium", Asset: "feeder-1", Device: "feeder-1-head", Feeder: "feeder-1", Summary: "Current of feeder 1 is above its limit", Chattered: nowUs()})
	f.raise(alarm{ID: "b2", Priority: "high", Asset: "feeder-2", Device: "meter-17", Feeder: "feeder-2", Summary: "Meter 17 is without voltage", Raised: nowUs() - 90_000_000_000})
	f.raise(alarm{ID: "b3", Priority: "low", Asset: "feeder-2", Device: "door", Feeder: "feeder-2", Summary: "The door of the substation is open"})
	f.raise(alarm{ID: "b4", Priority: "low", Asset: "feeder-1", Device: "battery", Feeder: "feeder-1", Summary: "The battery is old"})
	f.suppress("b2", "a1")
	f.change(func() *alarm {
		a := f.find("b3")
		a.Handling = &handled{State: "shelved", Since: nowUs() - 600_000_000, Until: new(nowUs() + 3_000_000_000), By: "Ana", Reason: "painters are at work"}
		return a
	})
	f.change(func() *alarm {
		a := f.find("b4")
		a.Handling = &handled{State: "out-of-service", Since: nowUs() - 400_000_000_000, By: "Ben", Reason: "a new one is ordered"}
		return a
	})
}

func (f *fake) getShelves(w http.ResponseWriter, _ *http.Request) {
	list := []map[string]any{}
	for _, p := range []string{"critical", "high", "medium", "low"} {
		list = append(list, map[string]any{"priority": p, "seconds": limits[p]})
	}
	answer(w, http.StatusOK, map[string]any{"shelves": []any{}, "limits": list})
}

// flow says that there is a flood, or that it is over.
func (f *fake) flow(of *flood) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flood = of
}

func (f *fake) getFlood(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := 0
	if f.flood != nil {
		last = f.flood.Peak
	}
	answer(w, http.StatusOK, map[string]any{"whole": map[string]any{"zone": "", "last_10_min": last, "flood": f.flood}, "zones": []any{}})
}

func (f *fake) getPerformance(w http.ResponseWriter, r *http.Request) {
	now := nowUs()
	from := now - 86_400_000_000
	hours := []map[string]any{}
	for i := range int64(24) {
		hours = append(hours, map[string]any{"from_us": from + i*3_600_000_000, "count": (i * 7) % 13})
	}
	place := func(asset string, more map[string]any) map[string]any {
		of := map[string]any{"gateway": "north-gw1", "rule": "low-voltage", "asset": asset, "device": asset + "-head", "priority": "high"}
		for k, v := range more {
			of[k] = v
		}
		return of
	}
	answer(w, http.StatusOK, map[string]any{
		"from_us": from, "to_us": now, "targets": "isa18.2-2016", "annunciated": 138, "windows": 144, "over": 3, "fleeting": 4,
		"verdicts": []map[string]any{
			{"figure": "per-day", "value": 138, "target": nil, "met": true}, {"figure": "per-hour", "value": 5.75, "target": 6, "met": true},
			{"figure": "over-share", "value": 0.0208333, "target": 0.01, "met": false}, {"figure": "chattering", "value": 1, "target": 0, "met": false},
		},
		"hours": hours, "peak": map[string]any{"from_us": from, "count": 17},
		"floods":     []map[string]any{{"began_us": from, "ended_us": from + 1_200_000_000, "count": 31, "peak": 17}, {"began_us": now - 60_000_000, "ended_us": nil, "count": 12, "peak": 12}},
		"top":        []map[string]any{place("feeder-1", map[string]any{"count": 40, "share": 0.2899})},
		"chattering": []map[string]any{place("feeder-1", map[string]any{"count": 9, "share": 0.0652})},
		"stale":      []map[string]any{place("feeder-2", map[string]any{"alarm": "a5", "raised_us": from - 90_000_000_000})},
		"priorities": []map[string]any{{"priority": "critical", "count": 0, "share": 0}, {"priority": "high", "count": 40, "share": 0.29},
			{"priority": "medium", "count": 20, "share": 0.145}, {"priority": "low", "count": 78, "share": 0.565}},
		"shelved": []map[string]any{
			place("feeder-3", map[string]any{"alarm": "a2", "state": "shelved", "since_us": now - 7_200_000_000, "until_us": now + 3_600_000_000, "by": "Ana", "reason": "new meter", "zone": "", "summary": "x", "active": true}),
			place("feeder-4", map[string]any{"alarm": "a4", "state": "out-of-service", "since_us": now - 700_000_000_000, "until_us": nil, "by": "Ben", "reason": "rebuilt", "zone": "", "summary": "y", "active": false}),
		},
	})
}
