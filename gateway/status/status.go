// Package status serves what a gateway says about itself: /healthz, /metrics
// and a page for the person who stands in front of it, who can also have it read
// a device.
package status

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/busbar/busbar/gateway/discovery"
	"github.com/busbar/busbar/gateway/serialport"
	"github.com/busbar/busbar/gateway/update"
	"github.com/busbar/busbar/rules"
	"github.com/busbar/busbar/telemetry"
)

// Report is a gateway's state at one moment.
type Report struct {
	Gateway, Site, Version string
	Started                time.Time

	Good, Bad               uint64 // samples read
	LeftOut                 uint64 // of the good, samples that a deadband left out
	Discarded               uint64 // samples that memory and disk couldn't take
	AlarmsRaised, AlarmsEnd uint64
	Suppressed              uint64 // alarms that came and went unraised while others suppressed them
	Uncaptured              uint64 // alarms without the samples that their rule asks for: too many at once

	Clock  Clock
	Supply Supply
	Alarms []Alarm // that are active

	Streams []Stream
	Lanes   []Lane
	Buffer  Buffer
	Devices []Device
	Buses   []Bus
	Ports   []serialport.Port
	Control Control
	MQTT    *MQTT   // nil: alarms aren't published
	Values  *Values // nil: values aren't published by MQTT

	Sparkplug *Sparkplug // nil: the gateway is no edge node
	IEC104    *Station   // nil: the gateway is no controlled station

	Update *update.Status // nil: something else than the gateway updates this machine
	// Problems are what a person should do something about, empty when the
	// gateway is healthy.
	Problems []string
}

// Clock is how far the gateway knows the time.
type Clock struct {
	State    telemetry.ClockState
	Source   string        // what gives the time: kernel or NTP
	Now      time.Time     // gateway time
	Steps    uint64        // since the start
	MaxError time.Duration // 0: nobody bounds it
	Holding  bool          // samples wait for the time
}

// Supply is how the gateway's own supply is.
type Supply string

const (
	SupplyUnwatched Supply = "not watched: without a UPS or a contact (gateway.mains) there is no last gasp"
	SupplyUnknown   Supply = "not known"
	SupplyThere     Supply = "there; a last gasp is sent when it fails"
	SupplyFailed    Supply = "failed"
)

// Alarm is an alarm that hasn't cleared.
type Alarm struct {
	ID, Rule, Asset, Device, Priority string
	Raised                            time.Time
	AcknowledgedBy                    string // "": nobody
}

// Stream is what is kept of one stream.
type Stream struct {
	Name      string
	Waiting   uint64 // records on disk that the log hasn't acknowledged
	Bytes     int64  // on disk
	Committed uint64 // sequence numbers in this epoch
}

// Lane is one way to the log: of events, of current telemetry, or of backfill.
type Lane struct {
	Name      string
	Sent      uint64 // records acknowledged since the start
	SentBytes uint64
	State     string // up, down or throttled
	Since     time.Time
	Cause     string                   // of the state, if it isn't up
	Spent     map[string]time.Duration // in each state since the start
	Changes   uint64                   // of the state
}

// Buffer is how full the buffer is, in bytes, and how its files are.
type Buffer struct {
	Limit, Reserve                     int64 // of all files together; of it for events
	Telemetry, Events, Books, SetAside int64
	// Left is how long it lasts before telemetry is thinned, if the log
	// acknowledged nothing from now on; negative while that isn't known.
	Left                      time.Duration
	Generations               []int  // telemetry files by how often they were thinned
	Thinned, Dropped          uint64 // files since the start
	LastCommit, LongestCommit time.Duration
	FailingSince              time.Time // zero while commits succeed
}

// Used is what all files together take.
func (b Buffer) Used() int64 { return b.Telemetry + b.Events + b.Books + b.SetAside }

// Device is what reading one device has come to.
type Device struct {
	ID                    string
	Polls, Failed, Missed uint64
	Timeouts              uint64    // of those that failed, because no answer came in time
	Late                  uint64    // polls that were answered after the next one was due
	LastAnswer            time.Time // zero: never
}

// Bus is an endpoint or serial port that devices are read through.
type Bus struct {
	Endpoint   string
	Busy       time.Duration // in exchanges since the start
	Used       float64       // of the last minute or so, the part that was busy
	Waiting    int           // polls and commands whose turn has come
	Reconnects uint64
}

// MQTT is the broker that alarms are published to.
type MQTT struct {
	Broker    string
	Connected bool
	Since     time.Time // that it is, or isn't
	// Transitions of alarms: those that the broker has acknowledged since the start, those
	// that wait, and those that were given up since the start.
	Published uint64
	Waiting   int
	Dropped   uint64
}

// Values is how publishing values by MQTT stands.
type Values struct {
	Connected bool
	Published uint64
	Replaced  uint64 // weren't published, since a later one of the signal came before
}

// Sparkplug is the broker that what is measured is published to. Published are messages,
// and those that wait or were given up are values.
type Sparkplug struct {
	MQTT
	Online bool // it is published; else the primary host isn't there
}

// Station is how control rooms are served by IEC 60870-5-104.
type Station struct {
	Listen    string
	Encrypted bool
	Listening bool
	Kept      bool   // events are on disk before they are told
	Passed    uint64 // those that went on without
	Groups    []StationGroup
}

// StationGroup is a control room and the events that it hasn't been told.
type StationGroup struct {
	Name    string
	Master  string // the address of the connection that is started; "": none
	Waiting int
	Dropped uint64 // since the beginning
}

// Reading is one signal of a device and what was read of it, in words.
type Reading struct {
	Signal  string `json:"signal"`
	Value   string `json:"value"`
	Unit    string `json:"unit"`
	Quality string `json:"quality"`
	Good    bool   `json:"good"` // the value can be trusted
}

// Source is the gateway. Its methods are called on every request.
type Source interface {
	Report() Report
	// Read reads a device now, ahead of what is scheduled. The error is
	// ErrNoDevice, or about reaching it.
	Read(ctx context.Context, device string) ([]Reading, error)
	// Capture writes what goes over a device's link until ctx ends. An error before anything
	// was written is ErrNoDevice, or why it can't be.
	Capture(ctx context.Context, device string, w io.Writer) error
	// Scan asks the units of an endpoint that devices are read from, between the polls,
	// and shows each. The error is ErrNoEndpoint, or about reaching it.
	Scan(ctx context.Context, r discovery.Request, show func(discovery.Progress)) error
	// Explain says why alarms are active or aren't. The error is that ctx has ended.
	Explain(ctx context.Context, q rules.Question) ([]rules.Explanation, error)
	// Operate operates a signal of a device: action is select, operate or cancel. The
	// error is ErrNoAction or ErrUnauthorised; else the answer says what came of it.
	Operate(ctx context.Context, device, signal, action, token string, r ControlRequest) (ControlAnswer, error)
}

// ErrNoDevice is that a gateway has no such device.
var ErrNoDevice = errors.New("the gateway has no such device")

// GatewayHeader says which gateway answers.
const GatewayHeader = "Busbar-Gateway"

// Serve answers this machine on l, which others don't reach, until ctx ends.
func Serve(ctx context.Context, l net.Listener, source Source, log *slog.Logger) {
	serve(ctx, l, handler(source), log)
}

func serve(ctx context.Context, l net.Listener, answer http.Handler, log *slog.Logger) {
	server := http.Server{Handler: answer, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Error("status page ended", "error", err)
	}
}

//go:embed page.html
var pageSource string

var page = template.Must(template.New("status").Funcs(template.FuncMap{
	"age": func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return time.Since(t).Round(time.Second).String() + " ago"
	},
	"took": func(d time.Duration) string { return d.Round(100 * time.Microsecond).String() },
	"left": func(d time.Duration) string {
		switch {
		case d < 0:
			return "not known yet"
		case d >= 365*24*time.Hour:
			return "more than a year"
		case d >= 48*time.Hour:
			return fmt.Sprintf("%d days", d/(24*time.Hour))
		}
		return fmt.Sprintf("%.1f hours", d.Hours())
	},
	"percent": func(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) },
	"mib":     func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) },
}).Parse(pageSource))

// handler answers this machine.
func handler(source Source) http.Handler {
	mux := routes(source)
	mux.HandleFunc("POST /devices/{device}/signals/{signal}/{action}", asked(source, func(w http.ResponseWriter, r *http.Request) { serveControl(w, r, source) }))
	configure(mux, source)
	return judged(mux)
}

// routes are what is answered here and to other machines.
func routes(source Source) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", expositionType)
		var out io.Writer = w
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer z.Close()
			out = z
		}
		scrape(source.Report()).WriteTo(out)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		problems := source.Report().Problems
		if len(problems) == 0 {
			fmt.Fprintln(w, "ok")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, p := range problems {
			fmt.Fprintln(w, p)
		}
	})
	mux.HandleFunc("POST /devices/{device}/read", asked(source, func(w http.ResponseWriter, r *http.Request) {
		readings, err := source.Read(r.Context(), r.PathValue("device"))
		switch {
		case errors.Is(err, ErrNoDevice):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadGateway)
		default:
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(readings)
		}
	}))
	mux.HandleFunc("POST /devices/{device}/capture", asked(source, func(w http.ResponseWriter, r *http.Request) {
		to := &stream{ResponseWriter: w, flusher: http.NewResponseController(w)}
		err := source.Capture(r.Context(), r.PathValue("device"), to)
		switch {
		case to.begun: // it has ended, and the file with it
		case errors.Is(err, ErrNoDevice):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}))
	mux.HandleFunc("POST /rules/explain", asked(source, explain(source)))
	mux.HandleFunc("POST /scan", asked(source, scan(source)))
	updates(mux, source)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		if err := page.Execute(&body, source.Report()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Write(body.Bytes())
	})
	return mux
}
