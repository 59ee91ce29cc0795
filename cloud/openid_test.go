package cloud

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/browser"
	"github.com/busbar/busbar/test/oidcpeer"
)

// People sign in to a whole cloud by a provider that we didn't write, in a real browser,
// and out again at either end. Those who may nothing don't get in, and without the
// provider our own users do.
func TestSigningInByAProvider(t *testing.T) {
	dir := t.TempDir()
	listen := freeAddress(t)
	console := "http://" + listen
	peer := oidcpeer.Start(t, oidcpeer.Config{Console: console, InIDToken: true, Accounts: map[string]map[string]any{
		"7f3a": {"preferred_username": "ana", "groups": []string{"everybody", "grid-operators"}},
		"9c21": {"preferred_username": "bo", "groups": []string{"everybody"}},
	}})
	if err := os.WriteFile(filepath.Join(dir, "oidc.secret"), []byte(oidcpeer.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := ParseConfig(filepath.Join(dir, "cloud.yaml"), fmt.Appendf(nil, `
console:
  listen: %s
  sign_in: true
  oidc:
    name: Example ID
    issuer: %s
    client_id: %s
    client_secret_file: oidc.secret
    console_url: %s
    scopes: [openid, profile, groups]
    roles:
      - {value: grid-admins, role: admin, zones: ["*"]}
      - {value: grid-operators, role: operator, zones: [north, south]}
log: {embedded: {listen: %s, path: log}}
store: {path: cloud.db}
`, listen, peer.Issuer, oidcpeer.ClientID, console, freeAddress(t)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(t.Context(), config, Options{Version: "test", Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	const password = "correct horse battery"
	if err := c.store.AddUser(t.Context(), store.User{Name: "ana", Password: access.HashPassword(password), Role: "viewer", Zones: "*"}); err != nil {
		t.Fatal(err)
	}

	b := browser.New(t)
	who := func() string {
		t.Helper()
		return browser.Get[string](b, `fetch("/api/v1/session").then(r => r.text())`)
	}
	typeName := func(name string) {
		t.Helper()
		b.Await(time.Minute, fmt.Sprintf(`location.href.startsWith(%q) && document.querySelector("input[name=login]")`, peer.Issuer))
		b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`for (const [k, v] of [["login", %q], ["password", "any"]]) document.querySelector("input[name=" + k + "]").value = v`, name)))
		b.Do(chromedp.Click(chromedp.CSS("button[type=submit]")))
	}
	const button, live = `document.querySelector("[data-testid=signin-provider]")`, `document.querySelector("[data-testid=connection]")?.dataset.state === "live"`
	press := func() {
		t.Helper()
		b.Await(time.Minute, button)
		b.Do(chromedp.Click(chromedp.CSS("[data-testid=signin-provider]")))
	}

	b.Do(chromedp.Navigate(console + "/signals?series=4"))
	press()
	typeName("7f3a")
	b.Await(time.Minute, live)
	if got := browser.Get[string](b, "location.href"); got != console+"/signals?series=4" {
		t.Errorf("it leads to %s", got)
	}
	if got := browser.Get[string](b, `document.querySelector("[data-testid=who]").innerText`); got != "oidc:ana" {
		t.Errorf("signed in as %q", got)
	}
	if got := who(); !strings.Contains(got, `"name":"oidc:ana","role":"operator","zones":["north","south"]`) {
		t.Errorf("signed in as %s", got)
	}
	if got := browser.Get[string](b, "document.cookie"); got != "" {
		t.Errorf("scripts see %s", got)
	}

	// Out here, and then there, which leads back.
	end := func() {
		t.Helper()
		b.Await(time.Minute, fmt.Sprintf(`location.href.startsWith(%q) && document.querySelector("button[value=yes]")`, peer.Issuer))
		b.Do(chromedp.Click(chromedp.CSS("button[value=yes]")))
	}
	b.Do(chromedp.Click(chromedp.CSS("[data-testid=signout]")))
	end()
	b.Await(time.Minute, fmt.Sprintf(`location.href === %q && `, console+"/")+button)
	if got := who(); !strings.Contains(got, `"status":401`) {
		t.Errorf("signed out: %s", got)
	}

	// The provider's session has ended with it: they are asked again. Then they end it there,
	// and it tells us.
	press()
	typeName("7f3a")
	b.Await(time.Minute, live)
	b.Do(chromedp.Navigate(peer.Issuer + "/session/end"))
	end()
	b.Await(time.Minute, `document.readyState === "complete" && !document.querySelector("button[value=yes]")`)
	await.True(t, "the provider has told us that the session has ended", func() bool {
		rows, err := c.store.AuditRows(t.Context(), store.Page[int64]{Limit: 1})
		return err == nil && rows[0].By == "provider" && rows[0].Action == "sign-out"
	})

	// Whom nothing is said about.
	b.Do(chromedp.Navigate(console + "/alarms/a1"))
	press() // which is only there for who isn't signed in any more
	typeName("9c21")
	b.Await(time.Minute, `document.querySelector("[data-testid=signin-provider-error]")?.innerText.startsWith("Example ID knows you, but nothing says what you may do here.")`)
	if got := browser.Get[string](b, "location.href"); got != console+"/alarms/a1" {
		t.Errorf("it leads to %s", got)
	}

	// By a name that the provider doesn't know, one comes to the one that it does.
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	follow := func(at string) *url.URL {
		t.Helper()
		answer, err := stay.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		to, err := answer.Location()
		if err != nil || answer.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s, %v", at, answer.Status, err)
		}
		return to
	}
	_, port, _ := strings.Cut(listen, ":")
	if got := follow("http://localhost:" + port + "/api/v1/session/oidc?return=/signals").String(); got != console+"/api/v1/session/oidc?return=%2Fsignals" {
		t.Errorf("it leads to %s", got)
	}
	if got := follow(console + "/api/v1/session/oidc?return=//evil.example").String(); !strings.HasPrefix(got, peer.Issuer+"/auth?") {
		t.Errorf("it leads to %s", got)
	}
	if got := follow(console + "/api/v1/session/oidc/callback?code=x&state=y").String(); got != console+"/?signin=expired" {
		t.Errorf("it leads to %s", got)
	}

	// Without the provider.
	peer.Kill()
	await.True(t, "it is noticed that the provider is gone", func() bool {
		return follow(console+"/api/v1/session/oidc?return=/signals?series=4").String() == console+"/signals?series=4&signin=unreachable"
	})
	press()
	b.Await(time.Minute, `document.querySelector("[data-testid=signin-provider-error]")?.innerText.startsWith("Example ID can't be reached")`)
	b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`for (const [k, v] of [["name", "ana"], ["password", %q]]) document.querySelector("[data-testid=signin-" + k + "]").value = v`, password)))
	b.Do(chromedp.Click(chromedp.CSS("[data-testid=signin-submit]")))
	b.Await(time.Minute, live)
	if got := who(); !strings.Contains(got, `"name":"ana","role":"viewer","zones":null`) {
		t.Errorf("signed in as %s", got)
	}
	var methods struct{ OIDC struct{ Reachable bool } }
	answer, err := http.Get(console + "/api/v1/session/methods")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&methods); err != nil || methods.OIDC.Reachable {
		t.Errorf("%+v, %v", methods, err)
	}

	secret := access.TokenPrefix + access.NewSecret()
	if err := c.store.AddAPIToken(t.Context(), store.APIToken{Name: "prometheus", Role: "viewer", Zones: "*", Expires: telemetry.MicrosOf(time.Now().Add(time.Hour))}, secret); err != nil {
		t.Fatal(err)
	}
	ask, err := http.NewRequestWithContext(t.Context(), "GET", console+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer "+secret)
	metrics, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	text, err := io.ReadAll(metrics.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"busbar_cloud_oidc_reachable 0", `busbar_cloud_oidc_sign_ins_total{result="signed-in"} 2`, `busbar_cloud_oidc_sign_ins_total{result="refused"} 2`} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the metrics haven't: %s", line)
		}
	}

	rows, err := c.store.AuditRows(t.Context(), store.Page[int64]{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, r := range rows {
		told[strings.Join([]string{r.By, r.Via, r.Action, r.Subject}, " ")]++
		if strings.Contains(r.Detail, oidcpeer.ClientSecret) {
			t.Errorf("the audit tells the secret: %+v", r)
		}
	}
	for row, n := range map[string]int{"oidc:ana oidc sign-in oidc:ana": 2, "oidc:ana session sign-out oidc:ana": 1, "provider oidc sign-out oidc:ana": 1,
		"unknown oidc sign-in-failed oidc:bo": 1, "ana password sign-in ana": 1} {
		if told[row] != n {
			t.Errorf("the audit has %d times: %s; want %d; it has %v", told[row], row, n, told)
		}
	}
}
