package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/browser"
)

// tab is one browser tab on the console.
type tab struct{ *browser.Tab }

// open starts a browser on the given path of f's console and waits until the
// console is live. At the end it fails the test for anything that the page
// wrote to the browser's log.
func open(t *testing.T, f *fake, path string) *tab {
	t.Helper()
	b := newTab(t)
	b.visit(f, path)
	t.Cleanup(func() {
		for _, m := range b.Messages() {
			t.Errorf("browser log: %s", m)
		}
	})
	return b
}

func newTab(t *testing.T) *tab { return &tab{browser.New(t)} }

func (b *tab) visit(f *fake, path string) {
	b.T.Helper()
	b.Do(chromedp.Navigate(f.url() + path))
	b.await(`document.querySelector("[data-testid=connection]")?.dataset.state === "live"`)
}

func get[T any](b *tab, expression string) T {
	b.T.Helper()
	return browser.Get[T](b.Tab, expression)
}

func (b *tab) await(condition string) {
	b.T.Helper()
	b.Await(30*time.Second, condition)
}

func (b *tab) click(css string) {
	b.T.Helper()
	b.Do(chromedp.Click(chromedp.CSS(css)))
}

func (b *tab) text(css string) string {
	b.T.Helper()
	return get[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", css))
}

// rows lists the alarm ids of the list from top to bottom.
func (b *tab) rows() string {
	b.T.Helper()
	return get[string](b, `[...document.querySelectorAll("[data-testid=alarm-row]")].map(r => r.dataset.alarmId).join(" ")`)
}
