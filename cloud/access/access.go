package access

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar/busbar/cloud/oidc"
	"github.com/busbar/busbar/cloud/store"
	"github.com/busbar/busbar/telemetry"
)

// TokenPrefix begins every API token, for those who look for secrets in texts.
const TokenPrefix = "bb_"

const (
	longestSession = 16 * time.Hour
	idleSession    = 2 * time.Hour
	touchEvery     = 5 * time.Minute
	// How many sign-ins may wait for their turn: each takes 64 MiB.
	mostWaiting = 16
	// How many failed sign-ins are written down in a minute, each in a row.
	mostWritten = 30
	// nobody stands for every name that no user can have.
	nobody = "(no user's name)"
)

var life = store.SessionLife{Longest: telemetry.Micros(longestSession.Microseconds()), Idle: telemetry.Micros(idleSession.Microseconds())}

var (
	// ErrUnknown says that a request shows nothing that is valid.
	ErrUnknown = errors.New("sign in, or show a token")
	// ErrRefused says that there is no such user, or they have another password.
	ErrRefused = errors.New("the name or the password is wrong")
	// ErrBusy says that too many sign in at this moment.
	ErrBusy = errors.New("too many are signing in, try again in a moment")
)

// WaitError says how long to wait before the next attempt to sign in.
type WaitError struct{ For time.Duration }

func (e *WaitError) Error() string {
	return fmt.Sprintf("signing in has failed too often, try again in %d s", e.Seconds())
}

// Seconds is For in whole seconds, at least one.
func (e *WaitError) Seconds() int { return int((e.For + time.Second - 1) / time.Second) }

// Access tells who asks. It is safe for concurrent use. What it knows of failed
// sign-ins is lost with it.
type Access struct {
	store  *store.Store
	secure bool // cookies go over TLS only
	log    *slog.Logger
	now    func() time.Time

	limiter limiter
	hashing chan struct{} // holds one while a password is hashed
	waiting atomic.Int32
	decoy   string // the hash of no password, for names that nobody has: they take as long

	provider *oidc.Provider // nil: there is none
	key      atomic.Pointer[oidc.Key]
	returned returned

	mu        sync.Mutex
	minute    time.Time
	written   int
	unwritten int
}

// New makes an Access for the users and tokens of a store. With secure, cookies are for
// TLS only.
func New(s *store.Store, secure bool, log *slog.Logger) *Access {
	return &Access{store: s, secure: secure, log: log, now: time.Now, hashing: make(chan struct{}, 1), decoy: recommended.decoy()}
}

func (a *Access) micros() telemetry.Micros { return telemetry.MicrosOf(a.now()) }

// NewSecret draws 256 bits, as text.
func NewSecret() string {
	var secret [32]byte
	rand.Read(secret[:])
	return base64.RawURLEncoding.EncodeToString(secret[:])
}

// SignIn begins a session and returns its cookie. remote is the address of the
// client. The error is ErrRefused, ErrBusy or a *WaitError if the client is to blame.
func (a *Access) SignIn(ctx context.Context, remote, name, password string) (*http.Cookie, Who, error) {
	if CheckName(name) != nil {
		name = nobody // what was typed may be long, or a password in the wrong field
	}
	address := addressOf(remote)
	byName, byAddress := "name "+name, "address "+address
	if wait := a.limiter.wait(a.now(), byName, byAddress); wait > 0 {
		return nil, Who{}, &WaitError{wait}
	}
	if a.waiting.Add(1) > mostWaiting {
		a.waiting.Add(-1)
		return nil, Who{}, ErrBusy
	}
	defer a.waiting.Add(-1)
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return nil, Who{}, ctx.Err()
	}
	// Those before it may have failed meanwhile.
	if wait := a.limiter.wait(a.now(), byName, byAddress); wait > 0 {
		return nil, Who{}, &WaitError{wait}
	}
	user, err := a.check(ctx, name, password)
	if errors.Is(err, ErrRefused) {
		a.limiter.failed(a.now(), byName, ofName)
		a.limiter.failed(a.now(), byAddress, ofAddress)
		a.writeFailure(ctx, name, "password", "from "+address)
	}
	if err != nil {
		return nil, Who{}, err
	}
	who, err := whoIs(user.Name, user.Role, user.Zones, "session")
	if err != nil {
		return nil, Who{}, err
	}
	secret := NewSecret()
	err = a.store.BeginSession(ctx, user, secret, life, "from "+address, a.micros())
	if errors.Is(err, store.ErrNoUser) {
		return nil, Who{}, ErrRefused
	}
	if err != nil {
		return nil, Who{}, err
	}
	a.limiter.succeeded(byName)
	a.log.Info("signed in", "user", user.Name, "address", address)
	return a.cookie(secret, longestSession), who, nil
}

// check is the user whose password that is.
func (a *Access) check(ctx context.Context, name, password string) (store.User, error) {
	if len(password) > LongestPassword {
		return store.User{}, ErrRefused
	}
	user, err := a.store.User(ctx, name)
	unknown := errors.Is(err, store.ErrNoUser)
	if err != nil && !unknown {
		return store.User{}, err
	}
	hash := user.Password
	if unknown {
		hash = a.decoy
	}
	right, err := matches(hash, password)
	if err == nil && (!right || unknown) {
		err = ErrRefused
	}
	return user, err
}

// writeFailure audits a failed sign-in. In a flood of them it writes so many and counts
// the others: strangers don't get to fill the disk.
func (a *Access) writeFailure(ctx context.Context, name, via, detail string) {
	a.mu.Lock()
	if now := a.now(); now.Sub(a.minute) >= time.Minute {
		a.minute, a.written = now, 0
	}
	if a.written >= mostWritten {
		a.unwritten++
		a.mu.Unlock()
		return
	}
	if a.unwritten > 0 {
		detail += fmt.Sprintf("; %d more before it, that aren't written down one by one", a.unwritten)
	}
	a.written, a.unwritten = a.written+1, 0
	a.mu.Unlock()
	a.log.Warn("a sign-in has failed", "user", name, "via", via, "detail", detail)
	// Also of somebody who hangs up meanwhile.
	if err := a.store.SignInFailed(context.WithoutCancel(ctx), name, via, detail, a.micros()); err != nil {
		a.log.Error("a failed sign-in isn't audited", "error", err)
	}
}

func whoIs(name, role, zones, via string) (who Who, err error) {
	who = Who{Name: name, Via: via}
	if who.Role, err = ParseRole(role); err == nil {
		who.Zones, err = ParseZones(zones)
	}
	if err != nil {
		return Who{}, fmt.Errorf("access: %s: %w", name, err)
	}
	return who, nil
}

// Identify tells who sends a request: by its token if it has one, or else its cookie.
// ErrUnknown if neither is valid.
func (a *Access) Identify(r *http.Request) (Who, error) {
	ctx := r.Context()
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(token, TokenPrefix) {
			return Who{}, ErrUnknown
		}
		t, err := a.store.APIToken(ctx, token, a.micros())
		if errors.Is(err, store.ErrNoToken) {
			return Who{}, ErrUnknown
		}
		if err != nil {
			return Who{}, err
		}
		return whoIs("token:"+t.Name, t.Role, t.Zones, "token")
	}
	secret := a.secretOf(r)
	if secret == "" {
		return Who{}, ErrUnknown
	}
	s, err := a.store.Session(ctx, secret, life, a.micros())
	if errors.Is(err, store.ErrNoSession) {
		return Who{}, ErrUnknown
	}
	if err != nil {
		return Who{}, err
	}
	if s.OIDC != nil && !a.honours(*s.OIDC) {
		return Who{}, ErrUnknown
	}
	who, err := whoIs(s.Name, s.Role, s.Zones, "session")
	who.seen, who.OIDC = s.Seen, s.OIDC != nil
	return who, err
}

// touch keeps that somebody is still there, so often and no more.
func (a *Access) touch(r *http.Request, who Who) error {
	if who.Via != "session" || a.micros()-who.seen < telemetry.Micros(touchEvery.Microseconds()) {
		return nil
	}
	return a.store.TouchSession(r.Context(), a.secretOf(r), a.micros())
}

// SignOut ends the session of a request and returns the cookie that takes its own away.
func (a *Access) SignOut(ctx context.Context, cookies string) (*http.Cookie, error) {
	r := http.Request{Header: http.Header{"Cookie": {cookies}}}
	if secret := a.secretOf(&r); secret != "" {
		if err := a.store.EndSession(ctx, secret, a.micros()); err != nil {
			return nil, err
		}
	}
	return a.cookie("", -time.Second), nil
}

func (a *Access) cookieName() string {
	if a.secure {
		return "__Host-busbar" // browsers take it over TLS only, and from no other host
	}
	return "busbar"
}

func (a *Access) secretOf(r *http.Request) string {
	c, err := r.Cookie(a.cookieName())
	if err != nil {
		return ""
	}
	return c.Value
}

func (a *Access) cookie(secret string, lasting time.Duration) *http.Cookie {
	return &http.Cookie{Name: a.cookieName(), Value: secret, Path: "/", MaxAge: int(lasting.Seconds()),
		HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteStrictMode}
}
