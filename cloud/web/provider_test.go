package web

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/browser"
)

func (f *fake) getMethods(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	methods := map[string]any{"password": true}
	if f.provider != nil {
		methods["oidc"] = f.provider
	}
	answer(w, http.StatusOK, methods)
}

// beginOIDC is the console's way to the provider and back, without the provider.
func (f *fake) beginOIDC(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	back, err := url.Parse(r.FormValue("return"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if f.turnAway != "" {
		query := back.Query()
		query.Set("signin", f.turnAway)
		back.RawQuery = query.Encode()
	} else {
		f.session = fmt.Sprint("secret", nowUs())
		http.SetCookie(w, &http.Cookie{Name: "busbar", Value: f.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	http.Redirect(w, r, back.RequestURI(), http.StatusSeeOther)
}

func (f *fake) offer(reachable bool, turnAway string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.provider, f.turnAway = map[string]any{"name": "Example ID", "reachable": reachable}, turnAway
}

const (
	providerButton = `document.querySelector("[data-testid=signin-provider]")`
	providerError  = `document.querySelector("[data-testid=signin-provider-error]")?.innerText`
	providerState  = `document.querySelector("[data-testid=signin-provider-state]")?.innerText`
)

func TestSigningInByAProvider(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.signIn, f.role = true, "operator"
	f.substation()
	b := newTab(t)
	b.arrive(f, "/signals?series=1")
	if get[bool](b, providerButton+` !== null`) {
		t.Error("there is no provider")
	}
	for reason, want := range map[string]string{
		"unreachable": "Example ID can't be reached at this moment. You can still sign in with a name and a password of this console.",
		"cancelled":   "You are not signed in: Example ID has ended it.",
		"expired":     "You are not signed in: it took too long, or was begun in another window, or this browser keeps no cookies. Try again.",
		"refused":     "You are not signed in: what Example ID says of you could not be verified. The console's audit says why.",
		"unmapped":    "Example ID knows you, but nothing says what you may do here. Ask whoever looks after this console.",
		"wait":        "You are not signed in: too many have tried from here. Try again in a few minutes.",
		"unheard-of":  "You are not signed in: the console could not finish it. Try again.",
	} {
		f.offer(true, "")
		b.arrive(f, "/signals?series=1&signin="+reason)
		b.await(fmt.Sprintf(`%s === %q`, providerError, want))
		if got := get[string](b, "location.pathname + location.search"); got != "/signals?series=1" {
			t.Errorf("%s: it leads to %s", reason, got)
		}
	}
	// By the keyboard alone: it follows the form's own button.
	f.offer(true, "cancelled")
	b.arrive(f, "/signals?series=1")
	b.await(providerButton + `?.innerText === "Sign in with Example ID"`)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-testid=signin-submit]").focus()`))
	b.Do(chromedp.KeyEvent("\t"))
	b.await(`document.activeElement === ` + providerButton)
	b.Do(chromedp.KeyEvent("\r"))
	b.await(providerError + `?.includes("Example ID has ended it")`)
	f.offer(true, "")
	b.arrive(f, "/signals?series=1")
	b.await(providerButton)
	b.click("[data-testid=signin-provider]")
	b.await(isLive)
	if got := get[string](b, "location.pathname + location.search"); got != "/signals?series=1" {
		t.Errorf("it leads to %s", got)
	}
	// Other tabs hear of who is in, and of nobody.
	other, _ := b.another(f)
	b.click("[data-testid=signout]")
	other.await(providerButton)
	b.await(providerButton)
	b.click("[data-testid=signin-provider]")
	b.await(isLive)
	other.await(isLive)
	// Why somebody was turned away is no more to be told once they are in.
	b.visit(f, "/signals?series=1&signin=failed")
	if got := get[string](b, "location.pathname + location.search"); got != "/signals?series=1" {
		t.Errorf("of who is in, it leads to %s", got)
	}
}

func TestSigningInByAProviderIsAccessible(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.signIn, f.role = true, "operator"
	f.substation()
	b := newTab(t)
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.Do(chromedp.EmulateViewport(width, 844), browser.Prefer("prefers-color-scheme", theme))
			f.offer(false, "")
			b.arrive(f, "/?signin=unmapped")
			b.await(providerState + ` !== "" && ` + providerError + ` !== ""`)
			b.checkAccessible(fmt.Sprintf("provider-%s-%d", theme, width))
		}
	}
}
