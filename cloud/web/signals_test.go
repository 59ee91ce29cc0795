package web

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestSignalsAreLive(t *testing.T) {
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
