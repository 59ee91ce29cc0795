package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const chosen = `document.querySelector("[data-testid=outage-detail]")?.dataset`

// An outage's whole life by the keyboard alone: choose it, confirm it, assign a crew, and
// so on until its report is complete. Every pane shows the same outage.
func TestDeskByKeyboard(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(300)
	b := open(t, f, "/desk")
	b.await(`document.querySelectorAll("[data-testid=outage-row]").length === 2 && document.querySelector("[data-testid=map]")?.dataset.spots?.split(" ").length === 2`)
	b.Shortcut("?")
	b.await(`document.querySelector("[data-testid=help]").open`)
	b.Do(chromedp.KeyEvent(kb.Escape))
	b.await(`!document.querySelector("[data-testid=help]").open`)
	b.Shortcut("j")
	b.await(chosen + `?.outage === "o-1"`)
	b.await(`document.querySelector("[data-testid=call]")?.innerText.includes("All dark")`)
	b.await(`location.search === "?outage=o-1"`)
	b.Shortcut("l")
	b.await(`document.querySelector("[data-testid=oneline] .lost[data-id=L2]")`)
	b.Shortcut("m")
	b.await(`document.querySelector("[data-testid=map]")`)

	step := func(action, want string, fill func()) {
		t.Helper()
		b.Shortcut("n")
		b.await(`document.querySelector("[data-testid=step-form]")`)
		b.await(`document.activeElement?.closest("[data-testid=step-form]")`)
		if fill != nil {
			fill()
		}
		b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-submit]")), chromedp.KeyEvent(kb.Enter))
		b.await(fmt.Sprintf(chosen+`?.state === %q`, want))
		b.await(fmt.Sprintf(`[...document.querySelectorAll("[data-testid=timeline-entry]")].at(-1)?.dataset.action === %q`, action))
	}
	step("confirm", "confirmed", func() {
		b.Do(chromedp.KeyEvent(kb.Enter)) // without a name
		b.await(`document.querySelector("[data-testid=step-error]").innerText.includes("name")`)
		b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-name]")), chromedp.KeyEvent("Ana"))
	})
	step("assign", "assigned", nil)
	b.await(`document.querySelector("[data-outage=o-1]").innerText.includes("Crew 3")`)
	step("en-route", "en-route", nil)
	step("on-site", "on-site", nil)
	step("repaired", "repaired", nil)
	step("restored", "restored", nil)
	step("verify", "verified", nil)
	b.Shortcut("n")
	b.await(`document.querySelector("[data-testid=step-cause] option[value=tree]")`)
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-submit]")), chromedp.KeyEvent(kb.Enter))
	b.await(`document.querySelector("[data-testid=step-error]").innerText.includes("cause, failure and remedy missing")`)
	for _, name := range []string{"cause", "failure", "remedy"} {
		b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-"+name+"]")), chromedp.KeyEvent(kb.ArrowDown))
	}
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-submit]")), chromedp.KeyEvent(kb.Enter))
	b.await(chosen + `?.state === "completed" && document.querySelectorAll("[data-testid=outage-row]").length === 1`)
	b.Forgive("409")

	b.await(`localStorage.getItem("busbar.name") === "Ana"`)

	// The panes' sizes are moved by keys, and kept.
	b.Do(chromedp.Focus(chromedp.CSS(`[data-testid="desk.splitLeft"]`)), chromedp.KeyEvent(kb.ArrowRight))
	b.await(`document.querySelector("[data-testid='desk.splitLeft']").ariaValueNow === "32" && localStorage.getItem("busbar.desk.left") === "32"`)
	// The map is moved by keys, and its middle is chosen.
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=map]")))
	before := get[string](b, `document.querySelector("[data-testid=map]").dataset.spots`)
	b.Do(chromedp.KeyEvent(kb.ArrowRight))
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=map]").dataset.spots !== %q`, before))
}

// An address that is no id leads to no page, and not to an empty one.
func TestAddressThatIsNone(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.network(20)
	b := open(t, f, "/overview")
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => { history.pushState(null, "", "/network/50%25"); history.pushState(null, "", "/network/%ff"); dispatchEvent(new PopStateEvent("popstate")); })()`))
	b.await(`document.querySelector("main h1")?.innerText === "There is no such page."`)
	b.Do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	b.await(`document.querySelector("main h1")?.innerText === "50%"`)
	b.Forgive("404")
}

// A step that is entered while another one is on its way stays open when that is answered.
func TestStepIsEnteredWhileAnotherIsSent(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.network(20)
	f.setOutage("o-2", func(o map[string]any) { o["state"], o["alarm"] = "restored", "a-2" })
	b := open(t, f, "/desk?outage=o-1")
	b.await(`document.querySelector("[data-outage=o-2] .event-more:last-child")?.innerText === "not acknowledged"`)
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => {
		const real = window.fetch;
		window.fetch = async (at, how) => {
			const answer = await real(at, how);
			if (how?.method === "POST") await new Promise(go => window.answer = go);
			return answer;
		};
	})()`))
	b.click("[data-testid=step-confirm]")
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-name]")), chromedp.KeyEvent("Ana"), chromedp.KeyEvent(kb.Enter))
	b.await(`window.answer && document.querySelector("[data-testid=step-note]")`)
	b.click("[data-testid=step-note]")
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=step-comment]")), chromedp.KeyEvent("Tree"))
	b.Do(chromedp.Evaluate[chromedp.Void](`window.answer()`))
	b.await(`document.querySelector(".steps [role=status]").innerText !== ""`)
	b.await(`document.querySelector("[data-testid=step-comment]")?.value === "Tree"`)
}

// What isn't known isn't shown as fine.
func TestUnknownIsShownAsUnknown(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(50)
	b := open(t, f, "/feeders/feeder-1")
	b.await(`document.querySelector("[data-testid=oneline]")`)
	position := func(id string) string {
		return get[string](b, fmt.Sprintf(`document.querySelector("[data-id='%s']").dataset.position`, id))
	}
	if got := position("feeder-1-breaker") + " " + position("F7") + " " + position("tie"); got != "closed unknown open" {
		t.Errorf("positions: %s", got)
	}
	if got := get[string](b, `document.querySelector("[data-testid=tie]").ariaLabel`); !strings.Contains(got, "to feeder-2") || !strings.Contains(got, "open, good") {
		t.Errorf("the tie says %q", got)
	}
	// A bad quality makes it unknown, whatever the value.
	f.mu.Lock()
	f.broadcast(message{"latest", 0, []latest{{901, sample{Time: nowUs(), Value: new(1.0), Quality: "bad (timeout)"}}}})
	f.mu.Unlock()
	b.await(`document.querySelector("[data-id='feeder-1-breaker']").dataset.position === "unknown"`)
	b.await(`document.querySelector("[data-id='T-mill'] .values").textContent.endsWith("?")`)

	// What the asset's page says of alarms and outages is so now.
	b.visit(f, "/network/T-mill")
	b.await(`document.querySelector("[data-testid=asset]")?.innerText.includes("No open alarms")`)
	f.mu.Lock()
	f.desk.assets["T-mill"]["alarms"] = []any{map[string]any{"id": "hot", "priority": "high", "acknowledged": false, "summary": "The oil is hot", "raised_us": nowUs()}}
	f.mu.Unlock()
	f.raise(alarm{ID: "hot", Priority: "high", Asset: "T-mill", Summary: "The oil is hot"})
	b.await(`document.querySelector("[data-testid=asset] [href='/alarms/hot']")`)

	// Before the alarms have come, nothing is said of how many there are.
	f.alarmsWait.Lock()
	b.Do(chromedp.Navigate(f.url() + "/overview"))
	b.await(`document.querySelector("[data-testid=overview-alarms-unknown]") && document.querySelector("[data-testid=count-critical] span[aria-hidden]").innerText === "?"`)
	f.alarmsWait.Unlock()

	b.visit(f, "/overview")
	b.await(`document.querySelector("[data-testid=overview-out]").innerText === "34 customers out"`)
	b.await(`document.querySelector("[data-testid=overview-silent]").innerText === "0 of 2 silent"`)
	f.mu.Lock()
	f.gateways[1].State, f.gateways[1].Silent = "silent", new(nowUs()-200_000_000)
	f.mu.Unlock()
	b.visit(f, "/overview")
	b.await(`document.querySelector("[data-testid=overview-silent].abnormal")?.innerText === "1 of 2 silent"`)

	// Without positions there is no map, and the desk says so.
	f.mu.Lock()
	f.desk.network["points"] = map[string]any{"id": []string{}, "x": []int{}, "y": []int{}, "customers": []int{}, "feeder": []int{}}
	f.desk.network["devices"] = map[string]any{"id": []string{}, "x": []int{}, "y": []int{}, "kind": []string{}, "open": []bool{}}
	f.desk.network["substations"] = map[string]any{"id": []string{}, "name": []string{}, "x": []int{}, "y": []int{}}
	f.mu.Unlock()
	b.visit(f, "/desk")
	b.await(`document.querySelector("[data-testid=pane-map]").innerText.includes("gives no positions")`)
}

// A service point that nothing is heard of looks otherwise than one that is, and they are
// counted.
func TestUnknownServicePointsOnTheMap(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(50)
	b := open(t, f, "/desk")
	drawn := func(heard string, unknown int) string {
		t.Helper()
		f.mu.Lock()
		f.desk.heard = heard
		f.mu.Unlock()
		b.visit(f, "/desk")
		// 12 are out, whatever is heard.
		b.await(fmt.Sprintf(`(m => m?.lost === "12" && m.unknown === "%d")(document.querySelector("[data-testid=map]")?.dataset)`, unknown))
		told := get[string](b, `["silent", "unmeasured", "unasked"].map(k => document.querySelector("[data-testid=map-" + k + "]")?.innerText).filter(Boolean).join(" ")`)
		// In the same place, whatever is said below.
		b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector(".map-foot").style.display = "none"`))
		b.await(`(c => c.height === Math.round(c.clientHeight * devicePixelRatio))(document.querySelector("[data-testid=map]"))`)
		return told + get[string](b, `new Promise(drawn => {
			document.querySelector(".map-tools button:last-child").click();
			requestAnimationFrame(() => drawn(" #" + document.querySelector("[data-testid=map]").toDataURL().split("").reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7)));
		})`)
	}
	pictures := map[string]bool{}
	for _, of := range []struct {
		heard   string
		unknown int
		want    string
	}{
		{strings.Repeat("h", 50), 0, ""},
		{strings.Repeat("h", 20) + strings.Repeat("s", 30), 30, "Of 30 service points nothing is known: their gateways are silent."},
		{strings.Repeat("u", 49) + "s", 38, "Of 1 service point nothing is known: its gateways are silent. Of 37 nothing is known: nothing measures them."},
		{"", 38, "Which service points are heard of isn't known."},
	} {
		told, picture, _ := strings.Cut(drawn(of.heard, of.unknown), " #")
		if told != of.want {
			t.Errorf("%.3s…: %q, want %q", of.heard, told, of.want)
		}
		pictures[picture] = true
	}
	// While it can't be asked who is out, nobody looks supplied.
	f.mu.Lock()
	f.withhold, f.desk.heard = "/api/v1/grid/out", strings.Repeat("h", 50)
	f.mu.Unlock()
	b.visit(f, "/desk")
	b.await(`(m => m?.lost === "0" && m.unknown === "50")(document.querySelector("[data-testid=map]")?.dataset) && document.querySelector(".map-foot").innerText.includes("are out isn't known")`)
	legend := b.text("[data-testid=map-legend]")
	b.Do(chromedp.Navigate("about:blank")) // it asks on and on
	b.Forgive("404")
	// That all are unknown looks the same, whatever the reason.
	if len(pictures) != 3 {
		t.Errorf("%d pictures, want 3: all heard of, some, none", len(pictures))
	}
	if !strings.Contains(legend, "Not known") {
		t.Errorf("the legend says %q", legend)
	}
}

// More than ten outages in ten minutes are a storm: grouped by feeder under a banner.
func TestStormMode(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(100)
	b := open(t, f, "/desk")
	b.await(`document.querySelectorAll("[data-testid=outage-row]").length === 2 && !document.querySelector("[data-testid=storm]")`)
	for i := range 12 {
		f.setOutage(fmt.Sprintf("s-%d", i), func(o map[string]any) { o["feeder"] = fmt.Sprintf("feeder-%d", i%3+1) })
	}
	b.await(`document.querySelector("[data-testid=storm]")?.innerText.includes("14 outages") && document.querySelectorAll("[data-testid=desk-group]").length === 3`)
	// Keys go down the list as it is shown.
	first := `document.querySelectorAll("[data-testid=outage-row]")`
	for n := range 3 {
		b.Shortcut("j")
		b.await(fmt.Sprintf(first+`[%d].ariaPressed === "true"`, n))
	}
	b.Shortcut("s")
	b.await(`!document.querySelector("[data-testid=desk-group]")`)
}

// The desk, the one-line, the overview and an asset are accessible, light and dark, wide
// and on a phone.
func TestDeskIsAccessible(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(3000)
	f.operated()
	b := open(t, f, "/desk?outage=o-1")
	for _, page := range []struct{ name, path, ready string }{
		{"desk", "/desk?outage=o-1", `document.querySelector("[data-testid=call]")`},
		{"oneline", "/feeders/feeder-1", `document.querySelector("[data-testid=oneline]")`},
		{"overview", "/overview", `document.querySelector("[data-testid=overview-out]")?.innerText.includes("out")`},
		{"asset", "/network/T-mill", `document.querySelector("[data-testid=asset] .plot, [data-testid=plot]") && document.querySelectorAll("[data-testid=asset-entry]").length === 4 && /Power quality.*Voltage sag.*phase B: 2, by meter.*since the reading of \d/s.test(document.querySelector("[data-kind=quality]").innerText) && document.querySelectorAll("[data-line]").length === 8`},
		{"unmeasured", "/network/F7", `document.querySelectorAll("[data-unknown=not-measured]").length === 5`},
		{"gateways", "/gateways", `document.querySelectorAll("[data-testid=gateway-row]").length === 2`},
		{"gateway", "/gateways/north-gw1", `document.querySelector("[data-testid=gateway-detail]")?.innerText.includes("no answer")`},
		{"crews", "/desk", `document.querySelector("[data-testid=planned]") && (document.querySelector("[data-testid=tab-crews]").click(), true)`},
		{"plan", "/desk", `document.querySelector("[data-testid=planned]") && document.querySelector("[data-testid=change-plan]").click() === undefined && document.querySelector("[data-testid=entry]")?.open`},
		{"operate", "/network/F7", `document.querySelector("[data-testid=asset-operate]") && document.querySelector("[data-testid=asset-switching]").innerText.includes("Ana") && document.querySelector("[data-testid=asset-operate]").click() === undefined && document.querySelector("[data-testid=entry]")?.open`},
	} {
		b.accessible(page.name, func(width int64) {
			b.visit(f, page.path)
			b.await(page.ready)
			if page.name == "desk" && width == 1280 {
				b.await(`document.querySelector("[data-testid=map]")?.dataset.frames > 0`)
			}
		})
	}
	b.Forgive("404") // of the samples of a gateway's own
}
