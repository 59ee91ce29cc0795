package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/cloud/oidc"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// OIDCPrefix begins the name of whoever signs in by OpenID Connect. Names of users and
// tokens have no colon, so nobody is taken for another.
const OIDCPrefix = "oidc:"

// mostReturning is how many may be on their way in from the provider at a time.
const mostReturning = 64

// returned counts what became of those who came back from the provider.
type returned struct {
	waiting, signedIn, refused, unreachable atomic.Int64
}

// Provided are those who came back from the provider.
type Provided struct{ SignedIn, Refused, Unreachable int64 }

// UseOIDC lets people sign in by a provider as well. It is called before anybody asks.
func (a *Access) UseOIDC(p *oidc.Provider) { a.provider = p }

// Provider is who people sign in by as well; nil: nobody.
func (a *Access) Provider() *oidc.Provider { return a.provider }

// Provided counts those who came back from the provider, since this began.
func (a *Access) Provided() Provided {
	return Provided{a.returned.signedIn.Load(), a.returned.refused.Load(), a.returned.unreachable.Load()}
}

// honours says whether a session still stands: what the provider's word is worth here may
// have changed since.
func (a *Access) honours(u store.OIDCUser) bool {
	return a.provider != nil && u.Terms == a.provider.Terms()
}

// BeginOIDC is where to send a browser whose user wants to sign in by the provider and
// see a page, and the cookie that it has to keep meanwhile. Any replica reads it: nothing
// is written down of somebody who only asks. The error is an *oidc.Refusal or a
// *WaitError if something outside is to blame.
func (a *Access) BeginOIDC(ctx context.Context, remote, page string) (at string, keep *http.Cookie, err error) {
	if wait := a.limiter.wait(a.now(), "address "+addressOf(remote)); wait > 0 {
		return "", nil, &WaitError{wait}
	}
	key, err := a.oidcKey(ctx)
	if err != nil {
		return "", nil, err
	}
	at, attempt, err := a.provider.Begin(ctx, oidc.Back(page))
	if err != nil {
		return "", nil, err
	}
	sealed, err := key.Seal(attempt)
	if err != nil {
		return "", nil, err
	}
	return at, a.attemptCookie(sealed, oidc.AttemptTime), nil
}

// Arrival is how somebody comes back from the provider.
type Arrival struct {
	Page    string         // of the console, to go to
	Cookies []*http.Cookie // to set
}

// FinishOIDC signs in who has come back from the provider. The page of the Arrival holds
// whatever the error is, which is an *oidc.Refusal, a *WaitError or ErrBusy if
// something outside is to blame.
func (a *Access) FinishOIDC(ctx context.Context, remote, cookies string, answer oidc.Answer) (Arrival, error) {
	to := Arrival{Page: "/"}
	address := addressOf(remote)
	if wait := a.limiter.wait(a.now(), "address "+address); wait > 0 {
		return to, &WaitError{wait}
	}
	if a.returned.waiting.Add(1) > mostReturning {
		a.returned.waiting.Add(-1)
		return to, ErrBusy
	}
	defer a.returned.waiting.Add(-1)
	attempt, err := a.attempt(ctx, cookies)
	if err != nil {
		return to, err
	}
	if attempt.Answers(answer) { // or else it is another one's, which may still come
		to.Page = attempt.Return
		to.Cookies = append(to.Cookies, a.attemptCookie("", -time.Second))
	}
	who, err := a.provider.Finish(ctx, attempt, answer)
	var refused *oidc.Refusal
	if errors.As(err, &refused) {
		a.refuseOIDC(ctx, address, refused)
	}
	if err != nil {
		return to, err
	}
	secret := NewSecret()
	lasting := a.provider.Session()
	now := a.micros()
	name, err := a.store.BeginOIDCSession(ctx, store.OIDCUser{Issuer: who.Issuer, Subject: who.Subject, Name: OIDCPrefix + who.Name, SID: who.Session,
		Role: who.Grant.Role, Zones: who.Grant.Zones, Terms: a.provider.Terms()}, secret, life.Idle, now+telemetry.Micros(lasting.Microseconds()), "from "+address, now)
	if errors.Is(err, store.ErrNameTaken) {
		a.refuseOIDC(ctx, address, &oidc.Refusal{Reason: oidc.Unmapped, Detail: err.Error(), Who: who})
	}
	if err != nil {
		return to, err
	}
	a.returned.signedIn.Add(1)
	a.log.Info("signed in", "user", name, "address", address, "issuer", who.Issuer, "subject", who.Subject)
	to.Cookies = append(to.Cookies, a.cookie(secret, lasting))
	return to, nil
}

// EndOIDC ends the sessions that a logout token of the provider is about, and says how
// many these were. ErrRefused if it isn't one, or a *WaitError for who has sent too many
// that aren't.
func (a *Access) EndOIDC(ctx context.Context, remote, token string) (int, error) {
	address := addressOf(remote)
	from := "logout " + address // who signs in from there isn't to blame for it, nor can stop it
	if wait := a.limiter.wait(a.now(), from); wait > 0 {
		return 0, &WaitError{wait}
	}
	ended, err := a.provider.Ended(ctx, token)
	var unreachable *oidc.Refusal
	if errors.As(err, &unreachable) { // it may be valid
		return 0, err
	}
	if err != nil {
		a.limiter.failed(a.now(), from, ofAddress)
		a.log.Warn("a logout token isn't taken", "address", address, "error", err)
		return 0, ErrRefused
	}
	return a.store.EndOIDCSessions(ctx, a.provider.Issuer(), ended.Subject, ended.Session, telemetry.MicrosOf(ended.Before), a.micros())
}

// refuseOIDC keeps that somebody wasn't let in. Who has changed their mind, or finds the
// provider gone, isn't made to wait for it; nor for what any web site can have a browser
// ask, by which nothing can be guessed.
func (a *Access) refuseOIDC(ctx context.Context, address string, r *oidc.Refusal) {
	switch r.Reason {
	case oidc.Unreachable:
		a.returned.unreachable.Add(1)
	case oidc.Cancelled, oidc.Expired:
		a.returned.refused.Add(1)
	default:
		a.returned.refused.Add(1)
		a.limiter.failed(a.now(), "address "+address, ofAddress)
	}
	name, detail := nobody, fmt.Sprintf("from %s; %s", address, r.Detail)
	if r.Who.Name != "" {
		name = OIDCPrefix + r.Who.Name
	}
	if r.Who.Subject != "" {
		detail += fmt.Sprintf("; issuer %s, subject %s", r.Who.Issuer, r.Who.Subject)
	}
	a.writeFailure(ctx, name, "oidc", detail)
}

// oidcKey is the database's, once it has been asked.
func (a *Access) oidcKey(ctx context.Context) (oidc.Key, error) {
	if known := a.key.Load(); known != nil {
		return *known, nil
	}
	raw, err := a.store.OIDCKey(ctx)
	if err != nil {
		return oidc.Key{}, err
	}
	var key oidc.Key
	if len(raw) != len(key) {
		return oidc.Key{}, fmt.Errorf("access: the key of sign-ins has %d bytes, expected %d", len(raw), len(key))
	}
	copy(key[:], raw)
	a.key.Store(&key)
	return key, nil
}

// attempt is what the browser has kept, the zero one if that is nothing.
func (a *Access) attempt(ctx context.Context, cookies string) (oidc.Attempt, error) {
	r := http.Request{Header: http.Header{"Cookie": {cookies}}}
	kept, err := r.Cookie(a.attemptName())
	if err != nil {
		return oidc.Attempt{}, nil
	}
	key, err := a.oidcKey(ctx)
	if err != nil {
		return oidc.Attempt{}, err
	}
	attempt, err := key.Open(kept.Value)
	if err != nil {
		return oidc.Attempt{}, nil
	}
	return attempt, nil
}

func (a *Access) attemptName() string { return a.cookieName() + "-oidc" }

// attemptCookie comes back when the provider sends the browser here, which is another
// site: Lax, where the session's own is Strict.
func (a *Access) attemptCookie(sealed string, lasting time.Duration) *http.Cookie {
	return &http.Cookie{Name: a.attemptName(), Value: sealed, Path: "/", MaxAge: int(lasting.Seconds()),
		HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteLaxMode}
}
