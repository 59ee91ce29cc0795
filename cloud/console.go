package cloud

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/api"
	"github.com/busbar/busbar/cloud/public"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/web"
	"github.com/busbar/busbar/configfile"
)

// Console is the HTTP server.
type Console struct {
	// Where it listens, as host:port. Addresses that other machines reach need
	// sign_in and tls. Default: 127.0.0.1:8080.
	Listen string `yaml:"listen"`

	// Whether people sign in, and programs show a token; busbar-cloud user and
	// busbar-cloud token make them. Without it, whoever reaches the console may
	// everything, so only loopback addresses are accepted. Default: false.
	SignIn bool `yaml:"sign_in"`

	// The encrypted connection. Default: none.
	TLS *ConsoleTLS `yaml:"tls"`

	// An OpenID Connect provider that people can sign in by as well; needs sign_in.
	// Default: none.
	OIDC *OpenID `yaml:"oidc"`
}

// ConsoleTLS names the files of the console's encrypted connection, in PEM. A renewed
// certificate and key are used from the next connection on, once they belong together; a
// changed client_ca needs a restart.
type ConsoleTLS struct {
	// The certificate of the server and what leads to its authority. The console
	// answers to the names and addresses in it. Example: console.crt.
	Cert configfile.Path `yaml:"cert,required"`

	// The private key of cert. Example: console.key.
	Key configfile.Path `yaml:"key,required"`

	// The certificate authorities one of which must have signed the certificate of
	// whoever connects, who then still signs in. Default: nobody needs one.
	// Example: clients.crt.
	ClientCA configfile.Path `yaml:"client_ca"`
}

func (c Console) check(f *configfile.File) {
	if c.OIDC != nil {
		c.OIDC.check(f, c)
	}
	if c.SignIn && c.TLS != nil {
		hostPort(f, "console.listen", c.Listen)
		return
	}
	if host, ok := hostPort(f, "console.listen", c.Listen); ok && !isLoopback(host) {
		f.Errorf("console.listen", "%q is reachable from other machines, which needs sign_in: true and tls, or a loopback address such as 127.0.0.1", c.Listen)
	}
}

// hostPort checks an address to listen on.
func hostPort(f *configfile.File, path, address string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		f.Errorf(path, "%q, expected host:port such as 127.0.0.1:8080", address)
		return "", false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		f.Errorf(path, "port %q, expected a number from 1 to 65535", port)
		return host, false
	}
	return host, true
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// console is the HTTP server's address, and what keeps it safe.
type console struct {
	listener net.Listener
	access   *access.Access // nil: nobody signs in
	named    func(host string) bool
	secure   bool
}

// errors is the level of what goes wrong on connections. Where anybody may connect, they
// would fill the log.
func (c console) errors() slog.Level {
	if c.secure {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

func (c *Cloud) openConsole(config Console) (err error) {
	c.console.secure = config.TLS != nil
	var encrypted *tls.Config
	if config.TLS != nil {
		if encrypted, c.console.named, err = config.TLS.load(c.options.Dir, c.log); err != nil {
			return fmt.Errorf("cloud: console: %w", err)
		}
	}
	if c.console.listener, err = net.Listen("tcp", config.Listen); err != nil {
		return fmt.Errorf("cloud: console: %w", err)
	}
	if encrypted != nil {
		c.console.listener = tls.NewListener(c.console.listener, encrypted)
	}
	return nil
}

// load reads the files, and tells which hosts the certificate that is in use names.
func (t ConsoleTLS) load(dir string, log *slog.Logger) (*tls.Config, func(host string) bool, error) {
	pair, err := loadRenewed("console", t.Cert.In(dir), t.Key.In(dir), log)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}
	if t.ClientCA != "" {
		text, err := os.ReadFile(t.ClientCA.In(dir))
		if err != nil {
			return nil, nil, fmt.Errorf("load the authorities of clients: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return nil, nil, fmt.Errorf("%s has no certificate", t.ClientCA.In(dir))
		}
	}
	return config, func(host string) bool { return pair.current.Load().Leaf.VerifyHostname(host) == nil }, nil
}

// url is where people find the console.
func (c *Cloud) url() string {
	scheme := "http://"
	if c.console.secure {
		scheme = "https://"
	}
	return scheme + c.console.listener.Addr().String()
}

func (c *Cloud) handler(started time.Time) http.Handler {
	mux := http.NewServeMux()
	if c.runs(TargetAPI) {
		targets, called := c.config.Alarms.Targets.figures()
		calls := api.New(api.Options{
			Rollout: c.config.Rollout(),
			Limits:  c.config.Alarms.Shelving.limits(), Targets: targets, TargetsName: called,
			Version: c.options.Version, Store: c.store, Live: c.live, Acknowledged: c.acknowledged, Ending: c.ending, Access: c.console.access, Log: c.log,
		})
		mux.Handle("/api/", calls)
		c.handleAlerts(mux, started)
		mux.Handle("/openapi.json", calls)
		mux.Handle("/openapi.yaml", calls)
		mux.Handle("/", web.Handler())
		if p := c.config.Public; p != nil {
			mux.Handle("GET /public/", public.Handler("/public/", p.Dir.In(c.options.Dir)))
		}
	}
	mux.Handle("GET /metrics", c.metrics())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.unhealthy(started)) })
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, c.unready(r.Context(), started)) })
	return api.Guard(access.Gate(mux, api.Rights, c.console.access, c.log), c.console.named, c.console.secure)
}

// auditEvery is how often the head of the audit is looked for.
const auditEvery = time.Minute

// tellAudit logs the head of the audit when it has moved, so that it is also where
// whoever can write to the database can't.
func (c *Cloud) tellAudit(ctx context.Context) {
	var told store.AuditHead
	look := func(ctx context.Context) {
		head, err := c.store.AuditHead(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.log.Error("the audit can't be read", "error", err)
		case err == nil && head != told:
			c.log.Info("head of the audit", "head", head.String())
			told = head
		}
	}
	every := time.NewTicker(auditEvery)
	defer every.Stop()
	for look(ctx); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-every.C:
			look(ctx)
		}
	}
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	look(ending)
}

// warnOfNobody says that nobody can sign in yet.
func (c *Cloud) warnOfNobody(ctx context.Context) {
	if c.console.access.Provider() != nil {
		return
	}
	users, err := c.store.Users(ctx)
	if err == nil && len(users) == 0 {
		err = errors.New("there are no users: make one by busbar-cloud user add")
	}
	if err != nil {
		c.log.Warn("nobody can sign in to the console", "error", err)
	}
}
