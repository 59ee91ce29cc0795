package oidc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Ended is a session, or all sessions of somebody, that the provider has ended.
type Ended struct {
	Subject, Session string // one of them may be ""
	// Before is when those began that are meant: a token that comes again ends nothing that
	// began since.
	Before time.Time
}

// LogoutPath is where the provider may say that it has ended a session.
const LogoutPath = "/api/v1/session/oidc/logout"

// Ended reads a logout token of OpenID Connect Back-Channel Logout 1.0. A *Refusal if the
// provider, which has to be asked for its keys, can't be used now.
func (p *Provider) Ended(ctx context.Context, token string) (Ended, error) {
	is, err := p.discover(ctx, freshFor)
	if err != nil {
		return Ended{}, refuse(Unreachable, "the provider can't be used: %w", err)
	}
	of, err := is.verifier.VerifyLogout(oidc.ClientContext(ctx, p.client), token)
	if err != nil {
		return Ended{}, excerpt(fmt.Errorf("the logout token: %w", err))
	}
	if of.IssuedAt.IsZero() {
		return Ended{}, errors.New("the logout token doesn't say when it was issued")
	}
	return Ended{of.Subject, of.SessionID, of.IssuedAt.Add(leeway)}, nil
}
