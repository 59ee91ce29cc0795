package cloud

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/command"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/keyfile"
	"github.com/busbar/busbar/telemetry/record"
)

func commandKeyFile(config Config, dir string) string {
	if config.Store.Postgres != nil {
		return filepath.Join(dir, "command.key")
	}
	return filepath.Join(filepath.Dir(config.Store.Path.In(dir)), "command.key")
}

// CommandKey is the key that the cloud signs commands with, made beside the file of
// the store, or beside the configuration if there is no such file, at the first call. dir is what file names in the configuration are
// relative to.
func CommandKey(config Config, dir string) (keyfile.Key, error) {
	key, _, err := keyfile.OpenKey(commandKeyFile(config, dir))
	if err != nil {
		return keyfile.Key{}, fmt.Errorf("cloud: command key: %w", err)
	}
	return key, nil
}

// RotateCommandKey replaces the key by one that it introduces. A cloud that runs signs
// with the new one from then on.
func RotateCommandKey(config Config, dir string) (before, after keyfile.Key, err error) {
	if before, after, err = keyfile.RotateKey(commandKeyFile(config, dir), record.CommandKeys); err != nil {
		return before, after, fmt.Errorf("cloud: command key: %w", err)
	}
	return before, after, nil
}

// connection is how the log is reached, and the names of its topics. The embedded
// log is reached where it listens.
func connection(config Config, dir string) ([]kgo.Opt, record.Topics, error) {
	if k := config.Log.Kafka; k != nil {
		options, err := k.Options(dir)
		return append(options, kgo.ClientID("busbar-cloud")), record.TopicsOf(k.TopicPrefix), err
	}
	return []kgo.Opt{kgo.SeedBrokers(config.Log.Embedded.Listen), kgo.ClientID("busbar-cloud")}, record.TopicsOf(""), nil
}

// NewSender makes a sender of commands beside a cloud that runs, with its key and
// its store.
func NewSender(config Config, dir string, s *store.Store) (*command.Sender, error) {
	options, topics, err := connection(config, dir)
	if err != nil {
		return nil, err
	}
	return command.NewSender(s, func() (keyfile.Key, error) { return CommandKey(config, dir) }, options, topics)
}

const (
	// acknowledgements are how many may wait to be told to their gateways.
	acknowledgements = 100
	// tellTime is how long one may take, so that an old one doesn't hold up others.
	tellTime = 10 * time.Second
)

// acknowledged has the gateway of an active alarm told of its acknowledgement.
func (c *Cloud) acknowledged(a alarm.Alarm) {
	if !a.Active || !a.OfItsGateway() {
		return
	}
	select {
	case c.tell <- a:
	default:
		c.log.Warn("a gateway isn't told of an acknowledgement: too many wait", "gateway", a.Gateway, "alarm", a.ID)
	}
}

// tellGateways tells gateways of acknowledgements until ctx ends, each once. It is
// for whoever stands in front of one: the alarm is acknowledged whether the
// gateway hears of it or not.
func (c *Cloud) tellGateways(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-c.tell:
			attempt, cancel := context.WithTimeout(ctx, tellTime)
			_, err := c.sender.Send(attempt, command.Request{Gateway: a.Gateway, Kind: record.Ack, Alarm: a.ID, By: a.AcknowledgedBy})
			cancel()
			if err != nil && ctx.Err() == nil {
				c.log.Warn("a gateway can't be told of an acknowledgement", "gateway", a.Gateway, "alarm", a.ID, "error", err)
			}
		}
	}
}

// readDevice has a gateway read a device now, and returns when it has answered.
func (c *Cloud) readDevice(ctx context.Context, gateway, device string) error {
	sent, err := c.sender.Send(ctx, command.Request{Gateway: gateway, Kind: record.Read, Device: device, By: store.ByCloud, Life: askingFor})
	if err != nil {
		return err
	}
	_, err = command.Await(ctx, c.store, sent.ID)
	return err
}

// askingFor is how long a gateway may take to do what the cloud wants to know by itself.
const askingFor = 10 * time.Second

// ping asks a gateway whether it is there, and returns when it has answered.
func (c *Cloud) ping(ctx context.Context, gateway string) error {
	sent, err := c.sender.Send(ctx, command.Request{Gateway: gateway, Kind: record.Ping, By: store.ByCloud, Life: askingFor})
	if err != nil {
		return err
	}
	_, err = command.Await(ctx, c.store, sent.ID)
	return err
}
