package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

const (
	beatEvery    = 15 * time.Second
	writeTimeout = 10 * time.Second
	latestEvery  = time.Second
	factsAtOnce  = 500
	// A client that is further behind than this reloads what it shows instead.
	mostBehind = 5000
)

// latest is one entry of the stream's event latest.
type latest struct {
	Series telemetry.SignalID `json:"series"`
	Sample
}

func registerStream(mux *http.ServeMux, api huma.API, o Options) {
	mux.HandleFunc("GET /api/v1/stream", o.stream)
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "stream", Method: http.MethodGet, Path: "/api/v1/stream", Tags: []string{"Live"},
		Summary: "Alarm transitions and newest samples as they come",
		Description: "Server-sent events. alarm: an Alarm after each of its transitions, in order; its id is the sequence number to resume from. " +
			"latest: a list of the newest samples by series, about once a second. resync: the client is too far behind and reloads what it shows.",
		Parameters: []*huma.Param{
			{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeInteger}, Description: "Resume after this sequence number"},
			{Name: "after", In: "query", Schema: &huma.Schema{Type: huma.TypeInteger}, Description: "The same, for a first connection; without either, the stream begins with what is new"},
		},
		Responses: map[string]*huma.Response{"200": {
			Description: "The stream",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	})
}

func (o Options) stream(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	after, given, err := resumeAt(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !given {
		if after, err = o.newest(ctx); err != nil {
			http.Error(w, o.fault(ctx, "begin the stream", err).Error(), http.StatusInternalServerError)
			return
		}
	}
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	s := eventWriter{w: w, control: http.NewResponseController(w)}
	values, stop := o.Live.watch()
	defer stop()
	seen, err := o.Store.SeenSeries(ctx)
	if err != nil {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	// Values are gathered for a second, alarms are not.
	pace := time.NewTicker(latestEvery)
	defer pace.Stop()

	if s.comment("busbar") != nil {
		return
	}
	for {
		changed := o.Store.FactsChanged()
		if after, err = o.sendFacts(ctx, s, after); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-o.Ending:
			s.comeBack()
			return
		case <-changed:
		case <-beat.C:
			if ctx, err = o.Access.Again(r); err != nil {
				return
			}
			if seen, err = o.Store.SeenSeries(ctx); err == nil {
				err = s.comment("beat")
			}
		case <-pace.C:
			err = sendLatest(s, values, seen)
		}
		if err != nil {
			return
		}
	}
}

// resumeAt is the number that the client has seen last, if it says one.
func resumeAt(r *http.Request) (after int64, given bool, err error) {
	for _, text := range []string{r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after")} {
		if text == "" {
			continue
		}
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return 0, true, fmt.Errorf("%q is no sequence number", text)
		}
		return after, true, nil
	}
	return 0, false, nil
}

func (o Options) newest(ctx context.Context) (seq int64, err error) {
	err = o.Store.Read(ctx, func(t *store.Tx) error {
		seq, err = t.LastFact()
		return err
	})
	return seq, err
}

// sendFacts sends what came after the number after and returns the new one.
func (o Options) sendFacts(ctx context.Context, s eventWriter, after int64) (int64, error) {
	newest, err := o.newest(ctx)
	if err != nil {
		return after, err
	}
	if newest-after > mostBehind || after > newest {
		return newest, s.event("resync", newest, []byte("{}"))
	}
	for after < newest {
		facts, err := o.Store.Facts(ctx, after, factsAtOnce)
		if err != nil || len(facts) == 0 {
			return after, err
		}
		for _, f := range facts {
			if f.Kind != "" {
				if err := s.event(f.Kind, f.Seq, f.Data); err != nil {
					return after, err
				}
			}
			after = f.Seq
		}
	}
	return after, nil
}

// sendLatest sends the newest samples of the series that are seen; nil: of all.
func sendLatest(s eventWriter, w *watcher, seen map[telemetry.SignalID]bool) error {
	taken := w.take()
	list := make([]latest, 0, len(taken))
	for series, sample := range taken {
		if seen == nil || seen[series] {
			list = append(list, latest{series, sampleOf(sample)})
		}
	}
	if len(list) == 0 {
		return nil
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return s.event("latest", 0, data)
}

// eventWriter writes server-sent events and gives up on a client that doesn't
// take them.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s eventWriter) event(name string, id int64, data []byte) error {
	text := "event: " + name + "\n"
	if id > 0 {
		text += "id: " + strconv.FormatInt(id, 10) + "\n"
	}
	return s.send(text + "data: " + string(data) + "\n\n")
}

// comeBack has the client connect again, each at some other moment of a second.
func (s eventWriter) comeBack() {
	s.send(fmt.Sprintf("retry: %d\n\n", 100+rand.IntN(900)))
}

func (s eventWriter) comment(text string) error { return s.send(": " + text + "\n\n") }

func (s eventWriter) send(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	// HTTP/2 ends a stream at its deadline also while nothing is written.
	return s.control.SetWriteDeadline(time.Time{})
}
