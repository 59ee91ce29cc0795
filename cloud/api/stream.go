package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/store"
)

const (
	beatEvery    = 15 * time.Second
	writeTimeout = 10 * time.Second
)

func registerStream(mux *http.ServeMux, api huma.API, o Options) {
	feed := newFeed(o)
	mux.HandleFunc("GET /api/v1/stream", func(w http.ResponseWriter, r *http.Request) { o.stream(feed, w, r) })
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "stream", Method: http.MethodGet, Path: "/api/v1/stream", Tags: []string{"Live"},
		Summary: "Alarm transitions, changes of outages and newest samples as they come",
		Description: "Server-sent events. alarm: an Alarm after each of its transitions, in order; its id is the sequence number to resume from. " +
			"outage: an Outage after each of its changes, in the same order, with such an id too. latest: a list of the newest samples by series, about once a second. resync: the client is too far behind, or sees other gateways than before, and reloads what it shows.",
		Parameters: []*huma.Param{
			{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeInteger}, Description: "Resume after this sequence number"},
			{Name: "after", In: "query", Schema: &huma.Schema{Type: huma.TypeInteger}, Description: "The same, for a first connection; without either, the stream begins with what is new"},
		},
		Responses: map[string]*huma.Response{
			"200": {
				Description: "The stream",
				Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: streamSchema(api.OpenAPI().Components.Schemas)}},
			},
			"400": {
				Description: "The sequence number isn't one",
				Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
			},
			"500": {
				Description: "The store can't be read",
				Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
			},
		},
	})
}

// streamSchema describes what a stream brings as a list of its events, each with its data
// read as JSON.
func streamSchema(schemas huma.Registry) *huma.Schema {
	event := func(name string, data *huma.Schema, id ...string) *huma.Schema {
		e := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
			"event": {Type: huma.TypeString, Extensions: map[string]any{"const": name}},
			"data":  data,
		}, Required: []string{"event", "data"}}
		if len(id) > 0 {
			e.Properties["id"] = &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: id[0]}
		}
		return e
	}
	outage := event("outage", schemas.Schema(reflect.TypeFor[desk.Outage](), true, ""), "Its sequence number")
	outage.Required = append(outage.Required, "id")
	transition := event("alarm", schemas.Schema(reflect.TypeFor[alarm.Alarm](), true, ""), "Its sequence number")
	transition.Required = append(transition.Required, "id")
	return &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{OneOf: []*huma.Schema{
		transition,
		outage,
		event("latest", &huma.Schema{Type: huma.TypeArray, Items: schemas.Schema(reflect.TypeFor[latest](), true, "")}),
		event("resync", &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false}, "The sequence number to go on from"),
	}}}
}

func (o Options) stream(feed *feed, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	r = r.WithContext(ctx)
	after, given, err := resumeAt(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sight, err := o.Store.Sight(ctx)
	if err != nil {
		http.Error(w, o.fault(ctx, "begin the stream", err).Error(), http.StatusInternalServerError)
		return
	}
	queue, from, newest, err := feed.join(ctx)
	if err != nil {
		http.Error(w, o.fault(ctx, "begin the stream", err).Error(), http.StatusInternalServerError)
		return
	}
	defer feed.leave(queue)
	hello := ": busbar\n\n"
	if !given {
		// A client that is cut off before the first event goes on from here too.
		after = max(from, newest)
		hello += fmt.Sprintf("id: %d\n\n", after)
	}
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	s := eventWriter{w: w, control: http.NewResponseController(w), sight: sight}
	if s.send([]byte(hello)) != nil {
		return
	}
	// What the queue doesn't get any more.
	if from-after > mostBehind || after > max(from, newest) {
		after, err = from, s.send(resync(from).text)
	}
	if err == nil {
		after, err = o.catchUp(ctx, s, after, from)
	}
	if err != nil {
		return
	}
	beat := time.NewTicker(cmp.Or(o.beat, beatEvery))
	defer beat.Stop()
	// It may have to wait for what operators ask, as no alarm does.
	looked := make(chan look, 1)
	busy := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.Ending:
			s.comeBack()
			return
		case <-beat.C:
			err = s.comment("beat")
			if !busy {
				busy = true
				looking.Go(func() { looked <- o.look(r) })
			}
		case now := <-looked:
			if busy = false; now.err != nil {
				return
			}
			before := s.sight
			if s.sight = now.sight; s.sight.All != before.All || !maps.Equal(s.sight.Gateways, before.Gateways) || !maps.Equal(s.sight.Zones, before.Zones) {
				// What a gateway has told before it was seen was passed over.
				err = s.send(resync(after).text)
			}
		case <-queue.wake:
			frames, lost, ended := queue.take()
			if ended {
				return
			}
			if lost > after {
				after, err = lost, s.send(resync(lost).text)
			}
			if err == nil {
				after, err = s.frames(frames, after)
			}
		}
		if err != nil {
			return
		}
	}
}

// look is what a client is shown as of now, or why it is shown nothing any more.
type look struct {
	sight store.Sight
	err   error
}

func (o Options) look(r *http.Request) (l look) {
	var ctx context.Context
	if ctx, l.err = o.Access.Again(r); l.err == nil {
		l.sight, l.err = o.Store.Sight(ctx)
	}
	return l
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

// resync says that the client may have missed facts up to seq.
func resync(seq int64) frame { return eventFrame("resync", seq, []byte("{}")) }

// catchUp sends the facts after the number after until it has sent that of the number
// from, and returns the last one's.
func (o Options) catchUp(ctx context.Context, s eventWriter, after, from int64) (int64, error) {
	for after < from {
		facts, err := o.Store.Facts(ctx, after, factsAtOnce)
		if err != nil || len(facts) == 0 {
			return after, err
		}
		if after, err = s.frames(framesOf(facts), after); err != nil {
			return after, err
		}
	}
	return after, nil
}

// eventWriter writes server-sent events and gives up on a client that doesn't
// take them.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	sight   store.Sight // what its client is shown
}

func (s eventWriter) comment(text string) error { return s.send([]byte(": " + text + "\n\n")) }

// frames sends those that aren't facts up to the number after, and returns the new one.
func (s eventWriter) frames(frames []frame, after int64) (int64, error) {
	var texts [][]byte
	for _, f := range frames {
		if f.seq > 0 && f.seq <= after {
			continue
		}
		after = max(after, f.seq)
		text, err := f.seen(s.sight)
		if err != nil {
			return after, err
		}
		if text != nil {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return after, nil
	}
	return after, s.send(texts...)
}

// comeBack has the client connect again, each at some other moment of a second.
func (s eventWriter) comeBack() {
	s.send(fmt.Appendf(nil, "retry: %d\n\n", 100+rand.IntN(900)))
}

func (s eventWriter) send(texts ...[]byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := s.w.Write(text); err != nil {
			return err
		}
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	// HTTP/2 ends a stream at its deadline also while nothing is written.
	return s.control.SetWriteDeadline(time.Time{})
}
