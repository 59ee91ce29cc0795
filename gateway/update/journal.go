package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	// Failed are the bundles that were rolled back for good, the latest last: a channel that
	// offers one is not followed.
	Failed []bundle.Digest `json:"failed,omitempty"`
	// Setbacks are those that were rolled back and are tried again, the latest last.
	Setbacks []setback `json:"setbacks,omitempty"`
}

// setback is a bundle that ran and didn't do what the version before did: a device may have
// been silent for a while, or the uplink down.
type setback struct {
	Bundle bundle.Digest `json:"bundle"`
	Times  int           `json:"times"`
	// Since is when a channel offered it again for the first time; zero: none has. A machine
	// that has just started may not know what time it is.
	Since time.Time `json:"since,omitzero"`
}

const (
	// mostSetbacks is how often a version may be rolled back that ran.
	mostSetbacks = 3
	// rest is how long such a version rests before it is tried again, the second time twice
	// as long: each trial takes as many restarts as it has starts.
	rest = 24 * time.Hour
)

// attempt is an update that is under way.
type attempt struct {
	Slot    int    `json:"slot"` // 0: it was being written
	Version string `json:"version"`
	Epoch   uint64 `json:"epoch"`
	// Content is that of the slot; "" of one that a version wrote which didn't say it.
	Content  string        `json:"content,omitempty"`
	From     string        `json:"from"`      // version
	FromSlot int           `json:"from_slot"` // that was running
	Bundle   bundle.Digest `json:"bundle"`
	Began    time.Time     `json:"began"`
	// Devices are those that answered before, and have to do so again.
	Devices []string `json:"devices"`
	// Cause is why the version gave itself up; "" if it didn't say.
	Cause string `json:"cause,omitempty"`
	// Passing says that this may be another one at another time.
	Passing bool `json:"passing,omitempty"`
}

// is reports whether a slot is the attempt's. One that was being written when the power
// failed has no number yet; a version's name may have been there before.
func (a *attempt) is(s Slot) bool {
	return a != nil && s.Version == a.Version && s.Content == a.Content && s.Number != a.FromSlot && (a.Slot == s.Number || a.Slot == 0)
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
		j.Attempt = &attempt{Slot: running.Number, Version: running.Version, Epoch: running.Epoch, Content: running.Content, Began: now}
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
		case !s.Trial && a.Slot == 0: // it was there before, or wasn't to be tried yet
			j.Attempt = nil
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
	j.forget(j.Attempt.Bundle)
	j.end(Outcome{Confirmed: true, Ended: now})
}

func (j *journal) rolledBack(cause string, now time.Time) {
	a := j.Attempt
	if a.Cause != "" {
		cause = a.Cause
	}
	times := 1
	if i := j.setback(a.Bundle); i >= 0 {
		times += j.Setbacks[i].Times
	}
	j.forget(a.Bundle)
	if a.Passing && times < mostSetbacks {
		j.Setbacks = append(j.Setbacks, setback{Bundle: a.Bundle, Times: times})
		j.Setbacks = j.Setbacks[max(0, len(j.Setbacks)-mostFailed):]
	} else {
		j.Failed = append(j.Failed, a.Bundle)
		j.Failed = j.Failed[max(0, len(j.Failed)-mostFailed):]
	}
	j.end(Outcome{Cause: cause, Ended: now})
}

func (j *journal) setback(d bundle.Digest) int {
	return slices.IndexFunc(j.Setbacks, func(s setback) bool { return s.Bundle == d })
}

func (j *journal) forget(d bundle.Digest) {
	j.Setbacks = slices.DeleteFunc(j.Setbacks, func(s setback) bool { return s.Bundle == d })
}

func (j *journal) end(o Outcome) {
	a := j.Attempt
	o.Version, o.From, o.Epoch, o.Began, o.Slot = a.Version, a.From, a.Epoch, a.Began, a.Slot
	j.Last, j.Attempt = &o, nil
}
