package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/busbar/busbar/kafkaconn"
)

// Reason is why somebody isn't let in, as the console's page knows it.
type Reason string

const (
	Unreachable Reason = "unreachable" // the provider doesn't answer
	Cancelled   Reason = "cancelled"   // at the provider, by it or by them
	Expired     Reason = "expired"     // what the browser should have kept is missing or too old, or is of another sign-in
	Refused     Reason = "refused"     // the provider's word doesn't hold
	Unmapped    Reason = "unmapped"    // it holds, and they may nothing here
)

// Refusal says why somebody isn't let in.
type Refusal struct {
	Reason Reason
	Detail string   // for the audit and the log
	Who    Identity // as far as the provider's word holds
}

func (r *Refusal) Error() string { return r.Detail }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: excerpt(fmt.Errorf(format, args...)).Error()}
}

// Identity is somebody, on the provider's word. Issuer and Subject are who it is; Name is
// only what they are called there.
type Identity struct {
	Issuer, Subject string
	Session         string // the provider's own (sid); "" if it doesn't say
	Name            string
	Grant           Grant
}

// Attempt is what a browser keeps while its user is at the provider.
type Attempt struct {
	State, Nonce, Verifier string
	Return                 string // the page that they wanted
	Until                  time.Time
}

// AttemptTime is how long somebody may take at the provider.
const AttemptTime = 10 * time.Minute

// Begin is where the browser is sent, and what it has to bring back. The error is a
// *Refusal.
func (p *Provider) Begin(ctx context.Context, back string) (at string, a Attempt, err error) {
	is, err := p.discover(ctx, freshToGo)
	if err != nil {
		return "", Attempt{}, refuse(Unreachable, "the provider can't be used: %w", err)
	}
	a = Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Return: back, Until: p.now().Add(AttemptTime)}
	oauth := p.oauth(is, "")
	return oauth.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), a, nil
}

// Answer is what the provider has the browser bring.
type Answer struct {
	State, Code, Issuer string
	Error, Description  string // in place of a code
}

// Finish is who has come back from the provider with an answer, to an attempt that the
// browser has kept; the zero Attempt: it hasn't. The error is a *Refusal.
func (p *Provider) Finish(ctx context.Context, a Attempt, answer Answer) (Identity, error) {
	if !a.Answers(answer) {
		return Identity{}, refuse(Expired, "the state isn't that of a sign-in that this browser has begun")
	}
	if p.now().After(a.Until) {
		return Identity{}, refuse(Expired, "they took longer than %v at the provider", AttemptTime)
	}
	is, err := p.discover(ctx, freshFor)
	if err != nil {
		return Identity{}, refuse(Unreachable, "the provider can't be used: %w", err)
	}
	// Of another provider it may be the code, or the error (RFC 9207 section 2.4).
	if answer.Issuer != p.cfg.Issuer && (is.TellsIssuer || answer.Issuer != "") {
		return Identity{}, refuse(Refused, "the answer is of the issuer %q", answer.Issuer)
	}
	if answer.Error != "" || answer.Code == "" {
		return Identity{}, refuse(Cancelled, "the provider says %q %q", answer.Error, answer.Description)
	}
	secret, err := kafkaconn.ReadPassword(p.cfg.SecretFile)
	if err != nil {
		return Identity{}, refuse(Refused, "the client's secret: %w", err)
	}
	ctx = oidc.ClientContext(ctx, p.client)
	oauth := p.oauth(is, secret)
	tokens, err := oauth.Exchange(ctx, answer.Code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Identity{}, refuse(failure(err), "the code isn't exchanged: %w", err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := is.verifier.Verify(ctx, raw)
	if err != nil {
		return Identity{}, refuse(Refused, "the ID token: %w", err)
	}
	if err := p.check(token, tokens.AccessToken, a.Nonce); err != nil {
		return Identity{}, refuse(Refused, "the ID token: %w", err)
	}
	who := Identity{Issuer: token.Issuer, Subject: token.Subject}
	has := claims{}
	if err := token.Claims(&has); err != nil {
		return Identity{}, refuse(Refused, "the ID token: %w", err)
	}
	who.Session, _ = has.text("sid")
	if p.lacks(has) && is.UserInfoEndpoint() != "" {
		if err := has.ask(ctx, is.Provider, tokens, token.Subject); err != nil {
			return Identity{}, refuse(failure(err), "UserInfo: %w", err)
		}
	}
	if err := p.admit(&who, has); err != nil {
		r := refuse(Unmapped, "%w", err)
		r.Who = who
		return Identity{}, r
	}
	return who, nil
}

// Answers says whether an answer is one to this attempt.
func (a Attempt) Answers(answer Answer) bool {
	return a.State != "" && subtle.ConstantTimeCompare([]byte(a.State), []byte(answer.State)) == 1
}

// check is what a verifier leaves: OpenID Connect Core 1.0 sections 3.1.3.7 and 3.1.3.8.
func (p *Provider) check(token *oidc.IDToken, access, nonce string) error {
	var is struct {
		AuthorizedParty string `json:"azp"`
	}
	if err := token.Claims(&is); err != nil {
		return err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		return errors.New("the nonce isn't that of this sign-in")
	case token.Subject == "" || len(token.Subject) > 255 || strings.ContainsFunc(token.Subject, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("the subject isn't 1 to 255 characters of ASCII")
	case is.AuthorizedParty != p.cfg.ClientID && (is.AuthorizedParty != "" || len(token.Audience) > 1):
		return fmt.Errorf("it was issued to %q", is.AuthorizedParty)
	}
	if token.AccessTokenHash != "" {
		return token.VerifyAccessToken(access)
	}
	return nil
}

// failure tells a provider that answers from one that doesn't.
func failure(err error) Reason {
	var answered *oauth2.RetrieveError
	switch {
	case errors.As(err, &answered) && answered.Response != nil && answered.Response.StatusCode >= http.StatusInternalServerError:
		return Unreachable
	case errors.As(err, &answered), errors.Is(err, errForeign):
		return Refused
	}
	return Unreachable
}
