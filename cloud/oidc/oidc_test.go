package oidc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/oidc"
	"github.com/busbar/busbar/cloud/oidc/oidctest"
)

const console = "http://127.0.0.1:8080"

func configOf(t *testing.T, i *oidctest.Issuer) oidc.Config {
	return oidc.Config{Name: "Example ID", Issuer: i.URL, ClientID: oidctest.ClientID, SecretFile: oidctest.Secret(t), Scopes: []string{"openid", "profile"},
		Console: console, NameClaim: "preferred_username", RoleClaim: "realm_access.roles", Session: time.Hour, Logger: slog.New(slog.DiscardHandler),
		Grants: []oidc.Grant{{"grid-admins", "admin", "*"}, {"grid-operators", "operator", "north,south"}, {"grid-viewers", "viewer", "*"}}}
}

func newProvider(t *testing.T, c oidc.Config) *oidc.Provider {
	t.Helper()
	p, err := oidc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ana() map[string]any {
	return map[string]any{"sub": "248289", "preferred_username": "ana", "sid": "s1",
		"realm_access": map[string]any{"roles": []string{"offline_access", "grid-viewers", "grid-operators"}}}
}

func answerOf(q url.Values) oidc.Answer {
	return oidc.Answer{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error"), Description: q.Get("error_description")}
}

// signIn goes all the way.
func signIn(t *testing.T, i *oidctest.Issuer, p *oidc.Provider) (oidc.Identity, error) {
	t.Helper()
	at, attempt, err := p.Begin(t.Context(), "/alarms/a1")
	if err != nil {
		return oidc.Identity{}, err
	}
	if attempt.Return != "/alarms/a1" {
		t.Errorf("it leads back to %s", attempt.Return)
	}
	return p.Finish(t.Context(), attempt, answerOf(i.Visit(t, at)))
}

func refused(t *testing.T, err error, reason oidc.Reason, detail string) {
	t.Helper()
	var r *oidc.Refusal
	if !errors.As(err, &r) || r.Reason != reason || !strings.Contains(r.Detail, detail) {
		t.Errorf("%#v, want %s: %s", err, reason, detail)
	}
	if err != nil && strings.Contains(err.Error(), oidctest.ClientSecret) {
		t.Errorf("the refusal tells the secret: %v", err)
	}
}

func TestWhoIsLetIn(t *testing.T) {
	i := oidctest.New(t, ana())
	c := configOf(t, i)
	withDefault, plain := c, c
	withDefault.Default = &oidc.Grant{Role: "viewer", Zones: "guests"}
	plain.RoleClaim, plain.Grants = "https://busbar.example/role", []oidc.Grant{{"grid-operators", "operator", "*"}}
	with := func(changes map[string]any) map[string]any {
		user := ana()
		maps.Copy(user, changes)
		for name, v := range changes {
			if v == nil {
				delete(user, name)
			}
		}
		return user
	}
	for name, x := range map[string]struct {
		config oidc.Config
		does   oidctest.Wrong
		want   string // role, zones and name; or how they are refused
	}{
		"the first entry that fits counts":  {c, oidctest.Wrong{}, "operator north,south ana"},
		"none fits":                         {c, oidctest.Wrong{User: with(map[string]any{"realm_access": map[string]any{"roles": []string{"Grid-Admins", "grid"}}})}, "unmapped: none of the 2 values"},
		"none is sent":                      {c, oidctest.Wrong{User: with(map[string]any{"realm_access": nil})}, "unmapped: doesn't send the claim realm_access.roles"},
		"an empty list":                     {c, oidctest.Wrong{User: with(map[string]any{"realm_access": map[string]any{"roles": []string{}}})}, "unmapped: none of the 0"},
		"no list of texts":                  {c, oidctest.Wrong{User: with(map[string]any{"realm_access": map[string]any{"roles": []any{1}}})}, "unmapped: neither a text nor a list"},
		"not within what it should be":      {c, oidctest.Wrong{User: with(map[string]any{"realm_access": "grid-admins"})}, "unmapped: doesn't send"},
		"none fits, and there is a default": {withDefault, oidctest.Wrong{User: with(map[string]any{"realm_access": nil})}, "viewer guests ana"},
		"one fits, and there is a default":  {withDefault, oidctest.Wrong{User: ana()}, "operator north,south ana"},
		"a text, by a name with dots":       {plain, oidctest.Wrong{User: with(map[string]any{"https://busbar.example/role": "grid-operators"})}, "operator * ana"},
		"in UserInfo":                       {c, oidctest.Wrong{User: map[string]any{"sub": "248289"}, Info: ana()}, "operator north,south ana"},
		"the ID token's word stands":        {c, oidctest.Wrong{User: with(map[string]any{"preferred_username": nil}), Info: map[string]any{"sub": "248289", "preferred_username": "ana", "realm_access": map[string]any{"roles": []string{"grid-admins"}}}}, "operator north,south ana"},
		"UserInfo about somebody else":      {c, oidctest.Wrong{User: map[string]any{"sub": "248289"}, Info: with(map[string]any{"sub": "1"})}, "refused: about somebody else"},
		"no name":                           {c, oidctest.Wrong{User: with(map[string]any{"preferred_username": nil})}, "unmapped: the claim preferred_username"},
		"an empty name":                     {c, oidctest.Wrong{User: with(map[string]any{"preferred_username": " "})}, "unmapped: 1 to 63"},
		"a name that is too long":           {c, oidctest.Wrong{User: with(map[string]any{"preferred_username": strings.Repeat("ü", 64)})}, "unmapped: 1 to 63"},
		"a long name":                       {c, oidctest.Wrong{User: with(map[string]any{"preferred_username": strings.Repeat("ü", 63)})}, "operator north,south " + strings.Repeat("ü", 63)},
		"a name that shows as another":      {c, oidctest.Wrong{User: with(map[string]any{"preferred_username": "ana\u202e"})}, "unmapped: what can't be seen"},
		"a name of a namesake":              {c, oidctest.Wrong{User: with(map[string]any{"preferred_username": "ana~2"})}, "unmapped: a tilde"},
		"it takes the secret in the body":   {c, oidctest.Wrong{User: ana(), Discovery: func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"} }}, "operator north,south ana"},
		"it takes no secret":                {c, oidctest.Wrong{User: ana(), Discovery: func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"} }}, "unreachable: private_key_jwt"},
	} {
		t.Run(name, func(t *testing.T) {
			if x.does.User == nil {
				x.does.User = ana()
			}
			i.Do(x.does)
			who, err := signIn(t, i, newProvider(t, x.config))
			if reason, detail, isRefused := strings.Cut(x.want, ": "); isRefused {
				refused(t, err, oidc.Reason(reason), detail)
				return
			}
			if got := strings.Join([]string{who.Grant.Role, who.Grant.Zones, who.Name}, " "); err != nil || got != x.want {
				t.Fatalf("%s, %v, want %s", got, err, x.want)
			}
			if who.Issuer != i.URL || who.Subject != "248289" {
				t.Errorf("%+v", who)
			}
		})
	}
}

// Each thing that a hostile or a broken provider, or somebody between, can do.
func TestWhatIsRefused(t *testing.T) {
	i := oidctest.New(t, ana())
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, v any) oidctest.Wrong {
		return oidctest.Wrong{Claims: func(c map[string]any) { c[name] = v }}
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for name, x := range map[string]struct {
		does   oidctest.Wrong
		reason oidc.Reason // "": they are let in
		detail string
	}{
		"another audience":             {claim("aud", "billing"), oidc.Refused, "expected audience"},
		"two, and it isn't said whose": {claim("aud", []string{"billing", "busbar"}), oidc.Refused, `issued to ""`},
		"issued to another":            {oidctest.Wrong{Claims: func(c map[string]any) { c["aud"], c["azp"] = []string{"billing", "busbar"}, "billing" }}, oidc.Refused, `issued to "billing"`},
		"issued to us, for two":        {oidctest.Wrong{Claims: func(c map[string]any) { c["aud"], c["azp"] = []string{"billing", "busbar"}, "busbar" }}, "", ""},
		"another issuer":               {claim("iss", "https://evil.example"), oidc.Refused, "different provider"},
		"another nonce":                {claim("nonce", "n"), oidc.Refused, "the nonce"},
		"no nonce":                     {claim("nonce", ""), oidc.Refused, "the nonce"},
		"expired":                      {claim("exp", ago(2*time.Minute)), oidc.Refused, "expired"},
		"expired by another clock":     {claim("exp", ago(30*time.Second)), "", ""},
		"not yet valid":                {claim("nbf", ago(-time.Hour)), oidc.Refused, "nbf"},
		"no subject":                   {claim("sub", ""), oidc.Refused, "the subject"},
		"a subject beyond ASCII":       {claim("sub", "a\x00"), oidc.Refused, "the subject"},
		"another's access token":       {claim("at_hash", "x"), oidc.Refused, "access token hash"},
		"another's signature":          {oidctest.Wrong{Token: func(token string) string { return token[:len(token)-4] + "AAAA" }}, oidc.Refused, "verify"},
		"other claims": {oidctest.Wrong{Token: func(token string) string {
			part := strings.Split(token, ".")
			text, _ := base64.RawURLEncoding.DecodeString(part[1])
			part[1] = base64.RawURLEncoding.EncodeToString(bytes.Replace(text, []byte("grid-viewers"), []byte("grid-admins"), 1))
			return strings.Join(part, ".")
		}}, oidc.Refused, "verify"},
		"another key": {oidctest.Wrong{Token: func(token string) string {
			text, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
			claims := map[string]any{}
			json.Unmarshal(text, &claims)
			return oidctest.SignBy(other, claims)
		}}, oidc.Refused, "verify"},
		"no signature": {oidctest.Wrong{Token: func(token string) string {
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(token, ".")[1] + "."
		}}, oidc.Refused, "the ID token"},
		"no ID token":                {oidctest.Wrong{Token: func(string) string { return "" }}, oidc.Refused, "the ID token"},
		"the code isn't taken":       {oidctest.Wrong{Status: 400}, oidc.Refused, "isn't exchanged"},
		"it fails":                   {oidctest.Wrong{Status: 503}, oidc.Unreachable, "isn't exchanged"},
		"it says it is another":      {oidctest.Wrong{Discovery: func(d map[string]any) { d["issuer"] = "https://evil.example" }}, oidc.Unreachable, "did not match"},
		"it asks for the secret":     {oidctest.Wrong{Discovery: func(d map[string]any) { d["token_endpoint"] = "http://id.example/token" }}, oidc.Unreachable, "token_endpoint"},
		"it has no keys":             {oidctest.Wrong{Discovery: func(d map[string]any) { delete(d, "jwks_uri") }}, oidc.Unreachable, "jwks_uri"},
		"it should name itself":      {oidctest.Wrong{Discovery: func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true }}, oidc.Refused, `issuer ""`},
		"it says that it has no end": {oidctest.Wrong{Discovery: func(d map[string]any) { d["x"] = strings.Repeat("x", 2<<20) }}, oidc.Unreachable, "can't be used"},
		"nothing is wrong":           {oidctest.Wrong{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			i.Do(x.does)
			who, err := signIn(t, i, newProvider(t, configOf(t, i)))
			if x.reason != "" {
				refused(t, err, x.reason, x.detail)
			} else if err != nil || who.Subject != "248289" || who.Session != "s1" {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
}

func TestAnAnswerBelongsToItsAttempt(t *testing.T) {
	i := oidctest.New(t, ana())
	p := newProvider(t, configOf(t, i))
	begin := func() (oidc.Attempt, oidc.Answer) {
		t.Helper()
		at, attempt, err := p.Begin(t.Context(), "/")
		if err != nil {
			t.Fatal(err)
		}
		asked, err := url.Parse(at)
		if q := asked.Query(); err != nil || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || strings.Contains(at, attempt.Verifier) ||
			q.Get("redirect_uri") != console+"/api/v1/session/oidc/callback" || len(q.Get("state")) < 26 || len(q.Get("nonce")) < 26 {
			t.Errorf("%s, %v", at, err)
		}
		return attempt, answerOf(i.Visit(t, at))
	}
	first, answer := begin()
	second, _ := begin()
	finish := func(a oidc.Attempt, answer oidc.Answer) error {
		_, err := p.Finish(t.Context(), a, answer)
		return err
	}
	refused(t, finish(second, answer), oidc.Expired, "the state")
	refused(t, finish(oidc.Attempt{}, oidc.Answer{Code: answer.Code}), oidc.Expired, "the state")
	late := first
	late.Until = time.Now().Add(-time.Second)
	refused(t, finish(late, answer), oidc.Expired, "longer than 10m0s")
	mixed := answer
	mixed.Issuer = "https://evil.example"
	refused(t, finish(first, mixed), oidc.Refused, `issuer "https://evil.example"`)
	refused(t, finish(first, oidc.Answer{State: first.State, Error: "access_denied", Description: "no\nthanks"}), oidc.Cancelled, `"access_denied"`)
	refused(t, finish(first, oidc.Answer{State: first.State}), oidc.Cancelled, "")
	stolen := second // somebody else's code, in one's own browser
	stolenAnswer := answer
	stolenAnswer.State = second.State
	refused(t, finish(stolen, stolenAnswer), oidc.Refused, "invalid_grant")
	if err := finish(first, answer); err != nil {
		t.Fatal(err)
	}
	refused(t, finish(first, answer), oidc.Refused, "invalid_grant")

	first, answer = begin()
	i.Close()
	refused(t, finish(first, answer), oidc.Unreachable, "isn't exchanged")
}

// The provider needn't be there from the start, nor for ever.
func TestTheProviderComesAndGoes(t *testing.T) {
	i := oidctest.New(t, ana())
	gone := func(d map[string]any) { d["issuer"] = "" }
	i.Do(oidctest.Wrong{Discovery: gone})
	p := newProvider(t, configOf(t, i))
	now := time.Now()
	p.SetClock(func() time.Time { return now })
	if !p.Reachable() {
		t.Error("it is unreachable before anybody has tried")
	}
	_, _, err := p.Begin(t.Context(), "/")
	refused(t, err, oidc.Unreachable, "can't be used")
	if p.Reachable() || p.SignOutAt() != "" {
		t.Error("it is reachable")
	}
	i.Do(oidctest.Wrong{})
	_, _, err = p.Begin(t.Context(), "/")
	refused(t, err, oidc.Unreachable, "can't be used") // it was asked a moment ago
	now = now.Add(2 * time.Second)
	if _, err := signIn(t, i, p); err != nil || !p.Reachable() {
		t.Errorf("it is back: %v", err)
	}
	at, err := url.Parse(p.SignOutAt())
	if q := at.Query(); err != nil || at.Path != "/end" || q.Get("client_id") != oidctest.ClientID || q.Get("post_logout_redirect_uri") != console+"/" {
		t.Errorf("%s, %v", at, err)
	}
	i.Do(oidctest.Wrong{Discovery: gone})
	if _, _, err := p.Begin(t.Context(), "/"); err != nil {
		t.Errorf("it answered a moment ago: %v", err)
	}
	now = now.Add(2 * time.Second)
	_, _, err = p.Begin(t.Context(), "/")
	refused(t, err, oidc.Unreachable, "can't be used")
	if p.Reachable() || p.SignOutAt() != "" {
		t.Error("it is reachable")
	}
}

// Its certificate has to be of an authority that is trusted.
func TestAProviderBehindTLS(t *testing.T) {
	i := oidctest.NewTLS(t, ana())
	c := configOf(t, i)
	_, err := signIn(t, i, newProvider(t, c))
	refused(t, err, oidc.Unreachable, "certificate")
	c.CA = i.Authority(t)
	p := newProvider(t, c)
	at, attempt, err := p.Begin(t.Context(), "/")
	if err != nil || !strings.HasPrefix(at, "https://") {
		t.Fatalf("%s, %v", at, err)
	}
	if _, err := p.Finish(t.Context(), attempt, answerOf(i.Visit(t, at))); err != nil {
		t.Error(err)
	}
}

func TestLogoutTokens(t *testing.T) {
	i := oidctest.New(t, ana())
	p := newProvider(t, configOf(t, i))
	token := func(change func(map[string]any)) string {
		c := map[string]any{"iss": i.URL, "aud": oidctest.ClientID, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "jti": "j1", "sub": "248289", "sid": "s1",
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
		change(c)
		return i.Sign(c)
	}
	ended, err := p.Ended(t.Context(), token(func(map[string]any) {}))
	if err != nil || ended.Subject != "248289" || ended.Session != "s1" || time.Until(ended.Before) > time.Minute || time.Until(ended.Before) < 0 {
		t.Errorf("%+v, %v", ended, err)
	}
	for name, text := range map[string]string{
		"nothing":      "",
		"an ID token":  token(func(c map[string]any) { delete(c, "events"); c["nonce"] = "n" }),
		"with a nonce": token(func(c map[string]any) { c["nonce"] = "n" }),
		"for another":  token(func(c map[string]any) { c["aud"] = "billing" }),
		"of another":   token(func(c map[string]any) { c["iss"] = "https://evil.example" }),
		"expired":      token(func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
		"of nobody":    token(func(c map[string]any) { delete(c, "sub"); delete(c, "sid") }),
		"changed":      token(func(map[string]any) {}) + "A",
	} {
		if ended, err := p.Ended(t.Context(), text); err == nil {
			t.Errorf("%s: %+v", name, ended)
		}
	}
}

func TestTermsChangeWithWhatTheWordIsWorth(t *testing.T) {
	i := oidctest.New(t, ana())
	c := configOf(t, i)
	terms := newProvider(t, c).Terms()
	same := c
	same.Name, same.Session = "Another name", time.Minute
	if got := newProvider(t, same).Terms(); got != terms {
		t.Error("they change with what the provider is called")
	}
	for name, change := range map[string]func(*oidc.Config){
		"issuer": func(c *oidc.Config) { c.Issuer = "https://other.example" }, "client": func(c *oidc.Config) { c.ClientID = "other" },
		"grants": func(c *oidc.Config) { c.Grants = c.Grants[1:] }, "default": func(c *oidc.Config) { c.Default = &oidc.Grant{Role: "viewer", Zones: "*"} },
		"claim": func(c *oidc.Config) { c.RoleClaim = "groups" },
	} {
		changed := c
		change(&changed)
		if newProvider(t, changed).Terms() == terms {
			t.Errorf("they don't change with the %s", name)
		}
	}
}

func TestFilesAreReadAtTheStart(t *testing.T) {
	i := oidctest.New(t, ana())
	for name, change := range map[string]func(*oidc.Config){
		"no secret": func(c *oidc.Config) { c.SecretFile += "x" }, "no CA": func(c *oidc.Config) { c.CA = c.SecretFile },
		"an empty secret": func(c *oidc.Config) { os.WriteFile(c.SecretFile, nil, 0o600) },
	} {
		c := configOf(t, i)
		change(&c)
		if _, err := oidc.New(c); err == nil {
			t.Errorf("%s: it starts", name)
		}
	}
}

func TestAttemptsAreSealed(t *testing.T) {
	key, other := oidc.Key{1}, oidc.Key{2}
	a := oidc.Attempt{State: "s", Nonce: "n", Verifier: "v", Return: "/alarms/a1", Until: time.Unix(1_800_000_000, 0).UTC()}
	sealed, err := key.Seal(a)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := key.Open(sealed); err != nil || got != a {
		t.Errorf("%+v, %v", got, err)
	}
	if again, _ := key.Seal(a); again == sealed {
		t.Error("the same twice")
	}
	if _, err := other.Open(sealed); err == nil {
		t.Error("another key opens it")
	}
	raw, _ := base64.RawURLEncoding.DecodeString(sealed)
	if bytes.Contains(raw, []byte("alarms")) {
		t.Error("it isn't encrypted")
	}
	for n := range raw {
		changed := bytes.Clone(raw)
		changed[n] ^= 1
		if _, err := key.Open(base64.RawURLEncoding.EncodeToString(changed)); err == nil {
			t.Errorf("byte %d may be changed", n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key := oidc.Key{1}
	sealed, err := key.Seal(oidc.Attempt{State: "the only one"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := key.Open(text); err == nil && a.State != "the only one" {
			t.Errorf("%q: %+v", text, a)
		}
	})
}

func TestBack(t *testing.T) {
	for text, want := range map[string]string{
		"/": "/", "": "/", "/alarms/a1": "/alarms/a1", "/signals?series=4&x=a%20b": "/signals?series=4&x=a%20b", "/a#b": "/a",
		"alarms": "/", "//evil.example": "/", "///evil.example": "/", `/\evil.example`: "/%5Cevil.example", `\\evil.example`: "/", "https://evil.example/": "/", "https:evil.example": "/",
		"/%2f/evil.example": "/", "/%5cevil.example": "/%5cevil.example", "javascript:alert(1)": "/", "/\tx": "/", "/\r\nSet-Cookie: a=b": "/",
		"/api/v1/session/oidc": "/", "//user@evil.example/": "/", "/" + strings.Repeat("x", 1000): "/", "?x=1": "/?x=1",
	} {
		if got := oidc.Back(text); got != want {
			t.Errorf("%q leads to %q, want %q", text, got, want)
		}
	}
	if got := oidc.With("/signals?series=4", oidc.Unmapped); got != "/signals?series=4&signin=unmapped" {
		t.Error(got)
	}
}

// Whatever is asked for, a browser stays on the console.
func FuzzBack(f *testing.F) {
	for _, text := range []string{"/", "//evil.example", `/\evil.example`, "/a?b=c", "https://evil.example"} {
		f.Add(text)
	}
	base, err := url.Parse("https://busbar.example/api/v1/session/oidc/callback")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, back := range []string{oidc.Back(text), oidc.With(oidc.Back(text), oidc.Refused)} {
			at, err := base.Parse(back)
			if err != nil || at.Host != base.Host || at.Scheme != "https" || strings.HasPrefix(back, "//") || strings.ContainsAny(back, "\\\r\n\t ") || strings.HasPrefix(at.Path, "//") {
				t.Errorf("%q leads to %q, %v", text, back, err)
			}
		}
	})
}
