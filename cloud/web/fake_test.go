package web

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// fake serves the HTTP API with data that a test changes, and the console
// beside it. It can be stopped and started again on the same address.
type fake struct {
	t    *testing.T
	addr string

	alarmsWait   sync.RWMutex // while it is locked, who asks for the list of alarms waits
	mu           sync.Mutex
	server       *http.Server
	seq          int64
	alarms       []*alarm
	events       []event
	resumed      []int64
	asked        []int64
	series       []series
	samples      map[int64][]sample
	gateways     []gateway
	ledger       map[string][]ledgerDevice // by day; others have open quarter-hours
	outages      []outage
	counters     []counterChange
	ledgerFails  bool
	page         int    // how many entries a page has at most; 0: as many as are asked for
	session      string // the secret of whoever has signed in; whoever shows another is unknown
	signIn       bool   // people sign in: ana, as role, with the password "right"
	role         string
	signOutFails bool
	provider     map[string]any // by which people sign in as well; nil: there is none
	turnAway     string         // the reason for which the provider's users are
	flood        *flood         // that goes on; nil: none does
	withhold     string         // what begins its path isn't there
	subscribers  map[chan message]bool
	desk         outageDesk
}

type event struct {
	seq   int64
	alarm alarm
}

type message struct {
	name string
	id   int64
	data any
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, addr: "127.0.0.1:0", samples: map[int64][]sample{}, subscribers: map[chan message]bool{}}
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fake) url() string { return "http://" + f.addr }

func (f *fake) start() {
	f.t.Helper()
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.addr = listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/alarms", f.getAlarms)
	mux.HandleFunc("GET /api/v1/alarms/{id}", f.getAlarm)
	mux.HandleFunc("GET /api/v1/alarms/{id}/capture", f.getCapture)
	mux.HandleFunc("POST /api/v1/alarms/{id}/acknowledge", f.postAcknowledge)
	mux.HandleFunc("POST /api/v1/alarms/{id}/{deed}", f.postDeed)
	mux.HandleFunc("GET /api/v1/alarm-shelves", f.getShelves)
	mux.HandleFunc("GET /api/v1/alarm-flood", f.getFlood)
	mux.HandleFunc("GET /api/v1/alarm-performance", f.getPerformance)
	mux.HandleFunc("GET /api/v1/series", f.getSeries)
	mux.HandleFunc("GET /api/v1/series/{id}/samples", f.getSamples)
	mux.HandleFunc("GET /api/v1/counter-changes", f.getCounterChanges)
	mux.HandleFunc("GET /api/v1/gateways", f.getGateways)
	mux.HandleFunc("GET /api/v1/rollouts", f.getRollouts)
	mux.HandleFunc("GET /api/v1/gateways/{id}/links", f.getLinks)
	mux.HandleFunc("GET /api/v1/completeness", f.getCompleteness)
	mux.HandleFunc("GET /api/v1/stream", f.getStream)
	mux.HandleFunc("GET /api/v1/session", f.getSession)
	mux.HandleFunc("POST /api/v1/session", f.postSession)
	mux.HandleFunc("DELETE /api/v1/session", f.deleteSession)
	mux.HandleFunc("GET /api/v1/session/methods", f.getMethods)
	mux.HandleFunc("GET /api/v1/session/oidc", f.beginOIDC)
	f.deskRoutes(mux)
	mux.Handle("/", Handler())
	f.server = &http.Server{Handler: f.gate(mux)}
	go f.server.Serve(listener)
}

func (f *fake) stop() { f.server.Close() }

func nowUs() int64 { return time.Now().UnixMicro() }

// raise adds an alarm; what a leaves empty is filled in.
func (f *fake) raise(a alarm) {
	f.change(func() *alarm {
		if a.Raised == 0 {
			a.Raised = nowUs()
		}
		a.Decided = a.Raised + 800_000
		a.Active = true
		a.Gateway, a.Site = "north-gw1", "North substation"
		a.step("raised", a.Raised, "gateway north-gw1", "")
		added := a
		f.alarms = append(f.alarms, &added)
		return &added
	})
}

func (f *fake) clear(id string) {
	f.change(func() *alarm {
		a := f.find(id)
		a.Active, a.Cleared = false, new(nowUs())
		a.step("cleared", *a.Cleared, "gateway north-gw1", "")
		return a
	})
}

func (f *fake) acknowledge(id, by, comment string) {
	f.change(func() *alarm {
		a := f.find(id)
		a.Acknowledged, a.AcknowledgedAt, a.By, a.Comment = true, new(nowUs()), by, comment
		a.step("acknowledged", *a.AcknowledgedAt, by, comment)
		return a
	})
}

// capture says what was measured around the raising of an alarm.
func (f *fake) capture(id string, c capture) {
	f.change(func() *alarm {
		a := f.find(id)
		a.capture, a.Captured = &c, true
		return a
	})
}

func (a *alarm) step(action string, at int64, by, comment string) {
	a.history = append(a.history, transition{Seq: int64(len(a.history) + 1), At: at, Action: action, By: by, Comment: comment})
}

func (f *fake) change(do func() *alarm) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := do()
	f.seq++
	f.events = append(f.events, event{f.seq, *a})
	f.broadcast(message{"alarm", f.seq, *a})
}

// store adds samples to a series and makes the last one its latest value.
func (f *fake) store(id int64, samples ...sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.samples[id] = append(f.samples[id], samples...)
	last := f.samples[id][len(f.samples[id])-1]
	for i := range f.series {
		if f.series[i].ID == id {
			f.series[i].Latest = &last
		}
	}
	f.broadcast(message{"latest", 0, []latest{{id, last}}})
}

func (f *fake) resync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broadcast(message{"resync", 0, struct{}{}})
}

// broadcast needs f.mu.
func (f *fake) broadcast(m message) {
	for s := range f.subscribers {
		s <- m
	}
}

// subscribed tells how many streams are open.
func (f *fake) subscribed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.subscribers)
}

// positions tells from where each stream so far was resumed.
func (f *fake) positions() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.resumed)
}

// asks counts the questions for samples of a series.
func (f *fake) asks(id int64) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, asked := range f.asked {
		if asked == id {
			n++
		}
	}
	return n
}

// find needs f.mu.
func (f *fake) find(id string) *alarm {
	for _, a := range f.alarms {
		if a.ID == id {
			return a
		}
	}
	return nil
}

func (f *fake) getAlarms(w http.ResponseWriter, r *http.Request) {
	f.alarmsWait.RLock()
	defer f.alarmsWait.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	found := []alarm{}
	for _, a := range slices.Backward(f.alarms) {
		if r.FormValue("state") == "all" || a.Active || !a.Acknowledged || a.Handling != nil {
			found = append(found, *a)
		}
	}
	page, next := turn(f, r, found)
	answer(w, http.StatusOK, map[string]any{"seq": f.seq, "alarms": page, "next": next})
}

func (f *fake) getAlarm(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.find(r.PathValue("id"))
	if a == nil {
		refuse(w, http.StatusNotFound, "no such alarm")
		return
	}
	answer(w, http.StatusOK, struct {
		alarm
		History []transition `json:"history"`
	}{*a, a.history})
}

func (f *fake) getCapture(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.find(r.PathValue("id"))
	if a == nil || a.capture == nil {
		refuse(w, http.StatusNotFound, "no samples")
		return
	}
	answer(w, http.StatusOK, a.capture)
}

func (f *fake) postAcknowledge(w http.ResponseWriter, r *http.Request) {
	var body struct{ By, Comment string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	f.mu.Lock()
	a := f.find(r.PathValue("id"))
	known, done := a != nil, a != nil && a.Acknowledged
	f.mu.Unlock()
	switch {
	case !known:
		refuse(w, http.StatusNotFound, "no such alarm")
	case done:
		refuse(w, http.StatusConflict, "already acknowledged")
	case body.By == "nobody", utf8.RuneCountInString(body.By) > 80, utf8.RuneCountInString(body.Comment) > 1000:
		refuse(w, http.StatusUnprocessableEntity, "validation failed")
	default:
		f.acknowledge(r.PathValue("id"), body.By, body.Comment)
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, http.StatusOK, *a)
	}
}

func (f *fake) getSeries(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	page, next := turn(f, r, f.series)
	answer(w, http.StatusOK, map[string]any{"series": page, "next": next})
}

func (f *fake) getSamples(w http.ResponseWriter, r *http.Request) {
	id, err1 := strconv.ParseInt(r.PathValue("id"), 10, 64)
	from, err2 := strconv.ParseInt(r.FormValue("from_us"), 10, 64)
	to, err3 := strconv.ParseInt(r.FormValue("to_us"), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprint(err1, err2, err3))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.series, func(s series) bool { return s.ID == id })
	if i < 0 {
		refuse(w, http.StatusNotFound, "no such series")
		return
	}
	if to < from || to-from > 24*time.Hour.Microseconds() {
		refuse(w, http.StatusUnprocessableEntity, "to_us must be at or after from_us, and at most a day after it")
		return
	}
	f.asked = append(f.asked, id)
	found := []sample{}
	for _, s := range f.samples[id] {
		if s.Time >= from && s.Time <= to {
			found = append(found, s)
		}
	}
	answer(w, http.StatusOK, map[string]any{"series": f.series[i], "samples": found})
}

func (f *fake) getCounterChanges(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.FormValue("series"), 10, 64)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found := []counterChange{}
	for _, c := range slices.Backward(f.counters) {
		if c.Series == id {
			found = append(found, c)
		}
	}
	page, next := turn(f, r, found)
	answer(w, http.StatusOK, map[string]any{"changes": page, "next": next})
}

func (f *fake) getRollouts(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"rollouts": []map[string]any{{"version": "1.5.0", "epoch": 7, "first_us": nowUs() - 7200_000_000, "last_us": nowUs() - 3600_000_000,
		"paused": true, "tried": 40, "confirmed": 37, "rolled_back": 3, "zones": []map[string]any{{"zone": "", "tried": 1, "confirmed": 1, "rolled_back": 0}, {"zone": "north", "tried": 39, "confirmed": 36, "rolled_back": 3}}}}})
}

func (f *fake) getGateways(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	page, next := turn(f, r, f.gateways)
	answer(w, http.StatusOK, map[string]any{"gateways": page, "next": next})
}

func (f *fake) getStream(w http.ResponseWriter, r *http.Request) {
	position := r.Header.Get("Last-Event-ID")
	if position == "" {
		position = r.FormValue("after")
	}
	after, err := strconv.ParseInt(position, 10, 64)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	messages := make(chan message, 100_000)
	f.mu.Lock()
	f.resumed = append(f.resumed, after)
	for _, e := range f.events {
		if e.seq > after {
			messages <- message{"alarm", e.seq, e.alarm}
		}
	}
	f.subscribers[messages] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.subscribers, messages)
		f.mu.Unlock()
	}()
	flusher := w.(http.Flusher)
	flusher.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case m := <-messages:
			data, err := json.Marshal(m.data)
			if err != nil {
				return
			}
			if m.id > 0 {
				fmt.Fprintf(w, "id: %d\n", m.id)
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", m.name, data)
			flusher.Flush()
		}
	}
}

// turn is the page of a list that is asked for, and the cursor of the next one. It needs
// f.mu.
func turn[T any](f *fake, r *http.Request, list []T) (page []T, next *string) {
	from, _ := strconv.Atoi(r.FormValue("cursor"))
	limit, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil {
		limit = 500
	}
	if f.page > 0 {
		limit = f.page
	}
	list = list[min(from, len(list)):]
	if len(list) > limit {
		list, next = list[:limit], new(strconv.Itoa(from+limit))
	}
	return list, next
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
