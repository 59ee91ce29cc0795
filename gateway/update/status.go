package update

import (
	"fmt"
	"time"
)

// Status is how updates stand.
type Status struct {
	Running Slot     `json:"running"`
	Lacks   string   `json:"lacks,omitempty"` // what it has to prove yet, if it is on trial
	Epoch   uint64   `json:"epoch"`           // that bundles must have at least
	Last    *Outcome `json:"last,omitempty"`
	Coming  string   `json:"coming,omitempty"`  // the version that is being installed
	Problem string   `json:"problem,omitempty"` // with the channel, or with fetching what it offers
	Refused *Refusal `json:"refused,omitempty"` // what the channel offers and isn't installed
}

// Refusal is why a version isn't installed that a channel offers this gateway.
type Refusal struct {
	Version string    `json:"version"`
	Reason  string    `json:"reason"`
	Final   bool      `json:"final"`          // until the channel offers something else
	Again   time.Time `json:"again,omitzero"` // when it is tried again, if it isn't final
}

// String says it to people.
func (r Refusal) String() string {
	if r.Final {
		return fmt.Sprintf("version %s isn't installed, for good: %s", r.Version, r.Reason)
	}
	return fmt.Sprintf("version %s isn't installed, and is tried again after %s: %s", r.Version, r.Again.UTC().Format(time.RFC3339), r.Reason)
}

// Problems says to people why there is no update: what is refused, and what is wrong since.
func (s Status) Problems() []string {
	var list []string
	if s.Refused != nil {
		list = append(list, s.Refused.String())
	}
	if s.Problem != "" {
		list = append(list, "no update: "+s.Problem)
	}
	return list
}

// Status is how updates stand now.
func (u *Updater) Status() Status {
	epoch := u.installed().Epoch
	running := u.o.Slots.Running()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := Status{Running: running, Epoch: epoch, Problem: u.problem}
	if u.refused != nil {
		refused := *u.refused
		s.Refused = &refused
	}
	if u.journal.Last != nil {
		last := *u.journal.Last
		s.Last = &last
	}
	if u.trial {
		s.Lacks = u.lacking
	} else if u.journal.Attempt != nil {
		s.Coming = u.journal.Attempt.Version
	}
	return s
}
