package kafkaconn

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestAccessIsNamedTopicByTopic(t *testing.T) {
	allow := func(topic string, operations ...kmsg.ACLOperation) (acls []kfake.ACL) {
		for _, o := range operations {
			acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: o, Allow: true})
		}
		return acls
	}
	acls := append(allow("written", kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe), allow("read", kmsg.ACLOperationRead)...)
	acls = append(acls, allow("seen", kmsg.ACLOperationDescribe)...)
	acls = append(acls, allow("absent", kmsg.ACLOperationDescribe)...)
	address := broker(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "written", "read", "seen", "hidden"),
		kfake.User("PLAIN", "gw", "s3cret", acls...))
	dir := t.TempDir()
	write(t, dir, "password", []byte("s3cret"))
	config := Config{Brokers: []string{address}, SASL: &SASL{Plain, "gw", "password"}}
	options, err := config.Options(dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for name, c := range map[string]struct {
		access Access
		want   []string // nothing: allowed
	}{
		"nothing asked":    {Access{}, nil},
		"all allowed":      {Access{Write: []string{"written"}, Read: []string{"read"}}, nil},
		"not to write":     {Access{Write: []string{"written", "seen"}}, []string{"topic seen: this login may not write to it; its ACL needs Write"}},
		"not to read":      {Access{Read: []string{"written"}}, []string{"topic written: this login may not read it; its ACL needs Read"}},
		"not to see":       {Access{Write: []string{"hidden"}}, []string{"topic hidden: this login may not see it; its ACL needs Describe and Write"}},
		"absent":           {Access{Write: []string{"absent"}}, []string{"topic absent doesn't exist"}},
		"several, in turn": {Access{Write: []string{"hidden", "read"}, Read: []string{"seen"}}, []string{"topic hidden: this login may not see", "topic read: this login may not write", "topic seen: this login may not read"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := CheckAccess(ctx, client, c.access)
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var wrong *AccessError
			if !errors.As(err, &wrong) || len(wrong.Topics) != len(c.want) {
				t.Fatalf("got %v, want %d topics", err, len(c.want))
			}
			for i, want := range c.want {
				if got := wrong.Topics[i].Error(); !strings.HasPrefix(got, want) || !strings.Contains(err.Error(), got) {
					t.Errorf("got %q, want %q…", got, want)
				}
			}
		})
	}
}

// A broker that falls silent after the connection was made is no missing right.
func TestAccessCheckIsBounded(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "written"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer := make(chan struct{})
	defer close(answer)
	cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if r.(*kmsg.MetadataRequest).IncludeTopicAuthorizedOperations {
			cluster.SleepControl(func() { <-answer })
		}
		return nil, nil, false
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = CheckAccess(ctx, client, Access{Write: []string{"written"}})
	if err == nil || !strings.HasPrefix(err.Error(), "kafka: no broker answers in time") {
		t.Errorf("got %v", err)
	}
}
