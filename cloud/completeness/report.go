package completeness

import (
	"context"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// AccountDue is how long after the end of a quarter-hour its account may take, in
// µs, before it counts as missing.
const AccountDue = 5 * 60 * 1_000_000

// Query is a range of whole quarter-hours, from From up to and without To, of the
// devices of one gateway, or of one of them. Empty names stand for all.
type Query struct {
	Gateway, Device string
	From, To        telemetry.Micros
}

// Report is the answer for a range.
type Report struct {
	Quarters int  // in the range
	Total    Line // of a quarter-hour the worst state of any device
	Devices  []Line
}

// Complete reports whether everything that was expected of every device is
// stored. Of nothing it isn't known.
func (r Report) Complete() bool {
	return len(r.Devices) > 0 && r.Total.States[Complete]+r.Total.States[Late] > 0 &&
		r.Total.States[Complete]+r.Total.States[Late]+r.Total.States[NotAsked] == r.Quarters
}

// Line is what became of the samples that were expected of a device, or of all.
// Expected is the sum of Received, Suppressed, NotAcquired, Lost and OnTheWay,
// but for quarter-hours that are Inconsistent.
type Line struct {
	store.Device
	Expected    uint64
	Received    uint64            // stored, with a value
	Suppressed  uint64            // read, and left out by a deadband
	NotAcquired uint64            // without a value, not asked for, or never committed
	Lost        uint64            // committed by the gateway, and then given up
	OnTheWay    uint64            // committed by the gateway, and neither stored nor given up as far as is known
	Stored      uint64            // samples of any kind, also bad ones and the gateway's own
	Late        uint64            // of these
	Reasons     map[Reason]uint64 // all that isn't received or suppressed
	States      map[State]int     // quarter-hours
	Letters     []byte            // a letter for each quarter-hour: see Letter
}

// Count is how many expected samples a reason concerns.
type Count struct {
	Reason Reason
	Count  uint64
}

// Why lists the reasons, those that concern most first.
func (l Line) Why() []Count {
	list := []Count{}
	for _, r := range byCount(l.Reasons) {
		list = append(list, Count{r, l.Reasons[r]})
	}
	return list
}

func (l *Line) add(c Counts, v Verdict) {
	l.Expected += v.Expected
	l.Received += v.Good
	l.Suppressed += v.Suppressed
	l.Stored += c.Received
	l.Late += c.Late
	for reason, n := range v.Reasons {
		if l.Reasons == nil {
			l.Reasons = map[Reason]uint64{}
		}
		l.Reasons[reason] += n
		switch telemetry.LossReason(reason) {
		case telemetry.LossReason(OnTheWay), telemetry.LossReason(Undetermined):
			l.OnTheWay += n
		case telemetry.LostThinned, telemetry.LostBufferFull, telemetry.LostDiskFull, telemetry.LostUnreadable:
			l.Lost += n
		default:
			l.NotAcquired += n
		}
	}
}

func (l *Line) show(s State, main Reason) {
	if l.States == nil {
		l.States = map[State]int{}
	}
	l.States[s]++
	l.Letters = append(l.Letters, Letter(s, main))
}

// Letter is one letter for a quarter-hour: c complete, l late, o open, u unknown,
// x inconsistent, - not configured. One that is incomplete is named by its main
// reason: b bad, m missed, d gateway down, t thinned, f buffer full, k disk full,
// r unreadable, g discarded, w on the way,
// n on the way or given up, i another.
func Letter(s State, main Reason) byte {
	switch s {
	case Complete:
		return 'c'
	case Late:
		return 'l'
	case Open:
		return 'o'
	case Unknown:
		return 'u'
	case Inconsistent:
		return 'x'
	case NotAsked:
		return '-'
	}
	switch main {
	case Missed:
		return 'm'
	case GatewayDown:
		return 'd'
	case OnTheWay:
		return 'w'
	case Undetermined:
		return 'n'
	}
	switch telemetry.LossReason(main) {
	case telemetry.LostThinned:
		return 't'
	case telemetry.LostBufferFull:
		return 'f'
	case telemetry.LostDiskFull:
		return 'k'
	case telemetry.LostUnreadable:
		return 'r'
	case telemetry.LostDiscarded:
		return 'g'
	}
	if len(main) > 3 && main[:3] == "bad" {
		return 'b'
	}
	return 'i'
}

func stateOf(letter byte) State {
	switch letter {
	case 'c':
		return Complete
	case 'l':
		return Late
	case 'o':
		return Open
	case 'u':
		return Unknown
	case 'x':
		return Inconsistent
	case '-':
		return NotAsked
	}
	return Incomplete
}

// Read judges every quarter-hour of a range as of now.
func Read(ctx context.Context, s *store.Store, q Query, now telemetry.Micros) (Report, error) {
	b := builder{query: q, now: now}
	from, to := store.QuarterNumber(q.From), store.QuarterNumber(q.To)
	if err := s.Quarters(ctx, q.Gateway, from, to, b.begin, b.quarter); err != nil {
		return Report{}, err
	}
	return b.report(), nil
}

// builder turns what the store has of each quarter-hour into a report.
type builder struct {
	query    Query
	now      telemetry.Micros
	devices  []device
	gateways int
	long     []store.Account
	began    []int64  // by gateway: the quarter-hour of its first start, 0 if that isn't known
	counted  []bool   // by gateway: whether the quarter-hour in hand has an account of it
	ever     []bool   // by gateway: whether any has
	main     []Reason // of each quarter-hour, over all devices
	total    Line
}

type device struct {
	gateway int // counted from 0
	wanted  bool
	known   bool                // something was accounted for or received
	reads   []store.DeviceReads // that its head-end is to have; none: a gateway reads it
	counts  Counts
	line    Line
}

func (b *builder) begin(scope store.Scope) {
	list := scope.Devices
	b.long = scope.Long
	b.devices = make([]device, len(list))
	for i, d := range list {
		if i == 0 || d.Gateway != list[i-1].Gateway {
			b.gateways++
			b.began = append(b.began, store.QuarterNumber(scope.Began[d.Gateway]))
		}
		b.devices[i] = device{gateway: b.gateways - 1, wanted: b.query.Device == "" || b.query.Device == d.Name, line: Line{Device: d}}
	}
	for _, r := range scope.Reads {
		b.devices[r.Device].reads = append(b.devices[r.Device].reads, r)
	}
	b.counted, b.ever = make([]bool, b.gateways), make([]bool, b.gateways)
}

func (b *builder) quarter(q store.Quarter) {
	clear(b.counted)
	for i := range b.devices {
		b.devices[i].counts = Counts{}
	}
	account := func(a store.Account) {
		d := &b.devices[a.Device]
		d.counts.AddAccount(split(a.Counts, q.Number-a.First, a.Quarters))
		d.counts.Uncounted = d.counts.Uncounted || a.Uncounted
		b.counted[d.gateway], b.ever[d.gateway] = true, true
	}
	for _, a := range q.Accounts {
		account(a)
	}
	for _, a := range b.long {
		if q.Number >= a.First && q.Number-a.First < a.Quarters {
			account(a)
		}
	}
	for _, l := range q.Losses {
		b.devices[l.Device].counts.AddLoss(l.Reason, l.Samples)
	}
	for _, r := range q.Received {
		c := &b.devices[r.Device].counts
		c.Received += r.Samples
		c.Late += r.Late
		c.Estimates += r.Estimates
	}
	end := telemetry.Micros(q.Number+1) * telemetry.Quarter
	over, due := b.now >= end, b.now >= end+AccountDue
	why := map[Reason]uint64{}
	for i := range b.devices {
		d := &b.devices[i]
		if !d.wanted {
			continue
		}
		v := Judge(d.counts, over, due)
		if len(d.reads) > 0 {
			v = judgeReads(d.reads, q.Number, d.counts.Received, b.now)
		} else if d.counts.Accounts == 0 && d.counts.Received == 0 && (b.counted[d.gateway] || q.Number < b.began[d.gateway]) {
			v.State = NotAsked
		}
		d.known = d.known || d.counts.Accounts > 0 || d.counts.Received > 0
		d.line.add(d.counts, v)
		d.line.show(v.State, v.Main())
		b.total.add(d.counts, v)
		for reason, n := range v.Reasons {
			why[reason] += n
		}
	}
	b.main = append(b.main, main(why))
}

// report lists the devices that were there: one that a birth named once, and
// that neither had a sample nor was in any of its gateway's accounts, wasn't.
func (b *builder) report() Report {
	r := Report{Quarters: len(b.main), Total: b.total, Devices: []Line{}}
	for _, d := range b.devices {
		if d.wanted && (d.known || !b.ever[d.gateway] || b.query.Device != "") {
			r.Devices = append(r.Devices, d.line)
		}
	}
	for q, main := range b.main {
		worst := NotAsked
		for _, d := range r.Devices {
			worst = worse(worst, stateOf(d.Letters[q]))
		}
		r.Total.show(worst, main)
	}
	return r
}
