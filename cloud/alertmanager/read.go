package alertmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/store"
)

// receiver is the one that every alert is said to have.
const receiver = "busbar"

// Reader serves the part of Alertmanager's API v2 by which others read alerts: alerts,
// alerts/groups, status, receivers and silences, of which there are none.
type Reader struct {
	Store   *store.Store
	Console string // address that alerts lead to, "": to none
	Version string
	Started time.Time
	Logger  *slog.Logger
}

type named struct {
	Name string `json:"name"`
}

type status struct {
	InhibitedBy []string `json:"inhibitedBy"`
	MutedBy     []string `json:"mutedBy"` // since Alertmanager 0.28
	SilencedBy  []string `json:"silencedBy"`
	State       string   `json:"state"`
}

// alert is what the API calls gettableAlert.
type alert struct {
	Posted
	Fingerprint string    `json:"fingerprint"`
	Receivers   []named   `json:"receivers"`
	Status      status    `json:"status"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

type group struct {
	Alerts   []alert `json:"alerts"`
	Labels   Labels  `json:"labels"`
	Receiver named   `json:"receiver"`
}

// Handler answers below /api/v2/.
func (r Reader) Handler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/alerts", r.serve(func(ctx context.Context, q url.Values) (any, error) { return r.alerts(ctx, q) }))
	mux.HandleFunc("GET /api/v2/alerts/groups", r.serve(r.groups))
	mux.HandleFunc("GET /api/v2/status", r.serve(r.status))
	mux.HandleFunc("GET /api/v2/receivers", r.serve(func(context.Context, url.Values) (any, error) { return []named{{receiver}}, nil }))
	mux.HandleFunc("GET /api/v2/silences", r.serve(func(context.Context, url.Values) (any, error) { return []struct{}{}, nil }))
	return mux
}

// wrong is what a request asks for and can't have.
type wrong struct{ error }

func (r Reader) serve(answer func(context.Context, url.Values) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		query, err := url.ParseQuery(request.URL.RawQuery)
		var body any
		if err != nil {
			err = wrong{err}
		} else {
			body, err = answer(request.Context(), query)
		}
		code := http.StatusOK
		if err != nil {
			code, body = http.StatusInternalServerError, "the alerts can't be read"
			if _, ok := err.(wrong); ok {
				code, body = http.StatusBadRequest, err.Error()
			} else if request.Context().Err() == nil {
				r.Logger.Error("request failed", "what", "read the alerts", "error", err)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(body) // a client that is gone gets nothing
	}
}

func (r Reader) alerts(ctx context.Context, q url.Values) ([]alert, error) {
	list := []alert{}
	matchers, err := matchersOf(q["filter"])
	if err != nil {
		return nil, wrong{err}
	}
	wanted := true
	show := map[string]bool{"active": true, "silenced": true, "inhibited": true}
	for name := range show {
		if text := q.Get(name); text != "" {
			if show[name], err = strconv.ParseBool(text); err != nil {
				return nil, wrong{fmt.Errorf("%s: %q, expected true or false", name, text)}
			}
		}
	}
	if text := q.Get("receiver"); text != "" {
		of, err := whole(text)
		if err != nil {
			return nil, wrong{fmt.Errorf("receiver: %w", err)}
		}
		wanted = wanted && of.MatchString(receiver)
	}
	if !wanted {
		return list, nil
	}
	firing, err := alarm.Firing(ctx, r.Store)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	for _, a := range firing {
		p := PostedOf(a, r.Console)
		p.EndsAt = now.Add(5 * time.Minute)
		if a.Kind == alarm.OfExternal {
			p.Labels["kind"] = string(a.Kind)
		}
		if slices.ContainsFunc(matchers, func(m matcher) bool { return !m.fits(p.Labels) }) {
			continue
		}
		of := statusOf(a)
		if !show["active"] && of.State == "active" || !show["silenced"] && len(of.SilencedBy) > 0 || !show["inhibited"] && len(of.InhibitedBy) > 0 {
			continue
		}
		list = append(list, alert{p, p.Labels.fingerprint(), []named{{receiver}}, of, now})
	}
	return list, nil
}

// statusOf shows what people have done as a silence, of the alarm's own id, and a parent
// as what inhibits.
func statusOf(a alarm.Alarm) status {
	s := status{InhibitedBy: []string{}, MutedBy: []string{}, SilencedBy: []string{}, State: "active"}
	if a.Handling != nil {
		s.SilencedBy, s.State = []string{string(a.Handling.State) + "-" + a.ID}, "suppressed"
	}
	if a.SuppressedBy != "" {
		s.InhibitedBy, s.State = []string{a.SuppressedBy}, "suppressed"
	}
	return s
}

// groups are by alertname.
func (r Reader) groups(ctx context.Context, q url.Values) (any, error) {
	list, err := r.alerts(ctx, q)
	if err != nil {
		return nil, err
	}
	by := map[string][]alert{}
	for _, a := range list {
		by[a.Labels["alertname"]] = append(by[a.Labels["alertname"]], a)
	}
	out := []group{}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, group{by[name], Labels{"alertname": name}, named{receiver}})
	}
	return out, nil
}

func (r Reader) status(context.Context, url.Values) (any, error) {
	return map[string]any{
		"cluster":     map[string]any{"status": "disabled", "peers": []struct{}{}},
		"config":      map[string]string{"original": "route:\n  receiver: busbar\nreceivers:\n- name: busbar\n"},
		"uptime":      r.Started.UTC(),
		"versionInfo": map[string]string{"version": r.Version, "branch": "", "buildDate": "", "buildUser": "", "revision": "", "goVersion": runtime.Version()},
	}, nil
}

// fingerprint is that of Prometheus: FNV-1a over sorted names and values.
func (l Labels) fingerprint() string {
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(l)) {
		h.Write([]byte(name + "\xff" + l[name] + "\xff"))
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

func whole(pattern string) (*regexp.Regexp, error) { return regexp.Compile("^(?:" + pattern + ")$") }
