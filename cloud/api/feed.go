package api

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

const (
	latestEvery = time.Second
	factsAtOnce = 500
	// A client that is further behind than this reloads what it shows instead.
	mostBehind = 5000
)

// feed reads each fact once, for all streams that are open: each gets the same bytes.
// It runs while there is one.
type feed struct {
	options Options

	mu      sync.Mutex
	queues  map[*queue]struct{}
	through int64 // the number of the fact that was handed out last
	stop    context.CancelFunc
}

// frame is an event as it is sent; seq is 0 for one that isn't resumed from.
type frame struct {
	seq  int64
	text []byte
	// What it tells of: a gateway, a zone of the network, or newest samples.
	gateway string
	zone    string // of a fact of no gateway
	latest  []latest
}

// seen is what of it is sent to somebody; nil: nothing.
func (f frame) seen(s store.Sight) ([]byte, error) {
	switch {
	case s.All:
		return f.text, nil
	case f.latest == nil:
		if !s.Shows(f.gateway, f.zone) {
			return nil, nil
		}
		return f.text, nil
	}
	list := make([]latest, 0, len(f.latest))
	for _, l := range f.latest {
		if s.Series[l.Series] {
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(list)
	return eventFrame("latest", 0, data).text, err
}

// queue is what a stream hasn't sent yet. One that is mostBehind events behind loses
// them, and says so to its client.
type queue struct {
	wake chan struct{} // holds one while there is something

	mu     sync.Mutex
	frames []frame
	lost   int64 // the number of the last fact that was lost; 0: none was
	ended  bool  // the feed has failed
}

func newFeed(o Options) *feed { return &feed{options: o, queues: map[*queue]struct{}{}} }

// join returns a queue that gets every fact behind the number from. Newest is that of the
// newest fact: the feed may be a little behind it.
func (f *feed) join(ctx context.Context) (q *queue, from, newest int64, err error) {
	if newest, err = f.options.newest(ctx); err != nil {
		return nil, 0, 0, err
	}
	q = &queue{wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queues) == 0 {
		f.through = newest
		running, stop := context.WithCancel(context.Background())
		f.stop = stop
		f.options.Live.want(true)
		go f.run(running)
	}
	f.queues[q] = struct{}{}
	return q, f.through, newest, nil
}

func (f *feed) leave(q *queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.queues[q]; !there {
		return
	}
	delete(f.queues, q)
	if len(f.queues) == 0 {
		f.end()
	}
}

// end needs f.mu.
func (f *feed) end() {
	f.stop()
	f.options.Live.want(false)
	for q := range f.queues {
		q.end()
	}
	clear(f.queues)
}

func (f *feed) run(ctx context.Context) {
	// Values are gathered for a second, alarms are not.
	pace := time.NewTicker(latestEvery)
	defer pace.Stop()
	for {
		changed := f.options.Store.FactsChanged()
		if err := f.handOutFacts(ctx); err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			if ctx.Err() == nil { // it is still this one that runs
				f.options.Log.Error("the streams end", "error", err)
				f.end()
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-pace.C:
			f.handOutLatest(ctx)
		}
	}
}

func (f *feed) handOutFacts(ctx context.Context) error {
	f.mu.Lock()
	through := f.through
	f.mu.Unlock()
	for {
		facts, err := f.options.Store.Facts(ctx, through, factsAtOnce)
		if err != nil || len(facts) == 0 {
			return err
		}
		frames := framesOf(facts)
		through = frames[len(frames)-1].seq
		f.handOut(ctx, frames, through)
		if len(facts) < factsAtOnce {
			return nil
		}
	}
}

func framesOf(facts []store.Fact) []frame {
	frames := make([]frame, len(facts))
	for i, fact := range facts {
		if frames[i].seq = fact.Seq; fact.Kind == "" {
			continue // it isn't shown to who asks
		}
		var of struct {
			Gateway string `json:"gateway"`
			Zone    string `json:"zone"`
		}
		frames[i] = eventFrame(fact.Kind, fact.Seq, fact.Data)
		if json.Unmarshal(fact.Data, &of) == nil {
			frames[i].gateway, frames[i].zone = of.Gateway, of.Zone
		}
	}
	return frames
}

// takeLatest takes none of another feed's that has begun.
func (f *feed) takeLatest(ctx context.Context) map[telemetry.SignalID]telemetry.Sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	return f.options.Live.take()
}

func (f *feed) handOutLatest(ctx context.Context) {
	taken := f.takeLatest(ctx)
	if len(taken) == 0 {
		return
	}
	list := make([]latest, 0, len(taken))
	for series, sample := range taken {
		list = append(list, latest{series, sampleOf(sample)})
	}
	data, err := json.Marshal(list)
	if err != nil {
		f.options.Log.Error("newest samples can't be encoded", "error", err)
		return
	}
	of := eventFrame("latest", 0, data)
	of.latest = list
	f.handOut(ctx, []frame{of}, 0)
}

// handOut puts frames into every queue. Through is the last one's number, if they are
// facts.
func (f *feed) handOut(ctx context.Context, frames []frame, through int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return // another feed has begun
	}
	f.through = max(f.through, through)
	for q := range f.queues {
		q.put(frames)
	}
}

func (q *queue) put(frames []frame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.frames)+len(frames) > mostBehind {
		for _, f := range append(q.frames, frames...) {
			q.lost = max(q.lost, f.seq)
		}
		q.frames = nil
	} else {
		q.frames = append(q.frames, frames...)
	}
	q.awaken()
}

func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.awaken()
}

// awaken needs q.mu.
func (q *queue) awaken() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take is what has come since the last call.
func (q *queue) take() (frames []frame, lost int64, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames, lost = q.frames, q.lost
	q.frames, q.lost = nil, 0
	return frames, lost, q.ended
}

// latest is one entry of the stream's event latest.
type latest struct {
	Series telemetry.SignalID `json:"series"`
	Sample
}

func eventFrame(name string, id int64, data []byte) frame {
	text := make([]byte, 0, len(name)+len(data)+48)
	text = append(append(text, "event: "...), name...)
	if id > 0 {
		text = strconv.AppendInt(append(text, "\nid: "...), id, 10)
	}
	text = append(append(append(text, "\ndata: "...), data...), "\n\n"...)
	return frame{seq: id, text: text}
}
