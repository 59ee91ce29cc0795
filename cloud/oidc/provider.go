// Package oidc lets people sign in by an OpenID Connect provider: the authorization code
// flow of OpenID Connect Core 1.0 with PKCE (RFC 7636), for a client that has a secret.
// It knows neither sessions nor the database.
package oidc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/busbar/busbar/cloud/outgoing"
	"github.com/busbar/busbar/kafkaconn"
)

// Config is who the provider is and what its word counts for.
type Config struct {
	Name       string // what people call it
	Issuer     string
	ClientID   string
	SecretFile string // read at each sign-in
	Scopes     []string
	CA         string // file of certificate authorities in PEM; "": those of the operating system
	Console    string // where browsers reach the console, such as https://busbar.example

	NameClaim string
	RoleClaim string
	Grants    []Grant // the first that fits counts
	Default   *Grant  // for whom none fits; nil: they aren't let in

	// Session is how long somebody may stay on the provider's word.
	Session time.Duration

	Logger *slog.Logger
}

// Grant is what whoever has a value in the role claim may.
type Grant struct {
	Value string
	Role  string
	Zones string // separated by commas, or * for all
}

const (
	// CallbackPath is where the provider sends browsers back to.
	CallbackPath = "/api/v1/session/oidc/callback"

	// leeway is what the provider's clock may differ from this one.
	leeway = time.Minute
	// freshFor is how long what the provider says of itself isn't asked for again; for who
	// is about to be sent there, it is shorter: they shouldn't find nobody.
	freshFor   = time.Minute
	freshToGo  = time.Second
	retryAfter = 10 * time.Second
	// notAgain keeps people who press the button from asking a provider that is gone at
	// each press.
	notAgain       = time.Second
	discoverTime   = 5 * time.Second
	answerTime     = 10 * time.Second
	largestAnswer  = 1 << 20
	longestExcerpt = 300
)

// Provider is an OpenID Connect provider. It is safe for concurrent use. It need not be
// reachable yet.
type Provider struct {
	cfg      Config
	client   *http.Client
	callback string
	now      func() time.Time

	asking chan struct{} // holds one while the provider is asked about itself

	mu    sync.Mutex
	found *found
	at    time.Time // when it was found last
	err   error     // of the newest attempt
	tried time.Time // when that was
}

// found is what a provider says of itself.
type found struct {
	*oidc.Provider
	text     json.RawMessage
	verifier *oidc.IDTokenVerifier
	style    oauth2.AuthStyle

	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	TellsIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	EndSession  string   `json:"end_session_endpoint"`
	JWKS        string   `json:"jwks_uri"`
}

// New reads the files that a Config names.
func New(c Config) (*Provider, error) {
	if _, err := kafkaconn.ReadPassword(c.SecretFile); err != nil {
		return nil, fmt.Errorf("oidc: the client's secret: %w", err)
	}
	client, err := outgoing.Server{CA: c.CA}.Client()
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	client.Timeout = answerTime
	client.Transport = bounded{client.Transport}
	return &Provider{cfg: c, client: client, callback: strings.TrimSuffix(c.Console, "/") + CallbackPath, now: time.Now, asking: make(chan struct{}, 1)}, nil
}

// Name is what people call the provider.
func (p *Provider) Name() string { return p.cfg.Name }

// Issuer is by which its users are known.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// Session is how long somebody may stay on the provider's word.
func (p *Provider) Session() time.Duration { return p.cfg.Session }

// Console is where browsers reach the console, without a slash at its end.
func (p *Provider) Console() string { return strings.TrimSuffix(p.cfg.Console, "/") }

// Terms change with what is made of the provider's word: with it, and with whose word it is.
func (p *Provider) Terms() string {
	c := p.cfg
	text, _ := json.Marshal([]any{c.Issuer, c.ClientID, c.NameClaim, c.RoleClaim, c.Grants, c.Default})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Run keeps asking the provider about itself, until ctx ends.
func (p *Provider) Run(ctx context.Context) {
	for ctx.Err() == nil {
		every := freshFor
		if _, err := p.discover(ctx, freshFor/2); err != nil {
			every = retryAfter
		}
		outgoing.Sleep(ctx, every)
	}
}

// Reachable says whether the provider answered when it was asked last. Before that it is
// thought to.
func (p *Provider) Reachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err == nil
}

// discover asks the provider about itself, unless it has answered not longer than fresh
// ago.
func (p *Provider) discover(ctx context.Context, fresh time.Duration) (*found, error) {
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	before, at, failed, tried := p.found, p.at, p.err, p.tried
	p.mu.Unlock()
	switch since := p.now().Sub(tried); {
	case failed != nil && since < notAgain:
		return nil, failed
	case failed == nil && before != nil && p.now().Sub(at) < fresh:
		return before, nil
	}
	// Whoever waits may go: others wait for the same answer.
	asking, stop := context.WithTimeout(oidc.ClientContext(context.WithoutCancel(ctx), p.client), discoverTime)
	defer stop()
	is, err := p.ask(asking)
	if err == nil && before != nil && bytes.Equal(is.text, before.text) {
		is = before // with the keys that it has
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err, p.tried = err, p.now(); err != nil {
		if failed == nil {
			p.cfg.Logger.Error("the OpenID Connect provider can't be used, trying again; local users can sign in", "issuer", p.cfg.Issuer, "error", err)
		}
		return nil, err
	}
	if failed != nil || before == nil {
		p.cfg.Logger.Info("the OpenID Connect provider can be used", "issuer", p.cfg.Issuer)
	}
	p.found, p.at = is, p.now()
	return is, nil
}

func (p *Provider) ask(ctx context.Context) (*found, error) {
	provider, err := oidc.NewProvider(ctx, p.cfg.Issuer)
	if err != nil {
		return nil, excerpt(err)
	}
	is := &found{Provider: provider}
	if err := errors.Join(provider.Claims(is), provider.Claims(&is.text)); err != nil {
		return nil, excerpt(err)
	}
	for name, at := range map[string]string{"authorization_endpoint": provider.Endpoint().AuthURL, "token_endpoint": provider.Endpoint().TokenURL,
		"jwks_uri": is.JWKS, "userinfo_endpoint": provider.UserInfoEndpoint(), "end_session_endpoint": is.EndSession} {
		if at == "" && (name == "userinfo_endpoint" || name == "end_session_endpoint") {
			continue
		}
		if err := CheckURL(at); err != nil {
			return nil, fmt.Errorf("its %s: %q: %w", name, at, err)
		}
	}
	switch {
	case len(is.AuthMethods) == 0 || slices.Contains(is.AuthMethods, "client_secret_basic"):
		is.style = oauth2.AuthStyleInHeader
	case slices.Contains(is.AuthMethods, "client_secret_post"):
		is.style = oauth2.AuthStyleInParams
	default:
		return nil, fmt.Errorf("it takes the client's secret neither by client_secret_basic nor by client_secret_post, but by %q", is.AuthMethods)
	}
	is.verifier = provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID, Now: func() time.Time { return p.now().Add(-leeway) }})
	return is, nil
}

func (p *Provider) oauth(is *found, secret string) oauth2.Config {
	endpoint := is.Endpoint()
	endpoint.AuthStyle = is.style
	return oauth2.Config{ClientID: p.cfg.ClientID, ClientSecret: secret, Endpoint: endpoint, RedirectURL: p.callback, Scopes: p.cfg.Scopes}
}

// SignOutAt is where the provider ends its own session and sends the browser back to the
// console, "" if it doesn't say where, or isn't there. It is told neither who nor by a
// token: it may ask.
func (p *Provider) SignOutAt() string {
	p.mu.Lock()
	is, failed := p.found, p.err
	p.mu.Unlock()
	if is == nil || failed != nil || is.EndSession == "" {
		return ""
	}
	at, err := url.Parse(is.EndSession)
	if err != nil {
		return ""
	}
	query := at.Query()
	query.Set("client_id", p.cfg.ClientID)
	query.Set("post_logout_redirect_uri", p.Console()+"/")
	at.RawQuery = query.Encode()
	return at.String()
}

// CheckURL says why an address isn't one of a provider or of the console: without TLS it
// has to be this machine's own.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("no URL such as https://id.example")
	}
	ip := net.ParseIP(u.Hostname())
	switch {
	case u.User != nil:
		return errors.New("has a user's name in it, expected a URL without one")
	case u.Fragment != "":
		return errors.New("has a fragment, which is never sent")
	case u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()):
		return errors.New("is another machine without TLS, expected https")
	}
	return nil
}

// bounded reads so much of an answer and no more: libraries read all of it.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, largestAnswer), answer.Body}
	}
	return answer, err
}

// excerpt bounds what others have put into an error.
func excerpt(err error) error {
	text := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, err.Error())
	if len(text) <= longestExcerpt {
		return errors.New(text)
	}
	return errors.New(strings.ToValidUTF8(text[:longestExcerpt], "") + "…")
}
