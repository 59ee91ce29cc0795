package cloud

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/rollout"
	"github.com/busbar/busbar/cloud/uplink"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
)

// uplinkServer is the HTTPS server that gateways send to.
type uplinkServer struct {
	*uplink.Uplink
	updates  http.Handler // nil: there are none
	listener net.Listener
	producer *kgo.Client
	commands *uplink.Commands
	log      *slog.Logger
}

// openUplink listens, with the certificate that the configuration names.
func (c *Cloud) openUplink(config Uplink, names record.Topics) (*uplinkServer, error) {
	pair, err := loadRenewed("uplink", config.Cert.In(c.options.Dir), config.Key.In(c.options.Dir), c.log)
	if err != nil {
		return nil, fmt.Errorf("cloud: uplink: %w", err)
	}
	producer, err := kgo.NewClient(append(c.kafka[:len(c.kafka):len(c.kafka)],
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), // blocks are dense already
		kgo.ProducerBatchMaxBytes(1<<20),
		kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		return nil, fmt.Errorf("cloud: uplink: Kafka client: %w", err)
	}
	listener, err := (&net.ListenConfig{KeepAliveConfig: kafkaconn.KeepAlive}).Listen(context.Background(), "tcp", config.Listen)
	if err != nil {
		producer.Close()
		return nil, fmt.Errorf("cloud: uplink: %w", err)
	}
	var updates http.Handler
	if u := config.Updates; u != nil {
		updates = rollout.Handler(rollout.Options{Files: os.DirFS(u.Dir.In(c.options.Dir)), Limits: u.limits(), Count: c.store.Rollout, Log: c.log})
	}
	commands := uplink.NewCommands(c.kafka, names, c.log)
	return &uplinkServer{
		updates: updates,
		Uplink: uplink.New(uplink.Options{
			Producer: producer, Topics: names, Keys: uplink.NewRegistry(c.store, names), Commands: commands, MaxRate: int(config.MaxRate), Log: c.log,
		}),
		listener: tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}),
		producer: producer, commands: commands, log: c.log,
	}, nil
}

// handler answers what is asked of the uplink, and of new versions.
func (u *uplinkServer) handler() http.Handler {
	if u.updates == nil {
		return u
	}
	mux := http.NewServeMux()
	mux.Handle("/", u)
	mux.Handle("/updates/", u.updates)
	return mux
}

// serve answers gateways until ctx ends. What is under way then is finished.
func (u *uplinkServer) serve(ctx context.Context) error {
	server := http.Server{
		Handler: u.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Minute, MaxHeaderBytes: 16 << 10,
		ReadTimeout:  5 * time.Minute, // the largest request at 64 kbit/s
		WriteTimeout: 7 * time.Minute, // from then on: whoever doesn't take an answer holds nothing for ever
		ErrorLog:     slog.NewLogLogger(u.log.Handler(), slog.LevelDebug),
	}
	ended := context.AfterFunc(ctx, func() {
		ending, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		if server.Shutdown(ending) != nil {
			server.Close()
		}
	})
	defer ended()
	var reader sync.WaitGroup
	reading, stopReading := context.WithCancel(ctx)
	defer func() {
		stopReading()
		reader.Wait()
	}()
	reader.Go(func() {
		if err := u.commands.Run(reading); err != nil {
			u.log.Error("uplink: gateways get no commands", "error", err)
		}
	})
	u.log.Info("uplink for gateways", "listen", u.listener.Addr().String())
	if err := server.Serve(u.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cloud: uplink: %w", err)
	}
	return nil
}

func (u *uplinkServer) close() {
	u.listener.Close()
	u.producer.Close()
}
