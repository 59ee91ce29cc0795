package replay

import (
	"context"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/identity"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// candidate is something that differs, before it is known whether that is by nature.
type candidate struct {
	Difference
	kept    *kept
	key     []string
	gateway string // of an alarm
	turned  bool   // of an alarm: active in one store alone
}

// mostCandidates bounds memory: beyond it nothing is told apart any more.
const mostCandidates = 100_000

// events replays the events and compares what follows from them.
func (r *replay) events(ctx context.Context) error {
	topic := r.Topics.Events()
	runner := alarm.New(alarm.Config{Log: r.Log, Topics: r.Topics, Store: r.Shadow, Logger: r.Logger})
	err := r.during("events", r.records(topic), func() int64 { return int64(runner.Stats().Events) }, func() error {
		return runner.Replay(ctx, r.until(topic))
	})
	if err != nil {
		return err
	}
	c := &comparison{replay: r, alarms: map[string]string{}, unraised: map[string]bool{}}
	c.from, c.to = r.bounds()
	err = r.Live.Ask(ctx, func(live *store.Tx) error {
		return r.Shadow.Ask(ctx, func(shadow *store.Tx) error {
			for i := range keptOfEvents {
				if err := c.compare(ctx, live, shadow, &keptOfEvents[i]); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil || len(c.found) == 0 {
		return err
	}
	// What was read later than the comparison is outside as well.
	if c.whole, err = r.whole(ctx, alarm.Consumer, topic); err != nil {
		return err
	}
	if !c.whole {
		if err := c.lookOutside(ctx); err != nil {
			return err
		}
	}
	for _, each := range c.found {
		if why, within := c.judge(each); within {
			each.Why = why
			r.report.add(each.Difference)
		}
	}
	if len(c.found) == mostCandidates {
		r.report.note("there are more differences than are counted")
	}
	return nil
}

// comparison is what is found while both stores are compared.
type comparison struct {
	*replay
	from, to telemetry.Micros
	found    []candidate
	alarms   map[string]string // that both stores have: their gateways, by id
	unraised map[string]bool   // alarms of which what was read has the clearing alone
	whole    bool
	// outside is what the log could say elsewhere that makes a difference of those found
	// one by nature, and whether it does.
	outside map[string]bool
}

func (c *comparison) compare(ctx context.Context, live, shadow *store.Tx, k *kept) error {
	count := Count{What: k.many}
	ofAlarm := k.what == "alarm"
	dependent := strings.HasPrefix(k.what, "alarm ")
	err := merge(live, shadow, *k, func(names []string, a, b row) error {
		if b != nil {
			count.Replay++
		}
		known := a
		if a == nil {
			known = b
		}
		texts := known.texts()
		each := candidate{kept: k, key: texts[:k.keys]}
		if ofAlarm {
			each.gateway = texts[1]
		} else if dependent {
			// What an alarm of one store alone has beside it says nothing more.
			var both bool
			if each.gateway, both = c.alarms[texts[0]]; !both {
				return ctx.Err()
			}
		}
		each.What = k.what
		switch {
		case a == nil:
			each.Kind = Missing
		case b == nil:
			if k.time >= 0 {
				at := telemetry.Micros(a[k.time].(int64)) * k.unit
				if at < c.from || at >= c.to {
					return ctx.Err()
				}
			}
			each.Kind = Extra
			count.Live++
		default:
			count.Live++
			each.Kind = Differs
			if ofAlarm {
				c.alarms[texts[0]] = texts[1]
				c.unraised[texts[0]] = b[k.time].(int64) == 0
			}
			again := b.texts()
			for i := k.keys; i < len(texts); i++ {
				if texts[i] != again[i] {
					each.Fields = append(each.Fields, Field{names[i], texts[i], again[i]})
					each.turned = each.turned || ofAlarm && names[i] == "active"
				}
			}
			if len(each.Fields) == 0 {
				return ctx.Err()
			}
		}
		for i, name := range names[:k.keys] {
			each.Key = append(each.Key, name+"="+texts[i])
		}
		if len(c.found) < mostCandidates {
			c.found = append(c.found, each)
		}
		return ctx.Err()
	})
	c.report.Compared = append(c.report.Compared, count)
	return err
}

// judge says why something differs by nature; "": it shouldn't. It isn't within if
// nothing can be said of it.
func (c *comparison) judge(d candidate) (why string, within bool) {
	switch {
	case c.whole:
		return "", true
	case d.gateway != "" && c.unraised[d.key[0]]:
		return "it was raised before what was read", true
	case (d.Kind != Missing || d.kept.adds) && c.outside[d.kept.about(d.key)]:
		return "the log also tells of it elsewhere", true
	case d.what("alarm") && d.turned, d.what("alarm transition") && d.Kind == Extra && d.key[3] == "cloud":
		if c.outside["start "+d.gateway] {
			return "its gateway's start, elsewhere in the log, has changed it", true
		}
	case d.what("expected") && d.Kind == Extra:
		return "", false // of a process that isn't in what was read
	}
	return "", true
}

func (d candidate) what(name string) bool { return d.kept.what == name }

// ask notes what judge will want to know of the rest of the log, which may be long.
func (c *comparison) ask() {
	c.outside = map[string]bool{}
	for _, d := range c.found {
		c.outside[d.kept.about(d.key)] = false
		if d.gateway != "" {
			c.outside["start "+d.gateway] = false
		}
	}
}

// lookOutside notes which of what is asked for the log tells of beside what was read.
func (c *comparison) lookOutside(ctx context.Context) error {
	c.ask()
	topic := c.Topics.Events()
	now, err := log.Spans(ctx, c.Log, []string{topic}, c.From, c.To)
	if err != nil {
		return err
	}
	before, after := log.Span{}, log.Span{}
	from, to, next := log.Offsets{topic: {}}, log.Offsets{topic: {}}, log.Offsets{topic: {}}
	for p, s := range c.spans[topic] {
		from[topic][p], to[topic][p], next[topic][p] = now[topic][p].Begin, s.From, s.To
		before.To += max(0, s.From-now[topic][p].Begin)
		after.To += now[topic][p].End - s.To
	}
	ends := log.Offsets{topic: {}}
	for p, s := range now[topic] {
		ends[topic][p] = s.End
	}
	keys := identity.NewKeys(c.Live)
	var done int64
	read := func(from, to log.Offsets) error {
		reader, err := log.OpenReader(ctx, c.Log, []string{topic}, from, nil)
		if err != nil {
			return err
		}
		defer reader.Close()
		return reader.ReadTo(ctx, to, 500, func(records []*kgo.Record) error {
			for _, k := range records {
				if err := c.noteOutside(ctx, keys, k); err != nil {
					return err
				}
			}
			done += int64(len(records))
			c.Progress(Progress{"the rest of the events", done, before.To + after.To})
			return nil
		})
	}
	if err := read(from, to); err != nil {
		return err
	}
	return read(next, ends)
}

func (c *comparison) noteOutside(ctx context.Context, keys *identity.Keys, k *kgo.Record) error {
	rec, e, err := alarm.Parse(k)
	if err != nil {
		return nil // no event: it was set aside
	}
	// What a key has signed before it was revoked was taken.
	if refusal, err := keys.Record(ctx, rec, nil); err != nil || refusal != nil && refusal.Reason != store.RevokedKey {
		return err
	}
	for _, about := range subjects(rec.Gateway, rec.Epoch.String(), rec.First, e) {
		if _, asked := c.outside[about]; asked {
			c.outside[about] = true
		}
	}
	return nil
}

// subjects is what an event is about, as kept.about says it.
func subjects(gateway, epoch string, seq uint64, e telemetry.Event) []string {
	about := func(parts ...string) []string { return []string{strings.Join(parts, " ")} }
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch e.Kind {
	case telemetry.AlarmRaised, telemetry.AlarmCleared:
		return about("alarm", e.Alarm.ID)
	case telemetry.AlarmCaptured:
		return about("alarm", e.Capture.Alarm)
	case telemetry.BufferDamaged, telemetry.ConfigurationRolledBack, telemetry.MasterMissed:
		return about("alarm", alarm.IDFor(gateway, e))
	case telemetry.UpdateConfirmed:
		return about("update", gateway, e.Update.Version)
	case telemetry.UpdateRolledBack:
		return append(about("alarm", alarm.IDFor(gateway, e)), about("update", gateway, e.Update.Version)...)
	case telemetry.GatewayStarted, telemetry.GatewayStopped:
		return about("start", gateway)
	case telemetry.SamplesCounted:
		return about("account", gateway, e.Account.Epoch, number(store.QuarterNumber(e.Account.From)))
	case telemetry.SamplesLost:
		return about("loss", gateway, e.Loss.Epoch)
	case telemetry.LinkChanged:
		return about("link", gateway, e.Link.Stream, number(int64(e.Time)))
	case telemetry.CounterRolledOver, telemetry.CounterReset:
		return about("counter", gateway, e.Counter.Device, number(int64(e.Counter.AfterTime)))
	case telemetry.VoltageSag, telemetry.VoltageSwell:
		return about("disturbance", gateway, e.Disturbance.Device, number(int64(e.Time)))
	case telemetry.ControlAttempted:
		return about("control", gateway, epoch, strconv.FormatUint(seq, 10))
	}
	return nil
}
