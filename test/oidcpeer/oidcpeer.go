// Package oidcpeer runs an OpenID Connect provider that we didn't write, for tests: npm's
// oidc-provider.
package oidcpeer

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/busbar/busbar/test/peer"
)

// ClientID and ClientSecret are by which it knows the console.
const (
	ClientID     = "busbar"
	ClientSecret = "a secret of the console: with what needs to be escaped, +/&=%"
)

// Provider is one, in a process of its own.
type Provider struct {
	Issuer  string
	process *exec.Cmd
}

// Config is what it is to know.
type Config struct {
	Console  string                    // where browsers reach the console
	Accounts map[string]map[string]any // the claims of each, by the name that they type
	// InIDToken has the ID token hold all of the claims. Else UserInfo has them.
	InIDToken bool
}

// Start starts one that ends with the test. If it isn't installed, the test is skipped, or
// fails if CI is set.
func Start(t testing.TB, c Config) *Provider {
	t.Helper()
	modules := filepath.Join(peer.Root(), ".peers", "oidc", "node_modules")
	_, err := os.Stat(filepath.Join(modules, "oidc-provider"))
	node, noNode := exec.LookPath("node")
	if err != nil || noNode != nil {
		peer.Missing(t, "no oidc-provider: make peers")
	}
	p := &Provider{Issuer: "http://" + peer.Address(t)}
	config, err := json.Marshal(map[string]any{
		"issuer": p.Issuer, "accounts": c.Accounts,
		"configuration": map[string]any{
			"clients": []any{map[string]any{
				"client_id": ClientID, "client_secret": ClientSecret,
				"redirect_uris":             []string{c.Console + "/api/v1/session/oidc/callback"},
				"post_logout_redirect_uris": []string{c.Console + "/"},
				"backchannel_logout_uri":    c.Console + "/api/v1/session/oidc/logout", "backchannel_logout_session_required": true,
			}},
			"claims":               map[string]any{"openid": []string{"sub"}, "profile": []string{"preferred_username"}, "groups": []string{"groups"}},
			"features":             map[string]any{"backchannelLogout": map[string]any{"enabled": true}},
			"conformIdTokenClaims": !c.InIDToken,
			"cookies":              map[string]any{"keys": []string{"of this test"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.process = exec.Command(node, filepath.Join(peer.Root(), "test", "peers", "oidc", "provider.js"), modules, string(config))
	var said strings.Builder
	p.process.Stderr = &said
	out, err := p.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the provider: %s", said.String())
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			go io.Copy(io.Discard, out)
			return p
		}
	}
	p.process.Wait()
	t.Fatalf("the provider doesn't start: %s", said.String())
	return nil
}

// Kill ends it as a power failure would.
func (p *Provider) Kill() {
	p.process.Process.Kill()
	p.process.Wait()
}

// Browser is somebody's, by which they sign in there. It keeps cookies.
func Browser() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Jar: jar}
}

var action = regexp.MustCompile(`<form[^>]* action="([^"]*)" method="post">`)

// SignIn follows an address of the provider, types a name there, and is the address that it
// leads back to, which isn't followed.
func (p *Provider) SignIn(t testing.TB, browser *http.Client, at, name string) *url.URL {
	t.Helper()
	inside := *browser
	inside.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), p.Issuer+"/") {
			return nil
		}
		return http.ErrUseLastResponse
	}
	answer, err := inside.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	if form := action.FindSubmatch(page); form != nil {
		submit, err := answer.Request.URL.Parse(strings.ReplaceAll(string(form[1]), "&amp;", "&"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err = inside.PostForm(submit.String(), url.Values{"prompt": {"login"}, "login": {name}, "password": {"any"}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	to, err := answer.Location()
	if err != nil {
		t.Fatalf("%s: %s: %s", answer.Request.URL, answer.Status, page)
	}
	return to
}
