package kafka

import (
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
	"github.com/busbar/busbar/telemetry/record"
)

// Users that no gateway may be named after: the brokers give their rights to
// whoever has the name.
const (
	AdminUser = "admin"
	CloudUser = "busbar-cloud"
)

// Credentials are a user's two ways in: a password, and a certificate.
type Credentials struct {
	User, Prefix string

	CA, PasswordFile, Cert, Key string // files

	scram, mtls []string
}

// SCRAM is the configuration for the way in by password.
func (c Credentials) SCRAM() kafkaconn.Config {
	return kafkaconn.Config{
		Brokers: c.scram, TopicPrefix: c.Prefix,
		TLS:  &kafkaconn.TLS{CA: configfile.Path(c.CA)},
		SASL: &kafkaconn.SASL{Mechanism: kafkaconn.ScramSHA512, Username: c.User, PasswordFile: configfile.Path(c.PasswordFile)},
	}
}

// MTLS is the configuration for the way in by certificate.
func (c Credentials) MTLS() kafkaconn.Config {
	return kafkaconn.Config{
		Brokers: c.mtls, TopicPrefix: c.Prefix,
		TLS: &kafkaconn.TLS{CA: configfile.Path(c.CA), Cert: configfile.Path(c.Cert), Key: configfile.Path(c.Key)},
	}
}

// Right is what an ACL allows on a topic, a consumer group or a transactional id.
type Right struct {
	Topic         string
	Prefixed      bool // every topic whose name begins with Topic
	Group         string
	Transactional string
	Operations    []kadm.ACLOperation
}

func (r Right) acl(user string) *kadm.ACLBuilder {
	b := kadm.NewACLs().ResourcePatternType(kadm.ACLPatternLiteral).Allow("User:" + user).Operations(r.Operations...)
	switch {
	case r.Group != "":
		return b.Groups(r.Group)
	case r.Transactional != "":
		return b.TransactionalIDs(r.Transactional)
	case r.Prefixed:
		return b.Topics(r.Topic).ResourcePatternType(kadm.ACLPatternPrefixed)
	}
	return b.Topics(r.Topic)
}

// GatewayRights are all that a gateway needs on the topics under prefix. Writing
// with idempotence needs no right of its own.
func GatewayRights(prefix string) []Right {
	topics := record.TopicsOf(prefix)
	write, read := []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe}, []kadm.ACLOperation{kadm.OpRead, kadm.OpDescribe}
	return []Right{
		{Topic: topics.Telemetry(), Operations: write},
		{Topic: topics.Backfill(), Operations: write},
		{Topic: topics.Events(), Operations: write},
		{Topic: topics.Births(), Operations: write},
		{Topic: topics.Commands(), Operations: read},
	}
}

// CloudRights are all that the cloud needs: it creates the topics that are
// missing, reads what gateways write, warns of births that aren't compacted, and
// writes commands, and measurements and evidence, these in transactions. It belongs to no consumer group.
func CloudRights(prefix string) []Right {
	if prefix == "" {
		prefix = "busbar"
	}
	topics, write := record.TopicsOf(prefix), []kadm.ACLOperation{kadm.OpWrite}
	return []Right{
		{Topic: prefix + ".", Prefixed: true, Operations: []kadm.ACLOperation{kadm.OpCreate, kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpRead}},
		{Topic: topics.Commands(), Operations: write},
		{Topic: topics.Import(), Operations: write},
		{Topic: topics.Measurements(), Operations: write},
		{Topic: topics.MeasurementsCursor(), Operations: write},
		{Transactional: topics.Measurements(), Operations: []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe}},
		{Topic: topics.Evidence(), Operations: write},
		{Topic: topics.EvidenceCursor(), Operations: write},
		{Transactional: topics.Evidence(), Operations: []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe}},
	}
}

// UplinkRights are what the cloud needs besides, to pass on what gateways send by its uplink.
func UplinkRights(prefix string) []Right {
	topics, write := record.TopicsOf(prefix), []kadm.ACLOperation{kadm.OpWrite}
	return []Right{
		{Topic: topics.Telemetry(), Operations: write},
		{Topic: topics.Backfill(), Operations: write},
		{Topic: topics.Events(), Operations: write},
		{Topic: topics.Births(), Operations: write},
	}
}

// ReaderRights are all that somebody needs who reads measurements and evidence in a consumer
// group.
func ReaderRights(prefix, group string) []Right {
	topics, read := record.TopicsOf(prefix), []kadm.ACLOperation{kadm.OpRead, kadm.OpDescribe}
	return []Right{{Topic: topics.Measurements(), Operations: read}, {Topic: topics.Evidence(), Operations: read}, {Group: group, Operations: read}}
}

// Gateway lets a gateway in, with the rights it needs on the topics under
// prefix, which need not exist yet. A gateway that is in keeps its password and
// certificate, and gets the rights on this prefix as well.
func (c *Cluster) Gateway(ctx context.Context, prefix, id string) (Credentials, error) {
	if id == AdminUser || id == CloudUser {
		return Credentials{}, fmt.Errorf("kafka: no gateway may be called %s", id)
	}
	return c.User(ctx, prefix, id, "gateway", GatewayRights(prefix))
}

// Cloud lets the cloud in, with the rights it needs on the topics under prefix.
func (c *Cluster) Cloud(ctx context.Context, prefix string) (Credentials, error) {
	return c.User(ctx, prefix, CloudUser, "cloud", CloudRights(prefix))
}

// User lets anybody in, whose certificate has the given organisational unit. It
// returns when every running broker knows the user's password and rights.
func (c *Cluster) User(ctx context.Context, prefix, name, unit string, rights []Right) (Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	user := Credentials{User: name, Prefix: prefix, CA: c.authority.Cert(), scram: c.SCRAM(), mtls: c.MTLS()}
	err := c.admit(ctx, &user, unit, rights)
	if err == nil {
		err = c.awaitUser(ctx, user, rights)
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("kafka: user %s: %w", name, err)
	}
	return user, nil
}

func (c *Cluster) admit(ctx context.Context, user *Credentials, unit string, rights []Right) (err error) {
	user.Cert, user.Key, err = c.authority.Client(user.User, pkix.Name{CommonName: user.User, OrganizationalUnit: []string{unit}, Organization: []string{"utility"}})
	if err != nil {
		return err
	}
	user.PasswordFile = filepath.Join(c.dir, "clients", user.User+".password")
	if _, err := os.Stat(user.PasswordFile); errors.Is(err, os.ErrNotExist) {
		if err := c.SetPassword(ctx, user.User, rand.Text()); err != nil {
			return err
		}
	}
	return c.ask(ctx, func(ctx context.Context, admin *kadm.Client) error {
		for _, r := range rights {
			created, err := admin.CreateACLs(ctx, r.acl(user.User))
			for _, acl := range created {
				err = errors.Join(err, acl.Err)
			}
			if err != nil {
				return fmt.Errorf("ACL on %s%s%s: %w", r.Topic, r.Group, r.Transactional, err)
			}
		}
		return nil
	})
}

// SetPassword gives a user another password, also in the file that is meant for
// it. Connections that are open go on.
func (c *Cluster) SetPassword(ctx context.Context, user, password string) error {
	err := c.ask(ctx, func(ctx context.Context, admin *kadm.Client) error {
		altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 8192, Password: password}})
		if err == nil {
			err = altered.Error()
		}
		return err
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, "clients", user+".password"), []byte(password+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("password of %s: %w", user, err)
	}
	return nil
}

// awaitUser asks each running broker as the user: they learn of users and rights
// one after another.
func (c *Cluster) awaitUser(ctx context.Context, user Credentials, rights []Right) error {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // none is about the login alone
	for _, r := range rights {
		if r.Topic != "" && !r.Prefixed {
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = kmsg.StringPtr(r.Topic)
			request.Topics = append(request.Topics, t)
		}
	}
	for _, b := range c.brokers {
		if !b.alive() {
			continue
		}
		config := user.SCRAM()
		config.Brokers = []string{b.SCRAM}
		for {
			err := knows(ctx, config, request)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("broker %d doesn't let the user in: %w", b.ID, err)
			case <-time.After(askAgain):
			}
		}
	}
	return nil
}

func knows(ctx context.Context, config kafkaconn.Config, request *kmsg.MetadataRequest) error {
	options, err := config.Options("")
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := client.SeedBrokers()[0].RetriableRequest(ctx, request)
	if err != nil {
		return err
	}
	for _, t := range answer.(*kmsg.MetadataResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); errors.Is(err, kerr.TopicAuthorizationFailed) {
			return err
		}
	}
	return nil
}
