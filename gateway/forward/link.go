package forward

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry"
)

// State is what a lane's way to the log is in.
type State string

const (
	Up        State = "up"
	Down      State = "down"      // nothing is acknowledged
	Throttled State = "throttled" // the broker's quota holds the client back
)

// States are all states.
var States = []State{Up, Down, Throttled}

const (
	// A broker that throttles does so with pauses; between them the link isn't up.
	throttledFor = 5 * time.Second
	// A link that flaps is reported so many times a minute. The next report then
	// tells how it was since the last one.
	mostReports = 3
)

// Link is the state of one lane's way to the log, how long it has been in which,
// and whom to tell of changes. It is safe for concurrent use.
type Link struct {
	lane   string
	report func(change telemetry.Link, since time.Time) error
	log    *slog.Logger

	mu        sync.Mutex
	state     State
	since     time.Time
	cause     string
	spent     map[State]time.Duration // in states that are over
	changes   uint64
	throttled time.Time // until then
	known     bool      // something has shown which state it is in

	reported      State // as the last report said
	reportedSince time.Time
	reports       [mostReports]time.Time // the last ones
}

// NewLink makes the link of the lane of that name, which is taken to be up until
// something else shows. Report enters a change into the ledger; it is called on
// the lane's goroutine, again each second until it returns nil.
func NewLink(lane string, report func(change telemetry.Link, since time.Time) error, log *slog.Logger) *Link {
	now := time.Now()
	return &Link{lane: lane, report: report, log: log.With("lane", lane), spent: map[State]time.Duration{},
		state: Up, since: now, reported: Up, reportedSince: now}
}

// Resume says which state the process before reported last; "" if none did. That
// is reported to be over once it is.
func (l *Link) Resume(reported State) *Link {
	if slices.Contains(States, reported) {
		l.reported = reported
	}
	return l
}

// confirm says that the log has answered.
func (l *Link) confirm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = true
}

var _ kgo.HookBrokerThrottle = (*Link)(nil)

// OnBrokerThrottle is called by the lane's client.
func (l *Link) OnBrokerThrottle(_ kgo.BrokerMetadata, wait time.Duration, _ bool) { l.HoldBack(wait) }

// HoldBack says that the lane was asked to wait.
func (l *Link) HoldBack(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(wait); until.After(l.throttled) {
		l.throttled = until
	}
}

// heldBack reports whether the broker has asked the client to wait, or had until
// a moment ago.
func (l *Link) heldBack() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.throttled) < throttledFor
}

// set says in which state the link is since when, and why. It logs each change
// and each new cause once.
func (l *Link) set(state State, since time.Time, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, text := l.state, gist(cause)
	if was == state && text == l.cause {
		return
	}
	if was != state {
		l.known = true
		if since.Before(l.since) {
			since = l.since
		}
		l.spent[was] += since.Sub(l.since)
		l.state, l.since = state, since
		l.changes++
	}
	l.cause = text
	switch state {
	case Up:
		l.log.Info("the log acknowledges again")
	case Down:
		l.log.Warn("the log doesn't acknowledge; records stay in the buffer", "error", cause)
	case Throttled:
		l.log.Warn("the log's quota holds this gateway back; records stay in the buffer meanwhile")
	}
}

// gist is an error without its details, in which ports and times change.
func gist(err error) string {
	if err == nil {
		return ""
	}
	parts := strings.SplitN(err.Error(), ": ", 3)
	return strings.Join(parts[:min(2, len(parts))], ": ")
}

// tell reports the state if the last report said another one, unless there were
// many of late.
func (l *Link) tell() {
	l.mu.Lock()
	change := telemetry.Link{Stream: l.lane, State: string(l.state), Was: string(l.reported), Cause: l.cause,
		Lasted: l.since.Sub(l.reportedSince).Microseconds()}
	state, since := l.state, l.since
	due := l.known && state != l.reported && time.Since(l.reports[0]) >= time.Minute
	l.mu.Unlock()
	if !due || l.report == nil || l.report(change, since) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	copy(l.reports[:], l.reports[1:])
	l.reports[mostReports-1] = time.Now()
	l.reported, l.reportedSince = state, since
}

// LinkStats is a link at one moment.
type LinkStats struct {
	Lane    string
	State   State
	Since   time.Time
	Cause   string                  // of Down
	Spent   map[State]time.Duration // in each state since the start, up to now
	Changes uint64
}

// Stats may be called at any time.
func (l *Link) Stats() LinkStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LinkStats{Lane: l.lane, State: l.state, Since: l.since, Cause: l.cause, Spent: map[State]time.Duration{}, Changes: l.changes}
	for _, state := range States {
		s.Spent[state] = l.spent[state]
	}
	s.Spent[l.state] += time.Since(l.since)
	return s
}
