package web

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestAccessible checks every page in both themes, wide and on a phone.
func TestAccessible(t *testing.T) {
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
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.Do(chromedp.EmulateViewport(width, 844), prefer("prefers-color-scheme", theme))
			for _, s := range screens {
				name := fmt.Sprintf("%s-%s-%d", s.name, theme, width)
				b.visit(f, s.path)
				b.await(s.ready)
				if s.act != "" {
					b.Do(chromedp.Evaluate[chromedp.Void](s.act))
				}
				b.checkAccessible(name)
			}
		}
	}
}

// TestFloodIsAccessible is TestAccessible while there is a flood.
func TestFloodIsAccessible(t *testing.T) {
	f := newFake(t)
	f.substation()
	f.handled()
	f.flow(&flood{Began: nowUs() - 300_000_000, Count: 25, Peak: 25})
	b := open(t, f, "/")
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.Do(chromedp.EmulateViewport(width, 844), prefer("prefers-color-scheme", theme))
			b.visit(f, "/")
			b.await(`document.querySelector("[data-testid=flood]") && document.querySelector("[data-testid=alarm-group]")`)
			b.checkAccessible(fmt.Sprintf("flood-%s-%d", theme, width))
		}
	}
}

// checkAccessible runs axe-core over what is shown, and looks for sideways scrolling. With
// BUSBAR_SHOTS=DIR it leaves a picture there.
func (b *tab) checkAccessible(name string) {
	b.T.Helper()
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		b.T.Fatal(err)
	}
	if over := get[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		b.T.Errorf("%s: %d px wider than the screen", name, over)
	}
	b.Do(chromedp.Evaluate[chromedp.Void](string(axe)))
	if get[bool](b, `document.getAnimations().length > 0 || [...document.querySelectorAll("*")].some(e => getComputedStyle(e).transitionDuration !== "0s")`) {
		b.T.Errorf("%s: something moves", name)
	}
	for _, v := range get[[]string](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).then(r =>
		r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html.slice(0, 200) + " " + n.failureSummary).join("\n")))`) {
		b.T.Errorf("%s: %s", name, v)
	}
	b.shoot(name)
}

// prefer has the page see a preference, and none for motion: axe would find colours halfway
// between two.
func prefer(feature, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: feature, Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	})
}

// shoot leaves a picture where BUSBAR_SHOTS says.
func (b *tab) shoot(name string) {
	b.T.Helper()
	dir := os.Getenv("BUSBAR_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.Ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.T.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.T.Fatal(err)
	}
}
