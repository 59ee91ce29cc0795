package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func TestUsersAndTheirSessions(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s, ctx := open(t), t.Context()
		ana := User{Name: "ana", Password: "hash", Role: "operator", Zones: "north", AddedAt: 1, AddedBy: "root"}
		if err := s.AddUser(ctx, ana); err != nil {
			t.Fatal(err)
		}
		if err := s.AddUser(ctx, ana); !errors.Is(err, ErrUserKnown) {
			t.Errorf("the same name again: %v", err)
		}
		if got, err := s.User(ctx, "ana"); err != nil || got != ana {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := s.User(ctx, "Ana"); !errors.Is(err, ErrNoUser) {
			t.Errorf("another name: %v", err)
		}

		life := SessionLife{Longest: 1000, Idle: 100}
		begin := func(u User, secret string, now telemetry.Micros) {
			t.Helper()
			if err := s.BeginSession(ctx, u, secret, life, "from here", now); err != nil {
				t.Fatal(err)
			}
		}
		alive := func(secret string, now telemetry.Micros) bool {
			t.Helper()
			found, err := s.Session(ctx, secret, life, now)
			if err != nil && !errors.Is(err, ErrNoSession) || err == nil && found.Name != "ana" {
				t.Fatalf("%+v, %v", found, err)
			}
			return err == nil
		}
		begin(ana, "s1", 10)
		if !alive("s1", 109) || alive("s1", 110) || alive("s2", 10) || alive("", 10) {
			t.Error("a session lasts not as long as without a request it may")
		}
		for now := telemetry.Micros(100); now < 1000; now += 90 {
			if err := s.TouchSession(ctx, "s1", now); err != nil {
				t.Fatal(err)
			}
		}
		if !alive("s1", 1009) || alive("s1", 1010) {
			t.Error("a session in use lasts not as long as it may")
		}
		stolen := rows(t, s, `SELECT hash FROM session`)
		if len(stolen) != 1 || alive(stolen[0], 1000) {
			t.Errorf("what the database has of sessions opens one: %v", stolen)
		}
		begin(ana, "s2", 2000)
		if got := rows(t, s, `SELECT COUNT(*) FROM session`); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%v sessions are kept, want the one that isn't over", got)
		}
		if err := s.EndSession(ctx, "s2", 2001); err != nil || alive("s2", 2001) {
			t.Errorf("signed out: %v", err)
		}
		if err := s.EndSession(ctx, "s2", 2001); err != nil {
			t.Errorf("signed out again: %v", err)
		}

		begin(ana, "s3", 2002)
		if err := s.SetPassword(ctx, "ana", "other", "root", 2003); err != nil || alive("s3", 2003) {
			t.Errorf("a session outlives its password: %v", err)
		}
		if err := s.BeginSession(ctx, ana, "s4", life, "", 2004); !errors.Is(err, ErrNoUser) {
			t.Errorf("signed in by the password before: %v", err)
		}
		ana.Password = "other"
		begin(ana, "s5", 2005)
		if err := s.RemoveUser(ctx, "ana", "root", 2006); err != nil || alive("s5", 2006) {
			t.Errorf("a session outlives its user: %v", err)
		}
		for name, err := range map[string]error{"remove": s.RemoveUser(ctx, "ana", "root", 2007), "password": s.SetPassword(ctx, "ana", "x", "root", 2007), "sign in": s.BeginSession(ctx, ana, "s6", life, "", 2007)} {
			if !errors.Is(err, ErrNoUser) {
				t.Errorf("%s of nobody: %v", name, err)
			}
		}
		if err := s.SignInFailed(ctx, "ana", "password", "from there", 2008); err != nil {
			t.Fatal(err)
		}
		want := []string{"root|user-add|ana", "ana|sign-in|ana", "ana|sign-in|ana", "ana|sign-out|ana", "ana|sign-in|ana", "root|user-password|ana",
			"ana|sign-in|ana", "root|user-remove|ana", "unknown|sign-in-failed|ana"}
		if got := rows(t, s, `SELECT actor, action, subject FROM audit ORDER BY seq`); !slices.Equal(got, want) {
			t.Errorf("the audit has\n%v, want\n%v", got, want)
		}
	})
}

func TestAPITokens(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s, ctx := open(t), t.Context()
		token := APIToken{Name: "prometheus", Role: "viewer", Zones: "*", AddedAt: 1, AddedBy: "root", Expires: 100}
		if err := s.AddAPIToken(ctx, token, "bb_secret"); err != nil {
			t.Fatal(err)
		}
		if err := s.AddAPIToken(ctx, token, "bb_other"); !errors.Is(err, ErrTokenKnown) {
			t.Errorf("the same name again: %v", err)
		}
		if got, err := s.APIToken(ctx, "bb_secret", 99); err != nil || got != token {
			t.Errorf("%+v, %v", got, err)
		}
		for secret, now := range map[string]telemetry.Micros{"bb_secret": 100, "bb_Secret": 1, "bb_other": 1, "prometheus": 1, "": 1} {
			if got, err := s.APIToken(ctx, secret, now); !errors.Is(err, ErrNoToken) {
				t.Errorf("%s at %d: %+v, %v", secret, now, got, err)
			}
		}
		if hash := rows(t, s, `SELECT hash FROM api_token`); hash[0] == "bb_secret" || len(hash[0]) != 64 {
			t.Errorf("the database has %v", hash)
		}
		if list, err := s.APITokens(ctx); err != nil || !slices.Equal(list, []APIToken{token}) {
			t.Errorf("%v, %v", list, err)
		}
		if err := s.RemoveAPIToken(ctx, "prometheus", "root", 3); err != nil {
			t.Fatal(err)
		}
		if _, err := s.APIToken(ctx, "bb_secret", 4); !errors.Is(err, ErrNoToken) {
			t.Errorf("removed: %v", err)
		}
		if err := s.RemoveAPIToken(ctx, "prometheus", "root", 3); !errors.Is(err, ErrNoToken) {
			t.Errorf("removed again: %v", err)
		}
		if got, want := rows(t, s, `SELECT action, detail FROM audit ORDER BY seq`), []string{"token-add|role viewer, zones *, until 1970-01-01T00:00:00Z", "token-remove|"}; !slices.Equal(got, want) {
			t.Errorf("the audit has %v", got)
		}
	})
}
