// Package remotewrite sends what signals are to Prometheus, or to whatever else takes its
// remote write protocol 1.0, as it is stored.
package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Config is one server and what it gets.
type Config struct {
	outgoing.Server
	Signals []store.Choice // none: all
	Store   *store.Store
	Logger  *slog.Logger // nil: slog.Default
}

const (
	mostPending = 200_000 // samples that wait
	mostAtOnce  = 10_000  // in a request
	sendEvery   = time.Second
	namesEvery  = 10 * time.Minute // the names of series are read anew: they may have changed
	namesPause  = 5 * time.Second  // at least, before they are read for a series that is new
	mostAhead   = 10 * time.Minute // of now, that a sample is sent
	mostBehind  = 55 * time.Minute // Prometheus takes about an hour
	mostParted  = 200              // requests that a batch is sent in, if some of it is refused
)

// Stats counts samples since the Writer was made.
type Stats struct {
	URL     string // without its query
	Sent    uint64
	Dropped uint64    // there were too many, their clock is wrong, or the server has refused them for good
	Failed  uint64    // requests that are made again
	Pending int       // samples that wait
	Failing time.Time // since when the server takes nothing; zero: it does
}

// Writer sends to one server. What waits is in memory, the oldest of it gives way, and it
// is gone with the process.
type Writer struct {
	cfg     Config
	client  *http.Client
	backoff outgoing.Backoff
	every   time.Duration // between requests, unless there is enough for another one
	pause   time.Duration // before names are read again, at least

	mu      sync.Mutex
	pending []telemetry.Sample
	chosen  map[telemetry.SignalID][]byte // the encoded labels of each series; nil: it isn't chosen
	stats   Stats

	named time.Time                    // when the names were read
	last  map[telemetry.SignalID]int64 // the time of the newest sample that was sent, in ms
}

// New reads the certificate authorities.
func New(cfg Config) (*Writer, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	client, err := cfg.Client()
	if err != nil {
		return nil, fmt.Errorf("remote write to %s: %w", cfg.Name(), err)
	}
	return &Writer{cfg: cfg, client: client, backoff: outgoing.Backoff{First: time.Second, Most: time.Minute}, every: sendEvery, pause: namesPause,
		chosen: map[telemetry.SignalID][]byte{}, last: map[telemetry.SignalID]int64{}, stats: Stats{URL: cfg.Name()}}, nil
}

// Publish takes samples that were committed, whose Signal is their series, those of a
// series by time. It returns at once and keeps nothing of the slice.
func (w *Writer) Publish(samples []telemetry.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range samples {
		if labels, known := w.chosen[s.Signal]; known && labels == nil {
			continue
		}
		if len(w.pending) >= mostPending {
			n := mostPending / 4
			w.pending = append(w.pending[:0], w.pending[n:]...)
			w.stats.Dropped += uint64(n)
		}
		w.pending = append(w.pending, s)
	}
}

// Stats may be called at any time.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Pending = len(w.pending)
	return s
}

func (w *Writer) update(f func(*Stats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.stats)
}

// Run sends until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		batch := w.take()
		full := len(batch) == mostAtOnce
		batch, later := w.name(ctx, batch)
		w.putBack(later)
		w.send(ctx, batch)
		if !full || len(later) > 0 {
			outgoing.Sleep(ctx, w.every)
		}
	}
}

// take is the oldest samples that wait.
func (w *Writer) take() []telemetry.Sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.pending), mostAtOnce)
	batch := slices.Clone(w.pending[:n])
	w.pending = append(w.pending[:0], w.pending[n:]...)
	return batch
}

func (w *Writer) putBack(samples []telemetry.Sample) {
	if len(samples) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = slices.Insert(w.pending, 0, samples...)
}

// name reads what series are called, if that is due or a sample's isn't known. Later are
// samples of series whose names it has yet to read.
func (w *Writer) name(ctx context.Context, batch []telemetry.Sample) (named, later []telemetry.Sample) {
	unknown := func(s telemetry.Sample) bool { _, ok := w.chosen[s.Signal]; return !ok }
	if slices.ContainsFunc(batch, unknown) && time.Since(w.named) > w.pause || time.Since(w.named) > namesEvery {
		if err := w.readNames(ctx); err == nil {
			return batch, nil
		} else if ctx.Err() == nil {
			w.cfg.Logger.Error("remote write can't read what signals are called", "url", w.cfg.Name(), "error", err)
		}
	}
	for _, s := range batch {
		if unknown(s) {
			later = append(later, s)
		} else {
			named = append(named, s)
		}
	}
	return named, later
}

func (w *Writer) readNames(ctx context.Context) error {
	list, err := w.cfg.Store.Signals(ctx)
	if err != nil {
		return err
	}
	chosen := make(map[telemetry.SignalID][]byte, len(list))
	for _, s := range list {
		chosen[s.ID] = nil
		if s.Chosen(w.cfg.Signals) {
			chosen[s.ID] = labelsOf(s)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chosen, w.named = chosen, time.Now()
	return nil
}

// send sends samples until the server has taken or refused them, or ctx ends. A batch of
// which it refuses something is sent in halves, so that one series doesn't take others along.
func (w *Writer) send(ctx context.Context, batch []telemetry.Sample) {
	list, untimely := w.gather(batch)
	w.update(func(s *Stats) { s.Dropped += uint64(untimely) })
	refused, requests := 0, 0
	var cause error
	for parts := [][]series{list}; len(parts) > 0 && ctx.Err() == nil; requests++ {
		part := parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		f := w.post(ctx, part)
		switch half := len(part) / 2; {
		case f == nil:
		case f.Code == http.StatusBadRequest && half > 0 && requests+len(parts) < mostParted:
			parts = append(parts, part[half:], part[:half])
		default:
			refused, cause = refused+pointsOf(part), f
		}
	}
	if refused > 0 {
		w.cfg.Logger.Error("remote write is refused", "url", w.cfg.Name(), "samples", refused, "error", cause)
		w.update(func(s *Stats) { s.Dropped += uint64(refused) })
	}
}

// post makes one request until the server has taken it, or ctx ends; otherwise the failure
// is a final one. What is no longer timely is left out.
func (w *Writer) post(ctx context.Context, list []series) *outgoing.Failure {
	header := http.Header{}
	header.Set("Content-Type", "application/x-protobuf")
	header.Set("Content-Encoding", "snappy")
	header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	for try := 0; ; try++ {
		body, n := encode(list, time.Now())
		if n == 0 {
			w.update(func(s *Stats) { s.Dropped += uint64(pointsOf(list)) })
			return nil
		}
		err := w.cfg.Post(ctx, w.client, header, body)
		var f *outgoing.Failure
		switch {
		case err == nil:
			if try > 0 {
				w.cfg.Logger.Info("remote write works again", "url", w.cfg.Name())
			}
			w.update(func(s *Stats) {
				s.Sent += uint64(n)
				s.Dropped += uint64(pointsOf(list) - n)
				s.Failing = time.Time{}
			})
			return nil
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &f) && f.Final:
			w.update(func(s *Stats) { s.Failing = time.Time{} })
			return f
		}
		if try == 0 {
			w.cfg.Logger.Warn("remote write fails, trying again", "url", w.cfg.Name(), "error", err)
		}
		w.update(func(s *Stats) {
			s.Failed++
			if s.Failing.IsZero() {
				s.Failing = time.Now()
			}
		})
		outgoing.Sleep(ctx, w.backoff.Wait(try, err))
	}
}
