package log

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// EmbeddedOptions say where the embedded broker listens and keeps its log.
type EmbeddedOptions struct {
	Listen string // an address of this machine and a port; clients are told this address
	Dir    string // created if missing, for this user alone; one broker at a time may use it
	Topics []Topic
	Logger *slog.Logger // nil: slog.Default
}

// Embedded is a Kafka broker inside this process: one node, no replication,
// made for demonstrations and for trying Busbar out. Each acknowledged batch is
// synced to disk first, so a killed process loses none; a failing disk may. It
// keeps everything: the broker rewrites segments in place when it compacts or
// deletes, and a kill in the middle of that would lose signal tables.
type Embedded struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
}

var errInUse = errors.New("another broker uses it")

// StartEmbedded listens, loads the log that is in Dir and creates the topics
// that are missing. After a kill a producer may write its last batches again:
// the log then holds them twice.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (*Embedded, error) {
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("embedded log: listen address %q: %w", o.Listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return nil, fmt.Errorf("embedded log: listen address %q: name one address, clients are told to connect to it", o.Listen)
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded log: %w", err)
	}
	lock, err := lock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("embedded log: directory %s: %w", o.Dir, err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID("busbar-embedded"),
		kfake.DataDir(o.Dir),
		kfake.SyncWrites(),
		kfake.WithLogger(brokerLog{logger}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, o.Listen) }))
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("embedded log at %s in %s: %w", o.Listen, o.Dir, err)
	}
	e := &Embedded{cluster: cluster, addr: cluster.ListenAddrs()[0], lock: lock}
	if err := e.prepare(ctx, o); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Embedded) prepare(ctx context.Context, o EmbeddedOptions) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(e.addr))
	if err != nil {
		return fmt.Errorf("embedded log: %w", err)
	}
	defer client.Close()
	topics := make([]Topic, len(o.Topics))
	for i, t := range o.Topics {
		topics[i] = Topic{Name: t.Name, Partitions: t.Partitions, Replicas: 1}
	}
	return EnsureTopics(ctx, client, topics)
}

// Addr is the address that clients connect to.
func (e *Embedded) Addr() string { return e.addr }

// Close stops the broker. Clients see their connections close.
func (e *Embedded) Close() {
	e.cluster.Close()
	e.lock.Close()
}

// brokerLog passes on what the broker warns of; it reports nothing per batch
// at that level.
type brokerLog struct{ *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.Error("embedded log: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.Warn("embedded log: " + fmt.Sprintf(format, args...))
	}
}
