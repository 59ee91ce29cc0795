package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var chromium = sync.OnceValue(func() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	return ""
})

// tab is one browser tab on the console.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []string
}

// open starts a browser on the given path of f's console and waits until the
// console is live. At the end it fails the test for anything that the page
// wrote to the browser's log: errors, warnings, violations of the content
// security policy.
func open(t *testing.T, f *fake, path string) *tab {
	t.Helper()
	b := newTab(t)
	b.visit(f, path)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, m := range b.messages {
			t.Errorf("browser log: %s", m)
		}
	})
	return b
}

func newTab(t *testing.T) *tab {
	t.Helper()
	if chromium() == "" {
		const missing = "no Chromium found: apt-get install chromium"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium()), chromedp.NoSandbox,
		chromedp.Flag("lang", "en-GB"), chromedp.WindowSize(1280, 800))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(1280, 800))
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *tab) listen(ev any) {
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

// forgive drops what the browser logged and that contains any of these.
func (b *tab) forgive(expected ...string) {
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

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	if chromedp.FromContext(b.ctx).Browser == nil {
		cancel()
		ctx, cancel = b.ctx, func() {}
	}
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) visit(f *fake, path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(f.url() + path))
	b.await(`document.querySelector("[data-testid=connection]")?.dataset.state === "live"`)
}

// get evaluates a JavaScript expression.
func get[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits until a JavaScript expression is true. (chromedp's own Poll
// builds a function from a string, which the page's policy forbids.)
func (b *tab) await(condition string) {
	b.t.Helper()
	deadline := time.Now().Add(4 * time.Second)
	for !get[bool](b, "!!("+condition+")") {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s; the page says:\n%s", condition, get[string](b, "document.body.innerText"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (b *tab) click(css string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(css)))
}

func (b *tab) text(css string) string {
	b.t.Helper()
	return get[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", css))
}

// rows lists the alarm ids of the list from top to bottom.
func (b *tab) rows() string {
	b.t.Helper()
	return get[string](b, `[...document.querySelectorAll("[data-testid=alarm-row]")].map(r => r.dataset.alarmId).join(" ")`)
}
