package desk

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/evidence"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// Config says what a Runner works on.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger // nil: slog.Default
	// Engine is how outages are inferred; nil: outage.Defaults.
	Engine *outage.Config
	// Ping asks a gateway whether it is there, and returns when it has answered; nil:
	// nobody is asked.
	Ping func(ctx context.Context, gateway string) error
}

// Runner makes outages of the evidence. One works at a time on a database: what another
// concludes beside it isn't stored.
type Runner struct{ cfg Config }

func New(cfg Config) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Engine == nil {
		defaults := outage.Defaults()
		cfg.Engine = &defaults
	}
	return &Runner{cfg}
}

// Run works until ctx ends. It tries again whatever fails for a while, and goes on from
// what is stored.
func (r *Runner) Run(ctx context.Context) {
	log.Sessions(ctx, r.cfg.Logger.With("consumer", "outage"), r.run)
}

const (
	// pace is between two conclusions: evidence that comes by the thousand is taken so.
	pace = 200 * time.Millisecond
	// positionsEvery is how often the positions of switches are looked at.
	positionsEvery = 2 * time.Second
	// metersEvery is how often new meters and gateways are looked for.
	metersEvery = time.Minute
	// mostAtOnce bounds the evidence of one transaction.
	mostAtOnce = 5000
)

// session is what one run knows, all of it from the database.
type session struct {
	*Runner
	holder  *network.Holder
	engine  *outage.Engine
	network *network.Network // that the engine uses
	early   []taken          // evidence that came before any network
	now     int64            // the time of the engine
	turn    int64            // how often somebody has concluded, see Tx
	asks    chan outage.Ask
	linked  int64 // the last fact when alarms were last looked for that wait
	plans   map[string]outage.Plan
}

// taken is a row of evidence.
type taken struct {
	seq, at int64
	evidence.Observation
}

func (r *Runner) run(ctx context.Context, ok func()) error {
	s := &session{Runner: r, holder: network.NewHolder(r.cfg.Store), asks: make(chan outage.Ask, 100), plans: map[string]outage.Plan{}}
	asking, stop := context.WithCancel(ctx)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		s.answerAsks(asking)
	}()
	defer func() { stop(); <-asked }()
	if err := s.recall(ctx); err != nil {
		return err
	}
	watch := &watch{store: r.cfg.Store}
	for {
		changed := r.cfg.Store.FactsChanged()
		if err := s.followNetwork(ctx); err != nil {
			return err
		}
		if s.network != nil {
			if err := watch.look(ctx, s.network, time.Now()); err != nil {
				return err
			}
			if err := watch.lookForMeters(ctx, time.Now()); err != nil {
				return err
			}
		}
		more, err := s.pass(ctx, telemetry.MicrosOf(time.Now()))
		if err != nil {
			return err
		}
		ok()
		if more {
			continue
		}
		timer := time.NewTimer(pace)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		timer.Reset(pace)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// followNetwork has the engine take another version of the network, as evidence of which
// the order is kept too.
func (s *session) followNetwork(ctx context.Context) error {
	n, err := s.holder.Current(ctx)
	if errors.Is(err, store.ErrNoGrid) || err == nil && s.network != nil && n.Version == s.network.Version && n.AsOf == s.network.AsOf {
		return nil
	}
	if err != nil {
		return err
	}
	return s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		if waits, err := evidence.NetworkWaits(t); err != nil || waits {
			return err
		}
		return evidence.NoteNetwork(t, n.Version, n.AsOf, telemetry.MicrosOf(time.Now()))
	})
}

// use is the network of a version at a time. One whose model isn't kept any more is the one
// in use.
func (s *session) use(ctx context.Context, v evidence.Network) (*network.Network, error) {
	if n, err := s.holder.Current(ctx); err == nil && n.Version == v.Version && n.AsOf == v.AsOf {
		return n, nil
	}
	m, of, err := network.Model(ctx, s.cfg.Store, v.Version)
	if errors.Is(err, store.ErrGridForgotten) {
		return s.holder.Current(ctx)
	}
	if err != nil {
		return nil, err
	}
	return network.At(m, of.Version, v.AsOf), nil
}

// step takes rows at a time, behind all that the engine has to decide before it.
func (s *session) step(ctx context.Context, rows []taken, at int64) (changes []outage.Change, asks []outage.Ask, err error) {
	advance := func(to int64) {
		c, a := s.engine.Advance(to)
		changes, asks = append(changes, c...), append(asks, a...)
		s.now = to
	}
	if s.engine != nil {
		for {
			next, ok := s.engine.Next()
			if !ok || next > at {
				break
			}
			advance(max(next, s.now))
			if again, ok := s.engine.Next(); ok && again <= next {
				break // it decides with what comes
			}
		}
	}
	if len(rows) == 0 {
		return changes, asks, nil
	}
	if s.engine != nil {
		advance(at) // what comes now is decided now, and not when something came last
	}
	for _, row := range rows {
		if row.Kind == evidence.OfNetwork {
			n, err := s.use(ctx, row.Network())
			if err != nil {
				return nil, nil, err
			}
			if s.network = n; s.engine == nil {
				s.engine = outage.New(n.Snapshot, *s.cfg.Engine, at)
			} else {
				s.engine.Use(n.Snapshot)
			}
			for _, e := range s.early {
				s.take(e)
			}
			s.early = nil
			continue
		}
		if s.engine == nil {
			s.early = append(s.early, row)
			continue
		}
		s.take(row)
	}
	if s.engine != nil {
		advance(at)
	}
	return changes, asks, nil
}

func (s *session) take(row taken) {
	if row.Kind == evidence.OfPlan {
		s.plan(row.Plan())
		return
	}
	v, ok := resolve(s.network, row)
	if !ok {
		return
	}
	if err := s.engine.Take(v); err != nil {
		s.cfg.Logger.Debug("evidence is left out", "seq", row.seq, "error", err)
	}
}

// plan has the engine know of switching that is planned, or isn't any more.
func (s *session) plan(p outage.Plan) {
	if s.plans[p.ID] = p; len(p.Devices) == 0 {
		delete(s.plans, p.ID)
	}
	list := make([]outage.Plan, 0, len(s.plans))
	for _, id := range slices.Sorted(maps.Keys(s.plans)) {
		list = append(list, s.plans[id])
	}
	s.engine.Plan(list)
}

// recall makes the engine what it was, by taking again what was taken, at the same times.
func (s *session) recall(ctx context.Context) error {
	err := s.cfg.Store.Write(ctx, func(t *store.Tx) (err error) {
		if s.turn, err = evidence.Turn(t); err != nil {
			return err
		}
		return evidence.Forget(t, telemetry.MicrosOf(time.Now()))
	})
	if err != nil {
		return err
	}
	began := time.Now()
	n := 0
	for after := (evidence.Place{}); ; {
		var rows []taken
		err := s.cfg.Store.Read(ctx, func(t *store.Tx) error {
			return evidence.Taken(t, after, mostAtOnce, func(seq, at int64, v evidence.Observation) { rows = append(rows, taken{seq, at, v}) })
		})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		n += len(rows)
		for from := 0; from < len(rows); {
			to := from
			for to < len(rows) && rows[to].at == rows[from].at {
				to++
			}
			if to == len(rows) && len(rows) == mostAtOnce && from > 0 {
				break // there may be more of the same time
			}
			if _, _, err := s.step(ctx, rows[from:to], rows[from].at); err != nil {
				return err
			}
			after = evidence.Place{At: rows[to-1].at, Seq: rows[to-1].seq}
			from = to
		}
	}
	if n > 0 {
		s.cfg.Logger.Info("outages are what they were", "evidence", n, "took", time.Since(began).Round(time.Millisecond).String())
	}
	return s.repair(ctx)
}

// repair stores what the engine knows and the database doesn't, as after a change that
// followed from time alone.
func (s *session) repair(ctx context.Context) error {
	if s.engine == nil {
		return nil
	}
	var changes []outage.Change
	for _, i := range s.engine.Incidents() {
		changes = append(changes, outage.Change{At: s.now, Kind: outage.Grew, Incident: i})
	}
	return s.cfg.Store.Write(ctx, func(t *store.Tx) error { return s.applyAll(t, changes) })
}

// pass takes what waits, and keeps what follows. more says that there is more.
func (s *session) pass(ctx context.Context, now telemetry.Micros) (more bool, err error) {
	var rows []taken
	err = s.cfg.Store.Read(ctx, func(t *store.Tx) error {
		return evidence.Waiting(t, mostAtOnce, func(seq, at int64, v evidence.Observation) { rows = append(rows, taken{seq, at, v}) })
	})
	if err != nil {
		return false, err
	}
	at := max(int64(now), s.now+1)
	changes, asks, err := s.step(ctx, rows, at)
	if err != nil {
		return false, err
	}
	if len(rows) == 0 && len(changes) == 0 {
		s.ask(asks)
		return false, s.link(ctx)
	}
	err = s.cfg.Store.Write(ctx, func(t *store.Tx) error {
		if err := evidence.HoldTurn(t, s.turn); err != nil {
			return err
		}
		if len(rows) > 0 {
			if err := evidence.MarkTaken(t, rows[0].seq, rows[len(rows)-1].seq, at); err != nil {
				return err
			}
		}
		if err := s.applyAll(t, changes); err != nil {
			return err
		}
		return s.linkIn(t, at)
	})
	if err != nil {
		return false, err
	}
	s.turn++
	s.ask(asks)
	return len(rows) == mostAtOnce, nil
}

// ask puts questions without waiting: what there is no room for is asked again.
func (s *session) ask(asks []outage.Ask) {
	if s.cfg.Ping == nil {
		return
	}
	for _, a := range asks {
		select {
		case s.asks <- a:
		default:
		}
	}
}

// pingFor is how long a gateway may take to answer.
const pingFor = 15 * time.Second

// answerAsks pings the gateways that are asked about. That one answers comes as an event;
// that it doesn't is kept here.
func (s *session) answerAsks(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-s.asks:
			if a.Gateway == "" {
				continue
			}
			pinging, cancel := context.WithTimeout(ctx, pingFor)
			err := s.cfg.Ping(pinging, a.Gateway)
			cancel()
			if err == nil || ctx.Err() != nil {
				continue
			}
			err = s.cfg.Store.Write(ctx, func(t *store.Tx) error {
				return evidence.Note(t, evidence.Observation{Comment: err.Error(),
					Evidence: outage.Evidence{Kind: outage.PingUnanswered, Gateway: a.Gateway, Arrival: int64(Now())}})
			})
			if err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("that a gateway doesn't answer can't be kept", "gateway", a.Gateway, "error", err)
			}
		}
	}
}
