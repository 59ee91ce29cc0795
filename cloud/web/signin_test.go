package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/browser"
)

// gate lets whoever has signed in through to the API.
func (f *fake) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		c, err := r.Cookie("busbar")
		known := !f.signIn || err == nil && f.session != "" && c.Value == f.session
		withheld := f.withhold != "" && strings.HasPrefix(r.URL.Path, f.withhold)
		f.mu.Unlock()
		if withheld {
			refuse(w, http.StatusNotFound, "withheld")
			return
		}
		if !known && strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/api/v1/session/") && (r.URL.Path != "/api/v1/session" || r.Method == http.MethodGet) {
			refuse(w, http.StatusUnauthorized, "sign in, or show a token")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f *fake) getSession(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.signIn {
		answer(w, http.StatusOK, map[string]any{"sign_in": false, "name": "", "role": "admin", "zones": nil})
		return
	}
	answer(w, http.StatusOK, map[string]any{"sign_in": true, "name": "ana", "role": f.role, "zones": []string{"north"}})
}

func (f *fake) postSession(w http.ResponseWriter, r *http.Request) {
	var body struct{ Name, Password string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	switch {
	case body.Name == "flood":
		refuse(w, http.StatusTooManyRequests, "signing in has failed too often, try again in 16 s")
	case body.Name != "ana" || body.Password != "right":
		refuse(w, http.StatusUnauthorized, "the name or the password is wrong")
	default:
		f.mu.Lock()
		f.session = fmt.Sprint("secret", nowUs())
		f.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "busbar", Value: f.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		answer(w, http.StatusOK, map[string]any{"sign_in": true, "name": "ana", "role": f.role, "zones": nil})
	}
}

func (f *fake) deleteSession(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	fails := f.signOutFails
	f.mu.Unlock()
	if fails {
		refuse(w, http.StatusInternalServerError, "could not sign out")
		return
	}
	f.endSession()
	w.WriteHeader(http.StatusNoContent)
}

func (f *fake) endSession() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session = ""
}

// arrive opens a page that asks to sign in.
func (b *tab) arrive(f *fake, path string) {
	b.T.Helper()
	b.Do(chromedp.Navigate(f.url() + path))
	b.await(`document.activeElement?.dataset.testid === "signin-name"`)
}

func (b *tab) signIn(name, password string) {
	b.T.Helper()
	for field, text := range map[string]string{"name": name, "password": password} {
		b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector("[data-testid=signin-%s]").value = %q`, field, text)))
	}
	b.click("[data-testid=signin-submit]")
}

const isLive = `document.querySelector("[data-testid=connection]")?.dataset.state === "live"`

func TestSigningInAndOut(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.signIn, f.role = true, "operator"
	f.substation()
	b := newTab(t)
	b.arrive(f, "/alarms/a1")
	if shown := b.text("body"); strings.Contains(shown, "feeder") {
		t.Errorf("before anybody has signed in it shows %s", shown)
	}
	for _, c := range []struct{ name, password, want string }{
		{"ana", "", "Enter your name and your password."},
		{"ana", "wrong", "The name or the password is wrong."},
		{"flood", "x", "You are not signed in: signing in has failed too often, try again in 16 s"},
	} {
		b.signIn(c.name, c.password)
		b.await(fmt.Sprintf(`document.querySelector("[data-testid=signin-error]").innerText === %q`, c.want))
	}
	b.signIn("ana", "right")
	b.await(isLive)
	if got := b.text("[data-testid=who]"); got != "ana" {
		t.Errorf("signed in as %q", got)
	}
	if got := get[string](b, "location.pathname"); got != "/alarms/a1" {
		t.Errorf("it leads to %s", got)
	}
	// Nobody is asked for a name that is known.
	b.await(`document.querySelector("[data-testid=ack]")`)
	b.click("[data-testid=ack]")
	b.await(`document.querySelector("[data-testid=ack-dialog]")`)
	if get[bool](b, `document.querySelector("[data-testid=ack-name]") !== null`) {
		t.Error("it asks for a name")
	}
	b.click("[data-testid=ack-submit]")
	b.await(`document.querySelector("[data-testid=ack-dialog]") === null`)
	outFails := func(fails bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.signOutFails = fails
	}
	outFails(true)
	b.click("[data-testid=signout]")
	b.await(`document.querySelector("[data-testid=signout-error]")?.innerText === "You are not signed out: could not sign out"`)
	outFails(false)
	b.click("[data-testid=signout]")
	b.await(`document.querySelector("[data-testid=signin-name]")`)

	// A session that ends takes away what is shown.
	f.role = "viewer"
	b.signIn("ana", "right")
	b.await(isLive)
	if get[bool](b, `document.querySelector("[data-testid=ack]") !== null`) {
		t.Error("a viewer may acknowledge")
	}
	f.endSession()
	// Asks for something, unless the page has done so by itself.
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("nav a[href='/completeness']")?.click()`))
	b.Await(time.Minute, `document.querySelector("[data-testid=signin-name]")`)
	if shown := b.text("body"); strings.Contains(shown, "feeder") {
		t.Errorf("after the session it shows %s", shown)
	}
}

func TestSignInIsAccessible(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.signIn, f.role = true, "operator"
	f.substation()
	b := newTab(t)
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.Do(chromedp.EmulateViewport(width, 844), browser.Prefer("prefers-color-scheme", theme))
			f.endSession()
			b.arrive(f, "/")
			b.signIn("ana", "wrong")
			b.await(`document.querySelector("[data-testid=signin-error]").innerText !== ""`)
			b.checkAccessible(fmt.Sprintf("signin-%s-%d", theme, width))
			b.signIn("ana", "right")
			b.await(isLive)
			b.checkAccessible(fmt.Sprintf("signedin-%s-%d", theme, width))
		}
	}
}
