package update

// Status is how updates stand.
type Status struct {
	Running Slot     `json:"running"`
	Lacks   string   `json:"lacks,omitempty"` // what it has to prove yet, if it is on trial
	Epoch   uint64   `json:"epoch"`           // that bundles must have at least
	Last    *Outcome `json:"last,omitempty"`
	Coming  string   `json:"coming,omitempty"`  // the version that is being installed
	Problem string   `json:"problem,omitempty"` // with the channel, or the bundle that it offers
}

// Status is how updates stand now.
func (u *Updater) Status() Status {
	epoch := u.installed().Epoch
	running := u.o.Slots.Running()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := Status{Running: running, Epoch: epoch, Problem: u.problem}
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
