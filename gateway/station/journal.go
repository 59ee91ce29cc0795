package station

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/busbar/busbar/adapters/iec104/asdu"
	"github.com/busbar/busbar/adapters/iec104/controlled"
	"github.com/busbar/busbar/telemetry"
)

// journal keeps the events of a station in a file, until all groups have them. It is written
// as soon as there is something: what comes meanwhile is committed together. As long as the
// disk takes nothing, or not in time, masters are told all the same.
type journal struct {
	path   string
	groups []string
	most   int // events in memory while nothing can be committed
	log    *slog.Logger
	wake   chan struct{}
	tell   *controlled.Server

	// Of who writes, which is one at a time.
	file *file // nil: it can't be opened
	read bool  // what an earlier process has kept is known
	anew bool  // what is in the file is to be replaced
	// said is that the log says that nothing can be kept, and well since when it can; zero: it
	// can't.
	said bool
	well time.Time

	mu      sync.Mutex
	pending pending
	writing *pending // what is being committed; nil: nothing
	through uint64   // up to which event masters may be told
	unkept  error    // why they are told without; nil: they aren't
	passed  uint64   // events that went on without
	damages []telemetry.Damage
	closed  bool
}

// pending is what isn't committed.
type pending struct {
	events  []controlled.Kept
	values  map[place]controlled.Kept
	marks   map[string]mark
	waiting []func(bool) // who waits for it
}

const (
	// retry is how long it waits after something has failed.
	retry = time.Second
	// stall is how long masters wait for the disk: they are to see a trip.
	stall = time.Second
	// calm is for how long all has to be kept until the log says so.
	calm = 10 * time.Second
	// leaving is how long the last commit may take.
	leaving = 5 * time.Second
	// unreadable ends the names of files that were set aside.
	unreadable = ".unreadable"
	// mostAside is how many of them are kept, the newest ones.
	mostAside = 10
)

// openJournal reads what was kept for the groups of these names. If it can't, the journal
// says why, and goes on trying when it runs.
func openJournal(path string, groups []string, most int, log *slog.Logger) (*journal, controlled.Restored) {
	j := &journal{path: path, groups: groups, log: log, wake: make(chan struct{}, 1), most: most}
	kept, err := j.open()
	if err != nil {
		j.fail(err)
	}
	j.read, j.through = err == nil, kept.Last
	return j, kept
}

// open opens the file. A damaged one is set aside for another.
func (j *journal) open() (kept controlled.Restored, err error) {
	j.file, kept, err = openFile(j.path, j.groups)
	if errors.Is(err, errDamaged) {
		if err = j.setAside(err); err == nil {
			j.file, kept, err = openFile(j.path, j.groups)
		}
	}
	return kept, err
}

// setAside renames the file, which is damaged, and has that be told.
func (j *journal) setAside(cause error) error {
	to := fmt.Sprintf("%s.%s%s", j.path, time.Now().UTC().Format("20060102T150405.000000Z"), unreadable)
	if err := os.Rename(j.path, to); err != nil {
		return errors.Join(cause, err)
	}
	j.clean()
	j.log.Error("the events that wait for control rooms can't be read: the file is set aside, and what only it has is lost", "file", j.path, "set_aside", to, "error", cause)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.damages = latestOf(append(j.damages, telemetry.Damage{File: filepath.Base(to), Cause: cause.Error()}))
	return nil
}

// latestOf are the newest of what is told or kept of files that were set aside.
func latestOf[T any](list []T) []T { return list[max(len(list)-mostAside, 0):] }

// clean deletes the oldest files of more that were set aside than are kept.
func (j *journal) clean() {
	dir := filepath.Dir(j.path)
	entries, err := os.ReadDir(dir)
	var aside []string // by their times
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(j.path)+".") && strings.HasSuffix(e.Name(), unreadable) {
			aside = append(aside, filepath.Join(dir, e.Name()))
		}
	}
	for _, name := range aside[:max(len(aside)-mostAside, 0)] {
		err = errors.Join(err, os.Remove(name))
	}
	if err != nil {
		j.log.Warn("old files that were set aside can't be deleted", "file", j.path, "error", err)
	}
}

// damaged returns files that were set aside, each once.
func (j *journal) damaged() (list []telemetry.Damage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	list, j.damages = j.damages, nil
	return list
}

// Keep implements controlled.Journal.
func (j *journal) Keep(k controlled.Kept) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if k.Number == 0 {
		k.Cause = asdu.Requested
	} else {
		j.pending.events = append(j.pending.events, k)
		j.pending.limit(j.most)
	}
	if k.Type != asdu.EndOfInitialization && !k.Past && k.Object.Quality&asdu.Invalid == 0 {
		if j.pending.values == nil {
			j.pending.values = map[place]controlled.Kept{}
		}
		j.pending.values[place{k.Station, k.Object.Address}] = k
	}
	j.notify()
}

// Release implements controlled.Journal.
func (j *journal) Release(group string, through, lost uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pending.marks == nil {
		j.pending.marks = map[string]mark{}
	}
	j.pending.marks[group] = mark{through, lost}
	j.notify()
}

func (j *journal) notify() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// await has somebody told whether all that was kept before is on disk, and reports whether
// there is anything to wait for. While the disk takes nothing there isn't: the samples are in
// the buffer, and other sources needn't wait for this file.
func (j *journal) await(tell func(bool)) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case len(j.pending.events) == 0 && len(j.pending.values) == 0 && j.writing == nil:
		return false
	case j.closed:
		go tell(false)
		return true
	case j.unkept != nil:
		return false
	}
	j.pending.waiting = append(j.pending.waiting, tell)
	j.notify()
	return true
}

// run commits until ctx ends, and then once more.
func (j *journal) run(ctx context.Context) {
	var began, failed, ended time.Time // each zero: not
	done := make(chan error, 1)
	timer := time.NewTimer(0)
	defer timer.Stop()
	if j.file == nil {
		failed = time.Now()
	}
	stop := ctx.Done()
	for {
		select {
		case <-stop:
			stop, ended = nil, time.Now()
			failed = time.Time{}
		case <-j.wake:
		case <-timer.C:
		case err := <-done:
			began, failed = time.Time{}, time.Time{}
			if j.settle(err); err != nil {
				failed = time.Now()
			}
		}
		if due := time.Since(failed) >= retry; began.IsZero() && (due || failed.IsZero()) {
			if j.file == nil {
				began = time.Now()
				go func() { done <- j.reopen() }()
			} else if p, some := j.take(); some {
				began = time.Now()
				go func() { done <- j.commit(p) }()
			}
		}
		if !began.IsZero() && time.Since(began) >= stall {
			j.fail(errStalled)
		}
		if !ended.IsZero() && (began.IsZero() || time.Since(ended) >= leaving) {
			j.end(began.IsZero())
			return
		}
		j.pass()
		j.calmed()
		switch {
		case !began.IsZero():
			timer.Reset(max(time.Until(began.Add(stall)), retry/10))
		case !failed.IsZero():
			timer.Reset(max(time.Until(failed.Add(retry)), 0))
		case j.said && !j.well.IsZero():
			timer.Reset(max(time.Until(j.well.Add(calm)), 0))
		}
	}
}

// errStalled is that the disk hasn't answered.
var errStalled = fmt.Errorf("the disk hasn't taken them within %v", stall)

// reopen opens the file after that has failed. What an earlier process has kept in it is
// told, too.
func (j *journal) reopen() error {
	kept, err := j.open()
	if err != nil {
		return err
	}
	j.anew = true
	if !j.read {
		j.read = true
		j.tell.Recover(kept)
	}
	return nil
}

// commit writes what was taken. If that fails the file is closed, since bbolt may have lost
// its mapping, and a damaged one is set aside.
func (j *journal) commit(p pending) error {
	err := j.file.commit(p, j.anew)
	if err == nil {
		return nil
	}
	j.file.close()
	j.file = nil
	if errors.Is(err, errDamaged) {
		err = errors.Join(err, j.setAside(err))
	}
	return err
}

// take takes what is to be committed: into a file that is anew, all that is outstanding.
func (j *journal) take() (p pending, some bool) {
	var before pending
	if j.anew {
		before = pendingOf(j.tell.Outstanding())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	p = j.pending
	if !j.anew && len(p.events) == 0 && len(p.values) == 0 && len(p.marks) == 0 && len(p.waiting) == 0 {
		return p, false
	}
	if j.anew {
		p = before.before(p, j.most)
	}
	writing := p
	j.pending, j.writing = pending{}, &writing
	return p, true
}

// settle says what becomes of what was taken. What isn't committed is pending again.
func (j *journal) settle(err error) {
	j.mu.Lock()
	p, was := j.writing, j.unkept
	j.writing = nil
	if err != nil && p != nil {
		j.pending = p.before(j.pending, j.most)
	}
	if err != nil || p == nil {
		j.mu.Unlock()
		if err != nil {
			j.fail(err)
		}
		return
	}
	j.anew, j.unkept = false, nil
	through := p.last(j.through)
	j.through = through
	j.mu.Unlock()
	if was != nil {
		j.well = time.Now()
	}
	j.let(through, p.marks)
	for _, tell := range p.waiting {
		tell(true)
	}
}

// fail notes that nothing can be committed.
func (j *journal) fail(cause error) {
	j.mu.Lock()
	j.unkept = cause
	j.mu.Unlock()
	j.well = time.Time{}
	if !j.said {
		j.said = true
		j.log.Error("events for control rooms can't be kept: they are told all the same, and would end with the process", "file", j.path, "error", cause)
	}
}

// calmed says that everything is kept again when it has been for some time.
func (j *journal) calmed() {
	if j.said && !j.well.IsZero() && time.Since(j.well) >= calm {
		j.said = false
		j.log.Info("events for control rooms are kept again", "file", j.path)
	}
}

// pass lets everything go on that waits, if nothing can be committed.
func (j *journal) pass() {
	j.mu.Lock()
	if j.unkept == nil {
		j.mu.Unlock()
		return
	}
	through, marks := j.through, map[string]mark{}
	var waiting []func(bool)
	for _, p := range []*pending{j.writing, &j.pending} {
		if p != nil {
			through = p.last(through)
			maps.Copy(marks, p.marks)
			waiting, p.waiting = append(waiting, p.waiting...), nil
		}
	}
	j.passed += through - j.through
	j.through = through
	j.mu.Unlock()
	j.let(through, marks)
	for _, tell := range waiting {
		tell(true)
	}
}

// let has the station tell events, and know how far groups are done.
func (j *journal) let(through uint64, marks map[string]mark) {
	j.tell.Kept(through)
	for group, m := range marks {
		j.tell.Released(group, m.done)
	}
}

// end closes the file, unless it is still being written to. Who waits for what isn't in it
// is told so.
func (j *journal) end(idle bool) {
	j.mu.Lock()
	j.closed = true
	waiting, lost := j.pending.waiting, len(j.pending.events)
	if j.writing != nil {
		waiting, lost = append(waiting, j.writing.waiting...), lost+len(j.writing.events)
	}
	j.mu.Unlock()
	for _, tell := range waiting {
		tell(false)
	}
	if lost > 0 {
		j.log.Error("events for control rooms aren't kept at the end", "file", j.path, "events", lost)
	}
	if idle && j.file != nil {
		if err := j.file.close(); err != nil {
			j.log.Warn("closing the events for control rooms", "error", err)
		}
	}
}

// state is why events are told without being kept, and how many were.
func (j *journal) state() (unkept error, passed uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.unkept, j.passed
}

// last is the number of the last event, or that of one before.
func (p *pending) last(before uint64) uint64 {
	if n := len(p.events); n > 0 {
		return max(before, p.events[n-1].Number)
	}
	return before
}

// limit lets the oldest events go of more than there are kept in memory. The groups don't
// have them any more either.
func (p *pending) limit(most int) {
	if over := len(p.events) - most; over > 0 {
		p.events = p.events[over:]
	}
}

// before is what was pending before something else, and that.
func (p pending) before(next pending, most int) pending {
	if n := len(p.events); len(next.events) > 0 && n > 0 {
		p.events = p.events[:sort.Search(n, func(i int) bool { return p.events[i].Number >= next.events[0].Number })]
	}
	p.events = append(p.events, next.events...)
	p.limit(most)
	p.waiting = append(p.waiting, next.waiting...)
	if p.values == nil {
		p.values = map[place]controlled.Kept{}
	}
	maps.Copy(p.values, next.values)
	if p.marks == nil {
		p.marks = map[string]mark{}
	}
	maps.Copy(p.marks, next.marks)
	return p
}

// pendingOf is what a station has outstanding.
func pendingOf(r controlled.Restored) pending {
	p := pending{events: r.Events, values: map[place]controlled.Kept{}, marks: map[string]mark{}}
	for _, v := range r.Values {
		p.values[place{v.Station, v.Object.Address}] = v
	}
	for group, done := range r.Done {
		p.marks[group] = mark{done, r.Lost[group]}
	}
	return p
}
