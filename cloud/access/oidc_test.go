package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/oidc"
	"github.com/busbar/busbar/cloud/oidc/oidctest"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
	"github.com/busbar/busbar/telemetry"
)

const from = "10.0.0.7:5"

// newProvided is newAccess, with a provider whose user is called as ours is.
func newProvided(t *testing.T) (a *Access, issuer *oidctest.Issuer, clock *time.Time) {
	t.Helper()
	a, clock = newAccess(t)
	issuer = oidctest.New(t, map[string]any{"sub": "s1", "sid": "p1", "preferred_username": "ana", "groups": []string{"grid-viewers"}})
	a.UseOIDC(providerOf(t, issuer, oidc.Grant{Value: "grid-viewers", Role: "viewer", Zones: "south"}))
	return a, issuer, clock
}

func providerOf(t *testing.T, i *oidctest.Issuer, grants ...oidc.Grant) *oidc.Provider {
	t.Helper()
	p, err := oidc.New(oidc.Config{Name: "Example ID", Issuer: i.URL, ClientID: oidctest.ClientID, SecretFile: oidctest.Secret(t), Scopes: []string{"openid"},
		Console: "https://busbar.example", NameClaim: "preferred_username", RoleClaim: "groups", Session: time.Hour, Logger: quiet, Grants: grants})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// provided goes to the provider from one replica and comes back to another.
func provided(t *testing.T, issuer *oidctest.Issuer, a, b *Access) (Arrival, error) {
	t.Helper()
	at, keep, err := a.BeginOIDC(t.Context(), from, "/alarms/a1")
	if err != nil {
		return Arrival{}, err
	}
	q := issuer.Visit(t, at)
	return b.FinishOIDC(t.Context(), from, header(keep), oidc.Answer{State: q.Get("state"), Code: q.Get("code")})
}

// header is how a browser sends cookies back.
func header(cookies ...*http.Cookie) string {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// sessionOf is the cookie that an arrival brings.
func sessionOf(t *testing.T, a Arrival) *http.Cookie {
	t.Helper()
	for _, c := range a.Cookies {
		if c.Name == "__Host-busbar" {
			return c
		}
	}
	t.Fatalf("no session: %v", a.Cookies)
	return nil
}

func audited(t *testing.T, a *Access, n int) (list []string) {
	t.Helper()
	rows, err := a.store.AuditRows(t.Context(), store.Page[int64]{Limit: n})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		list = append(list, strings.Join([]string{r.By, r.Via, r.Action, r.Subject, r.Detail}, "|"))
	}
	return list
}

func TestASessionOnAProvidersWord(t *testing.T) {
	a, issuer, now := newProvided(t)
	replica := New(a.store, true, quiet)
	replica.now = a.now
	replica.UseOIDC(a.provider)
	_, keep, err := a.BeginOIDC(t.Context(), from, "/")
	if err != nil || keep.Name != "__Host-busbar-oidc" || !keep.HttpOnly || !keep.Secure || keep.SameSite != http.SameSiteLaxMode || keep.Path != "/" || keep.MaxAge != 600 || len(keep.Value) > 1000 {
		t.Fatalf("%v, %v", keep, err)
	}
	arrival, err := provided(t, issuer, a, replica)
	if err != nil || arrival.Page != "/alarms/a1" || len(arrival.Cookies) != 2 || arrival.Cookies[0].Name != keep.Name || arrival.Cookies[0].MaxAge >= 0 {
		t.Fatalf("%+v, %v", arrival, err)
	}
	session := sessionOf(t, arrival)
	if !session.HttpOnly || !session.Secure || session.SameSite != http.SameSiteStrictMode || session.Path != "/" || session.MaxAge != 3600 || len(session.Value) != 43 {
		t.Errorf("%v", session)
	}
	who, err := a.Identify(withCookie(session))
	if err != nil || who.Name != "oidc:ana" || who.Role != Viewer || who.Zones.String() != "south" || who.Via != "session" || !who.OIDC {
		t.Errorf("%+v, %v", who, err)
	}
	// Ours of that name is another one, in the audit too.
	ours, local, err := a.SignIn(t.Context(), from, "ana", password)
	if err != nil || local.Role != Operator || local.OIDC {
		t.Fatalf("%+v, %v", local, err)
	}
	if who, err := a.Identify(withCookie(ours)); err != nil || who.Name != "ana" || who.OIDC {
		t.Errorf("%+v, %v", who, err)
	}
	want := []string{"ana|password|sign-in|ana|from 10.0.0.7",
		"oidc:ana|oidc|sign-in|oidc:ana|from 10.0.0.7; issuer " + issuer.URL + ", subject s1; role viewer, zones south"}
	if got := audited(t, a, 2); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := a.store.RemoveUser(t.Context(), "ana", "root", a.micros()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(withCookie(session)); err != nil {
		t.Errorf("our user is gone, and the provider's with them: %v", err)
	}

	// What the provider's word is worth changes.
	a.UseOIDC(providerOf(t, issuer, oidc.Grant{Value: "grid-viewers", Role: "viewer", Zones: "north"}))
	if _, err := a.Identify(withCookie(session)); !errors.Is(err, ErrUnknown) {
		t.Errorf("the mapping before goes on: %v", err)
	}
	a.UseOIDC(nil)
	if _, err := a.Identify(withCookie(session)); !errors.Is(err, ErrUnknown) {
		t.Errorf("there is no provider any more: %v", err)
	}
	a.UseOIDC(replica.provider)
	begun := *now
	for now.Sub(begun) < 59*time.Minute {
		*now = now.Add(time.Minute)
		who, err := a.Identify(withCookie(session))
		if err == nil {
			err = a.touch(withCookie(session), who)
		}
		if err != nil {
			t.Fatalf("after %v: %v", now.Sub(begun), err)
		}
	}
	*now = begun.Add(time.Hour)
	if _, err := a.Identify(withCookie(session)); !errors.Is(err, ErrUnknown) {
		t.Errorf("it lasts for longer than it may: %v", err)
	}

	// Signing out, here and at the provider.
	again := func() *http.Cookie {
		t.Helper()
		arrival, err := provided(t, issuer, a, a)
		if err != nil {
			t.Fatal(err)
		}
		return sessionOf(t, arrival)
	}
	session = again()
	if _, err := a.SignOut(t.Context(), header(session)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(withCookie(session)); !errors.Is(err, ErrUnknown) {
		t.Errorf("signed out: %v", err)
	}
	session = again()
	token := func(issued time.Time) string {
		return issuer.Sign(map[string]any{"iss": issuer.URL, "aud": oidctest.ClientID, "iat": issued.Unix(), "exp": time.Now().Add(time.Minute).Unix(), "jti": "j", "sub": "s1", "sid": "p1",
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}})
	}
	if n, err := a.EndOIDC(t.Context(), from, token(now.Add(-time.Hour))); err != nil || n != 0 {
		t.Errorf("a token from before it began ends %d, %v", n, err)
	}
	if n, err := a.EndOIDC(t.Context(), from, token(*now)); err != nil || n != 1 {
		t.Errorf("the provider has ended %d, %v", n, err)
	}
	if _, err := a.Identify(withCookie(session)); !errors.Is(err, ErrUnknown) {
		t.Errorf("ended by the provider: %v", err)
	}
	for range ofAddress.free {
		if _, err := a.EndOIDC(t.Context(), "10.0.0.8:1", "x"); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
	var wait *WaitError
	if _, err := a.EndOIDC(t.Context(), "10.0.0.8:1", token(*now)); !errors.As(err, &wait) {
		t.Errorf("who sends what isn't valid needn't wait: %v", err)
	}
	if _, _, err := a.BeginOIDC(t.Context(), "10.0.0.8:1", "/"); err != nil {
		t.Errorf("wrong logout tokens keep people from signing in: %v", err)
	}
}

func TestWhoIsTurnedAwayByAProvidersWord(t *testing.T) {
	a, issuer, now := newProvided(t)
	turnedAway := func(err error, reason oidc.Reason, row string) {
		t.Helper()
		var r *oidc.Refusal
		if !errors.As(err, &r) || r.Reason != reason {
			t.Errorf("%v, want %s", err, reason)
		}
		if got := audited(t, a, 1)[0]; !strings.HasPrefix(got, row) {
			t.Errorf("the audit has %s, want %s", got, row)
		}
	}
	issuer.Do(oidctest.Wrong{User: map[string]any{"sub": "s2", "preferred_username": "eva", "groups": "cooks"}})
	arrival, err := provided(t, issuer, a, a)
	turnedAway(err, oidc.Unmapped, "unknown|oidc|sign-in-failed|oidc:eva|from 10.0.0.7; none of the 1 values of the claim groups is mapped to a role; issuer "+issuer.URL+", subject s2")
	if arrival.Page != "/alarms/a1" || len(arrival.Cookies) != 1 || arrival.Cookies[0].MaxAge >= 0 {
		t.Errorf("%+v", arrival)
	}
	issuer.Do(oidctest.Wrong{Claims: func(c map[string]any) { c["nonce"] = "x" }})
	_, err = provided(t, issuer, a, a)
	turnedAway(err, oidc.Refused, "unknown|oidc|sign-in-failed|(no user's name)|from 10.0.0.7; the ID token: the nonce isn't that of this sign-in")
	issuer.Do(oidctest.Wrong{Status: 502})
	_, err = provided(t, issuer, a, a)
	turnedAway(err, oidc.Unreachable, "unknown|oidc|sign-in-failed|(no user's name)|from 10.0.0.7; the code isn't exchanged")
	issuer.Do(oidctest.Wrong{User: map[string]any{"sub": "s1", "preferred_username": "ana", "groups": "grid-viewers"}})

	// An answer to another attempt leaves this one alone.
	at, keep, err := a.BeginOIDC(t.Context(), from, "/signals")
	if err != nil {
		t.Fatal(err)
	}
	q := issuer.Visit(t, at)
	for name, cookies := range map[string]string{"nothing kept": "", "something else": "__Host-busbar-oidc=" + NewSecret(), "the right one": header(keep)} {
		arrival, err := a.FinishOIDC(t.Context(), from, cookies, oidc.Answer{State: "another", Code: q.Get("code")})
		turnedAway(err, oidc.Expired, "unknown|oidc|sign-in-failed|(no user's name)|from 10.0.0.7; the state isn't")
		if arrival.Page != "/" || len(arrival.Cookies) != 0 {
			t.Errorf("%s: %+v", name, arrival)
		}
	}
	if _, err := a.FinishOIDC(t.Context(), from, header(keep), oidc.Answer{State: q.Get("state"), Error: "access_denied"}); err == nil {
		t.Error("signed in by an error")
	} else {
		turnedAway(err, oidc.Cancelled, `unknown|oidc|sign-in-failed|(no user's name)|from 10.0.0.7; the provider says "access_denied"`)
	}
	if n := a.Provided(); n != (Provided{SignedIn: 0, Refused: 6, Unreachable: 1}) {
		t.Errorf("%+v", n)
	}

	// Any web site can have a browser come back from where it never was.
	for range 2 * ofAddress.free {
		if _, err := a.FinishOIDC(t.Context(), from, "", oidc.Answer{State: "x"}); err == nil {
			t.Fatal("signed in by nothing")
		}
	}
	if _, _, err := a.BeginOIDC(t.Context(), from, "/"); err != nil {
		t.Errorf("somebody else's answers keep people from signing in: %v", err)
	}

	// Who fails too often waits, and a flood doesn't fill the audit.
	issuer.Do(oidctest.Wrong{Claims: func(c map[string]any) { c["nonce"] = "x" }})
	var wait *WaitError
	for n := 0; !errors.As(err, &wait); n++ {
		if n > ofAddress.free {
			t.Fatalf("nobody who fails has to wait: %v", err)
		}
		if at, keep, begun := a.BeginOIDC(t.Context(), from, "/"); begun != nil {
			err = begun
		} else {
			q := issuer.Visit(t, at)
			_, err = a.FinishOIDC(t.Context(), from, header(keep), oidc.Answer{State: q.Get("state"), Code: q.Get("code")})
		}
	}
	if _, _, err := a.BeginOIDC(t.Context(), from, "/"); !errors.As(err, &wait) {
		t.Errorf("%v, want to wait", err)
	}
	issuer.Do(oidctest.Wrong{User: map[string]any{"sub": "s1", "preferred_username": "ana", "groups": "grid-viewers"}})
	if _, err := a.FinishOIDC(t.Context(), "10.0.0.8:1", header(keep), oidc.Answer{State: q.Get("state"), Code: q.Get("code")}); err != nil {
		t.Errorf("elsewhere: %v", err)
	}
	*now = now.Add(time.Hour)
	before := len(audited(t, a, 1000))
	for i := range 2 * mostWritten {
		a.FinishOIDC(t.Context(), fmt.Sprintf("10.9.0.%d:1", i), "", oidc.Answer{State: "x"})
	}
	if got := len(audited(t, a, 1000)) - before; got != mostWritten {
		t.Errorf("%d rows of a flood", got)
	}
}

// A process that has another database behind it than the one where somebody began knows
// nothing of them.
func TestAnotherDatabaseHasAnotherKey(t *testing.T) {
	a, issuer, _ := newProvided(t)
	s, err := store.Open(context.Background(), storetest.SQLite(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stranger := New(s, true, quiet)
	stranger.UseOIDC(providerOf(t, issuer, oidc.Grant{Value: "grid-viewers", Role: "viewer", Zones: "south"}))
	_, err = provided(t, issuer, a, stranger)
	var r *oidc.Refusal
	if !errors.As(err, &r) || r.Reason != oidc.Expired {
		t.Errorf("%v", err)
	}
	if _, err := s.Session(t.Context(), "", life, telemetry.MicrosOf(time.Now())); !errors.Is(err, store.ErrNoSession) {
		t.Error(err)
	}
}
