package control_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/sim/live"
	"github.com/busbar/busbar/sim/live/control"
	"github.com/busbar/busbar/sim/scenario"
	"github.com/busbar/busbar/test/browser"
	"github.com/busbar/busbar/test/peer"
)

const soon = 20 * time.Second

func TestThePageShowsAndActs(t *testing.T) {
	l := quiet(t)
	var plays atomic.Pointer[http.Handler]
	play := func(l *live.Live) {
		h := control.Handler(l)
		plays.Store(&h)
	}
	play(l)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*plays.Load()).ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	b := browser.New(t)
	b.Do(chromedp.Navigate(server.URL))
	b.Await(soon, `document.querySelector("#summary").innerText.startsWith("All 30 service points")`)

	// A click where the drawing has the lateral chooses it.
	b.Do(chromedp.Evaluate[chromedp.Void](`{
		const e = places.get("lateral"), c = document.querySelector("#canvas").getBoundingClientRect();
		window.at = {x: c.x + (px(e.a) + px(e.b)) / 2, y: c.y + (py(e.a) + py(e.b)) / 2};
	}`))
	b.Do(chromedp.MouseClickXY(browser.Get[float64](b, "at.x"), browser.Get[float64](b, "at.y")))
	b.Await(soon, `document.querySelector("#asset").value === "lateral" && document.querySelector("#detail").innerText.includes("closed")`)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#act button[type=submit]").click()`))
	b.Await(soon, `document.querySelector("#faults").innerText.includes("hand-1: lateral, permanent")`)
	if err := l.Advance(l.Now() + (5 * time.Minute).Microseconds()); err != nil {
		t.Fatal(err)
	}
	b.Await(soon, `document.querySelector("#summary").innerText.startsWith("9 of 30")`)
	b.Await(soon, `document.querySelector("#off").innerText.includes("lateral-fuse (fuse): open")`)
	b.Await(soon, `document.querySelector("#news").innerText.includes("blown lateral-fuse (hand-1)")`)
	b.Await(soon, `document.querySelectorAll("#out li").length > 1`)
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.Do(chromedp.EmulateViewport(width, 900), prefer(theme))
			accessible(b, fmt.Sprintf("%s-%d", theme, width))
		}
	}
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#faults button[aria-label='Repair and close hand-1']").click()`))
	b.Await(soon, `document.querySelector("#summary").innerText.startsWith("All 30") && document.querySelector("#faults").innerText === "None"`)
	b.Do(chromedp.Evaluate[chromedp.Void](`{
		document.querySelector("#asset").value = "nowhere";
		document.querySelector("#open").click();
	}`))
	b.Await(soon, `document.querySelector("#answer").innerText.includes('no feeder, line')`)

	// Another simulation at the same address is another grid.
	s, err := scenario.Open("dropouts", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := live.New(s, scenario.Sinks{})
	if err != nil {
		t.Fatal(err)
	}
	play(other)
	server.CloseClientConnections()
	b.Await(soon, fmt.Sprintf(`document.querySelector("#summary").innerText.startsWith("All 400") && drawing.nodes.length === %d && !places.has("lateral")`, other.Snapshot().Nodes()))
	b.Forgive("422", "404", "ERR_")
	if said := b.Messages(); len(said) > 0 {
		t.Errorf("the page says %v", said)
	}
}

// accessible runs axe-core over what is shown. With BUSBAR_SHOTS=DIR it leaves a
// picture there.
func accessible(b *browser.Tab, name string) {
	b.T.Helper()
	axe, err := os.ReadFile(filepath.Join(peer.Root(), "cloud/web/testdata/axe/axe.min.js"))
	if err != nil {
		b.T.Fatal(err)
	}
	if over := browser.Get[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		b.T.Errorf("%s: %d px wider than the screen", name, over)
	}
	b.Do(chromedp.Evaluate[chromedp.Void](string(axe)))
	for _, v := range browser.Get[[]string](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).then(r =>
		r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html.slice(0, 200) + " " + n.failureSummary).join("\n")))`) {
		b.T.Errorf("%s: %s", name, v)
	}
	if dir := os.Getenv("BUSBAR_SHOTS"); dir != "" {
		png, err := chromedp.Run(b.Ctx, chromedp.FullScreenshot(100))
		if err != nil {
			b.T.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			b.T.Fatal(err)
		}
	}
}

func prefer(theme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		return err
	})
}
