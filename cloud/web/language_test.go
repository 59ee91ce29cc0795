package web

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/busbar/busbar/test/browser"
)

// prefer makes the browser's languages these, with commas between.
func (b *tab) prefer(languages string) {
	b.T.Helper()
	agent := get[string](b, "navigator.userAgent")
	b.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: languages})
		return err
	}))
}

// choose takes another language.
func (b *tab) choose(language string) {
	b.T.Helper()
	b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => { const s = document.querySelector("[data-testid=language]"); s.value = %q; s.dispatchEvent(new Event("change", {bubbles: true})); })()`, language)))
}

const catalogues = `performance.getEntriesByType("resource").map(r => /\/((?:de|nl)-\w+)\.js$/.exec(r.name)?.[1].slice(0, 2)).filter(Boolean).join(" ")`

// An operator's way in German, chosen in a browser that asks for English: the outage is
// confirmed, a crew assigned, and an alarm acknowledged.
func TestOperatorWorksInGerman(t *testing.T) {
	f := newFake(t)
	f.substation()
	f.network(20)
	b := open(t, f, "/desk?outage=o-1")
	b.await(`document.documentElement?.lang === "en" && document.querySelector("[data-testid=step-confirm]")?.innerText === "Confirm"`)
	if loaded := get[string](b, catalogues); loaded != "" {
		t.Errorf("English has loaded the catalogues %s", loaded)
	}
	b.choose("de")
	b.await(`document.documentElement?.lang === "de" && document.querySelector("[data-testid=step-confirm]")?.innerText === "Bestätigen"`)
	if loaded := get[string](b, catalogues); loaded != "de" {
		t.Errorf("German has loaded the catalogues %q", loaded)
	}
	if at := get[string](b, `location.pathname + location.search`); at != "/desk?outage=o-1" {
		t.Errorf("it has led to %s", at)
	}
	b.await(`/^\d+ Störungen \d+ Anschlussnutzer ohne Versorgung$/.test(document.querySelector("[data-testid=desk-sum]").innerText.replace(/\s+/g, " "))`)

	chosen := `document.querySelector("[data-testid=outage-detail][data-outage=o-1]")`
	b.Shortcut("c") // the keys are those of English
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-name]")), chromedp.KeyEvent("Änne"), chromedp.KeyEvent(kb.Enter))
	b.await(chosen + `?.dataset.state === "confirmed" && document.querySelector(".steps [role=status]").innerText === "Ausgeführt: Bestätigen"`)
	b.await(chosen + `?.innerText.includes("von Änne")`)
	b.Shortcut("a")
	b.await(`document.querySelector("[data-testid=step-crew]")`)
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-submit]")), chromedp.KeyEvent(kb.Enter))
	b.await(chosen + `?.dataset.state === "assigned" && document.querySelector("[data-outage=o-1] .outage-state").innerText.trim() === "Trupp zugewiesen"`)

	b.visit(f, "/")
	b.await(`document.title.endsWith("Alarme · Busbar") && document.querySelector("[data-alarm-id=a1] [data-testid=ack]")?.innerText === "Quittieren"`)
	b.click("[data-alarm-id=a1] [data-testid=ack]")
	b.click("[data-testid=ack-submit]")
	b.awaitState("a1", "acknowledged")
	b.await(`document.querySelector("[data-alarm-id=a1]").innerText.includes("Quittiert")`)
}

// Without a choice it is the first of the browser's languages that there is, with the dates
// and numbers of its region.
func TestLanguageIsTheBrowsers(t *testing.T) {
	f := newFake(t)
	f.substation()
	b := open(t, f, "/")
	for _, tt := range []struct{ languages, lang, title, received string }{
		{"nl-BE,nl,en", "nl", "Alarmen", "128.458 ontvangen"},
		{"fr-FR,de-AT,en", "de", "Alarme", "128\u00a0458 erhalten"},
		{"fr-FR,fr", "en", "Alarms", "128,458 received"},
	} {
		b.prefer(tt.languages)
		b.visit(f, "/")
		b.await(fmt.Sprintf(`document.documentElement?.lang === %q && document.querySelector("main h1")?.innerText === %q`, tt.lang, tt.title))
		b.await(fmt.Sprintf(`document.querySelector("[data-testid=gateway-received]")?.innerText === %q`, tt.received))
	}
}

// Whoever can't read English can choose before signing in.
func TestLanguageIsChosenWhereOneSignsIn(t *testing.T) {
	f := newFake(t)
	f.signIn = true
	b := newTab(t)
	b.Do(chromedp.Navigate(f.url() + "/signals"))
	b.await(`document.querySelector("[data-testid=signin-submit]")?.innerText === "Sign in"`)
	b.choose("nl")
	b.await(`document.documentElement?.lang === "nl" && document.querySelector("[data-testid=signin-submit]")?.innerText === "Aanmelden"`)
	b.click("[data-testid=signin-submit]")
	b.await(`document.querySelector("[data-testid=signin-error]").innerText === "Voer uw naam en uw wachtwoord in."`)
}

// A language that can't be loaded, as after an update of the server, is English.
func TestLanguageThatDoesNotCome(t *testing.T) {
	f := newFake(t)
	f.substation()
	b := open(t, f, "/")
	b.Do(chromedp.Evaluate[chromedp.Void](`localStorage.setItem("busbar.language", "nl")`))
	f.mu.Lock()
	f.withhold = "/assets/nl-"
	f.mu.Unlock()
	b.visit(f, "/")
	b.await(`document.documentElement?.lang === "en" && document.querySelector("main h1")?.innerText === "Alarms"`)
	b.Forgive("404", "Failed to fetch dynamically imported module")
}

// TestLanguagesAreAccessible is TestAccessible in the other languages, whose words are longer.
func TestLanguagesAreAccessible(t *testing.T) {
	f := newFake(t)
	f.substation()
	f.handled()
	f.network(50)
	f.operated()
	b := open(t, f, "/")
	screens := []struct{ name, path, ready string }{ // the last ones on a phone only
		{"overview", "/overview", `document.querySelector("main h2")`},
		{"desk", "/desk?outage=o-1", `document.querySelector("[data-testid=step-confirm]")`},
		{"alarms", "/", `document.querySelector("[data-testid=alarm-row]")`},
		{"performance", "/alarm-performance", `document.querySelectorAll("[data-testid=verdict]").length === 4`},
		{"gateways", "/gateways", `document.querySelector("[data-testid=gateway-row]")`},
		{"completeness", "/completeness", `document.querySelectorAll("[data-testid=completeness-row]").length === 6`},
		{"signals", "/signals", `document.querySelector("[data-testid=signal-row]")`},
		{"detail", "/alarms/a1", `document.querySelector("[data-testid=alarm-detail]")`},
		{"asset", "/network/T-mill", `document.querySelector("[data-testid=asset-entry]")`},
	}
	themes := map[int64]string{1280: "light", 390: "dark"}
	for _, language := range []string{"de", "nl"} {
		b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`localStorage.setItem("busbar.language", %q)`, language)))
		for width, theme := range themes {
			b.Do(chromedp.EmulateViewport(width, 844), browser.Prefer("prefers-color-scheme", theme))
			for i, s := range screens {
				if i >= 3 && width > 390 {
					break
				}
				name := fmt.Sprintf("%s-%s-%d", s.name, language, width)
				b.visit(f, s.path)
				b.await(s.ready)
				if i < 3 {
					b.checkAccessible(name)
				} else {
					b.checkWidth(name)
				}
			}
		}
	}
}
