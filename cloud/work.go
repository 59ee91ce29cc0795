package cloud

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/share"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// prepareWork makes what works in the background, and divides it among the processes of
// the database.
func (c *Cloud) prepareWork(names record.Topics) {
	flush := time.Duration(c.config.Ingest.FlushEvery)
	taking := ingest.Config{Log: c.kafka, Topics: names, Store: c.store, Logger: c.log, FlushEvery: flush}
	if !c.store.Shared() {
		taking.OnLatest = c.pass // else it comes by the store
	}
	c.ingest = ingest.New(taking)
	c.alarms = alarm.New(alarm.Config{Log: c.kafka, Topics: names, Store: c.store, Logger: c.log,
		Telemetry: func() time.Time { return c.through(ingest.Consumer, c.ingest.Stats().Through) }, Flush: flush})
	c.outages = desk.New(desk.Config{Store: c.store, Logger: c.log, Ping: c.ping, Read: c.readDevice})
	c.compact = compact.New(compact.Config{Store: c.store, Logger: c.log, Keep: c.config.Store.KeepDays.levels()})
	divide := func(t Target, parts func(context.Context) (int, error)) {
		c.sharing[t] = share.New(share.Config{Store: c.store, Work: string(t), Parts: parts, Logger: c.log})
	}
	divide(TargetIngest, func(ctx context.Context) (int, error) {
		client, err := kgo.NewClient(c.kafka...)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		return log.CountPartitions(ctx, client, names.Telemetry())
	})
	divide(TargetAlarm, nil)
	divide(TargetAnalytics, nil)
	divide(TargetPublish, nil)
}

// work does what this process is for beside answering requests, until ctx ends.
func (c *Cloud) work(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	do := func(t Target, work func(context.Context, store.Share)) {
		if c.runs(t) {
			running.Go(func() { c.sharing[t].Run(ctx, work) })
		}
	}
	do(TargetAnalytics, func(ctx context.Context, _ store.Share) {
		var keeping sync.WaitGroup
		keeping.Go(func() { network.Keep(ctx, c.store, c.log) })
		keeping.Go(func() { c.estimate(ctx) })
		c.compact.Run(ctx)
		keeping.Wait()
	})
	do(TargetPublish, func(ctx context.Context, _ store.Share) { c.publish(ctx) })
	if len(c.read) == 0 || c.prepareTopics(ctx) != nil {
		return
	}
	close(c.prepared)
	do(TargetIngest, c.ingest.RunShare)
	do(TargetAlarm, func(ctx context.Context, _ store.Share) {
		var concluding sync.WaitGroup
		concluding.Go(func() { c.outages.Run(ctx) })
		if c.imports != nil {
			concluding.Go(func() { c.imports.Run(ctx) })
		}
		c.alarms.Run(ctx)
		concluding.Wait()
	})
}

// through is up to when all that the log had of a consumer's work is stored, whichever
// processes do it; here is that of this one. The zero Time if it isn't known.
func (c *Cloud) through(consumer string, here time.Time) time.Time {
	if !c.store.Shared() {
		return here
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	at, err := c.store.Progress(ctx, consumer)
	if err != nil || at == 0 {
		return time.Time{}
	}
	return at.Time()
}

// followEvery is how often newest samples are fetched that any process has stored, if there
// are any.
const followEvery = 250 * time.Millisecond

// followLatest passes on the newest samples that any process has stored, if several may.
func (c *Cloud) followLatest(ctx context.Context) {
	if !c.store.Shared() {
		return
	}
	known := map[telemetry.SignalID]telemetry.Sample{}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !c.live.Watched() && !(c.publishing.Load() && len(c.writers) > 0) {
			c.store.SkipLatest()
			clear(known)
			continue
		}
		samples, err := c.store.LatestChanged(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			c.log.Warn("newest samples can't be read for those who watch, trying again", "error", err)
		}
		failed = err != nil
		changed, fresh := pick(samples, known, telemetry.MicrosOf(time.Now()))
		c.live.Publish(changed)
		c.writeRemotely(fresh)
	}
}

// lateStart is how old the first sample that is known of a series may be to be news for
// other systems. Samples come by the bundle: beside one that is new are some that others
// have passed on long ago.
const lateStart = 10 * 60_000_000 // µs

// pick is which samples differ from what is known of their series, and which of them are
// news for other systems. It makes them known.
func pick(samples []telemetry.Sample, known map[telemetry.SignalID]telemetry.Sample, now telemetry.Micros) (changed, fresh []telemetry.Sample) {
	for _, s := range samples {
		before, has := known[s.Signal]
		if has && before == s {
			continue
		}
		known[s.Signal] = s
		changed = append(changed, s)
		if has || s.Time > now-lateStart {
			fresh = append(fresh, s)
		}
	}
	return changed, fresh
}
