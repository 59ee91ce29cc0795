// Package browser drives a real Chromium in tests.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/peer"
)

var chromium = sync.OnceValue(func() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	return ""
})

// Tab is one tab of a browser that ends with the test.
type Tab struct {
	T   testing.TB
	Ctx context.Context

	mu       sync.Mutex
	messages []string
}

// New starts a browser, or opens a tab of its own in the one that Main has tests share. Without
// Chromium the test fails under CI and is skipped elsewhere.
func New(t testing.TB) *Tab {
	t.Helper()
	if chromium() == "" {
		const missing = "no Chromium found: apt-get install chromium"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	ctx, apart := context.Background(), []chromedp.ContextOption(nil)
	if sharing {
		var err error
		if ctx, err = one.get(); err != nil {
			t.Fatal(err)
		}
		apart = append(apart, chromedp.WithNewBrowserContext())
	} else {
		var cancel context.CancelFunc
		ctx, cancel = chromedp.NewExecAllocator(ctx, options()...)
		t.Cleanup(cancel)
	}
	ctx, cancel := chromedp.NewContext(ctx, apart...)
	t.Cleanup(cancel)
	b := &Tab{T: t, Ctx: ctx}
	b.Do(chromedp.EmulateViewport(1280, 800))
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Tab) listen(ev any) {
	var text string
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("%s %v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		text = string(ev.Type)
		for _, arg := range ev.Args {
			text += " " + string(arg.Value)
		}
	case *cdplog.EventEntryAdded:
		text = fmt.Sprintf("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, text)
}

// Forgive drops what the browser logged and that contains any of these.
func (b *Tab) Forgive(expected ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rest []string
	for _, m := range b.messages {
		known := false
		for _, e := range expected {
			known = known || strings.Contains(m, e)
		}
		if !known {
			rest = append(rest, m)
		}
	}
	b.messages = rest
}

// Do takes steps, for at most half a minute.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.Ctx, 30*time.Second)
	if chromedp.FromContext(b.Ctx).Target == nil { // it lives as long as the context of its first step
		cancel()
		ctx, cancel = b.Ctx, func() {}
	}
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.T.Fatal(err)
	}
}

// Get evaluates a JavaScript expression.
func Get[T any](b *Tab, expression string) T {
	b.T.Helper()
	v, err := evaluate[T](b, expression)
	if err != nil {
		b.T.Fatalf("%s: %v", expression, err)
	}
	return v
}

func evaluate[T any](b *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.Ctx, 30*time.Second)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Await waits until a JavaScript expression is true. (chromedp's own Poll
// builds a function from a string, which the page's policy forbids.)
func (b *Tab) Await(within time.Duration, condition string) {
	b.T.Helper()
	deadline := time.Now().Add(within)
	for {
		is, err := evaluate[bool](b, "!!("+condition+")")
		if err != nil && !strings.Contains(err.Error(), "navigated") { // the page that was asked is gone, and the next one isn't there yet
			b.T.Fatalf("%s: %v", condition, err)
		}
		if is {
			return
		}
		if time.Now().After(deadline) {
			b.T.Fatalf("waited in vain for %s; the page says:\n%s", condition, Get[string](b, "document.body.innerText"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Shortcut presses a key of which the page makes no character.
func (b *Tab) Shortcut(key string) {
	b.T.Helper()
	b.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: key})
		return err
	}))
}

// Violations is what axe-core finds of WCAG 2.2 AA in what is shown.
func (b *Tab) Violations() []string {
	b.T.Helper()
	if !Get[bool](b, `"axe" in globalThis`) {
		axe, err := os.ReadFile(filepath.Join(peer.Root(), "cloud", "web", "testdata", "axe", "axe.min.js"))
		if err != nil {
			b.T.Fatal(err)
		}
		b.Do(chromedp.Evaluate[chromedp.Void](string(axe)))
	}
	return Get[[]string](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}).then(r =>
		r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html.slice(0, 200) + " " + n.failureSummary).join("\n")))`)
}

// Prefer has the page see a preference, and none for motion: axe would find colours halfway
// between two.
func Prefer(feature, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: feature, Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	})
}

// Shoot leaves a picture where BUSBAR_SHOTS says.
func (b *Tab) Shoot(name string) {
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

// Messages is what the page wrote to the browser's log so far, errors and
// violations of its content security policy among it.
func (b *Tab) Messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}
