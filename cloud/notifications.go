package cloud

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/busbar/busbar/cloud/alarm"
	"github.com/busbar/busbar/cloud/alertmanager"
	"github.com/busbar/busbar/cloud/notify"
	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/telemetry"
)

// Notify says which other systems are told of alarms.
type Notify struct {
	// Where others reach the console: what they are told of leads there. Default: nothing
	// leads anywhere. Example: https://busbar.example.
	ConsoleURL string `yaml:"console_url"`

	// Who is told of each change of an alarm, in order and at least once.
	Webhooks []Webhook `yaml:"webhooks"`

	// Alertmanagers that have what is active sent to them. Each gets everything: list all
	// that belong together.
	Alertmanagers []Alertmanager `yaml:"alertmanagers"`
}

// Webhook is a server that takes Standard Webhooks.
type Webhook struct {
	// What the log and the metrics call it, and by which it is known after a restart: one
	// with a new name is told of what is new only. Example: duty-desk.
	Name string `yaml:"name,required"`

	// Where messages are posted to. Redirects aren't followed.
	// Example: https://desk.example/busbar.
	URL string `yaml:"url,required"`

	// The file of the secret that messages are signed with: whsec_ and 24 to 64 random
	// bytes in base64. With two lines both sign. It is read at each message.
	// Example: duty-desk.secret.
	SecretFile configfile.Path `yaml:"secret_file,required"`

	// Which alarms it is told of. Default: all.
	Match Match `yaml:"match"`

	// Of which changes: raised, cleared, acknowledged, and updated, which is that the
	// summary has changed or samples were captured. Default: all.
	Changes []alarm.Action `yaml:"changes"`

	// The certificate authorities that the server's certificate must come from, in PEM.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// Sends to another machine without TLS: everybody on the way can read it.
	// Default: false.
	Insecure bool `yaml:"insecure"`
}

// Alertmanager is one of Prometheus' Alertmanagers.
type Alertmanager struct {
	// Its address, with its path if it has one. Example: http://127.0.0.1:9093.
	URL string `yaml:"url,required"`

	// The file of the bearer token that it is sent, read each time.
	// Example: alertmanager.token.
	TokenFile configfile.Path `yaml:"token_file"`

	// Which alarms it is told of. Default: all but those that come from an Alertmanager.
	Match Match `yaml:"match"`

	// The certificate authorities that the server's certificate must come from, in PEM.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// Speaks to another machine without TLS: everybody on the way can read what is sent,
	// the token too. Default: false.
	Insecure bool `yaml:"insecure"`
}

// Match is the alarms that fit each of the lists that are given.
type Match struct {
	// low, medium, high or critical. Example: [high, critical].
	Priority []telemetry.Priority `yaml:"priority"`

	// gateway: a gateway has raised it; cloud: the cloud, about a gateway; external:
	// it comes from an Alertmanager.
	Kind []alarm.Kind `yaml:"kind"`

	// Names of gateways, in which * is any text. Example: [north-*].
	Gateway []string `yaml:"gateway"`

	// Names of sites, in the same way.
	Site []string `yaml:"site"`

	// Names of rules, in the same way.
	Rule []string `yaml:"rule"`
}

// Receive says from which other systems alarms are taken.
type Receive struct {
	// Alerts that Alertmanagers send by their webhooks, to /api/v1/alertmanager/webhook.
	Alertmanager *ReceiveAlertmanager `yaml:"alertmanager"`
}

// ReceiveAlertmanager is who may send them.
type ReceiveAlertmanager struct {
	// The file of the bearer token by which an Alertmanager is known, of 16 characters or
	// more. It is read at each request. Example: alertmanager.token.
	TokenFile configfile.Path `yaml:"token_file,required"`
}

func (n Notify) check(f *configfile.File) {
	if n.ConsoleURL != "" {
		if err := outgoing.CheckURL(n.ConsoleURL, true); err != nil {
			f.Errorf("notify.console_url", "%v", err)
		}
	}
	for i, w := range n.Webhooks {
		at := configfile.Item("notify.webhooks", i)
		if f.Has(at + ".name") {
			if w.Name == "" || len(w.Name) > 60 || strings.ContainsFunc(w.Name, func(r rune) bool { return r < ' ' }) {
				f.Errorf(at+".name", "%q, expected 1 to 60 characters", w.Name)
			}
			if j := slices.IndexFunc(n.Webhooks, func(o Webhook) bool { return o.Name == w.Name }); j < i {
				f.Errorf(at+".name", "%q is webhooks[%d] already, expected a name of its own", w.Name, j)
			}
		}
		checkServer(f, at, w.URL, w.Insecure)
		for j, c := range w.Changes {
			if !slices.Contains(alarm.Actions, c) {
				f.Errorf(configfile.Item(at+".changes", j), "%q, expected one of %v", c, alarm.Actions)
			}
		}
		w.Match.check(f, at+".match")
	}
	for i, a := range n.Alertmanagers {
		at := configfile.Item("notify.alertmanagers", i)
		if j := slices.IndexFunc(n.Alertmanagers, func(o Alertmanager) bool { return o.URL == a.URL }); j < i {
			f.Errorf(at+".url", "%q is alertmanagers[%d] already, expected another one", a.URL, j)
		}
		if strings.Contains(a.URL, "?") {
			f.Errorf(at+".url", "has a query, expected an address such as http://127.0.0.1:9093")
		}
		checkServer(f, at, a.URL, a.Insecure)
		a.Match.check(f, at+".match")
	}
}

func checkServer(f *configfile.File, at, url string, insecure bool) {
	if !f.Has(at + ".url") {
		return
	}
	if err := outgoing.CheckURL(url, insecure); err != nil {
		f.Errorf(at+".url", "%v", err)
	}
}

func (m Match) check(f *configfile.File, at string) {
	priorities := []telemetry.Priority{telemetry.Low, telemetry.Medium, telemetry.High, telemetry.Critical}
	for i, p := range m.Priority {
		if !slices.Contains(priorities, p) {
			f.Errorf(configfile.Item(at+".priority", i), "%q, expected one of %v", p, priorities)
		}
	}
	for i, k := range m.Kind {
		if !slices.Contains(alarm.Kinds, k) {
			f.Errorf(configfile.Item(at+".kind", i), "%q, expected one of %v", k, alarm.Kinds)
		}
	}
	checkPatterns(f, at, map[string][]string{"gateway": m.Gateway, "site": m.Site, "rule": m.Rule})
}

func (m Match) of() notify.Match {
	return notify.Match{Priority: m.Priority, Kind: m.Kind, Gateway: m.Gateway, Site: m.Site, Rule: m.Rule}
}

// notifier is who tells the configured targets. File names are relative to dir.
func (n Notify) notifier(dir string, s *store.Store, log *slog.Logger) (*notify.Runner, error) {
	c := notify.Config{Store: s, Logger: log, Console: n.ConsoleURL}
	for _, w := range n.Webhooks {
		c.Webhooks = append(c.Webhooks, notify.Webhook{Name: w.Name, Server: outgoing.Server{URL: w.URL, CA: w.CA.In(dir)},
			SecretFile: w.SecretFile.In(dir), Match: w.Match.of(), Changes: w.Changes})
	}
	for _, a := range n.Alertmanagers {
		c.Alertmanagers = append(c.Alertmanagers, notify.Alertmanager{Match: a.Match.of(),
			Server: outgoing.Server{URL: a.URL, CA: a.CA.In(dir), TokenFile: a.TokenFile.In(dir)}})
	}
	return notify.New(c)
}

// handleAlerts serves what Alertmanagers, and those who read from one, ask for.
func (c *Cloud) handleAlerts(mux *http.ServeMux, started time.Time) {
	mux.Handle("/api/v2/", alertmanager.Reader{Store: c.store, Console: c.config.Notify.ConsoleURL, Version: c.options.Version, Started: started, Logger: c.log}.Handler())
	if c.receiver != nil {
		mux.Handle("POST /api/v1/alertmanager/webhook", c.receiver)
	}
}

// openReceiver reads the file that its configuration names.
func (c *Cloud) openReceiver() error {
	a := c.config.Receive.Alertmanager
	if a == nil {
		return nil
	}
	c.receiver = &alertmanager.Receiver{Store: c.store, TokenFile: a.TokenFile.In(c.options.Dir), Logger: c.log}
	if err := c.receiver.CheckToken(); err != nil {
		return fmt.Errorf("cloud: receive from Alertmanager: %w", err)
	}
	return nil
}
