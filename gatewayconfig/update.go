package gatewayconfig

import (
	"net/url"
	"regexp"
	"time"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/kafkaconn"
)

// Update is how a machine that runs nothing but a gateway gets new versions. Elsewhere the
// package manager brings them, and none of this is used.
type Update struct {
	// The file that says which version gateways are to have, as busbar bundle channel
	// writes it. Its signature is beside it, with .minisig behind the name. Without this,
	// nothing is fetched. Example: https://updates.example/busbar/stable.json.
	Channel string `yaml:"channel"`

	// The certificate authorities that the server's certificate must come from, in PEM.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// The HTTP proxy that it is reached through. Default: none.
	Proxy *kafkaconn.Proxy `yaml:"proxy"`

	// How often the channel is looked at, more or less; from 1s to 7 days. Default: 1h.
	Every configfile.Duration `yaml:"every"`

	// The part of each day in which this machine may restart with a new version, in UTC,
	// beside what the channel says. Default: the whole day. Example: 02:00-04:00.
	Window string `yaml:"window"`

	// Confirm a new version also if the log acknowledges nothing. Default: false.
	AllowOffline bool `yaml:"allow_offline"`

	// How long a new version has to prove itself at each of the starts that it gets, before
	// the machine starts anew and at last with the version before; from 1m to 1h. Default: 10m.
	ConfirmWithin configfile.Duration `yaml:"confirm_within"`
}

var dailyWindow = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`)

func (k checker) checkUpdate() {
	u := k.config.Update
	if address, err := url.Parse(u.Channel); u.Channel != "" && (err != nil || address.Scheme != "https" || address.Hostname() == "") {
		k.Errorf("update.channel", "%q, expected https://host/path", u.Channel)
	}
	if u.Proxy != nil {
		u.Proxy.Validate(k.File, "update.proxy")
	}
	if u.Window != "" && (!dailyWindow.MatchString(u.Window) || u.Window[:5] == u.Window[6:]) {
		k.Errorf("update.window", "%q, expected a part of the day in UTC, as 02:00-04:00", u.Window)
	}
	within(k, "update.every", u.Every, configfile.Duration(time.Second), configfile.Duration(7*24*time.Hour))
	within(k, "update.confirm_within", u.ConfirmWithin, configfile.Duration(time.Minute), configfile.Duration(time.Hour))
}
