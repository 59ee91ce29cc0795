package web

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// 100,000 alarms: how long it takes to sort them in the browser, and how long frames are
// while the list is scrolled and while more alarms come. The figures are logged.
func TestTortureManyAlarms(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE=1")
	}
	const many = 100_000
	f := newFake(t)
	f.mu.Lock()
	now := nowUs()
	for i := range many {
		f.alarms = append(f.alarms, &alarm{ID: fmt.Sprintf("m%d", i), Priority: []string{"low", "medium", "high", "critical"}[i*7%4], Active: i%5 != 0, Acknowledged: i%3 == 0 && i%5 != 0,
			Asset: fmt.Sprintf("meter-%d", i), Device: "head", Site: "north", Feeder: fmt.Sprintf("feeder-%d", i%40), Summary: fmt.Sprintf("Meter %d is without voltage", i),
			Raised: now - int64(i*7919%many)*1000, Inputs: []input{}})
	}
	f.mu.Unlock()
	b := newTab(t)
	b.Do(chromedp.Navigate(f.url() + "/"))
	b.Await(60_000_000_000, `Number(document.querySelector("[data-testid=alarm-list]")?.ariaRowCount) > 90000`)
	if rows := get[int](b, `document.querySelectorAll("[data-testid=alarm-row]").length`); rows > 50 {
		t.Errorf("%d rows are drawn", rows)
	}

	b.module("data/order.ts", "order")
	sorting := get[[]float64](b, fmt.Sprintf(`(() => {
		const priorities = ["low", "medium", "high", "critical"];
		const times = [];
		for (let run = 0; run < 9; run++) {
			const list = Array.from({length: %d}, (_, i) => ({id: "m" + i, priority: priorities[Math.floor(Math.random() * 4)], acknowledged: Math.random() < 0.3,
				handling: null, suppressed_by: "", raised_us: 1.7e15 + Math.floor(Math.random() * 1e10)}));
			const began = performance.now();
			const sorted = order.byUrgency(list);
			times.push(performance.now() - began);
			const at = a => [a.acknowledged ? 1 : 0, 3 - priorities.indexOf(a.priority), -a.raised_us];
			for (let i = 1; i < sorted.length; i++) {
				const [a, b] = [at(sorted[i - 1]), at(sorted[i])];
				const n = a.findIndex((v, j) => v !== b[j]);
				if (n >= 0 && a[n] > b[n]) throw new Error("they aren't in order");
			}
			if (new Set(sorted.map(a => a.id)).size !== list.length) throw new Error("some are gone");
		}
		return times;
	})()`, many))
	slices.Sort(sorting)
	t.Logf("sorting %d alarms in random order: at least %.1f ms, %.1f ms (median of %d), at most %.1f ms", many, sorting[0], sorting[len(sorting)/2], len(sorting), sorting[len(sorting)-1])

	frames := func(what, each string) {
		list := get[[]float64](b, `new Promise(done => {
			const times = [];
			let last = performance.now(), n = 0;
			const frame = () => {
				const now = performance.now();
				times.push(now - last);
				last = now;
				`+each+`
				if (++n < 200) requestAnimationFrame(frame); else done(times);
			};
			requestAnimationFrame(frame);
		})`)
		slices.Sort(list)
		t.Logf("%s: frames of %.1f ms (median), %.1f ms (99 of 100), at most %.1f ms", what, list[len(list)/2], list[len(list)*99/100], list[len(list)-1])
	}
	frames("still", "")
	frames("scrolling by 700 px a frame", `window.scrollBy(0, 700);`)
	frames("jumping about", `window.scrollTo(0, Math.random() * document.documentElement.scrollHeight);`)
	b.Do(chromedp.Evaluate[chromedp.Void](`window.scrollTo(0, 0)`))
	raised := make(chan struct{})
	go func() {
		defer close(raised)
		for i := range 20 {
			f.raise(alarm{ID: fmt.Sprintf("new%d", i), Priority: "critical", Asset: "a", Summary: "New"})
		}
	}()
	frames("while 20 alarms come", "")
	<-raised
	b.Await(60_000_000_000, `document.querySelector("[data-testid=count-critical]").dataset.count > 12000 && document.querySelector("[data-alarm-id=new19]")`)
}
