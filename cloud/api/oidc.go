package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/busbar/busbar/cloud/access"
	"github.com/busbar/busbar/cloud/oidc"
)

// SignInMethods are how people sign in.
type SignInMethods struct {
	Password bool        `json:"password" doc:"By a name and a password"`
	OIDC     *OIDCMethod `json:"oidc,omitempty" doc:"By an OpenID Connect provider; absent: not so"`
}

// OIDCMethod is the provider.
type OIDCMethod struct {
	Name      string `json:"name" doc:"What people call it" example:"Example ID"`
	Reachable bool   `json:"reachable" doc:"Whether it answered when it was asked last"`
}

type methodsAnswer struct{ Body SignInMethods }

// visit is what is known of a browser that isn't asked for data.
type visit struct {
	remote, host string
}

// Resolve implements huma.Resolver.
func (v *visit) Resolve(ctx huma.Context) []error {
	v.remote, v.host = ctx.RemoteAddr(), ctx.Host()
	return nil
}

type beginOIDC struct {
	visit
	Return string `query:"return" doc:"The page of the console to come back to; what leads elsewhere is taken for /" example:"/alarms/a1"`
}

type finishOIDC struct {
	visit
	Cookies     string `header:"Cookie" hidden:"true"`
	State       string `query:"state"`
	Code        string `query:"code"`
	Issuer      string `query:"iss" doc:"RFC 9207"`
	Error       string `query:"error"`
	Description string `query:"error_description"`
}

type endOIDC struct {
	visit
	RawBody []byte `contentType:"application/x-www-form-urlencoded" required:"true"`
}

type redirect struct {
	Location string        `header:"Location"`
	Cookies  []http.Cookie `header:"Set-Cookie"`
}

func registerOIDC(api huma.API, o Options) {
	huma.Register(api, huma.Operation{
		OperationID: "get-sign-in-methods", Method: http.MethodGet, Path: "/api/v1/session/methods",
		Summary: "How people sign in", Tags: []string{"Session"},
	}, func(context.Context, *struct{}) (*methodsAnswer, error) {
		answer := &methodsAnswer{}
		answer.Body.Password = o.Access != nil
		if p := o.provider(); p != nil {
			answer.Body.OIDC = &OIDCMethod{Name: p.Name(), Reachable: p.Reachable()}
		}
		return answer, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "begin-oidc", Method: http.MethodGet, Path: "/api/v1/session/oidc", DefaultStatus: http.StatusSeeOther,
		Summary: "Sign in by the OpenID Connect provider", Tags: []string{"Session"}, Errors: []int{http.StatusNotFound},
		Description: "For browsers. Leads to the provider, or, if that can't be, to the page in return with signin= and a reason. 404: there is no provider.",
	}, func(ctx context.Context, q *beginOIDC) (*redirect, error) {
		p := o.provider()
		if p == nil {
			return nil, huma.Error404NotFound("nobody signs in by a provider here")
		}
		// The provider sends browsers to one address, where the cookie has to be.
		if at, err := url.Parse(p.Console()); err == nil && canonical(at.Scheme, at.Host) != canonical(at.Scheme, q.host) {
			return &redirect{Location: p.Console() + "/api/v1/session/oidc?" + url.Values{"return": {oidc.Back(q.Return)}}.Encode()}, nil
		}
		at, keep, err := o.Access.BeginOIDC(ctx, q.remote, q.Return)
		if err != nil {
			return o.turnedAway(ctx, oidc.Back(q.Return), nil, err)
		}
		return &redirect{at, []http.Cookie{*keep}}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "finish-oidc", Method: http.MethodGet, Path: oidc.CallbackPath, DefaultStatus: http.StatusSeeOther,
		Summary: "Come back from the OpenID Connect provider", Tags: []string{"Session"}, Errors: []int{http.StatusNotFound},
		Description: "For browsers, which the provider sends here. Leads to the page that was wanted, signed in or with signin= and a reason. 404: there is no provider.",
	}, func(ctx context.Context, q *finishOIDC) (*redirect, error) {
		if o.provider() == nil {
			return nil, huma.Error404NotFound("nobody signs in by a provider here")
		}
		to, err := o.Access.FinishOIDC(ctx, q.remote, q.Cookies, oidc.Answer{State: q.State, Code: q.Code, Issuer: q.Issuer, Error: q.Error, Description: q.Description})
		if err != nil {
			return o.turnedAway(ctx, to.Page, to.Cookies, err)
		}
		return &redirect{to.Page, values(to.Cookies)}, nil
	})

	huma.Register(api, huma.Operation{
		OperationID: "end-oidc", Method: http.MethodPost, Path: oidc.LogoutPath, DefaultStatus: http.StatusNoContent,
		Summary: "End the sessions that the OpenID Connect provider has ended", Tags: []string{"Session"}, MaxBodyBytes: 32 << 10,
		Description: "For the provider: a form with the logout_token of OpenID Connect Back-Channel Logout 1.0. 400: it isn't one of the provider's. 404: there is no provider.",
		Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusTooManyRequests},
	}, func(ctx context.Context, q *endOIDC) (*struct{}, error) {
		if o.provider() == nil {
			return nil, huma.Error404NotFound("nobody signs in by a provider here")
		}
		form, err := url.ParseQuery(string(q.RawBody))
		if err != nil {
			return nil, huma.Error400BadRequest("the body is no form")
		}
		_, err = o.Access.EndOIDC(ctx, q.remote, form.Get("logout_token"))
		var wait *access.WaitError
		switch {
		case errors.Is(err, access.ErrRefused):
			return nil, huma.Error400BadRequest("the logout token isn't valid")
		case errors.As(err, &wait):
			return nil, huma.ErrorWithHeaders(huma.Error429TooManyRequests(err.Error()), http.Header{"Retry-After": {strconv.Itoa(wait.Seconds())}})
		case err != nil:
			return nil, o.fault(ctx, "end sessions", err)
		}
		return nil, nil
	})
	api.OpenAPI().Paths[oidc.LogoutPath].Post.RequestBody.Content[formType].Schema = &huma.Schema{Type: huma.TypeObject, Required: []string{"logout_token"},
		Properties: map[string]*huma.Schema{"logout_token": {Type: huma.TypeString, MinLength: new(1)}}}
}

const formType = "application/x-www-form-urlencoded"

func (o Options) provider() *oidc.Provider {
	if o.Access == nil {
		return nil
	}
	return o.Access.Provider()
}

// turnedAway leads somebody who isn't let in to a page that says why.
func (o Options) turnedAway(ctx context.Context, page string, cookies []*http.Cookie, err error) (*redirect, error) {
	var refused *oidc.Refusal
	var wait *access.WaitError
	reason := oidc.Reason("failed")
	switch {
	case errors.As(err, &refused):
		reason = refused.Reason
	case errors.As(err, &wait), errors.Is(err, access.ErrBusy):
		reason = "wait"
	case ctx.Err() == nil:
		o.Log.Error("request failed", "what", "sign in by OpenID Connect", "error", err)
	}
	return &redirect{oidc.With(page, reason), values(cookies)}, nil
}

func values(cookies []*http.Cookie) []http.Cookie {
	list := make([]http.Cookie, len(cookies))
	for i, c := range cookies {
		list[i] = *c
	}
	return list
}

// canonical is a host as addresses of a scheme have it, without the port that goes
// without saying.
func canonical(scheme, host string) string {
	host = strings.ToLower(host)
	_, port, err := net.SplitHostPort(host)
	if err == nil && (scheme == "https" && port == "443" || scheme == "http" && port == "80") {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}
