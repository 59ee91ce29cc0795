package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestSignalsAreLive(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/signals")
	b.await(`document.querySelector("[data-series='4'] [data-testid=signal-value]")?.innerText === "1,834,127.25"`)
	b.await(`document.querySelector("[data-series='6'] [data-testid=signal-quality]").innerText === "bad (not connected)"`)
	b.await(`document.querySelector("[data-series='7'] [data-testid=signal-value]").innerText === "ONAF"`)
	b.await(`document.querySelector("[data-series='8'] [data-testid=signal-value]").innerText === "no value yet"`)
	b.await(`document.querySelector("[data-series='6'] .unit").innerText === "°C"`)

	f.store(4, sample{Time: nowUs(), Value: new(1834128.5), Quality: "good"})
	b.await(`document.querySelector("[data-series='4'] [data-testid=signal-value]").innerText === "1,834,128.5"`)

	b.click("[data-series='1'] button")
	b.await(`document.querySelector("[data-testid=signal-panel] [data-testid=plot]")?.dataset.points > 500`)
	b.await(`location.search === "?series=1"`)
	b.Do(chromedp.KeyEvent(kb.Escape))
	b.await(`!document.querySelector("[data-testid=signal-panel]")`)
	b.await(`document.activeElement?.closest("[data-series]")?.dataset.series === "1"`)

	f.mu.Lock()
	f.series = append(f.series, series{ID: 99, Gateway: "north-gw1", Device: "new-meter", Name: "Hz", Unit: "Hz", Asset: "feeder-3", Kind: "gauge"})
	f.mu.Unlock()
	f.store(99, sample{Time: nowUs(), Value: new(50.01), Quality: "good"})
	b.await(`document.querySelector("[data-series='99'] [data-testid=signal-value]")?.innerText === "50.01"`)
}

func TestTenThousandSignals(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	now := nowUs()
	for i := range int64(10_000) {
		f.series = append(f.series, series{ID: i, Gateway: "g", Device: fmt.Sprintf("meter-%04d", i/8), Name: fmt.Sprintf("Q%d", i%8),
			Unit: "V", Asset: fmt.Sprintf("feeder-%d", i/80), Kind: "gauge", Latest: &sample{Time: now, Value: new(float64(i)), Quality: "good"}})
	}
	b := open(t, f, "/signals")
	b.await(`document.querySelector("[data-testid=signal-total]").innerText === "10,000 signals"`)
	drawn := func() int { return get[int](b, `document.querySelectorAll("[data-testid=signal-row]").length`) }
	if n := drawn(); n == 0 || n > 80 {
		t.Errorf("%d rows drawn at the top", n)
	}
	b.Do(chromedp.Evaluate[chromedp.Void](`window.scrollTo(0, document.querySelector("[data-testid=signal-list]").offsetHeight / 2)`))
	b.await(`(r => r.top > 0 && r.bottom < innerHeight)([...document.querySelectorAll("[data-testid=signal-row]")].at(-20).getBoundingClientRect())`)
	if n := drawn(); n == 0 || n > 80 {
		t.Errorf("%d rows drawn in the middle", n)
	}
	b.Do(chromedp.Evaluate[chromedp.Void](`window.scrollTo(0, 0)`))
	ms := get[float64](b, `new Promise(done => {
		const from = performance.now();
		const input = document.querySelector("[data-testid=signal-filter]");
		input.value = "feeder-77 q3";
		input.dispatchEvent(new Event("input", {bubbles: true}));
		requestAnimationFrame(() => setTimeout(() => done(performance.now() - from)));
	})`)
	t.Logf("filtering 10,000 signals took %.1f ms to the next frame", ms)
	b.await(`document.querySelector("[data-testid=signal-total]").innerText === "10 of 10,000 signals"`)
}

// A value is shown by its name, with the number beside it; the bits of one by theirs.
func TestValuesAreShownByName(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/signals")
	shows := func(id int, text string) {
		t.Helper()
		b.await(fmt.Sprintf(`document.querySelector("[data-series='%d'] [data-testid=signal-value]")?.innerText === %q`, id, text))
	}
	shows(5, "open (0)")
	shows(9, "GROUND_FAULT, OVER_TEMP (129)")
	for _, c := range []struct {
		id    int64
		value float64
		text  string
	}{
		{5, -1, "moving (-1)"}, {5, 7, "7"}, {5, 0.5, "0.5"}, {9, 0, "0"}, {9, 4, "bit 2 (4)"}, {9, 1<<40 + 2, "DC_OVER_VOLT, LATE (1,099,511,627,778)"}, {9, -1, "-1"},
	} {
		f.store(c.id, sample{Time: nowUs(), Value: new(c.value), Quality: "good"})
		shows(int(c.id), c.text)
	}
	b.Do(chromedp.EmulateViewport(390, 844))
	f.store(9, sample{Time: nowUs(), Value: new(255.0), Quality: "good"})
	shows(9, "GROUND_FAULT, DC_OVER_VOLT, bit 2, bit 3, bit 4, bit 5, bit 6, OVER_TEMP (255)")
	if wide := get[float64](b, `document.querySelector("[data-series='9'] .name").getBoundingClientRect().width`); wide < 60 {
		t.Errorf("a long value leaves %v px for the signal's name", wide)
	}
	b.Do(chromedp.EmulateViewport(1280, 844))
	f.store(5, sample{Time: nowUs(), Value: new(1.0), Quality: "good"})
	b.click("[data-series='5'] button")
	b.await(`document.querySelector("[data-testid=signal-panel] output")?.innerText === "closed (1)"`)
	b.await(`document.querySelector("[data-testid=signal-panel] figcaption")?.innerText.includes("Last closed (1) at")`)
	b.await(`!document.querySelector("[data-testid=counter-changes]")`)

	b.visit(f, "/alarms/a1")
	b.await(`document.querySelector("[data-testid=input-row][data-series='5'] .input-value")?.innerText === "open (0)"`)
}

// Where a counter rolled over or was reset is said beside its plot.
func TestCounterChangesAreShown(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/signals?series=4")
	b.await(`document.querySelectorAll("[data-testid=counter-change]").length === 2`)
	words := get[[]string](b, `[...document.querySelectorAll("[data-testid=counter-change]")].map(e => e.innerText.replace(/\s+/g, " ").replace(/^\D*[\d:]+(.*?\d\d:\d\d:\d\d)? /, ""))`)
	if len(words) != 2 || words[0] != "Reset 2,100,412.5 → 1,834,126 kWh" || !strings.HasSuffix(words[1], "Rolled over 999,999.5 → 0.25 kWh counted on by 0.75 kWh") {
		t.Errorf("%q", words)
	}
	f.mu.Lock()
	f.counters = nil
	f.mu.Unlock()
	b.visit(f, "/signals?series=4")
	b.await(`document.querySelector("[data-testid=counter-changes]")?.innerText.includes("None in the last 30 days.")`)
}
