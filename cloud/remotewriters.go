package cloud

import (
	"slices"

	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/cloud/remotewrite"
	"github.com/busbar/busbar/configfile"
)

// RemoteWrite is a server that takes Prometheus' remote write, version 1.0.
type RemoteWrite struct {
	// Where samples are posted to. Example: http://127.0.0.1:9090/api/v1/write.
	URL string `yaml:"url,required"`

	// Which signals it gets: those that fit one of the list. Default: all.
	Signals []SignalChoice `yaml:"signals"`

	// The file of the bearer token that it is sent, read each time. Example: write.token.
	TokenFile configfile.Path `yaml:"token_file"`

	// The certificate authorities that the server's certificate must come from, in PEM.
	// Default: those of the operating system. Example: ca.crt.
	CA configfile.Path `yaml:"ca"`

	// Speaks to another machine without TLS: everybody on the way can read what is sent,
	// the token too. Default: false.
	Insecure bool `yaml:"insecure"`
}

// SignalChoice is the signals that fit each of the lists that are given. In each name *
// is any text.
type SignalChoice struct {
	// Names of gateways. Example: [north-*].
	Gateway []string `yaml:"gateway"`

	// Names of devices.
	Device []string `yaml:"device"`

	// Names of assets.
	Asset []string `yaml:"asset"`

	// Names of signals. Example: [PhV.*, TotW].
	Name []string `yaml:"name"`
}

func checkRemoteWrite(f *configfile.File, list []RemoteWrite) {
	for i, w := range list {
		at := configfile.Item("remote_write", i)
		name := outgoing.Server{URL: w.URL}.Name()
		if j := slices.IndexFunc(list, func(o RemoteWrite) bool { return outgoing.Server{URL: o.URL}.Name() == name }); j < i {
			f.Errorf(at+".url", "%q is remote_write[%d] already, expected another one", name, j)
		}
		checkServer(f, at, w.URL, w.Insecure)
		for j, c := range w.Signals {
			checkPatterns(f, configfile.Item(at+".signals", j), map[string][]string{"gateway": c.Gateway, "device": c.Device, "asset": c.Asset, "name": c.Name})
		}
	}
}

// checkPatterns checks the lists of names below the value at a path.
func checkPatterns(f *configfile.File, at string, lists map[string][]string) {
	for key, list := range lists {
		for i, pattern := range list {
			if pattern == "" {
				f.Errorf(configfile.Item(at+"."+key, i), "%q, expected a name, in which * is any text", pattern)
			}
		}
	}
}

func (c *Cloud) openRemoteWrite() error {
	for _, w := range c.config.RemoteWrite {
		config := remotewrite.Config{Server: outgoing.Server{URL: w.URL, CA: w.CA.In(c.options.Dir), TokenFile: w.TokenFile.In(c.options.Dir)}, Store: c.store, Logger: c.log}
		for _, s := range w.Signals {
			config.Signals = append(config.Signals, remotewrite.Choice(s))
		}
		writer, err := remotewrite.New(config)
		if err != nil {
			return err
		}
		c.writers = append(c.writers, writer)
	}
	return nil
}
