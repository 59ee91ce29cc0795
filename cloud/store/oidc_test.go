package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func TestSessionsOnAProvidersWord(t *testing.T) {
	const one, other = "https://one.example", "https://other.example"
	onEngines(t, func(t *testing.T, open opener) {
		s, ctx := open(t), t.Context()
		life := SessionLife{Longest: 1000, Idle: 100}
		begin := func(u OIDCUser, secret string, now telemetry.Micros) (name string) {
			t.Helper()
			u.Role, u.Zones, u.Terms = "operator", "north", "t1"
			name, err := s.BeginOIDCSession(ctx, u, secret, life.Idle, 500, "from here", now)
			if err != nil {
				t.Fatal(err)
			}
			return name
		}
		alive := func(secret string, now telemetry.Micros) bool {
			t.Helper()
			_, err := s.Session(ctx, secret, life, now)
			if err != nil && !errors.Is(err, ErrNoSession) {
				t.Fatal(err)
			}
			return err == nil
		}
		// A user of ours of that very name, which access lets nobody have, is another one.
		if err := s.AddUser(ctx, User{Name: "oidc:ana", Password: "hash", Role: "admin", Zones: "*"}); err != nil {
			t.Fatal(err)
		}
		for i, c := range []struct{ issuer, subject, name, want string }{
			{one, "1", "oidc:ana", "oidc:ana"},
			{one, "2", "oidc:ana", "oidc:ana~2"},   // a namesake
			{other, "1", "oidc:ana", "oidc:ana~3"}, // the same subject elsewhere
			{one, "1", "oidc:eva", "oidc:eva"},     // with another name now
			{one, "3", "oidc:ana", "oidc:ana~4"},   // whom the name isn't handed on to
			{one, "1", "oidc:ana", "oidc:ana"},
			{one, "2", "oidc:ana", "oidc:ana~2"},
		} {
			if got := begin(OIDCUser{Issuer: c.issuer, Subject: c.subject, Name: c.name, SID: fmt.Sprint("sid", i)}, fmt.Sprint("s", i), 10); got != c.want {
				t.Errorf("%v is called %s", c, got)
			}
		}
		found, err := s.Session(ctx, "s1", life, 20)
		if err != nil || found.Name != "oidc:ana~2" || found.Role != "operator" || found.Zones != "north" || found.Begun != 10 || found.OIDC == nil ||
			*found.OIDC != (OIDCUser{Issuer: one, Subject: "2", Name: "oidc:ana~2", SID: "sid1", Role: "operator", Zones: "north", Terms: "t1"}) {
			t.Errorf("%+v %+v, %v", found, found.OIDC, err)
		}
		if !alive("s0", 109) || alive("s0", 110) {
			t.Error("a session lasts not as long as without a request it may")
		}
		for now := telemetry.Micros(100); now < 500; now += 90 {
			if err := s.TouchSession(ctx, "s0", now); err != nil {
				t.Fatal(err)
			}
		}
		if !alive("s0", 499) || alive("s0", 500) {
			t.Error("a session in use lasts not as long as the provider's word is taken")
		}

		end := func(subject, sid string, want int, gone ...string) {
			t.Helper()
			if n, err := s.EndOIDCSessions(ctx, one, subject, sid, 15, 20); err != nil || n != want {
				t.Errorf("%d sessions of %q %q have ended, %v, want %d", n, subject, sid, err, want)
			}
			for _, secret := range gone {
				if alive(secret, 20) {
					t.Errorf("%s lives on", secret)
				}
			}
		}
		end("2", "sid1", 1, "s1")
		end("2", "sid1", 0)
		end("", "sid2", 0) // another issuer's
		end("", "sid4", 1, "s4")
		end("1", "", 3, "s0", "s3", "s5")
		if !alive("s2", 20) || !alive("s6", 20) {
			t.Error("others' sessions have ended")
		}
		begin(OIDCUser{Issuer: one, Subject: "9", Name: "oidc:bo"}, "b0", 15)
		begin(OIDCUser{Issuer: one, Subject: "9", Name: "oidc:bo"}, "later", 16)
		end("9", "", 1, "b0")
		begin(OIDCUser{Issuer: one, Subject: "9", Name: "oidc:bo"}, "b0", 15)
		end("9", "unheard of", 1, "b0") // the provider hasn't said of which session of its own it was
		if !alive("later", 20) {
			t.Error("a session has ended that began since")
		}
		if _, err := s.EndOIDCSessions(ctx, one, "", "", 15, 20); err == nil {
			t.Error("the sessions of nobody in particular were ended")
		}
		if err := s.EndSession(ctx, "s6", 21); err != nil || alive("s6", 21) {
			t.Errorf("signed out: %v", err)
		}

		// By command, of either kind.
		begin(OIDCUser{Issuer: one, Subject: "9", Name: "oidc:bo"}, "b1", 30)
		begin(OIDCUser{Issuer: one, Subject: "9", Name: "oidc:bo"}, "b2", 30)
		if n, err := s.EndSessionsOf(ctx, "oidc:bo", "root", 31); err != nil || n != 3 || alive("b1", 31) || alive("b2", 31) {
			t.Errorf("%d, %v", n, err)
		}
		if err := s.AddUser(ctx, User{Name: "bo", Password: "hash", Role: "admin", Zones: "*"}); err != nil {
			t.Fatal(err)
		}
		if err := s.BeginSession(ctx, User{Name: "bo", Password: "hash"}, "l1", life, "", 32); err != nil {
			t.Fatal(err)
		}
		if n, err := s.EndSessionsOf(ctx, "bo", "root", 33); err != nil || n != 1 || alive("l1", 33) {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := s.EndSessionsOf(ctx, "oidc:nobody", "root", 34); !errors.Is(err, ErrNoUser) {
			t.Errorf("of nobody: %v", err)
		}
		list, err := s.AuditRows(ctx, Page[int64]{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, r := range slices.Backward(list) {
			told = append(told, strings.Join([]string{r.By, r.Via, r.Action, r.Subject, r.Detail}, "|"))
		}
		for _, want := range []string{
			"oidc:ana~3|oidc|sign-in|oidc:ana~3|from here; issuer https://other.example, subject 1; role operator, zones north",
			"provider|oidc|sign-out|oidc:ana~2|issuer https://one.example",
			"oidc:ana~2|session|sign-out|oidc:ana~2|",
			"root|cloud|user-sign-out|oidc:bo|",
		} {
			if !slices.Contains(told, want) {
				t.Errorf("the audit hasn't: %s\n%s", want, strings.Join(told, "\n"))
			}
		}
	})
}

func TestReplicasHaveOneKeyOfSignIns(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s := open(t)
		key, err := s.OIDCKey(t.Context())
		if err != nil || len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
			t.Fatalf("%x, %v", key, err)
		}
		if again, err := beside(t, s).OIDCKey(t.Context()); err != nil || !bytes.Equal(again, key) {
			t.Errorf("another process has %x, %v, want %x", again, err, key)
		}
	})
}
