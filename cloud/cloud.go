// Package cloud is the cloud's runtime: it takes gateways' records from the log
// into the store, keeps the alarms, sums up what is stored, and serves operators.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alertmanager"
	"github.com/busbar/busbar/cloud/api"
	"github.com/busbar/busbar/cloud/command"
	"github.com/busbar/busbar/cloud/compact"
	"github.com/busbar/busbar/cloud/headend"
	"github.com/busbar/busbar/cloud/ingest"
	"github.com/busbar/busbar/cloud/log"
	"github.com/busbar/busbar/cloud/measurements"
	"github.com/busbar/busbar/cloud/notify"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/outage/rekey"
	"github.com/busbar/busbar/cloud/remotewrite"
	"github.com/busbar/busbar/cloud/share"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry/record"
)

// Options are what the cloud needs beside its configuration.
type Options struct {
	Version string
	Dir     string // that the configuration's file names are relative to
	Log     *slog.Logger
	Targets []Target // none: all
	// Drain is for how long, after its context has ended, Run still answers as if nothing
	// were, but for /readyz: so that whoever sends it requests can see that first.
	Drain   time.Duration
	drained <-chan struct{} // ends it before
}

// Cloud is a configured cloud that holds its store, its listener and, if it has
// one, its embedded log open.
type Cloud struct {
	config  Config
	options Options
	log     *slog.Logger

	kafka    []kgo.Opt
	topics   []log.Topic
	read     []string // the topics that must be readable
	embedded *log.Embedded
	store    *store.Store
	console  console
	ingest   *ingest.Runner
	alarms   *alarm.Runner
	outages  *desk.Runner
	compact  *compact.Runner
	imports  *headend.Runner        // nil: there are no head-ends
	receiver *alertmanager.Receiver // nil: nothing is taken from Alertmanagers
	live     *api.Live
	sender   *command.Sender
	tell     chan alarm.Alarm // that were acknowledged, for their gateways
	uplink   *uplinkServer    // nil: there is none

	targets []Target
	// Of TargetPublish.
	notify     *notify.Runner
	measured   *measurements.Runner // nil: nobody reads them
	evidence   *rekey.Runner        // nil: nobody reads it
	writers    []*remotewrite.Writer
	publishing atomic.Bool                // this process does, and doesn't stand by
	sharing    map[Target]*share.Division // of the consumers, and of TargetAnalytics
	prepared   chan struct{}              // closed when the topics are there
	draining   atomic.Bool
	ending     chan struct{} // closed when streams are to end
}

// New opens the store, the console's address and the embedded log. A Kafka
// cluster need not be reachable yet.
func New(ctx context.Context, config Config, o Options) (*Cloud, error) {
	c := &Cloud{config: config, options: o, log: o.Log, live: api.NewLive(),
		tell: make(chan alarm.Alarm, acknowledgements), sharing: map[Target]*share.Division{}, ending: make(chan struct{}), prepared: make(chan struct{})}
	if err := c.open(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *Cloud) open(ctx context.Context) (err error) {
	config, dir := c.config, c.options.Dir
	if c.targets, err = targetsOf(config, c.options.Targets); err != nil {
		return err
	}
	if err = c.openConsole(config.Console); err != nil {
		return err
	}
	if c.store, err = store.Open(ctx, config.Store.In(dir)); err != nil {
		return err
	}
	if config.Console.SignIn {
		c.console.access = access.New(c.store, c.console.secure, c.log)
		if c.runs(TargetAPI) {
			if err := c.openOpenID(); err != nil {
				return err
			}
			c.warnOfNobody(ctx)
		}
	}
	var names record.Topics
	if c.kafka, names, err = connection(config, dir); err != nil {
		return err
	}
	c.topics = log.Topics(names, config.Log.Partitions, config.Log.Replicas, config.Log.MinInSync)
	if config.Measurements != nil {
		c.topics = append(c.topics, log.MeasurementTopics(names, config.Log.Partitions, config.Log.Replicas, config.Log.MinInSync)...)
	}
	if config.Evidence != nil {
		c.topics = append(c.topics, log.EvidenceTopics(names, config.Log.Partitions, config.Log.Replicas, config.Log.MinInSync)...)
	}
	if c.runs(TargetIngest) {
		c.read = append(c.read, names.Telemetry(), names.Births())
	}
	if c.runs(TargetAlarm) {
		c.read = append(c.read, names.Events())
	}
	if c.runs(TargetPublish) && config.Measurements != nil {
		c.read = append(c.read, names.MeasurementsCursor())
	}
	if c.runs(TargetPublish) && config.Evidence != nil {
		c.read = append(c.read, names.EvidenceCursor())
	}
	if e := config.Log.Embedded; e != nil {
		c.embedded, err = log.StartEmbedded(ctx, log.EmbeddedOptions{
			Listen: e.Listen, Dir: e.Path.In(dir), Topics: c.topics, Logger: c.log,
		})
		if err != nil {
			return err
		}
		c.log.Warn("using the embedded log: one node, no replication, not for production", "listen", c.embedded.Addr())
		c.kafka = append(c.kafka, kgo.SeedBrokers(c.embedded.Addr()))
	}
	c.prepareWork(names)
	c.openHeadEnds(names)
	if c.runs(TargetPublish) {
		if err := c.openPublishing(ctx, names); err != nil {
			return err
		}
	}
	if c.runs(TargetAPI) || c.runs(TargetAlarm) {
		key := func() (keyfile.Key, error) { return CommandKey(config, dir) }
		if _, err := key(); err != nil {
			return err
		}
		if c.sender, err = command.NewSender(c.store, key, c.kafka, names); err != nil {
			return err
		}
	}
	if c.runs(TargetAPI) {
		if err := c.openReceiver(); err != nil {
			return err
		}
	}
	if c.runs(TargetUplink) {
		c.uplink, err = c.openUplink(*config.Uplink, names)
	}
	return err
}

// Run works until ctx ends and closes everything that New opened. What is under way then
// is brought to an end: what was read is stored, requests are answered, and streams end.
func (c *Cloud) Run(ctx context.Context) error {
	defer c.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	started := time.Now()
	var running sync.WaitGroup
	running.Go(func() { c.work(ctx) })
	if c.runs(TargetAPI) {
		running.Go(func() { c.tellGateways(serving) })
		running.Go(func() { c.tellAudit(serving) })
		if a := c.console.access; a != nil && a.Provider() != nil {
			running.Go(func() { a.Provider().Run(serving) })
		}
	}
	if c.runs(TargetAPI) || len(c.writers) > 0 {
		running.Go(func() { c.followLatest(serving) })
	}
	server := http.Server{
		Handler: c.handler(started), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return serving },
		ErrorLog:    slog.NewLogLogger(c.log.Handler(), c.console.errors()),
	}
	running.Go(func() {
		if err := server.Serve(c.console.listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("cloud: console: %w", err))
		}
	})
	if c.uplink != nil {
		running.Go(func() {
			if err := c.uplink.serve(serving); err != nil {
				cancel(err)
			}
		})
	}
	c.log.Info("cloud started", "version", c.options.Version, "console", c.url(), "targets", fmt.Sprint(c.targets))
	<-ctx.Done()
	c.draining.Store(true)
	if c.options.Drain > 0 && errors.Is(context.Cause(ctx), context.Canceled) {
		c.log.Info("stopping", "drain", c.options.Drain.String())
		select {
		case <-time.After(c.options.Drain):
		case <-c.options.drained:
		}
	}
	close(c.ending)
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := server.Shutdown(ending); err != nil {
		server.Close()
	}
	stopServing()
	running.Wait()
	c.log.Info("cloud stopped")
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// prepareTopics creates missing topics, as soon as the brokers can be reached.
func (c *Cloud) prepareTopics(ctx context.Context) error {
	client, err := kgo.NewClient(c.kafka...)
	if err != nil {
		return fmt.Errorf("cloud: Kafka client: %w", err)
	}
	defer client.Close()
	const every = 2 * time.Second
	for failed := false; ; failed = true {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := kafkaconn.Check(attempt, client)
		if err == nil {
			err = log.EnsureTopics(attempt, client, c.topics)
		}
		if err == nil {
			err = c.mayRead(attempt, client)
		}
		if err == nil {
			c.warnOfRetention(attempt, client)
		}
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if !failed {
			c.log.Error("the log can't be used; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// mayRead names what keeps the cloud from reading its topics. One that was created
// a moment ago needn't be known to every broker yet.
func (c *Cloud) mayRead(ctx context.Context, client *kgo.Client) error {
	err := kafkaconn.CheckAccess(ctx, client, kafkaconn.Access{Read: c.read})
	var wrong *kafkaconn.AccessError
	if errors.As(err, &wrong) && !slices.ContainsFunc(wrong.Topics, func(t kafkaconn.TopicError) bool { return !t.Absent }) {
		return nil
	}
	return err
}

// warnOfRetention says if signal tables may be deleted from the log. Brokers
// needn't allow to ask.
func (c *Cloud) warnOfRetention(ctx context.Context, client *kgo.Client) {
	topics, err := log.NotCompacted(ctx, client, c.topics)
	if err != nil {
		c.log.Debug("the settings of the topics can't be read", "error", err)
	}
	for _, topic := range topics {
		c.log.Warn("the topic isn't compacted: signal tables that a new store needs will be deleted from it", "topic", topic)
	}
}

func (c *Cloud) close() {
	if c.uplink != nil {
		c.uplink.close()
	}
	if c.sender != nil {
		c.sender.Close()
	}
	if c.embedded != nil {
		c.embedded.Close()
	}
	if c.store != nil {
		if err := c.store.Close(); err != nil {
			c.log.Error("closing the store", "error", err)
		}
	}
	if c.console.listener != nil {
		c.console.listener.Close()
	}
}
