package web

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// fill enters a text where a name says, instead of what is there.
func (b *tab) fill(field, text string) {
	b.T.Helper()
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid="+field+"]")), chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent(text))
}

func (b *tab) submitted(f *fake, want ...string) {
	b.T.Helper()
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.await(`!document.querySelector("[data-testid=entry]")`)
	for _, part := range want {
		if got := f.said(); !strings.Contains(got, part) {
			b.T.Errorf("%s was sent, want %s in it", got, part)
		}
	}
}

// A call, how a switch is operated, what is planned and a crew are entered by keys from the
// desk; what lacks is said, and what is refused stays.
func TestWhatPeopleSayIsEnteredAtTheDesk(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(50)
	b := open(t, f, "/desk?outage=o-1")
	b.await(chosen + `?.outage === "o-1"`)
	says := func(text string) {
		t.Helper()
		b.Do(chromedp.KeyEvent(kb.Enter))
		b.await(`document.querySelector("[data-testid=entry-error]").innerText.includes("` + text + `")`)
	}

	b.Shortcut("t")
	b.await(`document.activeElement?.matches("[data-testid=entry-point]")`)
	says("name")
	b.fill("ack-name", "Ana")
	says("service point")
	b.fill("entry-point", "SP-4")
	b.submitted(f, `POST /api/v1/calls`, `"service_point":"SP-4"`, `"says":"no-supply"`, `"by":"Ana"`)

	// The outage's line, which nothing measures, is open.
	b.Shortcut("o")
	b.await(`document.querySelector("[data-testid=entry-asset]")?.value === "L2"`)
	says("Nothing is changed")
	b.fill("entry-asset", "F7")
	b.await(`document.querySelector("#asset-found option[value=F7]")`)
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=entry-position]")), chromedp.KeyEvent("op"))
	b.Do(chromedp.Focus(chromedp.CSS("input[value=B]")), chromedp.KeyEvent(" "))
	b.fill("entry-tag", "Men at work")
	says("Say why")
	f.mu.Lock()
	f.desk.refusal = "its position is measured"
	f.mu.Unlock()
	b.fill("entry-comment", "Opened by crew 3")
	says("its position is measured")
	f.mu.Lock()
	f.desk.refusal = ""
	f.mu.Unlock()
	b.submitted(f, `PUT /api/v1/switching/F7`, `"position":"open"`, `"phases":"AC"`, `"tag":"Men at work"`, `"comment":"Opened by crew 3"`)

	b.Shortcut("p")
	b.await(`document.querySelector("[data-testid=entry-devices]")?.value === "L2"`)
	b.click("[data-testid=plan-try]")
	b.await(`document.querySelector("[data-testid=plan-told]").innerText === "30 customers at 12 service points, 1 of them critical."`)
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=entry-reason]")))
	says("what is done")
	b.fill("entry-reason", "A pole is replaced")
	b.submitted(f, `POST /api/v1/planned-outages `, `"devices":["L2"]`, `"reason":"A pole is replaced"`)
	b.await(`document.querySelector("[data-testid=planned]")?.innerText.includes("A pole is replaced")`)
	b.click("[data-testid=cancel-plan]")
	b.await(`document.activeElement?.matches("[data-testid=entry-comment]")`)
	b.Do(chromedp.KeyEvent("Too windy"))
	b.submitted(f, `POST /api/v1/planned-outages/p-1/cancel`, `"revision":1`, `"comment":"Too windy"`)
	b.await(`!document.querySelector("[data-testid=planned]")`)

	b.click("[data-testid=add-crew]")
	b.await(`document.activeElement?.matches("[data-testid=entry-id]")`)
	b.Do(chromedp.KeyEvent("crew-9"))
	b.fill("entry-name", "Crew 9")
	b.submitted(f, `PUT /api/v1/crews/crew-9`, `"name":"Crew 9"`, `"state":"available"`)
	b.await(`document.querySelector("[data-crew=crew-9]")`)

	// Escape leaves without a word, and the focus is where it was.
	b.Do(chromedp.Focus(chromedp.CSS("[data-testid=take-call]")), chromedp.KeyEvent(kb.Enter))
	b.await(`document.querySelector("[data-testid=entry]")?.open`)
	b.Do(chromedp.KeyEvent(kb.Escape))
	b.await(`!document.querySelector("[data-testid=entry]") && document.activeElement?.matches("[data-testid=take-call]")`)
	b.Forgive("409")
}

// What another system reports is listed as that, with its name, beside our outage of the same
// equipment and not among ours.
func TestWhatOtherSystemsReportIsMarked(t *testing.T) {
	f := newFake(t)
	f.substation()
	f.network(50)
	f.mu.Lock()
	f.desk.reported = []map[string]any{{"system": "oms-west", "id": "w-1", "name": "Mill lane", "planned": false, "status": "repaired", "cause": "storm", "comment": "", "equipment": "L2", "feeder": "",
		"began_us": nowUs(), "ended_us": nil, "expected_start_us": nil, "expected_end_us": nil, "restoration_us": nil, "restoration_percent": 0, "customers": 40, "customers_out": 30,
		"gone": false, "told_us": nowUs(), "received_us": nowUs(), "changed_us": nowUs(), "by": "ana", "zone": "", "ours": []any{"o-1"}}}
	f.mu.Unlock()
	b := open(t, f, "/desk")
	b.await(`document.querySelector("[data-testid=reported][data-system=oms-west]")?.innerText.includes("reported by oms-west as w-1")`)
	b.await(`!document.querySelector("[data-testid=pane-events]").innerText.includes("Mill lane")`)
	b.click("[data-testid=reported] button")
	b.await(chosen + `?.outage === "o-1"`)
}

// Outages are merged and split, and whoever estimates sees how right estimates were.
func TestMergeSplitAndEstimate(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.network(50)
	f.setOutage("o-1", func(o map[string]any) {
		o["state"] = "confirmed"
		o["candidates"] = []any{map[string]any{"device": "L2", "confidence": 0.6}, map[string]any{"device": "T-mill", "confidence": 0.3}}
	})
	b := open(t, f, "/desk?outage=o-1")
	b.await(`document.querySelector("[data-testid=step-estimate]")`)
	b.Shortcut("e")
	b.await(`document.activeElement?.closest("[data-testid=step-form]")`)
	b.await(`document.querySelector("[data-testid=estimate-record]")?.innerText.includes("By people: of 2, 100 % were back by the time of 50 %, 50 % by that of 80 %.")`)
	b.click("[data-testid=step-split]")
	b.await(`document.querySelector("[data-testid=step-form]")?.innerText.includes("May also explain it: T-mill")`)
	b.fill("step-name", "Ana")
	b.fill("entry-devices", "T-mill, F7")
	b.fill("step-comment", "Two wires are down")
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.await(`[...document.querySelectorAll("[data-testid=timeline-entry]")].at(-1)?.dataset.action === "split"`)
	b.click("[data-testid=step-merge]")
	b.await(`document.querySelector("[data-testid=step-into]")?.value === "o-2"`)
	b.fill("step-comment", "One fault")
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.await(`[...document.querySelectorAll("[data-testid=timeline-entry]")].at(-1)?.dataset.action === "merge"`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.desk.acted; len(got) != 2 || got[0]["devices"] == nil || got[1]["into"] != "o-2" {
		t.Errorf("the steps are %v", got)
	}
}

// What is switched is so in the pictures: on the map, and in the one-line with all that is
// behind it.
func TestTheNetworkAsOperated(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(50)
	f.operated()
	b := open(t, f, "/desk")
	b.await(`document.querySelector("[data-testid=map]")?.dataset.moved === "feeder-1-breaker:open"`)
	b.visit(f, "/feeders/feeder-1")
	wires := func(want string) {
		t.Helper()
		b.await(`["feeder-1-breaker", "L1", "L2", "T-mill", "F7"].map(id => document.querySelector("[data-wire='" + id + "']")?.dataset.supply).join(" ") === "` + want + `"`)
	}
	// The breaker is measured to be closed, whatever anybody says.
	wires("live live unknown unknown dead")
	b.await(`document.querySelector("[data-id=F7]").ariaLabel.includes("open, says Ana") && document.querySelector("[data-id=F7]").ariaLabel.includes("tagged: Crew 3 works here")`)
	measure := func(id int64, value float64, quality string) {
		f.mu.Lock()
		f.broadcast(message{"latest", 0, []latest{{id, sample{Time: nowUs(), Value: &value, Quality: quality}}}})
		f.mu.Unlock()
	}
	measure(901, 1, "bad (timeout)")
	wires("unknown unknown unknown unknown dead")
	measure(901, 0, "good")
	wires("dead dead dead dead dead")
	// From another feeder, through the tie at the mill: up to the line and the transformer that
	// may have opened in outages that nobody has confirmed.
	measure(905, 1, "good")
	wires("unknown unknown back unknown dead")
	measure(901, 1, "good")
	wires("live live back unknown dead")
	measure(905, 0, "good")
	wires("live live unknown unknown dead")
	f.setOutage("o-1", func(o map[string]any) { o["state"] = "confirmed" })
	wires("live live dead dead dead")
	measure(905, 1, "good")
	wires("live live back unknown dead")

	// By keys a switch leads to what can be said of it.
	b.Do(chromedp.Focus(chromedp.CSS("[data-id=F7]")), chromedp.KeyEvent(kb.Enter))
	b.await(`document.querySelector("[data-testid=entry-asset]")?.value === "F7" && document.querySelector("[data-testid=entry-tag]").value === "Crew 3 works here"`)
}

// A feeder isn't drawn as supplied whose source isn't, or which is no more heard.
func TestAFeederIsAsItsSource(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(50)
	f.mu.Lock()
	delete(f.desk.outages, "o-1")
	delete(f.desk.outages, "o-2")
	f.mu.Unlock()
	b := open(t, f, "/feeders/feeder-1")
	told := `(document.querySelector("[data-testid=oneline-source]")?.innerText ?? "")`
	drawn := func(want, says string) {
		t.Helper()
		b.await(`["T1", "L1", "T-mill", "F7"].map(id => document.querySelector("[data-wire='" + id + "']")?.dataset.supply).join(" ") === "` + want + `" && ` + told + `.includes("` + says + `")`)
	}
	steps := []string{"probable", "confirmed", "assigned", "en-route", "on-site", "repaired"}
	fed := func(source, other string) {
		f.mu.Lock()
		f.desk.source, f.desk.other = source, other
		f.mu.Unlock()
		// As an outage changes it is asked for at once.
		f.setOutage("o-up", func(o map[string]any) { o["device"], o["state"], steps = "far-line", steps[0], steps[1:] })
	}
	drawn("live live live live", "")
	fed("dead", "live")
	drawn("dead dead dead dead", "has no supply")
	f.mu.Lock()
	f.broadcast(message{"latest", 0, []latest{{905, sample{Time: nowUs(), Value: new(1.0), Quality: "good"}}}})
	f.mu.Unlock()
	drawn("back back back back", "has no supply")
	fed("dead", "dead")
	drawn("dead dead dead dead", "has no supply")
	fed("unknown", "dead")
	drawn("unknown unknown unknown unknown", "isn't known")
	fed("", "") // it can't be asked
	b.await(`performance.getEntriesByType("resource").some(r => r.name.endsWith("/feeding") && r.responseStatus === 404)`)
	drawn("unknown unknown unknown unknown", "isn't known")
	fed("live", "live")
	drawn("live live live live", "")

	// The breaker's gateway has fallen silent: that the breaker was closed says nothing of now.
	f.mu.Lock()
	f.gateways[0].State, f.gateways[0].Silent = "silent", new(nowUs()-200_000_000)
	f.mu.Unlock()
	b.visit(f, "/feeders/feeder-1")
	drawn("live unknown unknown unknown", "")
	b.await(`document.querySelector("[data-id=feeder-1-breaker]").ariaLabel.includes("its gateway isn't heard")`)
	b.Forgive("404")
}

// What is known of supply is asked for as an outage changes, and again and again while none does.
func TestSupplyIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for of, tt := range map[string]struct {
		timer string // instead of what waits until it asks again
		times int    // more than are asked for as a page opens
		tell  func(f *fake, change func(map[string]any))
	}{
		"as an outage changes": {"0", 3, func(f *fake, change func(map[string]any)) { f.setOutage("o-1", change) }},
		"while none does": {"real(f, 50)", 10, func(f *fake, change func(map[string]any)) {
			f.mu.Lock()
			defer f.mu.Unlock()
			change(map[string]any{})
		}},
	} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.substation()
			f.network(50)
			b := newTab(t)
			b.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
				_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
					Source: `{ const real = setTimeout; setTimeout = (f, ms, ...args) => ms === 5000 || ms === 15000 ? ` + tt.timer + ` : real(f, ms, ...args); }`,
				})
				return err
			}))
			points := f.desk.points["o-1"]
			b.visit(f, "/desk")
			for lost := range tt.times {
				tt.tell(f, func(o map[string]any) {
					f.desk.points["o-1"], o["points_out"] = points[:lost], lost
				})
				b.await(fmt.Sprintf(`document.querySelector("[data-testid=map]")?.dataset.lost === "%d"`, lost))
			}
			b.visit(f, "/feeders/feeder-1")
			for i := range tt.times {
				source := []string{"dead", "unknown", "live"}[i%3]
				tt.tell(f, func(o map[string]any) { f.desk.source, o["points_out"] = source, i })
				says := map[string]string{"live": "", "dead": "has no supply", "unknown": "isn't known"}[source]
				b.await(fmt.Sprintf(`document.querySelector("[data-testid=oneline]") && (s => %q ? s?.innerText.includes(%q) : !s)(document.querySelector("[data-testid=oneline-source]"))`, says, says))
			}
		})
	}
}

// Where versions went can't be asked: it is said, and what was known before stays.
func TestRolloutsThatDoNotCome(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	withhold := func(path string) {
		f.mu.Lock()
		f.withhold = path
		f.mu.Unlock()
	}
	withhold("/api/v1/rollouts")
	b := open(t, f, "/gateways")
	const failed = `[...document.querySelectorAll("main [role=status]")].some(e => e.innerText === "Could not load: withheld")`
	const listed = `document.querySelector("[data-version='1.5.0']")`
	b.await(failed + " && !" + listed)
	again := func() { // it asks at every connect
		f.stop()
		f.start()
	}
	withhold("")
	again()
	b.await(listed + " && !" + failed)
	withhold("/api/v1/rollouts")
	again()
	b.await(listed + " && " + failed)
	b.Forgive("404", "net::ERR_")
}

// The gateways' page says of each whether it is heard, how long its buffer lasts, and what
// isn't known.
func TestGateways(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/gateways")
	cell := func(gateway, column, want string) {
		t.Helper()
		b.await(`document.querySelector("[data-gateway-id=` + gateway + `] [data-column=` + column + `]")?.innerText.trim() === "` + want + `"`)
	}
	cell("north-gw1", "state", "heard")
	cell("north-gw1", "clock", "synchronised")
	cell("north-gw1", "buffer", "48.2 MB")
	cell("north-gw1", "left", "3d 0h")
	cell("north-gw1", "version", "v1.4.2")
	b.await(`/^1.5.0 paused tried by 40, kept by 37, left by 3 /.test(document.querySelector("[data-version='1.5.0']")?.innerText)`)
	b.await(`[...document.querySelectorAll("[data-version='1.5.0'] li")].map((z) => z.innerText).join() === "no zone: tried by 1, kept by 1, left by 0,north: tried by 39, kept by 36, left by 3"`)
	cell("south-gw1", "clock", "free-running")
	cell("south-gw1", "buffer", "not known")
	cell("south-gw1", "left", "not known")
	cell("south-gw1", "data", "12 missing, 5 waiting for their signal table")
	value := 7200.0
	f.mu.Lock()
	f.broadcast(message{"latest", 0, []latest{{921, sample{Time: nowUs(), Value: &value, Quality: "good"}}}})
	f.mu.Unlock()
	cell("north-gw1", "left", "2h 0m")
	b.await(`document.querySelector("[data-gateway-id=north-gw1] [data-column=left] .abnormal")`)

	f.mu.Lock()
	f.gateways[0].State, f.gateways[0].Silent = "silent", new(nowUs()-660_000_000)
	f.gateways[1].State = "unknown"
	f.mu.Unlock()
	b.visit(f, "/gateways")
	b.await(`/^silent for 1\dm/.test(document.querySelector("[data-gateway-id=north-gw1] [data-column=state]")?.innerText.trim())`)
	cell("south-gw1", "state", "not known")
	b.await(`document.querySelector("[data-gateway-id=north-gw1] [data-column=clock]").innerText.includes("as of 1")`)
	b.click("[data-gateway-id=north-gw1] a")
	b.await(`document.querySelector("[data-testid=gateway-detail]")?.innerText.includes("no answer")`)
	b.Forgive("404") // of its signals, whose samples aren't there
	b.visit(f, "/gateways/nobody")
	b.await(`document.querySelector("main").innerText.includes("There is no gateway nobody.")`)
}
