package test

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
	"github.com/busbar/busbar/test/kafka"
)

// attempt is a way to Kafka, right or wrong.
type attempt struct {
	config kafkaconn.Config
	want   string // how the check's error begins, after "kafka: "; "" for none
	access kafkaconn.Access
}

func attempts(t *testing.T) map[string]attempt {
	t.Helper()
	cluster, prefix := kafka.Shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	other := prefix + "-other"
	if err := cluster.CreateTopics(ctx, other); err != nil {
		t.Fatal(err)
	}
	gateway := must(cluster.Gateway(ctx, prefix, "credentials-gw1"))(t)
	nobody := must(cluster.User(ctx, prefix, "credentials-gw2", "gateway", nil))(t)
	spectator := must(cluster.User(ctx, prefix, "credentials-gw3", "gateway", []kafka.Right{
		{Topic: prefix + ".", Prefixed: true, Operations: []kadm.ACLOperation{kadm.OpDescribe}},
	}))(t)
	cloud := must(cluster.Cloud(ctx, prefix))(t)
	rogue := gateway
	var err error
	rogue.Cert, rogue.Key, err = cluster.Authority().Client("rogue", pkix.Name{CommonName: "credentials-gw1", Organization: []string{"other"}})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := kafka.OpenAuthority(filepath.Join(t.TempDir(), "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	forged := gateway
	forged.Cert, forged.Key, err = theirs.Client("forged", pkix.Name{CommonName: "credentials-gw1", OrganizationalUnit: []string{"gateway"}, Organization: []string{"utility"}})
	if err != nil {
		t.Fatal(err)
	}

	topics, others := record.TopicsOf(prefix), record.TopicsOf(other)
	own := kafkaconn.Access{
		Write: []string{topics.Telemetry(), topics.Backfill(), topics.Events(), topics.Births()},
		Read:  []string{topics.Commands()},
	}
	admin := connect(t, kafkaconn.Config{Brokers: cluster.Brokers()})
	for _, topic := range append(own.Read, own.Write...) {
		if err := admin.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte("something to read")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	cannotSee := "topic " + topics.Telemetry() + ": this login may not see it; its ACL needs Describe and Write"
	with := func(c kafkaconn.Config, change func(*kafkaconn.Config)) kafkaconn.Config {
		tls := *c.TLS
		c.TLS = &tls
		if c.SASL != nil {
			sasl := *c.SASL
			c.SASL = &sasl
		}
		change(&c)
		return c
	}
	wrong := filepath.Join(t.TempDir(), "password")
	write(t, filepath.Dir(wrong), "password", "guess\n")
	return map[string]attempt{
		"SCRAM": {gateway.SCRAM(), "", own},
		"mTLS":  {gateway.MTLS(), "", own},
		"cloud": {cloud.SCRAM(), "", kafkaconn.Access{Read: own.Write, Write: own.Read}},
		"SCRAM, another's topic": {gateway.SCRAM(), "topic " + others.Telemetry() + ": this login may not see it",
			kafkaconn.Access{Write: []string{others.Telemetry()}}},
		"mTLS, another's topic": {gateway.MTLS(), "topic " + others.Telemetry() + ": this login may not see it",
			kafkaconn.Access{Write: []string{others.Telemetry()}}},
		"SCRAM without an ACL": {nobody.SCRAM(), cannotSee, own},
		"mTLS without an ACL":  {nobody.MTLS(), cannotSee, own},
		"ACL without Read":     {spectator.SCRAM(), "topic " + topics.Telemetry() + ": this login may not read it; its ACL needs Read", kafkaconn.Access{Read: own.Write}},
		"ACL without Write":    {spectator.SCRAM(), "topic " + topics.Telemetry() + ": this login may not write to it; its ACL needs Write", own},
		"reading one's own telemetry": {gateway.SCRAM(), "topic " + topics.Telemetry() + ": this login may not read it; its ACL needs Read",
			kafkaconn.Access{Read: []string{topics.Telemetry()}}},
		"topic that doesn't exist": {cloud.SCRAM(), "topic " + prefix + ".absent doesn't exist", kafkaconn.Access{Read: []string{prefix + ".absent"}}},
		"wrong password": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.SASL.PasswordFile = configfile.Path(wrong) }),
			"the broker refuses the user name or password", own},
		"unknown user": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.SASL.Username = "nobody" }),
			"the broker refuses the user name or password", own},
		"plaintext to TLS": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.TLS, c.SASL = nil, nil }),
			"the broker expects TLS on this port", own},
		"TLS without a login": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.SASL = nil }),
			"the broker expects a login", own},
		"mechanism not offered": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.SASL.Mechanism = kafkaconn.Plain }),
			"the broker doesn't offer this SASL mechanism", own},
		"certificate with another subject": {rogue.MTLS(), cannotSee, own},
		"certificate of another CA":        {forged.MTLS(), "the broker refuses this client's certificate", own},
		"no certificate": {with(gateway.MTLS(), func(c *kafkaconn.Config) { c.TLS.Cert, c.TLS.Key = "", "" }),
			"the broker asks for a client certificate", own},
		"wrong CA": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.TLS.CA = configfile.Path(theirs.Cert()) }),
			"the broker's certificate comes from another CA than the one configured", own},
		"server name": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.TLS.ServerName = "kafka.example" }),
			"the broker's certificate is for another name", own},
		"nothing listens": {with(gateway.SCRAM(), func(c *kafkaconn.Config) { c.Brokers = []string{freeAddress(t)} }),
			"nothing listens at the broker's address", own},
	}
}

// refused reports whether a right was missing. Who may write to no topic at all
// may not be an idempotent producer either, and hears that first.
func refused(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

// must gives a value, or fails the test that it is then given.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func connect(t *testing.T, c kafkaconn.Config, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	options, err := c.Options("")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Whoever may not in, or may not do what it is there for, is told why; and the
// brokers refuse what the check calls forbidden, and only that.
func TestEachWrongCredentialIsNamed(t *testing.T) {
	t.Parallel()
	all := attempts(t)
	for name, a := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client := connect(t, a.config)
			err := kafkaconn.CheckAccess(ctx, client, a.access)
			switch {
			case a.want == "" && err != nil:
				t.Fatal(err)
			case a.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "kafka: "+a.want)):
				t.Fatalf("got %v, want kafka: %s…", err, a.want)
			}
			var wrong *kafkaconn.AccessError
			if err != nil && !errors.As(err, &wrong) {
				return
			}
			forbidden := map[string]bool{}
			if wrong != nil {
				for _, topic := range wrong.Topics {
					if topic.Absent {
						return
					}
					forbidden[topic.Topic] = true
				}
			}
			for _, topic := range a.access.Write {
				err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte("x")}).FirstErr()
				if refused(err) != forbidden[topic] || !forbidden[topic] && err != nil {
					t.Errorf("writing to %s: %v", topic, err)
				}
			}
			for _, topic := range a.access.Read {
				reader := connect(t, a.config, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
				if err := reader.PollFetches(ctx).Err(); refused(err) != forbidden[topic] || !forbidden[topic] && err != nil {
					t.Errorf("reading %s: %v", topic, err)
				}
			}
		})
	}
	// The gateway's own log says it too, and the gateway goes on by itself once the
	// reason is gone.
	t.Run("gateways", func(t *testing.T) {
		t.Parallel()
		wants := map[string]string{
			"wrong CA":             "the broker's certificate comes from another CA than the one configured",
			"no certificate":       "the broker asks for a client certificate",
			"TLS without a login":  "the broker expects a login",
			"SCRAM without an ACL": "this login may not see it; its ACL needs Describe and Write",
			"nothing listens":      "nothing listens at the broker's address",
			"wrong password":       "the broker refuses the user name or password",
		}
		gateways := map[string]*program{}
		mistaken := newSite(t, "127.0.0.1:9", "")
		for name := range wants {
			s, config := newSite(t, "127.0.0.1:9", ""), all[name].config
			if name == "wrong password" {
				s = mistaken
				sasl := *config.SASL
				sasl.PasswordFile = "kafka.password"
				config.SASL = &sasl
				write(t, s.dir, "kafka.password", "guess\n")
			}
			s.onKafka(t, config, kafkaconn.Config{})
			gateways[name] = s.gateway(t)
		}
		for name, want := range wants {
			gateways[name].awaitLog(want)
		}
		right := must(os.ReadFile(string(all["SCRAM"].config.SASL.PasswordFile)))(t)
		write(t, mistaken.dir, "kafka.password", string(right))
		gateways["wrong password"].awaitLog("the log acknowledges again")
	})
	t.Run("cloud, ACL without Read", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "127.0.0.1:9", "")
		s.onKafka(t, kafkaconn.Config{}, all["ACL without Read"].config)
		s.cloud(t).awaitLog(all["ACL without Read"].want)
	})
}
