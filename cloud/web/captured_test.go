package web

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// The list says which alarm of a group came first, and leads to it from the others.
func TestFirstUp(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.raise(alarm{ID: "lone", Priority: "low", Asset: "a", Summary: "Door open"})
	f.raise(alarm{ID: "trip", Priority: "high", Asset: "a", Summary: "Breaker tripped", Group: "trips", FirstUp: "trip", Rule: "trip", Version: "3f2a", Confirmed: nowUs()})
	f.raise(alarm{ID: "dead", Priority: "high", Asset: "a", Summary: "No voltage", Group: "trips", FirstUp: "trip"})
	f.raise(alarm{ID: "far", Priority: "high", Asset: "a", Summary: "No current", Group: "trips", FirstUp: "gone"})
	b := open(t, f, "/")
	b.await(`document.querySelectorAll("[data-testid=alarm-row]").length === 4`)
	for id, want := range map[string]string{"lone": "", "trip": "First up", "dead": "First up: Breaker tripped", "far": "First up: another alarm"} {
		if got := b.text("[data-alarm-id=" + id + "] [data-testid=first-up]"); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	b.click("[data-alarm-id=dead] a[data-testid=first-up]")
	b.await(`document.querySelector("[data-testid=alarm-detail]")?.dataset.alarmId === "trip"`)
	if facts := b.text(".facts"); !strings.Contains(facts, "trip, version 3f2a") || !strings.Contains(facts, "trips First up") || !strings.Contains(facts, "Confirmed") {
		t.Errorf("facts: %s", facts)
	}
	b.visit(f, "/alarms/lone")
	b.await(`document.querySelector("[data-testid=alarm-detail]")`)
	if facts := b.text(".facts"); strings.Contains(facts, "Group") || strings.Contains(facts, "Confirmed") || strings.Contains(facts, "version") {
		t.Errorf("facts of an alarm that doesn't say: %s", facts)
	}
}

// Inputs without a series are listed, and nothing is asked for that isn't there.
func TestInputsWithoutASeries(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	now := nowUs()
	f.raise(alarm{ID: "fleet-1", Priority: "high", Asset: "f1", Device: "gw-a", Summary: "gw-a is silent", Raised: now - 30_000_000, Inputs: []input{
		{Name: "ChLiv", Device: "gw-a", Unit: "1", Value: new(0.0), Quality: "good", Time: now},
		{Name: "ChLiv", Device: "gw-b", Unit: "1", Value: new(0.0), Quality: "good", Time: now},
	}})
	b := open(t, f, "/alarms/fleet-1")
	b.await(`document.querySelectorAll("[data-testid=input-row]").length === 2`)
	b.await(`document.querySelectorAll("[aria-labelledby=plots] :is([data-testid=plot], [role=alert])").length === 0`)
	if f.asks(0) != 0 {
		t.Error("the samples of no series are asked for")
	}
}

// What was captured appears on the alarm's page when it comes.
func TestCapturedSamples(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	now := nowUs()
	f.raise(alarm{ID: "x", Priority: "high", Asset: "feeder-2", Summary: "No voltage", Raised: now - 30_000_000})
	b := open(t, f, "/alarms/x")
	b.await(`document.querySelector("[data-testid=alarm-detail]")`)
	if b.text("[data-testid=captured]") != "" {
		t.Error("samples are shown that haven't come")
	}
	f.capture("x", capture{From: now - 60_000_000, To: now - 5_000_000, Signals: []capturedSignal{
		{Series: 1, Device: "meter", Name: "PhV.phsA", Unit: "V", Kind: "gauge", Samples: voltages(now-60_000_000, 50, func(i int) bool { return i > 30 }), Truncated: true},
		{Device: "q1", Name: "Pos", Unit: "1", Kind: "state", States: map[string]string{"1": "closed"}, Samples: []sample{{Time: now - 60_000_000, Value: new(1.0), Quality: "good"}}},
	}})
	b.await(`document.querySelectorAll("[data-testid=captured] [data-testid=plot]").length === 2`)
	b.await(`document.querySelector("[data-testid=captured] [data-testid=plot]").dataset.points === "50"`)
	said := b.text("[data-testid=captured]")
	for _, want := range []string{"meter PhV.phsA: 31 good samples", "(hatched)", "meter PhV.phsA: there were more before", "closed (1)"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q isn't in %q", want, said)
		}
	}
	f.mu.Lock()
	f.find("x").capture = nil
	f.mu.Unlock()
	b.Do(chromedp.Navigate(f.url() + "/alarms/x"))
	b.await(`document.querySelector("[data-testid=captured]")?.innerText.includes("no samples")`)
	b.Forgive("status of 404")
}
