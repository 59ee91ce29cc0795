// Package control shows a grid that is being played on a page and lets people act in
// it, by HTTP on this machine alone.
package control

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/world"
)

//go:embed page
var page embed.FS

// Serve answers on a listener until ctx ends:
//
//	GET  /                  the page
//	GET  /status            a Status
//	GET  /grid              the Drawing
//	GET  /state?since=N     the State, as soon as a change with that number has happened
//	GET  /assets/ID         what a service point, transformer, switch or line has now
//	POST /fault             a FaultRequest
//	POST /repair            a RepairRequest
//	POST /switch            a SwitchRequest
//	POST /cut-off           a CutOffRequest
//	POST /speed             a SpeedRequest
//
// What is asked for by POST is JSON, and so is what is answered.
func Serve(ctx context.Context, on net.Listener, l *live.Live) error {
	server := http.Server{Handler: Handler(l), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler is what Serve answers with. What the page of another site makes a browser
// ask isn't answered.
func Handler(l *live.Live) http.Handler {
	s := server{live: l, drawing: draw(l.Snapshot())}
	mux := http.NewServeMux()
	files, _ := fs.Sub(page, "page")
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /grid", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.drawing) })
	mux.HandleFunc("GET /state", s.state)
	mux.HandleFunc("GET /assets/{id}", s.asset)
	mux.HandleFunc("POST /fault", asked(s.fault))
	mux.HandleFunc("POST /repair", asked(s.repair))
	mux.HandleFunc("POST /switch", asked(s.operate))
	mux.HandleFunc("POST /cut-off", asked(s.cutOff))
	mux.HandleFunc("POST /speed", asked(s.speed))
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host) { // a name that somebody else has pointed here
			http.Error(w, fmt.Sprintf("%q isn't a name of this machine that this is answered for: localhost and loopback addresses are", r.Host), http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
}

func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type server struct {
	live    *live.Live
	drawing Drawing
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	_ = lines.Encode(v)
}

// problem is how a request is refused.
type problem struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(problem{err.Error()})
}

// asked answers a request in JSON, which a page has to ask before a browser sends it
// elsewhere.
func asked[Q, A any](do func(Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			refuse(w, http.StatusUnsupportedMediaType, errors.New("expected Content-Type: application/json"))
			return
		}
		var q Q
		in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		in.DisallowUnknownFields()
		if err := in.Decode(&q); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		a, err := do(q)
		if err != nil {
			refuse(w, http.StatusUnprocessableEntity, err)
			return
		}
		answer(w, a)
	}
}

// What a fault is.
const (
	Permanent = "permanent" // a short circuit that stays until it is repaired
	Temporary = "temporary" // one that is gone after some time without voltage
	Broken    = "broken"    // a broken conductor, at which no protection acts
)

// FaultRequest causes a fault. Asset is a line, a transformer, a node or a service
// point; or a feeder or a switch, which means the first line behind it.
type FaultRequest struct {
	Asset  string  `json:"asset"`
	ID     string  `json:"id,omitempty"`     // or it gets one
	Kind   string  `json:"kind,omitempty"`   // permanent if it isn't said
	Phases string  `json:"phases,omitempty"` // all if it isn't said
	Clears float64 `json:"clears,omitempty"` // s without voltage after which a temporary one is gone; 1 if it isn't said
}

// Fault is a fault that there is, or was.
type Fault struct {
	ID     string   `json:"id"`
	Asset  string   `json:"asset"`
	Kind   string   `json:"kind"`
	Phases string   `json:"phases,omitempty"`
	Active bool     `json:"active"`
	Opened []string `json:"opened,omitempty"` // by protection, and still open
}

func (s *server) fault(q FaultRequest) (f Fault, err error) {
	wanted := world.Fault{ID: q.ID, Asset: q.Asset}
	if wanted.Phases, err = phases(q.Phases); err != nil {
		return f, err
	}
	switch q.Kind {
	case "", Permanent:
	case Broken:
		wanted.Broken = true
	case Temporary:
		if q.Clears == 0 {
			q.Clears = 1
		}
	default:
		return f, fmt.Errorf("%q is no kind of fault, expected permanent, temporary or broken", q.Kind)
	}
	if !(q.Clears >= 0 && q.Clears <= 86400) {
		return f, fmt.Errorf("a fault can't be gone after %v s, expected up to a day", q.Clears)
	}
	if q.Clears > 0 && q.Kind != Temporary {
		return f, fmt.Errorf("only a temporary fault clears, and this one is %s", orDefault(q.Kind, Permanent))
	}
	wanted.Clears = time.Duration(q.Clears * float64(time.Second))
	got, err := s.live.Fault(wanted)
	if err != nil {
		return f, err
	}
	for _, x := range s.live.Faults() {
		if x.ID == got.ID {
			return faultOf(x), nil
		}
	}
	return faultOf(live.FaultState{Fault: got}), nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func phases(text string) (p grid.Phases, err error) {
	if text != "" {
		err = p.UnmarshalText([]byte(text))
	}
	return p, err
}

func faultOf(x live.FaultState) Fault {
	f := Fault{ID: x.ID, Asset: x.Asset, Kind: Permanent, Active: x.Active, Opened: x.Opened}
	switch {
	case x.Broken:
		f.Kind = Broken
	case x.Clears > 0:
		f.Kind = Temporary
	}
	if x.Phases != 0 {
		f.Phases = x.Phases.String()
	}
	return f
}

// RepairRequest takes faults away.
type RepairRequest struct {
	Fault string `json:"fault"`           // its id, or an asset that has some
	Close bool   `json:"close,omitempty"` // also close what protection has opened for it
}

func (s *server) repair(q RepairRequest) (faults []Fault, err error) {
	done, err := s.live.Repair(q.Fault, q.Close)
	for _, x := range done {
		faults = append(faults, faultOf(x))
	}
	return faults, err
}

// SwitchRequest opens or closes a switch or a line, or disconnects or connects a
// service point.
type SwitchRequest struct {
	ID     string `json:"id"`
	To     string `json:"to"` // open or closed
	Phases string `json:"phases,omitempty"`
}

func (s *server) operate(q SwitchRequest) (Status, error) {
	p, err := phases(q.Phases)
	switch {
	case err != nil:
	case q.To == live.Open.String():
		err = s.live.Open(q.ID, p)
	case q.To == live.Closed.String():
		err = s.live.Close(q.ID, p)
	default:
		err = fmt.Errorf("to is %q, expected open or closed", q.To)
	}
	if err != nil {
		return Status{}, err
	}
	return s.now(), nil
}

// CutOffRequest lets the connection of a gateway, or of a feeder's, fail.
type CutOffRequest struct {
	Gateway string  `json:"gateway"`
	For     float64 `json:"for"` // s of the grid's time
}

func (s *server) cutOff(q CutOffRequest) ([]string, error) {
	if !(q.For > 0 && q.For <= 365*86400) {
		return nil, fmt.Errorf("a connection can't fail for %v s, expected more than 0 and up to a year", q.For)
	}
	return s.live.CutOff(q.Gateway, time.Duration(q.For*float64(time.Second)))
}

// SpeedRequest lets time pass otherwise: 1 is real time, 0 a pause.
type SpeedRequest struct {
	Speed *float64 `json:"speed"`
}

func (s *server) speed(q SpeedRequest) (Status, error) {
	if q.Speed == nil {
		return Status{}, errors.New("speed is missing")
	}
	if err := s.live.SetSpeed(*q.Speed); err != nil {
		return Status{}, err
	}
	return s.now(), nil
}

func (s *server) state(w http.ResponseWriter, r *http.Request) {
	if text := r.URL.Query().Get("since"); text != "" {
		since, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("since: %q is no number", text))
			return
		}
		s.await(r.Context(), since)
	}
	answer(w, s.present(r.URL.Query().Get("since")))
}

// await waits for a change with a number, for half a minute at most. A number that is
// further on is that of another simulation, and not waited for.
func (s *server) await(ctx context.Context, number uint64) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, next, more := s.live.Changes(number)
		if next != number || s.live.Over() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
		}
	}
}
