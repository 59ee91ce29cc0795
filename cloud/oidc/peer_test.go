package oidc_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/busbar/busbar/cloud/oidc"
	"github.com/busbar/busbar/test/oidcpeer"
)

// A provider that we didn't write lets in those that it should, and once.
func TestAProviderWeDidNotWrite(t *testing.T) {
	const console = "http://127.0.0.1:8080"
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(oidcpeer.ClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, inIDToken := range []bool{true, false} {
		peer := oidcpeer.Start(t, oidcpeer.Config{Console: console, InIDToken: inIDToken, Accounts: map[string]map[string]any{
			"7f3a": {"preferred_username": "Ana Müller", "groups": []string{"everybody", "grid-operators"}},
			"9c21": {"preferred_username": "bo", "groups": []string{"everybody"}},
		}})
		c := oidc.Config{Name: "Example ID", Issuer: peer.Issuer, ClientID: oidcpeer.ClientID, SecretFile: secret, Scopes: []string{"openid", "profile", "groups"},
			Console: console, NameClaim: "preferred_username", RoleClaim: "groups", Session: time.Hour, Logger: slog.New(slog.DiscardHandler),
			Grants: []oidc.Grant{{Value: "grid-operators", Role: "operator", Zones: "north"}}}
		p := newProvider(t, c)
		begin := func(name string) (oidc.Attempt, oidc.Answer) {
			t.Helper()
			at, attempt, err := p.Begin(t.Context(), "/")
			if err != nil {
				t.Fatal(err)
			}
			answer := answerOf(peer.SignIn(t, oidcpeer.Browser(), at, name).Query())
			if answer.Issuer != peer.Issuer {
				t.Errorf("the answer is of %q", answer.Issuer)
			}
			return attempt, answer
		}
		attempt, answer := begin("7f3a")
		who, err := p.Finish(t.Context(), attempt, answer)
		if err != nil || who.Issuer != peer.Issuer || who.Subject != "7f3a" || who.Name != "Ana Müller" || who.Grant != c.Grants[0] || who.Session == "" {
			t.Fatalf("%+v, %v", who, err)
		}
		_, err = p.Finish(t.Context(), attempt, answer)
		refused(t, err, oidc.Refused, "invalid_grant")

		attempt, answer = begin("9c21")
		_, err = p.Finish(t.Context(), attempt, answer)
		refused(t, err, oidc.Unmapped, "none of the 1 values of the claim groups")

		attempt, answer = begin("7f3a")
		attempt.Verifier += "x"
		_, err = p.Finish(t.Context(), attempt, answer)
		refused(t, err, oidc.Refused, "invalid_grant")

		attempt, answer = begin("7f3a")
		if err := os.WriteFile(secret, []byte("another"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = p.Finish(t.Context(), attempt, answer)
		refused(t, err, oidc.Refused, "invalid_client")
		if err := os.WriteFile(secret, []byte(oidcpeer.ClientSecret), 0o600); err != nil {
			t.Fatal(err)
		}

		attempt, answer = begin("7f3a")
		peer.Kill()
		_, err = p.Finish(t.Context(), attempt, answer)
		refused(t, err, oidc.Unreachable, "isn't exchanged")
	}
}
