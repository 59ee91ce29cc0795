package modbus

import (
	"cmp"
	"maps"
	"slices"
	"time"

	goburrow "github.com/goburrow/modbus"
)

// learned is what a device was found to refuse. Devices have holes that can't be
// read across, and take fewer registers at a time than the standard allows, and
// few of them document it.
//
// A request that is refused is asked again in parts, at once, so that it costs no
// value. An item that is refused by itself the device hasn't got; it is asked for
// again and again, less and less often. Not everywhere that a request was parted
// there was a hole, so these places are tried out, one in each poll: where reading
// across is refused again, the cut is proven, for a day.
type learned struct {
	items   []item
	stated  limits
	limits  limits
	absent  []absence     // one an item; nil as long as it refuses none
	lacking int           // how many of them the device refuses
	cuts    map[cut]bool  // true: proven
	trial   *cut          // what the present plan reads across to try it out
	taken   map[Table]int // the largest request that was answered
	refused map[Table]int // the smallest that was refused as too large
	doubt   time.Time     // when proven cuts and limits are tried out again; zero: there are none
}

// absence is that of an item which the device refuses; err is nil if it has it.
type absence struct {
	err   error
	pause time.Duration // from one question for it to the next
	till  time.Time
}

// doubtEvery is how long at most the device is believed that it can't do
// something: it may be given another firmware or module.
const doubtEvery = 24 * time.Hour

func newLearned(items []item, l limits) *learned {
	return &learned{
		items: items, stated: l, limits: l,
		cuts: map[cut]bool{}, taken: map[Table]int{}, refused: map[Table]int{},
	}
}

// plan is the requests for what the device has, as far as is known, and for what
// it is time to ask for again.
func (k *learned) plan(now time.Time) []request {
	var requests []request
	add := func(items []item) { requests = append(requests, plan(items, k.limits, k.isCut)...) }
	begin := 0
	for i, a := range k.absent {
		if a.err == nil {
			continue
		}
		add(k.items[begin:i])
		if !now.Before(a.till) {
			add(k.items[i : i+1])
		}
		begin = i + 1
	}
	add(k.items[begin:])
	if len(requests) == 0 {
		add(k.items[:1]) // to refuse it is a sign of life
	}
	return requests
}

func (k *learned) isCut(c cut) bool {
	_, is := k.cuts[c]
	return is
}

// due reports whether an item is to be asked for again.
func (k *learned) due(now time.Time) bool {
	return k.lacking > 0 && slices.ContainsFunc(k.absent, func(a absence) bool { return a.err != nil && !now.Before(a.till) })
}

// part is what to ask instead of a request that was refused; nothing if the
// refusal isn't one of its size or of a part of it.
func (k *learned) part(r request, err error, now time.Time) []request {
	if len(r.items) < 2 {
		return nil
	}
	switch exceptionOf(err) {
	case goburrow.ExceptionCodeIllegalDataValue:
		if !k.shrink(r) {
			k.cutOff(r)
		}
	case goburrow.ExceptionCodeIllegalDataAddress, goburrow.ExceptionCodeServerDeviceFailure:
		k.cutOff(r)
	default:
		return nil
	}
	if k.doubt.IsZero() {
		k.doubt = now.Add(doubtEvery)
	}
	return plan(r.items, k.limits, k.isCut)
}

// shrink sets the limit between the largest request that was answered and this
// one. It reports false if that isn't smaller.
func (k *learned) shrink(r request) bool {
	size := int(r.count)
	limit := (k.taken[r.table] + size) / 2
	for _, it := range r.items {
		limit = max(limit, it.end-it.first)
	}
	if k.taken[r.table] >= size || limit >= size {
		return false
	}
	k.refused[r.table] = size
	k.limits = k.limits.with(r.table, limit)
	return true
}

// cutOff parts a request where one of its cuts is being tried out, else at all
// of its gaps, else in the middle.
func (k *learned) cutOff(r request) {
	var gaps []cut
	middle := cut{r.table, r.items[0].end}
	end := r.items[0].end
	for _, it := range r.items[1:] {
		here := cut{r.table, end}
		if k.trial != nil && *k.trial == here {
			k.cuts[here], k.trial = true, nil
			return
		}
		if it.first > end {
			gaps = append(gaps, here)
		}
		if end-int(r.first) <= int(r.count)/2 {
			middle = here
		}
		end = max(end, it.end)
	}
	if gaps == nil {
		gaps = []cut{middle}
	}
	for _, c := range gaps {
		k.cuts[c] = false
	}
}

// has notes that a request was answered, and reports whether that is news. What
// was absent and is there again had a reason that may have been that of the cuts
// and of everything else that is absent as well, so all of it is asked for again.
func (k *learned) has(r request) (news bool) {
	k.taken[r.table] = max(k.taken[r.table], int(r.count))
	if k.lacking == 0 {
		return false
	}
	for _, it := range r.items {
		if k.absent[it.index].err != nil {
			news = true
			k.lacking--
			k.absent[it.index] = absence{}
		}
	}
	if news {
		maps.DeleteFunc(k.cuts, func(_ cut, proven bool) bool { return !proven })
		for i := range k.absent {
			k.absent[i].till = time.Time{}
		}
	}
	return news
}

// clone is a copy that learns by itself.
func (k *learned) clone() *learned {
	c := *k
	c.absent, c.cuts = slices.Clone(k.absent), maps.Clone(k.cuts)
	c.taken, c.refused = maps.Clone(k.taken), maps.Clone(k.refused)
	return &c
}

// lacks notes that all of a request's items were refused, if that was for what
// they are. A refusal that was taken for one of the size may have been for one of
// these.
func (k *learned) lacks(r request, err error, now time.Time, pause time.Duration) {
	switch exceptionOf(err) {
	case goburrow.ExceptionCodeIllegalFunction, goburrow.ExceptionCodeIllegalDataAddress,
		goburrow.ExceptionCodeIllegalDataValue, goburrow.ExceptionCodeServerDeviceFailure:
	default:
		return
	}
	if k.absent == nil {
		k.absent = make([]absence, len(k.items))
	}
	for _, it := range r.items {
		a := &k.absent[it.index]
		if a.err == nil {
			k.lacking++
			delete(k.refused, r.table)
			size, _ := k.stated.of(r.table)
			k.limits = k.limits.with(r.table, size)
		}
		if now.Before(a.till) {
			continue // asked before its time, as a sign of life
		}
		a.pause = min(max(pause, 2*a.pause), doubtEvery)
		a.err, a.till = err, now.Add(a.pause)
	}
}

// settle prepares for the next poll after one in which the plan proved right: it
// has the next cut tried out, or a larger request. It reports whether there is
// something to try.
func (k *learned) settle(now time.Time) bool {
	k.trial = nil
	if !k.doubt.IsZero() && now.After(k.doubt) {
		k.doubt = time.Time{}
		for c := range k.cuts {
			k.cuts[c] = false
		}
		clear(k.refused)
		k.limits = k.stated
		return true
	}
	var next []cut
	for c, proven := range k.cuts {
		if !proven {
			next = append(next, c)
		}
	}
	if len(next) > 0 {
		c := slices.MinFunc(next, func(a, b cut) int { return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.at, b.at)) })
		delete(k.cuts, c)
		k.trial = &c
		return true
	}
	for t, refused := range k.refused {
		limit, _ := k.limits.of(t)
		if larger := (limit + refused) / 2; k.taken[t] == limit && larger > limit {
			k.limits = k.limits.with(t, larger)
			return true
		}
	}
	return false
}
