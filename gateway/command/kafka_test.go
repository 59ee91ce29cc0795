package command

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/telemetry"
)

// The log is away at first, comes, goes, and comes again with another topic under
// the name: what is written to it arrives, once.
func TestMessagesArriveWhateverBecomesOfTheLog(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	address := cluster.ListenAddrs()[0]
	cluster.Close()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLog([]kgo.Opt{kgo.SeedBrokers(address)}, "commands", "gw", Now{telemetry.MicrosOf(time.Now()), true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for n := range 2 {
		if cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number), kfake.SeedTopics(1, "commands")); err != nil {
			t.Fatal(err)
		}
		producer, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err != nil {
			t.Fatal(err)
		}
		want := strconv.Itoa(n)
		for key, value := range map[string]string{"gx": "another's", "gw": want} {
			if err := producer.ProduceSync(ctx, &kgo.Record{Topic: "commands", Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		producer.Close()
		for got := ""; got == ""; {
			messages, err := l.Receive(ctx)
			if ctx.Err() != nil {
				t.Fatalf("message %s doesn't arrive: %v", want, err)
			}
			for _, m := range messages {
				got += string(m.Value)
			}
			if got != "" && got != want {
				t.Fatalf("%q arrives, want %q", got, want)
			}
		}
		cluster.Close()
	}
}
