package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/access"
)

// Session is who asks.
type Session struct {
	SignIn bool     `json:"sign_in" doc:"Whether people sign in; if not, whoever reaches the console may everything"`
	Name   string   `json:"name" doc:"Empty where nobody signs in; token: and its name of an API token; oidc: and their name of who has signed in by OpenID Connect"`
	Role   string   `json:"role" enum:"viewer,operator,engineer,admin"`
	Zones  []string `json:"zones" nullable:"true" doc:"Whose gateways they see; null: all"`

	SignOutAt string `json:"sign_out_at,omitempty" doc:"Where the OpenID Connect provider ends its own session, for whoever has signed in by it and has signed out here"`
}

func (o Options) sessionOf(who access.Who) Session {
	s := Session{SignIn: o.Access != nil, Name: who.Name, Role: who.Role.String()}
	if !who.Zones.All {
		s.Zones = append([]string{}, who.Zones.Names...)
	}
	if p := o.provider(); p != nil && who.OIDC {
		s.SignOutAt = p.SignOutAt()
	}
	return s
}

type sessionAnswer struct{ Body Session }

type signIn struct {
	remote string
	Body   struct {
		Name     string `json:"name"`
		Password string `json:"password" writeOnly:"true"`
	}
}

// Resolve implements huma.Resolver.
func (s *signIn) Resolve(ctx huma.Context) []error {
	s.remote = ctx.RemoteAddr()
	return nil
}

type signedIn struct {
	Cookie http.Cookie `header:"Set-Cookie"`
	Body   Session
}

type signOut struct {
	Cookies string `header:"Cookie" hidden:"true"`
}

type signedOut struct {
	Cookie http.Cookie `header:"Set-Cookie"`
}

func registerSession(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/api/v1/session",
		Summary: "Who asks, and what they may", Tags: []string{"Session"},
	}, func(ctx context.Context, _ *struct{}) (*sessionAnswer, error) {
		return &sessionAnswer{o.sessionOf(access.From(ctx))}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/api/v1/session",
		Summary: "Sign in", Tags: []string{"Session"}, MaxBodyBytes: 8 << 10,
		Description: "The session is a cookie. Whoever fails too often waits, as Retry-After says. 404: nobody signs in here.",
		Errors: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusTooManyRequests, http.StatusServiceUnavailable},
	}, func(ctx context.Context, q *signIn) (*signedIn, error) {
		if o.Access == nil {
			return nil, huma.Error404NotFound("nobody signs in here")
		}
		cookie, who, err := o.Access.SignIn(ctx, q.remote, q.Body.Name, q.Body.Password)
		var wait *access.WaitError
		switch {
		case errors.Is(err, access.ErrRefused):
			return nil, huma.Error401Unauthorized(err.Error())
		case errors.As(err, &wait):
			return nil, huma.ErrorWithHeaders(huma.Error429TooManyRequests(err.Error()), http.Header{"Retry-After": {strconv.Itoa(wait.Seconds())}})
		case errors.Is(err, access.ErrBusy):
			return nil, huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(err.Error()), http.Header{"Retry-After": {"2"}})
		case err != nil:
			return nil, o.fault(ctx, "sign in", err)
		}
		return &signedIn{*cookie, o.sessionOf(who)}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: "/api/v1/session",
		Summary: "Sign out", Tags: []string{"Session"}, DefaultStatus: http.StatusNoContent,
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, q *signOut) (*signedOut, error) {
		if o.Access == nil {
			return nil, huma.Error404NotFound("nobody signs in here")
		}
		cookie, err := o.Access.SignOut(ctx, q.Cookies)
		if err != nil {
			return nil, o.fault(ctx, "sign out", err)
		}
		return &signedOut{*cookie}, nil
	})
}
