package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/cloud/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

var quiet = slog.New(slog.DiscardHandler)

// cheap is a cost that tests can pay often.
var cheap = cost{Time: 1, Memory: 64, Threads: 1}

const password = "correct horse battery"

// newAccess has one user, ana, and a clock that stands still.
func newAccess(t *testing.T) (a *Access, clock *time.Time) {
	t.Helper()
	s := storetest.Open(t)
	if err := s.AddUser(t.Context(), store.User{Name: "ana", Password: cheap.hash(password), Role: "operator", Zones: "north"}); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	a = New(s, true, quiet)
	a.now, a.decoy = func() time.Time { return now }, cheap.decoy()
	return a, &now
}

func withCookie(c *http.Cookie) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(c)
	return r
}

func TestASessionFromSignInToSignOut(t *testing.T) {
	a, now := newAccess(t)
	cookie, who, err := a.SignIn(t.Context(), "10.0.0.1:5", "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" ||
		cookie.Name != "__Host-busbar" || len(cookie.Value) != 43 {
		t.Errorf("%v", cookie)
	}
	want := "{ana operator north session false 0}"
	if got := fmt.Sprint(who); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	identified := func(c *http.Cookie) error {
		who, err := a.Identify(withCookie(c))
		if err == nil && (who.Name != "ana" || who.Role != Operator) {
			t.Errorf("%+v", who)
		}
		return err
	}
	if err := identified(cookie); err != nil {
		t.Error(err)
	}
	for _, c := range []*http.Cookie{
		{Name: cookie.Name, Value: cookie.Value[1:]}, {Name: cookie.Name, Value: ""}, {Name: "busbar", Value: cookie.Value},
	} {
		if err := identified(c); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v: %v", c, err)
		}
	}
	// In use it goes on, but not for ever.
	begun := *now
	for now.Sub(begun) < longestSession-time.Hour {
		*now = now.Add(time.Hour)
		who, err := a.Identify(withCookie(cookie))
		if err == nil {
			err = a.touch(withCookie(cookie), who)
		}
		if err != nil {
			t.Fatalf("after %v: %v", now.Sub(begun), err)
		}
	}
	*now = begun.Add(longestSession)
	if err := identified(cookie); !errors.Is(err, ErrUnknown) {
		t.Errorf("after the longest session: %v", err)
	}

	if cookie, _, err = a.SignIn(t.Context(), "10.0.0.1:5", "ana", password); err != nil {
		t.Fatal(err)
	}
	gone, err := a.SignOut(t.Context(), cookie.String())
	if err != nil || gone.MaxAge >= 0 || gone.Name != cookie.Name {
		t.Errorf("%v, %v", gone, err)
	}
	if err := identified(cookie); !errors.Is(err, ErrUnknown) {
		t.Errorf("signed out: %v", err)
	}
}

func TestAToken(t *testing.T) {
	a, now := newAccess(t)
	secret := TokenPrefix + NewSecret()
	at := a.micros()
	if err := a.store.AddAPIToken(t.Context(), store.APIToken{Name: "prometheus", Role: "viewer", Zones: "*", Expires: at + 60_000_000}, secret); err != nil {
		t.Fatal(err)
	}
	cookie, _, err := a.SignIn(t.Context(), "10.0.0.1:5", "ana", password)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(header string) (Who, error) {
		r := withCookie(cookie)
		r.Header.Set("Authorization", header)
		return a.Identify(r)
	}
	if who, err := ask("bearer " + secret); err != nil || who.Name != "token:prometheus" || who.Role != Viewer || !who.Zones.All || who.Via != "token" {
		t.Errorf("%+v, %v", who, err)
	}
	// A token that isn't valid isn't made up for by a cookie.
	for _, header := range []string{"Bearer " + secret[1:], "Bearer " + secret + "x", "Bearer", "Basic " + secret, secret} {
		if who, err := ask(header); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %+v, %v", header, who, err)
		}
	}
	*now = now.Add(time.Minute)
	if _, err := ask("Bearer " + secret); !errors.Is(err, ErrUnknown) {
		t.Errorf("expired: %v", err)
	}
}

func TestWhoFailsWaitsLongerEachTime(t *testing.T) {
	a, now := newAccess(t)
	attempt := func(address, name, password string) error {
		_, _, err := a.SignIn(t.Context(), address, name, password)
		return err
	}
	const here, there = "10.0.0.1:5", "[2001:db8:1:2:3::4]:5"
	for i := range ofName.free {
		if err := attempt(here, "ana", "wrong"); !errors.Is(err, ErrRefused) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	var wait *WaitError
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		// The right password doesn't help before its time, nor does another address.
		for _, address := range []string{here, there} {
			if err := attempt(address, "ana", password); !errors.As(err, &wait) || wait.For != want*time.Second || wait.Seconds() != int(want) {
				t.Fatalf("%v, want to wait %d s", err, want)
			}
		}
		*now = now.Add(want * time.Second)
		if err := attempt(here, "ana", "wrong"); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
	*now = now.Add(time.Minute)
	if err := attempt(there, "ana", password); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if err := attempt(there, "ana", "wrong"); !errors.Is(err, ErrRefused) {
		t.Errorf("after success: %v", err)
	}
	// Many names from one address; those who are elsewhere don't notice.
	for i := range 2 * ofAddress.free {
		if err := attempt("[2001:db8:5:5::"+fmt.Sprint(i)+"]:5", fmt.Sprintf("user%d", i), "wrong"); i >= ofAddress.free && !errors.As(err, &wait) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := attempt(there, "ana", password); err != nil {
		t.Errorf("elsewhere: %v", err)
	}
	// A control room behind one address, where somebody mistypes now and then.
	for i := range 2 * ofAddress.free {
		*now = now.Add(2 * forgiveAfter)
		if err := attempt("10.0.0.9:5", fmt.Sprintf("user%d", i%7), "wrong"); !errors.Is(err, ErrRefused) {
			t.Fatalf("typo %d: %v", i, err)
		}
	}
}

func TestTheLimiterIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	full := limiter{failures: map[string]failure{}}
	for i := range mostFailures {
		full.failures[fmt.Sprint(i)] = failure{count: 1, last: now.Add(time.Duration(i))}
	}
	full.failed(now.Add(time.Minute), "new", ofName)
	_, oldest := full.failures["0"]
	if len(full.failures) != mostFailures || oldest {
		t.Errorf("%d entries; the oldest is kept: %v", len(full.failures), oldest)
	}
}

// A flood of sign-ins neither takes memory without end nor fills the audit.
func TestAFloodOfSignIns(t *testing.T) {
	a, now := newAccess(t)
	a.hashing <- struct{}{} // somebody's password is being hashed
	var refused, others sync.WaitGroup
	results := make(chan error, mostWaiting+5)
	for i := range mostWaiting + 5 {
		others.Go(func() {
			_, _, err := a.SignIn(t.Context(), fmt.Sprintf("10.1.0.%d:1", i), fmt.Sprintf("user%d", i), "wrong")
			results <- err
		})
	}
	refused.Go(func() {
		for range 5 {
			if err := <-results; !errors.Is(err, ErrBusy) {
				t.Errorf("%v, want busy", err)
			}
		}
	})
	refused.Wait()
	<-a.hashing
	others.Wait()
	for i := range 2 * mostWritten {
		if _, _, err := a.SignIn(t.Context(), fmt.Sprintf("10.2.0.%d:1", i), fmt.Sprintf("other%d", i), "wrong"); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
	rows, err := a.store.AuditRows(t.Context(), store.Page[int64]{Limit: 1000})
	if err != nil || len(rows) != 1+mostWritten {
		t.Errorf("%d rows, %v; want that of the user's making and %d", len(rows), err, mostWritten)
	}
	*now = now.Add(time.Minute)
	// Somebody typed the password where the name goes.
	if _, _, err := a.SignIn(t.Context(), "10.3.0.1:1", "my secret!", ""); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	rows, err = a.store.AuditRows(t.Context(), store.Page[int64]{Limit: 1})
	want := fmt.Sprintf("from 10.3.0.1; %d more before it, that aren't written down one by one", mostWaiting+mostWritten)
	if err != nil || rows[0].Detail != want || rows[0].Subject != nobody {
		t.Errorf("%+v, %v; want %s", rows, err, want)
	}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	a.writeFailure(gone, "ana", "password", "from 10.3.0.2")
	if rows, err = a.store.AuditRows(t.Context(), store.Page[int64]{Limit: 1}); err != nil || rows[0].Detail != "from 10.3.0.2" {
		t.Errorf("of somebody who has hung up: %+v, %v", rows, err)
	}
}

func TestPasswords(t *testing.T) {
	hash := HashPassword(password)
	if right, err := matches(hash, password); !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$") || err != nil || !right {
		t.Errorf("%s: %v, %v", hash, right, err)
	}
	if hash = cheap.hash(password); hash == cheap.hash(password) {
		t.Error("two hashes have the same salt")
	}
	for text, want := range map[string]bool{password: true, password + " ": false, "": false} {
		if got, err := matches(hash, text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	// From the command argon2 of the reference implementation.
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if right, err := matches(reference, "password"); err != nil || !right {
		t.Errorf("the reference's hash: %v, %v", right, err)
	}
	for _, broken := range []string{"", "x", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		strings.Replace(reference, "m=65536", "m=4294967295", 1), strings.Replace(reference, "t=2", "t=0", 1), strings.Replace(reference, "p=1", "p=0", 1),
		strings.Replace(reference, "GRPPc", "", 1), strings.Replace(reference, "v=19", "v=16", 1)} {
		if _, err := matches(broken, "password"); err == nil {
			t.Errorf("%q is read", broken)
		}
	}
	for text, ok := range map[string]bool{"": false, "elevenchars": false, "twelve chars": true, strings.Repeat("ü", 12): true, strings.Repeat("x", 1025): false, "twelve ch\xffrs": false} {
		if err := CheckPassword(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseRolesAndZones(t *testing.T) {
	for _, name := range []string{"viewer", "operator", "engineer", "admin"} {
		if r, err := ParseRole(name); err != nil || r.String() != name || r <= Anyone {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	for _, name := range []string{"", "anyone", "Admin", "root"} {
		if r, err := ParseRole(name); err == nil || r != Anyone {
			t.Errorf("%q: %v, %v", name, r, err)
		}
	}
	for text, want := range map[string]string{"*": "*", "north": "north", "south,north,south": "north,south", "": "error", "north,": "error", "*,north": "error", "a'b": "error"} {
		z, err := ParseZones(text)
		if got := z.String(); err != nil && want != "error" || err == nil && got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
