package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/oidc"
	"github.com/busbar/busbar/cloud/oidc/oidctest"
	"github.com/busbar/busbar/test/await"
)

// byAProvider has each role in each zones sign in by a provider, and ask what they may.
func (z *zoned) byAProvider(t *testing.T) {
	issuer := oidctest.New(t, map[string]any{"sub": "s1"})
	var grants []oidc.Grant
	for _, role := range []access.Role{access.Viewer, access.Operator, access.Engineer, access.Admin} {
		for _, zones := range []string{"own-zone", "*"} {
			grants = append(grants, oidc.Grant{Value: role.String() + " of " + zones, Role: role.String(), Zones: zones})
		}
	}
	provider, err := oidc.New(oidc.Config{Name: "Example ID", Issuer: issuer.URL, ClientID: oidctest.ClientID, SecretFile: oidctest.Secret(t), Scopes: []string{"openid"},
		Console: z.server.URL, NameClaim: "name", RoleClaim: "groups", Session: time.Hour, Logger: quiet, Grants: grants})
	if err != nil {
		t.Fatal(err)
	}
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	send := func(client *http.Client, method, path, body string, header ...string) (status int, answer, location string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, z.server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text), response.Header.Get("Location")
	}
	operations := []struct{ method, path, body string }{
		{"GET", "/api/v1/session/oidc", ""}, {"GET", "/api/v1/session/oidc/callback", ""}, {"POST", "/api/v1/session/oidc/logout", "logout_token=x"}}
	for _, o := range operations {
		if status, answer, _ := send(&stay, o.method, o.path, o.body, "Content-Type", formType); status != 404 {
			t.Errorf("%s %s without a provider: %d %s", o.method, o.path, status, answer)
		}
	}
	if _, answer, _ := send(&stay, "GET", "/api/v1/session/methods", ""); answer != `{"password":true}`+"\n" {
		t.Errorf("without a provider: %s", answer)
	}
	z.access.UseOIDC(provider)
	defer z.access.UseOIDC(nil)
	if _, answer, _ := send(&stay, "GET", "/api/v1/session/methods", ""); answer != `{"password":true,"oidc":{"name":"Example ID","reachable":true}}`+"\n" {
		t.Errorf("%s", answer)
	}

	for _, g := range grants {
		issuer.Do(oidctest.Wrong{User: map[string]any{"sub": g.Value, "name": "ana", "groups": []string{g.Value}}})
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/alarms/own-alarm" {
				return http.ErrUseLastResponse // that is where it should lead
			}
			return nil
		}}
		if status, answer, to := send(browser, "GET", "/api/v1/session/oidc?return=/alarms/own-alarm", ""); status != 303 || to != "/alarms/own-alarm" {
			t.Fatalf("%s: %d %s %s", g.Value, status, answer, to)
		}
		zones := "null"
		if g.Zones != "*" {
			zones = fmt.Sprintf("[%q]", g.Zones)
		}
		if _, answer, _ := send(browser, "GET", "/api/v1/session", ""); !strings.Contains(answer, fmt.Sprintf(`,"role":%q,"zones":%s,"sign_out_at":"%s/end?`, g.Role, zones, issuer.URL)) || !strings.Contains(answer, `"name":"oidc:ana`) {
			t.Errorf("%s: %s", g.Value, answer)
		}
		for _, route := range []string{"GET /api/v1/alarms", "GET /api/v1/gateways", "GET /api/v1/audit"} {
			right := Rights[route]
			may := right.Least.String() != "admin" || g.Role == "admin" && g.Zones == "*"
			status, answer, _ := send(browser, "GET", strings.TrimPrefix(route, "GET ")+"?", "")
			switch foreign := strings.Contains(answer, "foreign"); {
			case may && status != 200, !may && status != 403:
				t.Errorf("%s by %s: %d", route, g.Value, status)
			case may && !right.Everywhere && foreign != (g.Zones == "*"):
				t.Errorf("%s by %s: it is %v that the foreign zone is seen", route, g.Value, foreign)
			}
		}
		if status, answer, _ := send(browser, "DELETE", "/api/v1/session", ""); status != 204 {
			t.Errorf("sign out: %d %s", status, answer)
		}
		if status, _, _ := send(browser, "GET", "/api/v1/session", ""); status != 401 {
			t.Errorf("signed out: %d", status)
		}
	}

	// People see what these answer, so nothing is too long for them.
	long := strings.Repeat("x", 10_000)
	for _, c := range []struct {
		method, path, body string
		header             []string
		status             int
		location           string
	}{
		{"GET", "/api/v1/session/oidc/callback?code=x&state=y", "", nil, 303, "/?signin=expired"},
		{"GET", "/api/v1/session/oidc/callback?error=server_error&error_description=" + long, "", nil, 303, "/?signin=expired"},
		{"GET", "/api/v1/session/oidc/callback?code=" + long + "&state=" + long, "", nil, 303, "/?signin=expired"},
		{"POST", "/api/v1/session/oidc/logout", "logout_token=x", []string{"Content-Type", formType}, 400, ""},
		{"POST", "/api/v1/session/oidc/logout", "%zz", []string{"Content-Type", formType}, 400, ""},
		{"POST", "/api/v1/session/oidc/logout", "logout_token=" + strings.Repeat("x", 40<<10), []string{"Content-Type", formType}, 413, ""},
		{"POST", "/api/v1/session/oidc/logout", "logout_token=x", []string{"Content-Type", formType, "Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"PUT", "/api/v1/session/oidc", "", nil, 405, ""},
	} {
		if status, answer, to := send(&stay, c.method, c.path, c.body, c.header...); status != c.status || to != c.location {
			t.Errorf("%s %.60s: %d %s %s, want %d", c.method, c.path, status, answer, to, c.status)
		}
	}
	if status, answer, to := send(&stay, "GET", "/api/v1/session/oidc?return=/"+long, ""); status != 303 || !strings.HasPrefix(to, issuer.URL+"/authorize?") {
		t.Errorf("a long page: %d %s %s", status, answer, to)
	}
	issuer.Close()
	await.True(t, "it is noticed that the provider is gone", func() bool {
		_, _, to := send(&stay, "GET", "/api/v1/session/oidc?return=/signals", "")
		return to == "/signals?signin=unreachable"
	})
	if _, answer, _ := send(&stay, "GET", "/api/v1/session/methods", ""); !strings.Contains(answer, `"reachable":false`) {
		t.Errorf("the provider is gone: %s", answer)
	}
}
