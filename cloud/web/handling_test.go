package web

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func (b *tab) count(filter string, n int) {
	b.T.Helper()
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=scope-%s]").dataset.count === "%d"`, filter, n))
}

func TestShelveAndUnshelve(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "x", Priority: "high", Asset: "feeder-2", Device: "head", Summary: "Feeder 2 is dead"})
	f.raise(alarm{ID: "y", Priority: "low", Asset: "feeder-1", Summary: "Door open"})
	b := open(t, f, "/")
	b.await(fmt.Sprintf(rowsAre, "x y"))
	b.count("unacknowledged", 2)
	b.click("[data-alarm-id=x] [data-testid=handle]")
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=ack-name]"), "Ana"))
	b.click("[data-testid=handle-submit]")
	b.await(`document.querySelector("[data-testid=handle-error]").innerText === "Say why."`)
	// No longer than alarms of the priority may be.
	b.await(`[...document.querySelectorAll("[data-testid=shelve-lasting] option")].map(o => o.value).join(" ") === "900 3600 14400 28800"`)
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=handle-reason]"), "meter is changed"))
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-testid=shelve-lasting]").value = "3600"`))
	b.click("[data-testid=handle-submit]")
	b.await(`!document.querySelector("[data-testid=handle-dialog]")`)

	// It stays in the list with a badge, last; nobody is called for it, and it is counted.
	b.await(fmt.Sprintf(rowsAre, "y x"))
	b.await(`document.querySelector("[data-alarm-id=x] [data-testid=badge-handling]").innerText.startsWith("Shelved, ")`)
	b.await(`document.querySelector("[data-testid=count-high]").dataset.count === "0"`)
	b.await(`document.title === "(1, low) Alarms · Busbar"`)
	for filter, n := range map[string]int{"open": 2, "active": 1, "unacknowledged": 1, "shelved": 1, "suppressed": 0, "out-of-service": 0} {
		b.count(filter, n)
	}
	f.mu.Lock()
	if h := f.find("x").Handling; h == nil || h.By != "Ana" || h.Reason != "meter is changed" || *h.Until-h.Since > 3_601_000_000 {
		t.Errorf("%+v", h)
	}
	f.mu.Unlock()
	b.click("[data-testid=scope-shelved]")
	b.await(fmt.Sprintf(rowsAre, "x"))
	b.click("[data-alarm-id=x] [data-testid=handle]")
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=handle-reason]"), "done"))
	b.click("[data-testid=handle-submit]")
	b.await(`document.querySelector("[data-testid=alarm-list]").ariaRowCount === "1"`)
	b.click("[data-testid=scope-open]")
	b.await(fmt.Sprintf(rowsAre, "x y"))
}

func TestOutOfServiceIsForEngineers(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.signIn, f.role = true, "operator"
	f.raise(alarm{ID: "x", Priority: "critical", Asset: "feeder-2", Summary: "Feeder 2 is dead"})
	b := newTab(t)
	b.arrive(f, "/")
	b.signIn("ana", "right")
	b.await(`document.querySelector("[data-alarm-id=x]")`)
	b.click("[data-alarm-id=x] [data-testid=handle]")
	b.await(`document.querySelector("[data-testid=handle-dialog]")`)
	if get[bool](b, `!!document.querySelector("[data-testid=deed-takeOutOfService]")`) {
		t.Error("an operator is offered to take an alarm out of service")
	}
	f.mu.Lock()
	f.role = "engineer"
	f.mu.Unlock()
	b.visit(f, "/")
	b.click("[data-alarm-id=x] [data-testid=handle]")
	b.click("[data-testid=deed-takeOutOfService]")
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=handle-reason]"), "rebuilt"))
	b.click("[data-testid=handle-submit]")
	b.await(`document.querySelector("[data-alarm-id=x] [data-testid=badge-handling]")?.innerText.startsWith("Out of service")`)
	b.count("out-of-service", 1)
	b.click("[data-alarm-id=x] [data-testid=handle]")
	b.await(`document.querySelector("#handle-title").innerText === "Return to service"`)
}

func TestAFloodIsShownByFeeder(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "parent", Priority: "critical", Asset: "T1", Feeder: "F1", Summary: "T1 is dead"})
	for i := range 6 {
		id := fmt.Sprintf("c%d", i)
		f.raise(alarm{ID: id, Priority: "high", Asset: id, Feeder: "F1", Summary: "Meter is dead"})
		f.suppress(id, "parent")
	}
	for i := range 7 {
		f.raise(alarm{ID: fmt.Sprintf("o%d", i), Priority: "medium", Asset: "a", Feeder: "F2", Summary: "Low voltage"})
	}
	b := open(t, f, "/")
	b.await(`document.querySelector("[data-testid=alarm-list]").ariaRowCount === "15"`)
	b.count("suppressed", 6)
	b.await(`document.querySelector("[data-testid=badge-suppressed]").innerText === "Suppressed by: T1 is dead"`)
	f.flow(&flood{Began: nowUs(), Count: 14, Peak: 14})
	f.raise(alarm{ID: "last", Priority: "low", Asset: "a", Feeder: "F2", Summary: "Low voltage"})
	b.await(`document.querySelector("[data-testid=flood]")?.innerText.includes("14 alarms so far")`)
	// Small groups are open, others closed; what another alarm stands for isn't there.
	b.await(`[...document.querySelectorAll("[data-testid=alarm-group]")].map(g => g.dataset.group).join(" ") === "F1 F2"`)
	b.await(fmt.Sprintf(rowsAre, "parent"))
	b.await(`document.querySelector("[data-group=F1]").innerText.includes("6 more suppressed or shelved")`)
	b.await(`document.querySelector("[data-group=F2]").innerText.includes("8 alarms, 8 unacknowledged")`)
	b.click("[data-group=F2] button")
	b.await(`document.querySelectorAll("[data-testid=alarm-row]").length === 9`)
	b.click("[data-testid=view-single]")
	b.await(`!document.querySelector("[data-testid=alarm-group]")`)
	f.flow(nil)
	f.raise(alarm{ID: "after", Priority: "low", Asset: "a", Feeder: "F2", Summary: "Low voltage"})
	b.await(`!document.querySelector("[data-testid=flood]")`)
}

func TestOnlyWhatIsOnScreenIsAcknowledgedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for i := range 60 {
		f.raise(alarm{ID: fmt.Sprintf("f%d", i), Priority: "medium", Asset: "a", Device: "d", Summary: "Silent", Raised: nowUs() + int64(i)})
	}
	b := open(t, f, "/")
	b.await(`document.querySelector("[data-alarm-id=f59]")`)
	b.Do(chromedp.Evaluate[chromedp.Void](`localStorage.setItem("busbar.name", "Ana")`))
	b.click("[data-testid=ack-visible]")
	b.click("[data-testid=ack-submit]")
	b.await(`!document.querySelector("[data-testid=ack-dialog]")`)
	f.mu.Lock()
	var acknowledged []string
	for _, a := range f.alarms {
		if a.Acknowledged {
			acknowledged = append(acknowledged, a.ID)
		}
	}
	f.mu.Unlock()
	if n := len(acknowledged); n < 5 || n > 15 || acknowledged[n-1] != "f59" || acknowledged[0] != fmt.Sprintf("f%d", 60-n) {
		t.Errorf("acknowledged %v", acknowledged)
	}
}

func TestKeysInTheList(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "x", Priority: "high", Asset: "a", Summary: "First"})
	f.raise(alarm{ID: "y", Priority: "low", Asset: "a", Summary: "Second"})
	b := open(t, f, "/")
	b.await(fmt.Sprintf(rowsAre, "x y"))
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-alarm-id=x] [data-focus]").focus()`))
	focused := `document.activeElement.closest("[data-alarm-id]")?.dataset.alarmId`
	b.Do(chromedp.KeyEvent(kb.ArrowDown))
	b.await(focused + ` === "y"`)
	b.Do(chromedp.KeyEvent("s"))
	b.await(`document.querySelector("[data-testid=handle-dialog]")`)
	b.Do(chromedp.KeyEvent(kb.Escape))
	b.await(`!document.querySelector("[data-testid=handle-dialog]")`)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-alarm-id=y] [data-focus]").focus()`))
	b.Do(chromedp.KeyEvent(kb.ArrowUp))
	b.await(focused + ` === "x"`)
	b.Do(chromedp.KeyEvent("a"))
	b.await(`document.querySelector("[data-testid=ack-dialog]")?.innerText.includes("First")`)
}

// What sounds is told by the tones that the browser is asked to play.
func TestTheHighestUnacknowledgedPrioritySounds(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "x", Priority: "medium", Asset: "a", Summary: "Medium"})
	b := open(t, f, "/")
	b.Do(chromedp.Evaluate[chromedp.Void](`
		window.tones = [];
		const start = OscillatorNode.prototype.start;
		OscillatorNode.prototype.start = function (at) { window.tones.push(this.frequency.value); return start.call(this, at); };`))
	// No browser lets a page sound before somebody has touched it.
	b.click("h1")
	b.await(`window.tones.join(" ").startsWith("520 520")`)
	f.raise(alarm{ID: "y", Priority: "critical", Asset: "a", Summary: "Critical"})
	b.await(`window.tones.includes(880) && document.querySelector("[data-testid=sound]").dataset.sounding === "critical"`)
	f.acknowledge("y", "Ana", "")
	b.await(`document.querySelector("[data-testid=sound]").dataset.sounding === "medium"`)
	f.suppress("x", "y")
	b.await(`document.querySelector("[data-testid=sound]").dataset.sounding === ""`)
	f.raise(alarm{ID: "z", Priority: "high", Asset: "a", Summary: "High"})
	b.await(`document.querySelector("[data-testid=sound]").dataset.sounding === "high"`)
	b.click("[data-testid=sound]")
	b.await(`document.querySelector("[data-testid=sound]").dataset.sounding === ""`)
	b.visit(f, "/")
	b.await(`document.querySelector("[data-testid=sound]").ariaPressed === "false"`)
}

func TestPerformancePage(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := open(t, f, "/")
	b.click(`a[href="/alarm-performance"]`)
	b.await(`document.querySelector("[data-figure=over-share]")?.innerText.includes("2.1 %")`)
	b.await(`document.querySelector("[data-figure=over-share]").dataset.met === "false" && document.querySelector("[data-figure=per-hour]").dataset.met === "true"`)
	b.await(`document.querySelector("[data-testid=list-top]").innerText.includes("40 (29 %)")`)
	b.await(`document.querySelector("[data-testid=list-shelved]").innerText.includes("by Ana: new meter")`)
	b.click("[data-testid=span-7]")
	b.await(`document.querySelector("[data-testid=span-7]").ariaPressed === "true"`)
}
