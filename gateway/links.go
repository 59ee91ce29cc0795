package gateway

import (
	"encoding/json"
	"log/slog"
	"sync"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/gateway/forward"
	"github.com/busbar/busbar/telemetry"
)

// links are what was told last of each lane's link, by this process or the one
// before it: an outage goes on while the gateway is stopped, and has one end.
type links struct {
	buffer *buffer.Buffer
	log    *slog.Logger

	mu   sync.Mutex
	told map[string]linkNote
}

// linkNote is a state, and since when the link was in it by gateway time.
type linkNote struct {
	State forward.State    `json:"state"`
	Since telemetry.Micros `json:"since_us"`
}

func readLinks(b *buffer.Buffer, log *slog.Logger) *links {
	l := &links{buffer: b, log: log, told: map[string]linkNote{}}
	notes, err := b.LinkNotes()
	if err == nil && len(notes) > 0 {
		err = json.Unmarshal(notes, &l.told)
	}
	if err != nil {
		log.Warn("how the links to the log were can't be read; they are taken to have been up", "error", err)
	}
	return l
}

// before is the state that was told last.
func (l *links) before(lane string) forward.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[lane].State
}

// lasted is how long the state has that was told last; of says so if none was.
func (l *links) lasted(lane string, until telemetry.Micros, of int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, known := l.told[lane]; known {
		return max(0, int64(until-was.Since))
	}
	return of
}

// note keeps what was told. If that fails, the next process tells of the state
// before once more.
func (l *links) note(change telemetry.Link, since telemetry.Micros) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[change.Stream] = linkNote{forward.State(change.State), since}
	notes, err := json.Marshal(l.told)
	if err == nil {
		err = l.buffer.SaveLinkNotes(notes)
	}
	if err != nil {
		l.log.Warn("how the links to the log are can't be noted", "error", err)
	}
}
