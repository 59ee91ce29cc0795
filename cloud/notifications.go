package cloud

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/mail"
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

	// Who is told by mail, in the same way.
	Mail []Mail `yaml:"mail"`

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

	// Of which changes: raised, cleared, acknowledged, shelved, unshelved, out-of-service,
	// in-service, suppressed, unsuppressed, and updated, which is that the summary has
	// changed or samples were captured. Default: all.
	Changes []alarm.Action `yaml:"changes"`

	// Tells of alarms only that are still active so long after they have asked for
	// attention, and that nobody has acknowledged or shelved. Example: 15m.
	After configfile.Duration `yaml:"after"`

	// The certificate authorities that the server's certificate must come from, in PEM.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// Sends to another machine without TLS: everybody on the way can read it.
	// Default: false.
	Insecure bool `yaml:"insecure"`
}

// Mail is somebody who is told of changes of alarms by mail.
type Mail struct {
	// What the log and the metrics call it, and by which it is known after a restart, as
	// of a webhook: no other target has it. Example: on-call.
	Name string `yaml:"name,required"`

	// The mail server, as host:port. At port 465 it speaks TLS from the first byte, at any
	// other one it has to offer STARTTLS. Example: mail.example:587.
	Server string `yaml:"server,required"`

	// The sender. Example: Busbar <busbar@grid.example>.
	From string `yaml:"from,required"`

	// The recipients. Example: [on-call@grid.example].
	To []string `yaml:"to,required"`

	// Who signs in there. Default: nobody does.
	Username string `yaml:"username"`

	// The file of the password, read at each mail. Example: mail.password.
	PasswordFile configfile.Path `yaml:"password_file"`

	// The language of what a mail says beside the summaries of alarms, which are those of
	// their rules: de, en or nl. Default: en.
	Language string `yaml:"language"`

	// Which alarms are told of. Default: all.
	Match Match `yaml:"match"`

	// Of which changes, as of a webhook. Default: [raised, unshelved, in-service,
	// unsuppressed].
	Changes []alarm.Action `yaml:"changes"`

	// Tells of alarms only that nobody has attended to for so long, as of a webhook.
	// Example: 15m.
	After configfile.Duration `yaml:"after"`

	// For how long further changes are waited for, which are told in the same mail, from
	// 0s, with which each is a mail of its own, to 10m. Default: 10s.
	Gather configfile.Duration `yaml:"gather"`

	// The certificate authorities that the server's certificate must come from, in PEM.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// Speaks to the server without TLS: everybody on the way can read it, and nobody can
	// sign in but on this machine. Default: false.
	Insecure bool `yaml:"insecure"`
}

// SetDefaults is called before the section is read.
func (m *Mail) SetDefaults() {
	m.Changes = []alarm.Action{alarm.Raised, alarm.Unshelved, alarm.InService, alarm.Unsuppressed}
	m.Gather, m.Language = configfile.Duration(10*time.Second), "en"
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
			checkTargetName(f, at, w.Name)
			if j := slices.IndexFunc(n.Webhooks, func(o Webhook) bool { return o.Name == w.Name }); j < i {
				f.Errorf(at+".name", "%q is webhooks[%d] already, expected a name of its own", w.Name, j)
			}
		}
		checkServer(f, at, w.URL, w.Insecure)
		checkChanges(f, at, w.Changes)
		w.Match.check(f, at+".match")
	}
	for i, m := range n.Mail {
		m.check(f, n, i)
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

func checkTargetName(f *configfile.File, at, name string) {
	if name == "" || len(name) > 60 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		f.Errorf(at+".name", "%q, expected 1 to 60 characters", name)
	}
}

func checkChanges(f *configfile.File, at string, changes []alarm.Action) {
	for i, c := range changes {
		if !slices.Contains(alarm.Actions, c) {
			f.Errorf(configfile.Item(at+".changes", i), "%q, expected one of %v", c, alarm.Actions)
		}
	}
}

func (m Mail) check(f *configfile.File, n Notify, i int) {
	at := configfile.Item("notify.mail", i)
	if f.Has(at + ".name") {
		checkTargetName(f, at, m.Name)
		if slices.ContainsFunc(n.Webhooks, func(o Webhook) bool { return o.Name == m.Name }) || slices.IndexFunc(n.Mail, func(o Mail) bool { return o.Name == m.Name }) < i {
			f.Errorf(at+".name", "%q is that of another target, expected a name of its own", m.Name)
		}
	}
	host := ""
	if f.Has(at + ".server") {
		host, _ = hostPort(f, at+".server", m.Server)
	}
	address := func(path, text string) {
		if _, err := mail.ParseAddress(text); err != nil {
			f.Errorf(path, "%q, expected a mail address such as on-call@grid.example", text)
		}
	}
	if f.Has(at + ".from") {
		address(at+".from", m.From)
	}
	for j, to := range m.To {
		address(configfile.Item(at+".to", j), to)
	}
	if f.Has(at+".to") && len(m.To) == 0 {
		f.Errorf(at+".to", "is empty, expected somebody to tell")
	}
	if !slices.Contains(notify.Languages(), m.Language) {
		f.Errorf(at+".language", "%q, expected one of %s", m.Language, strings.Join(notify.Languages(), ", "))
	}
	switch {
	case (m.Username == "") != (m.PasswordFile == ""):
		f.Errorf(at, "username and password_file belong together")
	case m.Insecure && m.Username != "" && !isLoopback(host):
		f.Errorf(at+".insecure", "would send the password in the clear, expected TLS, or no username")
	}
	if m.Gather > configfile.Duration(10*time.Minute) {
		f.Errorf(at+".gather", "%s is out of range, expected 0s to 10m", m.Gather)
	}
	checkChanges(f, at, m.Changes)
	m.Match.check(f, at+".match")
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
			SecretFile: w.SecretFile.In(dir), Choice: notify.Choice{Match: w.Match.of(), Changes: w.Changes, After: time.Duration(w.After)}})
	}
	for _, m := range n.Mail {
		c.Mails = append(c.Mails, notify.Mail{Name: m.Name, Server: m.Server, CA: m.CA.In(dir), Insecure: m.Insecure, Username: m.Username, Password: m.PasswordFile.In(dir),
			From: m.From, To: m.To, Language: m.Language, Choice: notify.Choice{Match: m.Match.of(), Changes: m.Changes, After: time.Duration(m.After), Gather: time.Duration(m.Gather)}})
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
