package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/browser"
)

// An operator's browser sees the alarm come, acknowledges it, and sees it clear.
func TestOperatorSeesAcknowledgesAndSeesTheAlarmClear(t *testing.T) {
	t.Parallel()
	s := newSite(t, "", "faults:\n  - {at: 8s, feeder: feeder-2, kind: outage, for: 8s}\n")
	tab := browser.New(t)
	s.cloud(t)
	s.gateway(t)
	await(t, "the console answers", 10*time.Second, func() bool { return s.ask(t, "/api/v1/alarms", &struct{}{}) })
	s.sim(t)
	tab.Do(chromedp.Navigate("http://" + s.console + "/"))
	tab.Await(10*time.Second, `document.querySelector("[data-testid=connection]")?.dataset.state === "live"`)

	row := func(state string) string {
		return fmt.Sprintf(`document.querySelector("[data-testid=alarm-row][data-state=%s]")`, state)
	}
	tab.Await(30*time.Second, row("unacknowledged"))
	text := browser.Get[string](tab, row("unacknowledged")+".innerText")
	if want := "feeder-2 is without voltage"; !strings.Contains(text, want) {
		t.Errorf("the row says %q, want %q in it", text, want)
	}
	if title := browser.Get[string](tab, "document.title"); !strings.Contains(title, "1") {
		t.Errorf("the title %q doesn't count the alarm", title)
	}

	tab.Do(
		chromedp.Click(chromedp.CSS("[data-testid=alarm-row] [data-testid=ack]")),
		chromedp.WaitVisible(chromedp.CSS("[data-testid=ack-name]")),
		chromedp.SendKeys(chromedp.CSS("[data-testid=ack-name]"), "Ana"),
		chromedp.Click(chromedp.CSS("[data-testid=ack-submit]")),
	)
	tab.Await(10*time.Second, row("acknowledged"))

	tab.Do(chromedp.Click(chromedp.CSS("[data-testid=alarm-link]")))
	tab.Await(10*time.Second, `Number(document.querySelector("[data-testid=plot]")?.dataset.points) > 0`)
	tab.Await(30*time.Second, `document.querySelector("[data-testid=alarm-detail]")?.dataset.state === "normal"`)
	actions := browser.Get[string](tab, `[...document.querySelectorAll("[data-testid=history-item]")].map(i => i.dataset.action).sort().join(" ")`)
	if actions != "acknowledged cleared raised" {
		t.Errorf("history: %s", actions)
	}

	tab.Do(
		chromedp.Click(chromedp.CSS("nav a[href='/signals']")),
		chromedp.WaitVisible(chromedp.CSS("[data-testid=signal-row] button")),
		chromedp.Click(chromedp.CSS("[data-testid=signal-row] button")),
	)
	tab.Await(10*time.Second, `Number(document.querySelector("[data-testid=signal-panel] [data-testid=plot]")?.dataset.points) > 0`)
	for _, m := range tab.Messages() {
		t.Errorf("browser log: %s", m)
	}
}
