package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	answerSays  = `document.querySelector("[data-testid=answer]")?.innerText.includes(%q)`
	accountSays = `document.querySelector("[data-testid=account][data-loaded=true]")?.innerText.includes(%q)`
)

func inZone(zone string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
		return err
	})
}

// utcTab is a tab whose local time is UTC, as the fake's days are.
func utcTab(t *testing.T, f *fake, path string) *tab {
	t.Helper()
	b := open(t, f, "/signals")
	b.Do(inZone("UTC"))
	b.visit(f, path)
	return b
}

func TestIsYesterdayComplete(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	b := utcTab(t, f, "/")
	b.click(`nav a[href="/completeness"]`)
	b.await(fmt.Sprintf(answerSays, "Yesterday: 13 of 96 quarter-hours are incomplete. Of 498,600 samples expected 5,100 are missing:"))
	b.await(fmt.Sprintf(answerSays, "gateway down: 2,400"))
	b.await(fmt.Sprintf(answerSays, "The counts of 2 quarter-hours contradict each other."))
	b.await(`document.activeElement?.tagName === "H1" && document.title.includes("Completeness")`)
	// What needs a look comes first.
	if got := get[string](b, `[...document.querySelectorAll("[data-testid=completeness-row]")].map(r => r.dataset.device).join(" ")`); !strings.HasPrefix(got, "feeder-2-head feeder-3-head meter-") {
		t.Errorf("devices: %s", got)
	}
	if got := b.text(`[data-device=feeder-2-head] tr`); got != "feeder-2-head\t86,400\t83,700\t100\t2,700\t\ndropped (buffer full): 900\nno value (timeout): 900\nstill on the way: 600\nthinned (buffer full): 300" {
		t.Errorf("row %q", got)
	}
	if got := b.text("[data-testid=links]"); !strings.Contains(got, "Telemetry down 09:31 to 10:02: connection refused by broker-1:9092") || !strings.Contains(got, "Backlog throttled 10:02 to 10:40: the broker's quota") {
		t.Errorf("links %q", got)
	}

	// By keyboard, from the first quarter-hour that isn't as it should be.
	const strip = `[data-device=feeder-2-head] [role=slider]`
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("` + strip + `").focus()`))
	value := func() string {
		return get[string](b, `document.querySelector("`+strip+`").getAttribute("aria-valuetext")`)
	}
	if got := value(); got != "02:00 to 02:15: incomplete, no value" {
		t.Errorf("first of interest: %s", got)
	}
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.await(fmt.Sprintf(accountSays, "02:00 to 02:15: incomplete, no value"))
	if got := b.text("[data-testid=account] dl"); !strings.Contains(got, "Expected\n900") || !strings.Contains(got, "Received with a value\n600") || !strings.Contains(got, "no value (timeout)\n300") {
		t.Errorf("account %q", got)
	}
	for _, step := range []struct{ key, want string }{{kb.ArrowLeft, "01:45 to 02:00: complete"}, {kb.End, "23:45 to 00:00: incomplete, still on the way"}, {kb.Home, "00:00 to 00:15: complete"}} {
		b.Do(chromedp.KeyEvent(step.key))
		b.await(fmt.Sprintf(accountSays, step.want))
	}
	// By pointer: the middle of the 61st quarter-hour.
	b.Do(chromedp.Evaluate[chromedp.Void](`(e => { const r = e.getBoundingClientRect();
		e.dispatchEvent(new MouseEvent("click", {bubbles: true, clientX: r.left + r.width * 60.5 / 96, clientY: r.top + 5})); })(document.querySelector("` + strip + `"))`))
	b.await(fmt.Sprintf(accountSays, "15:00 to 15:15: incomplete, thinned (buffer full)"))

	b.click("[data-testid=day-before]")
	b.await(`location.search.includes("day=") && document.querySelector("[data-testid=answer]")?.innerText.includes("nothing is known")`)
	b.click("[data-testid=day-after]")
	b.await(fmt.Sprintf(answerSays, "Yesterday: 13 of 96"))
	b.await(fmt.Sprintf(`location.search === "?day=%s"`, yesterday))
}

func TestAnswersOfADay(t *testing.T) {
	t.Parallel()
	c := func(n int) string { return strings.Repeat("c", n) }
	today := time.Now().UTC().Format(time.DateOnly)
	cases := map[string]struct {
		day  string
		says []string
		list []ledgerDevice
	}{
		"complete":     {"2026-07-01", []string{"Wednesday", "is complete: 96 of 96 quarter-hours of 2 devices.", "50 samples came late."}, []ledgerDevice{{"g", "a", c(96)}, {"g", "b", c(95) + "l"}}},
		"first day":    {"2026-07-01", []string{"is complete: 40 of 40 quarter-hours of 1 device."}, []ledgerDevice{{"g", "a", strings.Repeat("-", 56) + c(40)}}},
		"unknown":      {"2026-07-01", []string{"can't be called complete: 0 of 96 quarter-hours are.", "For 96 quarter-hours there is no account of what was expected."}, []ledgerDevice{{"g", "a", c(96)}, {"g", "b", strings.Repeat("u", 96)}}},
		"so far":       {today, []string{"Today is complete so far: 40 of 96 quarter-hours of 1 device.", "56 quarter-hours aren't over"}, []ledgerDevice{{"g", "a", c(40) + strings.Repeat("o", 56)}}},
		"not yet":      {today, []string{"Today: no quarter-hour has been accounted for yet."}, []ledgerDevice{{"g", "a", strings.Repeat("o", 96)}}},
		"contradicted": {"2026-07-01", []string{"can't be called complete: 95 of 96 quarter-hours are.", "The counts of 1 quarter-hour contradict each other."}, []ledgerDevice{{"g", "a", c(95) + "x"}}},
		"nothing":      {"2026-07-01", []string{"nothing is known. No gateway has named a device."}, nil},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.ledger = map[string][]ledgerDevice{tt.day: tt.list}
			b := utcTab(t, f, "/completeness?day="+tt.day)
			for _, says := range tt.says {
				b.await(fmt.Sprintf(answerSays, says))
			}
			if complete := b.text("[data-testid=answer]"); strings.Contains(complete, "is complete:") != (name == "complete" || name == "first day") {
				t.Errorf("%s", complete)
			}
		})
	}
}

// On the days on which the clocks change a local day has other quarter-hours,
// and two of them may have the same time.
func TestDaysOnWhichTheClocksChange(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.ledger = map[string][]ledgerDevice{
		"2026-03-29": {{"g", "meter", strings.Repeat("c", 92)}},
		"2026-10-25": {{"g", "meter", strings.Repeat("c", 12) + "d" + strings.Repeat("c", 87)}},
	}
	b := open(t, f, "/signals")
	b.Do(inZone("Europe/Berlin"))
	b.visit(f, "/completeness?day=2026-03-29")
	b.await(fmt.Sprintf(answerSays, "is complete: 92 of 92 quarter-hours of 1 device."))
	b.visit(f, "/completeness?day=2026-10-25")
	b.await(fmt.Sprintf(answerSays, "1 of 100 quarter-hours is incomplete"))
	const value = `document.querySelector("[role=slider]").getAttribute("aria-valuetext")`
	if got := get[string](b, value); !strings.HasPrefix(got, "02:00 ") || !strings.Contains(got, "GMT+1") && !strings.Contains(got, "CET") {
		t.Errorf("the second 02:00: %s", got)
	}
}

func TestGatewayIsChosenAndFailuresShow(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.ledger["2026-07-01"] = append(yesterdayOf("south-gw1"), ledgerDevice{"north-gw1", "meter", strings.Repeat("c", 96)})
	b := utcTab(t, f, "/completeness?day=2026-07-01")
	b.await(`document.querySelectorAll("[data-testid=completeness-row]").length === 7`)
	b.await(`!document.querySelector("[data-testid=links]") && document.querySelector("[data-testid=completeness-row]").innerText.includes("south-gw1")`)
	b.await(`document.querySelector("[data-testid=gateway-choice]").options.length === 3`)
	b.Do(chromedp.Evaluate[chromedp.Void](`(e => { e.value = "north-gw1"; e.dispatchEvent(new Event("change", {bubbles: true})); })(document.querySelector("[data-testid=gateway-choice]"))`))
	b.await(fmt.Sprintf(answerSays, "is complete: 96 of 96 quarter-hours of 1 device."))
	b.await(`document.querySelector("[data-testid=links]")?.innerText.includes("No link was down or throttled.")`)

	f.mu.Lock()
	f.ledgerFails = true
	f.mu.Unlock()
	b.click("[data-testid=day-before]")
	b.await(`document.querySelector("[role=alert]")?.innerText === "Could not load: could not read the accounts"`)
	b.await(`!document.querySelector("[data-testid=answer]")`)
	b.Forgive("500")
	f.mu.Lock()
	f.ledgerFails = false
	f.mu.Unlock()
	b.click("[data-testid=day-after]")
	b.await(`document.querySelector("[data-testid=answer]") && !document.querySelector("[role=alert]")`)
}

func TestManyDevices(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var list []ledgerDevice
	for i := range 250 {
		list = append(list, ledgerDevice{"g", fmt.Sprintf("meter-%03d", i), strings.Repeat("c", 96)})
	}
	list[249].quarters = strings.Repeat("c", 95) + "w"
	f.ledger = map[string][]ledgerDevice{"2026-07-01": list}
	b := utcTab(t, f, "/completeness?day=2026-07-01")
	b.await(`document.querySelectorAll("[data-testid=completeness-row]").length === 100`)
	b.await(`document.querySelector("[data-testid=completeness-row]").dataset.device === "meter-249"`)
	b.click("[data-testid=more-devices]")
	b.await(`document.querySelectorAll("[data-testid=completeness-row]").length === 200`)
	b.click("[data-testid=more-devices]")
	b.await(`document.querySelectorAll("[data-testid=completeness-row]").length === 250 && !document.querySelector("[data-testid=more-devices]")`)
}
