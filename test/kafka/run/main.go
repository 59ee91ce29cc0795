// The program behind `make kafka`: a real Kafka cluster on this machine, with
// users for a gateway and a cloud to try them against.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/test/kafka"
)

type command struct {
	Dir     string  `help:"Where everything is kept. A cluster that is there already goes on." default:".kafka" placeholder:"DIR"`
	Port    int     `help:"The first of the cluster's 32 ports on 127.0.0.1." default:"15092"`
	Brokers int     `help:"How many brokers." default:"3"`
	Gateway string  `help:"The gateway that gets a login." default:"north-gw1"`
	Prefix  string  `help:"What the names of the topics begin with." default:"busbar"`
	Quota   float64 `help:"Bytes a second that the gateway may write to each broker; 0 for any number." default:"0"`
}

const description = `Runs a real Apache Kafka cluster on this machine: several brokers, TLS, logins by password and by certificate, ACLs.
For tests and for trying Busbar out: whoever has an account on this machine administers it without a login.

Examples:
  make kafka                                  start it, or go on with it; Ctrl-C stops it
  make kafka ARGS='--gateway south-gw1'       a login for another gateway
  make kafka ARGS='--quota 100000'            the gateway may write 100 kB/s to each broker
  rm -r .kafka                                forget everything`

func main() {
	var c command
	kong.Parse(&c, kong.Name("kafka"), kong.Description(description), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal kills it
	err := c.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	startTime = 3 * time.Minute
	setUpTime = time.Minute
)

func (c command) run(ctx context.Context) error {
	began := time.Now()
	say := func(line string) { fmt.Fprintf(os.Stderr, "%5.1fs  %s\n", time.Since(began).Seconds(), line) }
	starting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	say(fmt.Sprintf("preparing %d brokers in %s", c.Brokers, c.Dir))
	cluster, err := kafka.New(starting, kafka.Options{Dir: c.Dir, Brokers: c.Brokers, Port: c.Port, Progress: say})
	if err != nil {
		return err
	}
	defer func() {
		say("stopping the brokers")
		cluster.Close()
	}()
	say("creating topics and users")
	if err := c.setUp(ctx, cluster); err != nil {
		return err
	}
	say("ready; Ctrl-C stops it")
	<-ctx.Done()
	return nil
}

// setUp makes topics and users, and prints how to use them.
func (c command) setUp(ctx context.Context, cluster *kafka.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, setUpTime)
	defer cancel()
	if err := cluster.CreateTopics(ctx, c.Prefix); err != nil {
		return err
	}
	gateway, err := cluster.Gateway(ctx, c.Prefix, c.Gateway)
	if err != nil {
		return err
	}
	cloud, err := cluster.Cloud(ctx, c.Prefix)
	if err != nil {
		return err
	}
	if err := cluster.Quota(ctx, c.Gateway, c.Quota); err != nil {
		return err
	}
	show("gateway.yaml, with a password", "forward", gateway.SCRAM())
	show("gateway.yaml, with a certificate", "forward", gateway.MTLS())
	show("cloud.yaml, with a password", "log", cloud.SCRAM())
	show("cloud.yaml, with a certificate", "log", cloud.MTLS())
	fmt.Printf("# For administration, without a login:\n# %s\n", strings.Join(cluster.Brokers(), ","))
	return nil
}

func show(title, section string, config kafkaconn.Config) {
	fmt.Printf("# %s\n%s:\n  kafka:\n%s\n", title, section, kafka.YAML(config, "    "))
}
