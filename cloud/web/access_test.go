package web

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/browser"
)

// TestAccessible checks every page in both themes, wide and on a phone.
func TestAccessible(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.page = 4
	f.handled()
	b := open(t, f, "/")
	screens := []struct{ name, path, ready, act string }{
		{"alarms", "/", `document.querySelector("[data-testid=alarm-row]")`, ""},
		{"older", "/", `document.querySelector("[data-testid=alarm-row]") && (document.querySelector("[data-testid=more-alarms]") || document.querySelector("[data-testid=scope-all]").click())`, ""},
		{"acknowledge", "/", `document.querySelector("[data-testid=ack]")`, `document.querySelector("[data-testid=ack]").click()`},
		{"shelve", "/", `document.querySelector("[data-testid=handle]")`, `document.querySelector("[data-testid=handle]").click()`},
		{"performance", "/alarm-performance", `document.querySelectorAll("[data-testid=verdict]").length === 4`, ""},
		{"detail", "/alarms/a1", `document.querySelector("[data-testid=plot]")?.dataset.points > 300`, ""},
		{"returned", "/alarms/a3", `document.querySelector("[data-testid=plot]")?.dataset.points > 10`, ""},
		{"signals", "/signals", `document.querySelector("[data-testid=signal-row]")`, ""},
		{"completeness", "/completeness", `document.querySelectorAll("[data-testid=completeness-row]").length === 6`, ""},
		{"quarter", "/completeness", `document.querySelectorAll("[data-testid=completeness-row]").length === 6`,
			`document.querySelector("[data-device=feeder-2-head] [role=slider]").dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}))`},
		{"nothing", "/completeness?day=2026-01-01", `document.querySelector("[data-testid=answer]")`, ""},
		{"counter", "/signals?series=4", `document.querySelectorAll("[data-testid=counter-change]").length === 2`, ""},
		{"flags", "/signals?series=9", `document.querySelector("[data-testid=plot]")?.dataset.points === "1"`, ""},
		{"signal", "/signals?series=1", `document.querySelector("[data-testid=plot]")?.dataset.points > 100`, ""},
	}
	for _, s := range screens {
		b.accessible(s.name, func(int64) {
			b.visit(f, s.path)
			b.await(s.ready)
			if s.act != "" {
				b.Do(chromedp.Evaluate[chromedp.Void](s.act))
			}
		})
	}
}

// TestFloodIsAccessible is TestAccessible while there is a flood.
func TestFloodIsAccessible(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.handled()
	f.flow(&flood{Began: nowUs() - 300_000_000, Count: 25, Peak: 25})
	b := open(t, f, "/")
	b.accessible("flood", func(int64) {
		b.visit(f, "/")
		b.await(`document.querySelector("[data-testid=flood]") && document.querySelector("[data-testid=alarm-group]")`)
	})
}

// accessible shows something wide and on a phone, and checks it in both themes.
func (b *tab) accessible(name string, show func(width int64)) {
	b.T.Helper()
	for _, width := range []int64{1280, 390} {
		for _, theme := range []string{"light", "dark"} {
			b.Do(chromedp.EmulateViewport(width, 844), browser.Prefer("prefers-color-scheme", theme))
			if theme == "light" {
				show(width)
			}
			get[bool](b, `new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))`)
			b.checkAccessible(fmt.Sprintf("%s-%s-%d", name, theme, width))
		}
	}
}

// checkAccessible runs axe-core over what is shown, and looks for sideways scrolling. With
// BUSBAR_SHOTS=DIR it leaves a picture there.
func (b *tab) checkAccessible(name string) {
	b.T.Helper()
	b.checkWidth(name)
	if get[bool](b, `document.getAnimations().length > 0 || [...document.querySelectorAll("*")].some(e => getComputedStyle(e).transitionDuration !== "0s")`) {
		b.T.Errorf("%s: something moves", name)
	}
	for _, v := range b.Violations() {
		b.T.Errorf("%s: %s", name, v)
	}
	b.Shoot(name)
}

// checkWidth looks for sideways scrolling.
func (b *tab) checkWidth(name string) {
	b.T.Helper()
	if over := get[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		b.T.Errorf("%s: %d px wider than the screen", name, over)
	}
}
