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

func checkRemoteWrite(f *configfile.File, list []RemoteWrite) {
	for i, w := range list {
		at := configfile.Item("remote_write", i)
		name := outgoing.Server{URL: w.URL}.Name()
		if j := slices.IndexFunc(list, func(o RemoteWrite) bool { return outgoing.Server{URL: o.URL}.Name() == name }); j < i {
			f.Errorf(at+".url", "%q is remote_write[%d] already, expected another one", name, j)
		}
		checkServer(f, at, w.URL, w.Insecure)
		checkSignals(f, at+".signals", w.Signals)
	}
}

func (c *Cloud) openRemoteWrite() error {
	for _, w := range c.config.RemoteWrite {
		writer, err := remotewrite.New(remotewrite.Config{Server: outgoing.Server{URL: w.URL, CA: w.CA.In(c.options.Dir), TokenFile: w.TokenFile.In(c.options.Dir)},
			Signals: choices(w.Signals), Store: c.store, Logger: c.log})
		if err != nil {
			return err
		}
		c.writers = append(c.writers, writer)
	}
	return nil
}
