package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"text/tabwriter"
	"time"

	"github.com/busbar/busbar/cloud"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cmd/internal/program"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

type gatewayCommand struct {
	List    listKeys      `cmd:"" help:"List the gateways' keys."`
	Enrol   enrolKey      `cmd:"" help:"Let a gateway's key write in its name."`
	Token   newToken      `cmd:"" help:"Make a token with which a gateway enrols its own key over the uplink, once."`
	Revoke  revokeKey     `cmd:"" help:"Take nothing any more that a key has signed."`
	Readmit readmitKey    `cmd:"" help:"Take a revocation back."`
	Retake  retakeRecords `cmd:"" help:"Take what was set aside of a gateway again from the log."`
	Ping    ping          `cmd:"" help:"Ask a gateway for an answer."`
	Read    read          `cmd:"" help:"Have a gateway read a device now."`
	Ack     ack           `cmd:"" help:"Have a gateway note that somebody has taken notice of an alarm."`
	Reset   reset         `cmd:"" help:"Have a gateway end an alarm, and decide it anew from what it reads next."`
}

func (gatewayCommand) Help() string {
	return `A record is taken only if a key signed it that is enrolled for the gateway that it names. These commands work beside a
cloud that runs, which takes notice within a second or two.`
}

// database is the store of a cloud that may be running.
type database struct {
	Config string `help:"The configuration file." default:"/etc/busbar/cloud.yaml" placeholder:"FILE" type:"path"`
}

func (d database) open(ctx context.Context) (*store.Store, error) {
	config, err := cloud.LoadConfig(d.Config)
	if err != nil {
		return nil, err
	}
	c := config.Store.In(filepath.Dir(d.Config))
	c.Via = "command-line"
	return store.Open(ctx, c)
}

// use runs do on the store, and closes it.
func (d database) use(ctx context.Context, do func(*store.Store) error) error {
	s, err := d.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}

type listKeys struct {
	database
}

func (listKeys) Help() string {
	return `Example:
  busbar-cloud gateway list --config cloud.yaml`
}

func (l listKeys) Run(ctx context.Context) error {
	return l.use(ctx, func(s *store.Store) error {
		keys, err := s.GatewayKeys(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "GATEWAY\tKEY ID\tPUBLIC KEY\tADDED\tBY\tREVOKED")
		for _, k := range keys {
			by, revoked := k.AddedBy, ""
			if k.IntroducedBy != (record.KeyID{}) {
				by = "key " + k.IntroducedBy.String()
			}
			if k.Revoked() {
				revoked = fmt.Sprintf("%s by %s: %s", minute(k.RevokedAt), k.RevokedBy, k.Reason)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.Gateway, k.ID(), record.FormatPublicKey(k.PublicKey), minute(k.AddedAt), by, revoked)
		}
		return w.Flush()
	})
}

func minute(m telemetry.Micros) string { return m.Time().Format("2006-01-02T15:04Z") }

type enrolKey struct {
	database
	Gateway   string `arg:"" optional:"" help:"The gateway's id, as in its configuration."`
	PublicKey string `arg:"" optional:"" help:"Its public key, as busbar-gateway key prints it."`
	Keys      string `help:"Enrol many: a file with a gateway's id and its public key on each line." placeholder:"FILE" type:"path"`
	By        string `help:"Who enrols it." default:"${user}" placeholder:"NAME"`
}

func (enrolKey) Help() string {
	return `What a gateway sends before it is enrolled is refused; the cloud that runs takes it afterwards, as far as the log still has it.
The same key again changes nothing. A gateway may have several keys.

Example, with what busbar-gateway key --config gateway.yaml has printed on the gateway:
  busbar-cloud gateway enrol --config cloud.yaml north-gw1 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=

and with what busbar-sim fleet keys has written:
  busbar-cloud gateway enrol --config cloud.yaml --keys fleet.keys`
}

var gatewayName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (e enrolKey) Run(ctx context.Context) error {
	if e.Keys != "" {
		if e.Gateway != "" {
			return program.Usage{Err: errors.New("--keys and a gateway exclude each other")}
		}
		return e.many(ctx)
	}
	if e.PublicKey == "" {
		return program.Usage{Err: errors.New("expected a gateway and its public key, or --keys")}
	}
	if !gatewayName.MatchString(e.Gateway) {
		return program.Usage{Err: fmt.Errorf("%q is no gateway's id: expected 1 to 63 lower-case letters, digits and hyphens, the first no hyphen", e.Gateway)}
	}
	public, err := record.ParsePublicKey([]byte(e.PublicKey))
	if err != nil {
		return program.Usage{Err: fmt.Errorf("%q: %w", e.PublicKey, err)}
	}
	return e.use(ctx, func(s *store.Store) error {
		added, err := s.EnrolKey(ctx, store.GatewayKey{
			Gateway: e.Gateway, PublicKey: public, AddedAt: telemetry.MicrosOf(time.Now()), AddedBy: e.By,
		})
		if err != nil {
			return err
		}
		if !added {
			fmt.Printf("key %s of %s is enrolled already\n", record.KeyIDOf(public), e.Gateway)
			return nil
		}
		fmt.Printf("key %s of %s is enrolled\n", record.KeyIDOf(public), e.Gateway)
		return tellWaiting(ctx, s, e.Gateway, record.KeyIDOf(public))
	})
}

type newToken struct {
	database
	Gateway string        `arg:"" help:"The gateway's id, as in its configuration."`
	Valid   time.Duration `help:"How long the token can be used." default:"24h" placeholder:"DURATION"`
	By      string        `help:"Who makes it." default:"${user}" placeholder:"NAME"`
}

func (newToken) Help() string {
	return `The token is shown once and kept nowhere. On the gateway, it goes to busbar gateway enrol.

Example:
  busbar-cloud gateway token --config cloud.yaml north-gw1 --valid 2h`
}

func (n newToken) Run(ctx context.Context) error {
	if !gatewayName.MatchString(n.Gateway) {
		return program.Usage{Err: fmt.Errorf("%q is no gateway's id: expected 1 to 63 lower-case letters, digits and hyphens, the first no hyphen", n.Gateway)}
	}
	if n.Valid < time.Minute || n.Valid > 90*24*time.Hour {
		return program.Usage{Err: fmt.Errorf("--valid %s is out of range, expected 1m to 2160h", n.Valid)}
	}
	return n.use(ctx, func(s *store.Store) error {
		token, err := s.NewToken(ctx, n.Gateway, n.By, n.Valid, telemetry.MicrosOf(time.Now()))
		if err != nil {
			return err
		}
		fmt.Println(token)
		return nil
	})
}

type revokeKey struct {
	database
	Gateway string `arg:"" help:"The gateway's id."`
	KeyID   string `arg:"" help:"The key's id, as list shows it."`
	Reason  string `help:"Why, for those who ask later." required:"" placeholder:"TEXT"`
	By      string `help:"Who revokes it." default:"${user}" placeholder:"NAME"`
}

func (revokeKey) Help() string {
	return `Everything that the key has signed is refused from then on, also what still waits on the gateway's disk or in the log. If that was
a mistake, readmit takes it back. A gateway whose last key is revoked is out of service: alarms about its silence end, and
none is raised.

Example:
  busbar-cloud gateway revoke --config cloud.yaml north-gw1 21fe31dfa154a261 --reason "the device was stolen"`
}

func (r revokeKey) Run(ctx context.Context) error {
	id, err := record.ParseKeyID(r.KeyID)
	if err != nil {
		return program.Usage{Err: err}
	}
	return r.use(ctx, func(s *store.Store) error {
		if err := s.RevokeKey(ctx, r.Gateway, id, r.By, r.Reason, telemetry.MicrosOf(time.Now())); err != nil {
			return err
		}
		fmt.Printf("key %s of %s is revoked\n", id, r.Gateway)
		keys, err := s.GatewayKeys(ctx)
		if err != nil {
			return err
		}
		for _, k := range introducedBy(keys, id) {
			fmt.Printf("note: key %s, introduced by it, is still valid; revoke it too if somebody else may have made it\n", k)
		}
		return nil
	})
}

// introducedBy are the valid keys that a key's word led to, directly or not.
func introducedBy(keys []store.GatewayKey, id record.KeyID) (valid []record.KeyID) {
	for _, k := range keys {
		if k.IntroducedBy != id {
			continue
		}
		if !k.Revoked() {
			valid = append(valid, k.ID())
		}
		valid = append(valid, introducedBy(keys, k.ID())...)
	}
	return valid
}
