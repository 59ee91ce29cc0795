package cloud

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/busbar/busbar/cloud/identity/identitytest"
	"github.com/busbar/busbar/cloud/network"
	"github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/desk"
	"github.com/busbar/busbar/cloud/reliability"
	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/browser"
)

// hills is how many small feeders there are, of two meters each.
const hills = 12

// streets is a feeder with four lines from its breaker, so many meters along each, and
// another feeder with one of them, and the hills.
func streets(along int) string {
	var lines, points, breakers, feeders strings.Builder
	for n := range 4 {
		dx, dy := [4]int{1, -1, 0, 0}[n], [4]int{0, 0, 1, -1}[n]
		fmt.Fprintf(&lines, "  - {id: street-%d, from: head, to: end-%d}\n", n, n)
		for m := range along {
			fmt.Fprintf(&points, "  - {id: point-%d-%d, node: end-%d, customers: 1, position: %d %d}\n", n, m, n, dx*(60+40*m)+dy*m%3*10, dy*(60+40*m)+dx*(m%3)*10)
		}
	}
	for n := range hills {
		fmt.Fprintf(&breakers, "  - {id: hill-breaker-%d, from: bar, to: hill-%d, type: breaker, substation: station}\n", n, n)
		fmt.Fprintf(&feeders, ", {id: hill-feeder-%d, head: hill-breaker-%d}", n, n)
		fmt.Fprintf(&points, "  - {id: hill-%d-a, node: hill-%d, customers: 1, position: %d %d}\n", n, n, 800+60*n, 620)
		fmt.Fprintf(&points, "  - {id: hill-%d-b, node: hill-%d, customers: 1, position: %d %d}\n", n, n, 800+60*n, 560)
	}
	return `
sources: [{id: source, node: bar}]
substations: [{id: station, name: Mill station, position: 0 0}]
nodes: [{id: bar, type: busbar, substation: station}]
switches:
  - {id: breaker, from: bar, to: head, type: breaker, substation: station}
  - {id: other-breaker, from: bar, to: other-head, type: breaker, substation: station}
` + breakers.String() + `feeders: [{id: feeder, head: breaker}, {id: other-feeder, head: other-breaker}` + feeders.String() + `]
lines:
` + lines.String() + "service_points:\n  - {id: other-point, node: other-head, customers: 1, position: 900 900}\n" + points.String()
}

// operator works at the console by keys alone: nothing is focused but by Tab, or by the
// page itself.
type operator struct{ *browser.Tab }

func (b operator) keys(text string) { b.T.Helper(); b.Do(chromedp.KeyEvent(text)) }

func (b operator) see(condition string) { b.T.Helper(); b.Await(20*time.Second, condition) }

// tabTo presses Tab until what is described has the focus.
func (b operator) tabTo(css string) {
	b.T.Helper()
	for range 80 {
		if browser.Get[bool](b.Tab, fmt.Sprintf(`!!document.activeElement?.matches(%q)`, css)) {
			return
		}
		b.keys(kb.Tab)
	}
	b.T.Fatalf("Tab doesn't lead to %s; the page says:\n%s", css, browser.Get[string](b.Tab, "document.body.innerText"))
}

// accessible looks at the page as it is, light and dark, and leaves a picture of each.
func (b operator) accessible(name string) {
	b.T.Helper()
	for _, theme := range []string{"dark", "light"} {
		b.Do(browser.Prefer("prefers-color-scheme", theme))
		for _, v := range b.Violations() {
			b.T.Errorf("%s, %s: %s", name, theme, v)
		}
		b.Shoot(name + "-" + theme)
	}
}

// step takes the next step of the chosen outage's life, and waits until it has been taken.
func (b operator) step(action, state, comment string) {
	b.T.Helper()
	b.Shortcut("n")
	b.see(fmt.Sprintf(`document.querySelector("[data-testid=step-%s]")?.ariaExpanded === "true" && document.activeElement?.closest("[data-testid=step-form]")`, action))
	if action == "complete" {
		b.see(`document.querySelector("[data-testid=step-cause] option[value=tree]")`)
		for _, part := range []string{"cause", "failure", "remedy"} {
			b.tabTo("[data-testid=step-" + part + "]")
			b.keys(kb.ArrowDown)
		}
	}
	if action == "confirm" && browser.Get[string](b.Tab, `document.querySelector("[data-testid=step-name]").value`) == "" {
		b.tabTo("[data-testid=step-name]")
		b.keys("Ana")
	}
	b.tabTo("[data-testid=step-comment]")
	b.keys(comment)
	taken := fmt.Sprintf(`document.querySelector("[data-testid=outage-detail]")?.dataset.state === %q`, state)
	for {
		b.keys(kb.Enter)
		b.see(taken + ` || document.querySelector("[data-testid=step-error]")?.innerText`)
		if browser.Get[bool](b.Tab, taken) {
			break
		}
		// The cloud may have found something out meanwhile; it is seen now.
		b.see(`document.querySelector("[data-testid=step-error]").innerText.includes("changed")`)
	}
	b.see(fmt.Sprintf(`[...document.querySelectorAll("[data-testid=timeline-entry]")].some(e => e.dataset.action === %q && e.innerText.includes("Ana"))`, action))
}

// An operator's day with a whole cloud, by the keyboard: a feeder's outage comes to the
// desk, is acknowledged, confirmed, given to a crew and followed until it is verified; part
// of it is back before. In the end the indices have it, with its cause.
func TestAnOperatorsDay(t *testing.T) {
	const along = 10
	config, dir := embedded(t), t.TempDir()
	c, err := New(t.Context(), config, Options{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	quick := outage.Defaults()
	quick.Settle, quick.Hurry, quick.BreakerReclose, quick.Return, quick.Verify = 300*time.Millisecond, time.Second, 300*time.Millisecond, 300*time.Millisecond, time.Second
	c.outages = desk.New(desk.Config{Store: c.store, Logger: quiet, Engine: &quick})
	run(t, c)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.embedded.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m, findings := gridfile.ReadYAML("streets.yaml", []byte(streets(along)))
	if _, err := (network.Import{Model: m, Read: findings, By: "test", Now: time.Now()}).Save(t.Context(), c.store); err != nil {
		t.Fatal(err, m.Check(0))
	}
	if _, err := desk.SaveCrew(t.Context(), c.store, desk.Crew{ID: "crew-7", Name: "Crew 7", State: "available", By: "test", At: desk.Now()}); err != nil {
		t.Fatal(err)
	}
	identitytest.Enrol(t, c.store, "station-gw")
	gateway := &station{T: t}
	alarms := func(kind telemetry.EventKind, streets ...int) (list []telemetry.Event) {
		for _, n := range streets {
			for m := range along {
				list = append(list, telemetry.Event{Kind: kind, Alarm: &telemetry.AlarmChange{ID: fmt.Sprintf("a%d-%d", n, m), Rule: "voltage-interruption",
					Asset: fmt.Sprintf("point-%d-%d", n, m), Device: fmt.Sprintf("meter-%d-%d", n, m), Priority: telemetry.High, Summary: "It is without voltage"}})
			}
		}
		return list
	}
	hillAlarms := func(kind telemetry.EventKind) (list []telemetry.Event) {
		for n := range hills {
			for _, m := range []string{"a", "b"} {
				list = append(list, telemetry.Event{Kind: kind, Alarm: &telemetry.AlarmChange{ID: fmt.Sprintf("h%d-%s", n, m), Rule: "voltage-interruption",
					Asset: fmt.Sprintf("hill-%d-%s", n, m), Device: fmt.Sprintf("hill-meter-%d-%s", n, m), Priority: telemetry.High, Summary: "It is without voltage"}})
			}
		}
		return list
	}
	gateway.send(client, telemetry.Event{Kind: telemetry.GatewayStarted, Lifecycle: &telemetry.Lifecycle{Version: "test", Start: 1, Presence: &telemetry.Presence{Every: 3_600_000_000, Site: "station"}}})

	b := operator{browser.New(t)}
	b.Do(chromedp.Navigate("http://" + config.Console.Listen + "/desk"))
	b.see(`document.querySelector("[data-testid=connection]")?.dataset.state === "live"`)
	b.see(`document.querySelector("[data-testid=desk-sum]")?.innerText.startsWith("0 outages")`)
	// A storm: the feeder, and a dozen small ones.
	gateway.send(client, alarms(telemetry.AlarmRaised, 0, 1, 2, 3)...)
	gateway.send(client, hillAlarms(telemetry.AlarmRaised)...)
	b.see(`document.querySelector("[data-testid=storm]")?.innerText.includes("64 customers out")`)
	b.see(`document.querySelector("[data-testid=outage-row]")?.innerText.includes("40 of 40") && document.querySelectorAll("[data-testid=desk-group]").length === ` + fmt.Sprint(1+hills))
	b.accessible("storm")
	b.Shortcut("s")
	b.see(`!document.querySelector("[data-testid=storm]")`)

	// Its alarm, by the link in its details.
	b.Shortcut("j")
	b.see(`document.querySelector("[data-testid=outage-detail] a[href^='/alarms/']")`)
	b.Shortcut("4")
	b.tabTo("[data-testid=outage-detail] a[href^='/alarms/']")
	b.keys(kb.Enter)
	b.see(`document.querySelector("[data-testid=ack]")`)
	b.tabTo("[data-testid=ack]")
	b.keys(kb.Enter)
	b.see(`document.querySelector("[data-testid=ack-dialog]")?.open`)
	b.tabTo("[data-testid=ack-dialog] input")
	b.keys("Ana")
	b.tabTo("[data-testid=ack-submit]")
	b.keys(kb.Enter)
	b.see(`!document.querySelector("[data-testid=ack-dialog]") && !document.querySelector("[data-testid=ack]")`)
	b.tabTo("nav a[href='/desk']")
	b.keys(kb.Enter)
	b.see(`document.querySelector("[data-testid=outage-row]")`)
	if !browser.Get[bool](b.Tab, `!!document.querySelector("[data-testid=outage-detail]")`) {
		b.Shortcut("j")
	}
	b.see(`document.querySelector("[data-testid=outage-detail]")?.innerText.includes("acknowledged by Ana")`)

	b.step("confirm", "confirmed", "The breaker has tripped")
	b.step("assign", "assigned", "")
	b.see(`document.querySelector("[data-crew=crew-7]").innerText.includes("assigned") && document.querySelector("[data-testid=outage-row][aria-pressed=true]").innerText.includes("Crew 7")`)
	b.step("en-route", "en-route", "")
	b.see(`document.querySelector("[data-crew=crew-7]").innerText.includes("en route")`)
	b.step("on-site", "on-site", "")

	// Two streets are back by a step, the others with the repair.
	gateway.send(client, alarms(telemetry.AlarmCleared, 0, 1)...)
	b.see(`document.querySelectorAll("[data-testid=restoration-step]").length === 1 && document.querySelector("[data-testid=outage-row][aria-pressed=true]").innerText.includes("20 of 40")`)
	b.accessible("day")
	b.step("repaired", "repaired", "A branch was on the line")
	b.step("restored", "restored", "Closed again")
	gateway.send(client, alarms(telemetry.AlarmCleared, 2, 3)...)
	b.see(`document.querySelector("[data-testid=outage-detail]").dataset.state === "verified" && document.querySelector(".details-state strong").innerText === "0 of 40 out"`)
	b.step("complete", "completed", "")
	b.see(`!document.querySelector("[data-testid=outage-row][aria-pressed=true]")`)
	b.Forgive("status of 409")
	for _, message := range b.Messages() {
		t.Errorf("browser log: %s", message)
	}

	var report reliability.Answer
	answer, err := http.Get(fmt.Sprintf("http://%s/api/v1/reliability?period=%d&by=cause", config.Console.Listen, time.Now().UTC().Year()))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&report); err != nil {
		t.Fatal(err)
	}
	var whole, row reliability.Line
	for _, r := range report.Rows {
		switch {
		case r.Whole:
			whole = r
		case r.Group == "weather-wind":
			row = r
		}
	}
	if row.Interruptions != 1 || row.Open != 0 || whole.Interruptions != 1+hills || whole.Open != hills {
		t.Fatalf("%+v", report)
	}
	for _, of := range row.Indices {
		// It was over in less than five minutes.
		if want := 40.0 / (41 + 2*hills); of.Index == reliability.MAIFI && (of.Value == nil || math.Abs(*of.Value-want) > 1e-9) {
			t.Errorf("%s isn't %v", of.Index, want)
		}
	}
}
