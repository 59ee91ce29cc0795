package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const rowsAre = `[...document.querySelectorAll("[data-testid=alarm-row]")].map(r => r.dataset.alarmId).join(" ") === %q`

func TestAlarmsAreListedByUrgency(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/")
	b.await(fmt.Sprintf(rowsAre, "a1 a2 a3 a4 a5"))
	for id, state := range map[string]string{
		"a1": "Unacknowledged", "a3": "Returned, unacknowledged", "a5": "Acknowledged",
	} {
		if got := b.text("[data-alarm-id=" + id + "] [data-testid=alarm-state]"); got != state {
			t.Errorf("state of %s is %q, want %q", id, got, state)
		}
	}
	b.click("[data-testid=scope-all]")
	b.await(fmt.Sprintf(rowsAre, "a3 a1 a4 a2 a6 a5"))
	b.click("[data-testid=scope-open]")
	b.await(fmt.Sprintf(rowsAre, "a1 a2 a3 a4 a5"))
}

func TestAlarmAppearsReturnsAndLeaves(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := open(t, f, "/")
	b.await(`document.body.innerText.includes("No open alarms")`)

	f.raise(alarm{ID: "x", Priority: "critical", Asset: "feeder-2", Device: "head", Summary: "Feeder 2 is dead"})
	b.await(`document.querySelector("[data-alarm-id=x]")?.dataset.state === "unacknowledged"`)
	b.await(`document.querySelector("[data-testid=count-critical]").dataset.count === "1"`)
	b.await(`document.title === "(1, critical) Alarms · Busbar"`)
	b.await(`document.querySelector("header [role=status].unseen").innerText.includes("Feeder 2 is dead")`)

	f.clear("x")
	b.await(`document.querySelector("[data-alarm-id=x]")?.dataset.state === "returned"`)
	f.acknowledge("x", "Ana", "")
	b.await(`!document.querySelector("[data-alarm-id=x]")`)
	b.await(`document.title === "Alarms · Busbar"`)
}

func TestAcknowledge(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/")
	b.click("[data-alarm-id=a1] [data-testid=ack]")
	b.click("[data-testid=ack-submit]")
	b.await(`document.querySelector("[data-testid=ack-error]").innerText.includes("Enter your name")`)
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=ack-name]"), "Ana"))
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=ack-comment]"), "crew called"))
	b.click("[data-testid=ack-submit]")
	b.await(`!document.querySelector("[data-testid=ack-dialog]")`)
	b.await(`document.querySelector("[data-alarm-id=a1]")?.dataset.state === "acknowledged"`)
	b.await(`!document.querySelector("[data-alarm-id=a1] [data-testid=ack]")`)
	b.await(`document.activeElement?.closest("[data-alarm-id]")?.dataset.alarmId === "a1"`)
	f.mu.Lock()
	if a := f.find("a1"); a.By != "Ana" || a.Comment != "crew called" {
		t.Errorf("acknowledged by %q with %q", a.By, a.Comment)
	}
	f.mu.Unlock()

	b.click("[data-alarm-id=a2] [data-testid=ack]")
	b.await(`document.querySelector("[data-testid=ack-name]").value === "Ana"`)
}

func TestAcknowledgeRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/")

	b.click("[data-alarm-id=a2] [data-testid=ack]")
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=ack-name]"), "nobody"))
	b.click("[data-testid=ack-submit]")
	b.await(`document.querySelector("[data-testid=ack-error]").innerText.includes("validation failed")`)

	f.acknowledge("a2", "Ben", "")
	b.click("[data-testid=ack-submit]")
	b.await(`document.querySelector("[data-testid=ack-error]").innerText.startsWith("Ben already acknowledged this alarm at ")`)
	b.click("[data-testid=ack-cancel]")
	b.await(`!document.querySelector("[data-testid=ack-dialog]")`)
	b.await(`document.querySelector("[data-alarm-id=a2]")?.dataset.state === "acknowledged"`)
	b.Forgive("status of 422", "status of 409")
}

func TestAcknowledgeTakesNoMoreThanTheAPI(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "x", Priority: "low", Asset: "a", Summary: "Door open"})
	b := open(t, f, "/")
	b.click("[data-alarm-id=x] [data-testid=ack]")
	if got := b.text(".ack-alarm"); strings.HasSuffix(got, "·") {
		t.Errorf("the dialog leaves room for a device that isn't: %q", got)
	}
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=ack-name]"), strings.Repeat("n", 90)))
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-testid=ack-comment]").value = "c".repeat(995)`))
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=ack-comment]"), strings.Repeat("d", 10)))
	b.click("[data-testid=ack-submit]")
	b.await(`!document.querySelector("[data-testid=ack-dialog]")`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.find("x"); len(a.By) != 80 || len(a.Comment) != 1000 {
		t.Errorf("name of %d and comment of %d characters, want 80 and 1000", len(a.By), len(a.Comment))
	}
}

func TestKeyboardOnly(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "x", Priority: "high", Asset: "feeder-2", Device: "head", Summary: "Feeder 2 is dead"})
	b := open(t, f, "/")
	b.await(fmt.Sprintf(rowsAre, "x"))
	for i := 0; get[string](b, `document.activeElement?.dataset?.testid ?? ""`) != "ack"; i++ {
		if i == 40 {
			t.Fatal("40 tabs don't reach the Acknowledge button")
		}
		b.Do(chromedp.KeyEvent(kb.Tab))
	}
	if outline := get[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focused button's outline is %q", outline)
	}
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.await(`document.activeElement?.dataset.testid === "ack-name"`)
	b.Do(chromedp.KeyEvent("Ana"), chromedp.KeyEvent(kb.Enter))
	b.await(`document.querySelector("[data-alarm-id=x]")?.dataset.state === "acknowledged"`)
	b.await(`document.activeElement?.dataset.testid === "alarm-link"`)
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.await(`document.querySelector("[data-testid=alarm-detail]")`)
}

func TestRowsStayUnderThePointer(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "low", Priority: "low", Asset: "a", Device: "d", Summary: "Door open"})
	b := open(t, f, "/")
	b.await(fmt.Sprintf(rowsAre, "low"))
	at := get[[]float64](b, `(r => [r.x + 20, r.y + 20])(document.querySelector("[data-alarm-id=low]").getBoundingClientRect())`)
	b.Do(chromedp.MouseEvent(chromedp.MouseMoved, at[0], at[1]))

	f.raise(alarm{ID: "new", Priority: "critical", Asset: "a", Device: "d", Summary: "Dead"})
	b.await(`document.querySelector("[data-testid=new-alarms]")?.innerText.startsWith("1 new alarm, highest priority critical")`)
	b.Shoot("held")
	if rows := b.rows(); rows != "low" {
		t.Errorf("rows moved under the pointer: %s", rows)
	}
	under := fmt.Sprintf(`document.elementFromPoint(%g, %g).closest("[data-alarm-id]").dataset.alarmId`, at[0], at[1])
	if got := get[string](b, under); got != "low" {
		t.Errorf("under the pointer is now %s", got)
	}
	f.clear("low")
	b.await(`document.querySelector("[data-alarm-id=low]").dataset.state === "returned"`)

	b.click("[data-testid=new-alarms]")
	b.await(fmt.Sprintf(rowsAre, "new low"))
}

func TestReconnectResumes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "before", Priority: "high", Asset: "a", Device: "d", Summary: "Before"})
	b := open(t, f, "/")
	b.await(fmt.Sprintf(rowsAre, "before"))

	f.stop()
	b.await(`document.querySelector("[data-testid=connection]").dataset.state === "reconnecting"`)
	if said := b.text("[data-testid=stale]"); !strings.HasPrefix(said, "No connection to the server since ") {
		t.Errorf("banner says %q", said)
	}
	b.Shoot("reconnecting")
	b.click("[data-alarm-id=before] [data-testid=ack]")
	b.Do(chromedp.SendKeys(chromedp.CSS("[data-testid=ack-name]"), "Ana"))
	b.click("[data-testid=ack-submit]")
	b.await(`document.querySelector("[data-testid=ack-error]").innerText.includes("not acknowledged")`)
	b.click("[data-testid=ack-cancel]")

	f.raise(alarm{ID: "during", Priority: "critical", Asset: "a", Device: "d", Summary: "During"})
	f.acknowledge("before", "Ben", "")
	f.clear("before")
	f.start()
	b.await(`document.querySelector("[data-testid=connection]").dataset.state === "live"`)
	b.await(fmt.Sprintf(rowsAre, "during"))
	if got := fmt.Sprint(f.positions()); got != "[1 4]" {
		t.Errorf("streams started after %s, want [1 4]", got)
	}
	f.raise(alarm{ID: "after", Priority: "low", Asset: "a", Device: "d", Summary: "After"})
	b.await(fmt.Sprintf(rowsAre, "during after"))
	b.Forgive("net::ERR_")
}

func TestResyncReloads(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	b := open(t, f, "/")
	f.mu.Lock()
	f.alarms = append(f.alarms, &alarm{ID: "missed", Priority: "low", Active: true, Raised: nowUs()})
	f.seq = 70
	f.mu.Unlock()
	f.resync()
	b.await(fmt.Sprintf(rowsAre, "missed"))
	f.raise(alarm{ID: "next", Priority: "low", Raised: 1})
	b.await(fmt.Sprintf(rowsAre, "missed next"))
	if got := fmt.Sprint(f.positions()); got != "[0 70]" {
		t.Errorf("streams started after %s, want [0 70]", got)
	}
}

func TestFloodStaysUsable(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for i := range 1000 {
		f.raise(alarm{ID: fmt.Sprintf("f%d", i), Priority: "medium", Asset: "a", Device: "d", Summary: "Silent"})
	}
	b := open(t, f, "/")
	b.await(`document.querySelector("[data-testid=count-medium]").dataset.count === "1000"`)
	if n := get[int](b, `document.querySelectorAll("[data-testid=alarm-row]").length`); n == 0 || n > 50 {
		t.Errorf("%d rows drawn, want those on screen", n)
	}
	b.await(`document.querySelector("[data-testid=alarm-list]").ariaRowCount === "1001"`)
	b.Do(chromedp.Evaluate[chromedp.Void](`window.scrollTo(0, document.documentElement.scrollHeight)`))
	b.await(`document.querySelector("[data-alarm-id=f0]")`)
	if rows := get[string](b, `document.querySelector("[data-alarm-id=f0]").ariaRowIndex`); rows != "1001" {
		t.Errorf("the last row is row %s", rows)
	}
}

func TestAlarmDetail(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/alarms/a1")
	b.await(`document.querySelectorAll("[aria-labelledby=plots] [data-testid=plot]").length === 2`)
	b.await(`document.querySelector("[data-testid=plot]").dataset.points > 300`)
	// A line is drawn where more than the grid's colours are in the picture.
	b.await(`(() => {
		const c = document.querySelector("[data-testid=plot] canvas");
		const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", {willReadFrequently: true});
		copy.drawImage(c, 0, 0);
		const p = copy.getImageData(0, 0, c.width, c.height).data;
		const colours = new Map();
		for (let i = 0; i < p.length; i += 4) if (p[i+3] === 255) {
			const k = p[i] << 16 | p[i+1] << 8 | p[i+2];
			colours.set(k, (colours.get(k) ?? 0) + 1);
		}
		const trace = getComputedStyle(document.querySelector(".swatch.trace-1")).stroke.match(/\d+/g).map(Number);
		return colours.get(trace[0] << 16 | trace[1] << 8 | trace[2]) > 200;
	})()`)
	b.await(`document.querySelector("figcaption").innerText.includes("No good value for 44s (hatched)")`)
	if got := b.text("[data-testid=input-row][data-series='1']"); !strings.Contains(got, "bad (timeout)") {
		t.Errorf("input without its quality: %q", got)
	}

	points := get[int](b, `Number(document.querySelector("[data-testid=plot]").dataset.points)`)
	f.store(1, sample{Time: nowUs(), Value: new(231.5), Quality: "good"})
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=plot]").dataset.points == %d`, points+1))
	b.await(`document.querySelector("figcaption").innerText.includes("Last 231.5")`)

	f.acknowledge("a1", "Ana", "crew called")
	b.await(`document.querySelector("[data-testid=alarm-detail]").dataset.state === "acknowledged"`)
	b.await(`document.querySelector("[data-testid=history-item][data-action=acknowledged]")?.innerText.includes("crew called")`)
	f.clear("a1")
	b.await(`document.querySelector("[data-testid=history-item][data-action=cleared]")`)

	b.Do(chromedp.Navigate(f.url() + "/alarms/none"))
	b.await(`document.body.innerText.includes("There is no alarm none.")`)
	b.Forgive("status of 404")
}
