package web

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/browser"
)

// another opens a further tab of the same browser; close closes it.
func (b *tab) another(f *fake, first ...chromedp.Action[chromedp.Void]) (next *tab, close context.CancelFunc) {
	b.T.Helper()
	ctx, close := chromedp.NewContext(b.Ctx)
	b.T.Cleanup(close)
	next = &tab{&browser.Tab{T: b.T, Ctx: ctx}}
	// The tab lives as long as the context of its first step.
	if err := chromedp.Do(ctx, first...); err != nil {
		b.T.Fatal(err)
	}
	next.visit(f, "/")
	return next, close
}

func (b *tab) awaitState(id, state string) {
	b.T.Helper()
	b.await(fmt.Sprintf(`document.querySelector("[data-alarm-id=%s]")?.dataset.state === %q`, id, state))
}

// awaitStreams waits until n streams are open and no other one.
func awaitStreams(t *testing.T, f *fake, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); f.subscribed() != n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d streams, want %d", f.subscribed(), n)
		}
	}
}

// HTTP/1.1 gives a browser six connections to a server, so that seven streams
// would leave none to acknowledge with.
func TestTabsShareOneStream(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "x", Priority: "high", Asset: "feeder-2", Summary: "Dead"})
	first := newTab(t)
	first.Do(chromedp.Navigate("about:blank"))
	var tabs []*tab
	var leave []context.CancelFunc
	for range 7 {
		b, close := first.another(f)
		b.awaitState("x", "unacknowledged")
		tabs, leave = append(tabs, b), append(leave, close)
	}
	awaitStreams(t, f, 1)

	acknowledge := func(b *tab, id string) {
		t.Helper()
		b.click("[data-alarm-id=" + id + "] [data-testid=ack]")
		b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-testid=ack-name]").value = "Ana"`))
		b.click("[data-testid=ack-submit]")
	}
	acknowledge(tabs[5], "x")
	for _, b := range tabs {
		b.awaitState("x", "acknowledged")
	}

	// Alarms are raised on and on while the leader, the first, goes away.
	const storm = 150
	raised := make(chan struct{})
	go func() {
		defer close(raised)
		for i := range storm {
			f.raise(alarm{ID: fmt.Sprintf("s%d", i), Priority: "low", Asset: "a", Summary: "Door open"})
			time.Sleep(5 * time.Millisecond)
		}
	}()
	leave[0]()
	<-raised
	tabs = tabs[1:]
	for _, b := range tabs {
		b.await(fmt.Sprintf(`document.querySelector("[data-testid=count-low]").dataset.count === "%d"`, storm))
		b.await(`document.querySelector("[data-testid=connection]").dataset.state === "live"`)
	}
	awaitStreams(t, f, 1)
	last := fmt.Sprintf("s%d", storm-1) // on top of the list
	acknowledge(tabs[5], last)
	for _, b := range tabs {
		b.await(fmt.Sprintf(`document.querySelector("[data-testid=count-low]").dataset.count === "%d"`, storm-1))
	}
}

func TestFollowersReconnectAndResync(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	leader := newTab(t)
	leader.visit(f, "/")
	follower, _ := leader.another(f)
	tabs := []*tab{leader, follower}

	f.stop()
	for _, b := range tabs {
		b.await(`document.querySelector("[data-testid=connection]").dataset.state === "reconnecting"`)
	}
	f.raise(alarm{ID: "during", Priority: "high", Summary: "During"})
	f.start()
	for _, b := range tabs {
		b.await(`document.querySelector("[data-testid=connection]").dataset.state === "live"`)
		b.await(fmt.Sprintf(rowsAre, "during"))
	}

	f.mu.Lock()
	f.alarms = append(f.alarms, &alarm{ID: "missed", Priority: "low", Active: true, Raised: 1})
	f.seq = 70
	f.mu.Unlock()
	f.resync()
	for _, b := range tabs {
		b.await(fmt.Sprintf(rowsAre, "during missed"))
	}
	awaitStreams(t, f, 1)
	f.raise(alarm{ID: "after", Priority: "critical", Summary: "After"})
	for _, b := range tabs {
		b.await(fmt.Sprintf(rowsAre, "after during missed"))
	}
}

// A suspended tab may keep the lock and say nothing.
func TestSilentLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	silent := newTab(t)
	silent.Do(chromedp.Navigate(f.url() + "/assets/licenses.txt"))
	silent.Do(chromedp.Evaluate[chromedp.Void](`void navigator.locks.request("busbar.stream.1", () => new Promise(() => {})).catch(() => {})`))
	b, _ := silent.another(f)
	f.raise(alarm{ID: "x", Priority: "high", Summary: "Dead"})
	b.awaitState("x", "unacknowledged")
}

// Browsers have no locks for pages that come by plain HTTP from another host.
func TestWithoutLocksEachTabHasItsStream(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	first := newTab(t)
	first.Do(withoutLocks)
	first.visit(f, "/")
	second, _ := first.another(f, withoutLocks)
	awaitStreams(t, f, 2)
	f.raise(alarm{ID: "x", Priority: "high", Summary: "Dead"})
	for _, b := range []*tab{first, second} {
		b.awaitState("x", "unacknowledged")
	}
}

var withoutLocks = chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
	_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: "delete Navigator.prototype.locks",
	})
	return err
})
