package lake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry/record"
)

// Options are what a Lake has beside its configuration.
type Options struct {
	Version string
	Dir     string // of the configuration, which file names in it are relative to
	Logger  *slog.Logger
}

// Lake is the program: a Runner, and what it answers by HTTP.
type Lake struct {
	options  Options
	runner   *Runner
	every    time.Duration
	keys     *store.Store
	listener net.Listener
	stopping atomic.Bool
}

// New opens the database of the keys, the place of the table, and the port. Run closes them.
func New(ctx context.Context, c Config, o Options) (*Lake, error) {
	opts, err := c.Log.Kafka.Options(o.Dir)
	if err != nil {
		return nil, err
	}
	files, err := c.Table.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	if dir := c.Commit.spool(o.Dir); dir != "" {
		if info, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("lake: commit.spool: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("lake: commit.spool: %s is no directory", dir)
		}
	}
	keys, err := store.OpenReadOnly(ctx, c.Store.In(o.Dir))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lake: %w", err), keys.Close())
	}
	return &Lake{options: o, every: time.Duration(c.Commit.Every), keys: keys, listener: listener,
		runner: NewRunner(RunnerConfig{Log: opts, Topics: record.TopicsOf(c.Log.Kafka.TopicPrefix), Keys: keys, Files: files, Spool: c.Commit.spool(o.Dir),
			Logger: o.Logger, CommitEvery: time.Duration(c.Commit.Every), CommitBytes: int64(c.Commit.Size), MaxRows: c.Commit.Rows})}, nil
}

// sayEvery is how often the log is told how far catching up is.
const sayEvery = 30 * time.Second

// Run writes until ctx ends, commits what it has read, and returns.
func (l *Lake) Run(ctx context.Context) error {
	started := time.Now()
	server := http.Server{Handler: l.handler(started), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(l.listener) }()
	l.options.Logger.Info("lake started", "version", l.options.Version, "listen", l.listener.Addr().String(), "table", l.runner.cfg.Files.URL(""))
	telling, stop := context.WithCancel(ctx)
	go l.tell(telling)
	context.AfterFunc(ctx, func() { l.stopping.Store(true) })
	err := l.runner.Run(ctx)
	stop()
	server.Close()
	<-serving
	l.options.Logger.Info("lake stopped", "version_of_table", l.runner.Stats().Version)
	return errors.Join(err, l.keys.Close())
}

// tell logs the progress while there is much to catch up with.
func (l *Lake) tell(ctx context.Context) {
	var before Stats
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(sayEvery):
		}
		s := l.runner.Stats()
		if s.Lag > 1000 {
			l.options.Logger.Info("catching up", "records_left", s.Lag, "records", s.Records-before.Records, "seconds", int(sayEvery.Seconds()), "samples_committed", s.Samples)
		}
		before = s
	}
}

// longestSilence is how long the log may be unreadable, and how much later than it is due a
// commit may come, before the lake isn't healthy.
const longestSilence = time.Minute

func (l *Lake) unhealthy(started time.Time) (reasons []string) {
	s := l.runner.Stats()
	since := func(t time.Time) time.Duration {
		if t.Before(started) {
			t = started
		}
		return time.Since(t).Round(time.Second)
	}
	if d := since(s.Current); d > longestSilence {
		reasons = append(reasons, fmt.Sprintf("log: nothing could be read for %v", d))
	}
	if d := since(s.Since); !s.Since.IsZero() && d > l.every+longestSilence {
		reasons = append(reasons, fmt.Sprintf("table: nothing could be committed for %v", d))
	}
	return reasons
}

func (l *Lake) handler(started time.Time) http.Handler {
	mux := http.NewServeMux()
	answer := func(reasons func() []string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			list := reasons()
			if len(list) == 0 {
				fmt.Fprintln(w, "ok")
				return
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			for _, reason := range list {
				fmt.Fprintln(w, reason)
			}
		}
	}
	health := func() []string { return l.unhealthy(started) }
	mux.Handle("GET /metrics", l.metrics())
	mux.Handle("GET /livez", answer(func() []string { return nil }))
	mux.Handle("GET /healthz", answer(health))
	mux.Handle("GET /readyz", answer(func() []string {
		if l.stopping.Load() {
			return []string{"it is stopping"}
		}
		return health()
	}))
	return mux
}
