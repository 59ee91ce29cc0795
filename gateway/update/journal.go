package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/firmware-config/bundle"
)

// journal is what outlives a start: it is on the data partition.
type journal struct {
	// Epoch is the highest that a version was confirmed with.
	Epoch uint64 `json:"epoch"`
	// Channel is when the latest channel was issued that was seen.
	Channel time.Time `json:"channel,omitzero"`
	// Attempt is the version that was staged or is on trial; nil: none is.
	Attempt *attempt `json:"attempt,omitempty"`
	// Last is what came of the last one.
	Last *Outcome `json:"last,omitempty"`
	// Failed are the bundles that were rolled back, the latest last: a channel that
	// offers one is not followed.
	Failed []bundle.Digest `json:"failed,omitempty"`
}

// attempt is an update that is under way.
type attempt struct {
	Slot    int           `json:"slot"` // 0: it was being written
	Version string        `json:"version"`
	Epoch   uint64        `json:"epoch"`
	From    string        `json:"from"` // version
	Bundle  bundle.Digest `json:"bundle"`
	Began   time.Time     `json:"began"`
	// Devices are those that answered before, and have to do so again.
	Devices []string `json:"devices"`
	// Cause is why the version gave itself up; "" if it didn't say.
	Cause string `json:"cause,omitempty"`
}

// is reports whether a slot is the attempt's. One that was being written when the power
// failed has no number yet.
func (a *attempt) is(s Slot) bool {
	return a != nil && s.Version == a.Version && (a.Slot == s.Number || a.Slot == 0)
}

// Outcome is what came of an update.
type Outcome struct {
	Version   string    `json:"version"`
	From      string    `json:"from"`
	Epoch     uint64    `json:"epoch"`
	Confirmed bool      `json:"confirmed"` // else it was rolled back
	Cause     string    `json:"cause,omitempty"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended"`
	Slot      int       `json:"slot"`
	Told      bool      `json:"told"` // the buffer has the event
}

const (
	journalName = "journal.json"
	mostFailed  = 20
)

func readJournal(dir string) (j journal, err error) {
	text, err := os.ReadFile(filepath.Join(dir, journalName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return j, nil
	case err != nil:
		return j, err
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return journal{}, fmt.Errorf("%s: %w", journalName, err)
	}
	return j, nil
}

func (j journal) write(dir string) error {
	text, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return configfile.Replace(filepath.Join(dir, journalName), text, 0o600)
}

// settle says what a start has made of an attempt, by what is in the slots. It returns
// whether the running version is on trial.
func (j *journal) settle(running Slot, others []Slot, now time.Time) (onTrial bool) {
	a := j.Attempt
	switch {
	case running.Trial && a.is(running):
		a.Slot = running.Number
		return true
	case running.Trial: // nobody knows any more what it was to prove
		j.Attempt = &attempt{Slot: running.Number, Version: running.Version, Epoch: running.Epoch, Began: now}
		return true
	case a == nil:
		return false
	case a.is(running):
		j.confirmed(now)
		return false
	}
	for _, s := range others {
		switch {
		case !a.is(s):
		case s.Trial && s.Left > 0: // the loader will start it
			a.Slot = s.Number
			return false
		default:
			a.Slot = s.Number
			j.rolledBack("it didn't come up, or not far enough to say why", now)
			return false
		}
	}
	if a.Slot == 0 { // it wasn't written whole, and can be installed again
		j.Attempt = nil
		return false
	}
	j.rolledBack("its slot is gone", now)
	return false
}

func (j *journal) confirmed(now time.Time) {
	j.Epoch = max(j.Epoch, j.Attempt.Epoch)
	j.end(Outcome{Confirmed: true, Ended: now})
}

func (j *journal) rolledBack(cause string, now time.Time) {
	a := j.Attempt
	if a.Cause != "" {
		cause = a.Cause
	}
	j.Failed = append(j.Failed, a.Bundle)
	j.Failed = j.Failed[max(0, len(j.Failed)-mostFailed):]
	j.end(Outcome{Cause: cause, Ended: now})
}

func (j *journal) end(o Outcome) {
	a := j.Attempt
	o.Version, o.From, o.Epoch, o.Began, o.Slot = a.Version, a.From, a.Epoch, a.Began, a.Slot
	j.Last, j.Attempt = &o, nil
}
