package web

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
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

	b.frames("still", 200, "")
	b.frames("scrolling by 700 px a frame", 200, `window.scrollBy(0, 700);`)
	b.frames("jumping about", 200, `window.scrollTo(0, Math.random() * document.documentElement.scrollHeight);`)
	b.Do(chromedp.Evaluate[chromedp.Void](`window.scrollTo(0, 0)`))
	raised := make(chan struct{})
	go func() {
		defer close(raised)
		for i := range 20 {
			f.raise(alarm{ID: fmt.Sprintf("new%d", i), Priority: "critical", Asset: "a", Summary: "New"})
		}
	}()
	b.frames("while 20 alarms come", 200, "")
	<-raised
	b.Await(60_000_000_000, `document.querySelector("[data-testid=count-critical]").dataset.count > 12000 && document.querySelector("[data-alarm-id=new19]")`)
}

// frames logs how long frames are, while each, if it isn't empty, is done in every one.
// Beside it is how much the page's thread computes for a frame: the browser has no graphics card,
// and shares the processors with whatever else runs.
func (b *tab) frames(what string, n int, each string) {
	b.T.Helper()
	before := b.computed()
	b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (() => {
		const times = [];
		let last = performance.now();
		const frame = () => {
			const now = performance.now();
			times.push(now - last);
			last = now;
			const n = times.length;
			%s
			if (n < %d) requestAnimationFrame(frame); else globalThis.measured = times;
		};
		globalThis.measured = undefined;
		requestAnimationFrame(frame);
	})()`, each, n)))
	b.Await(300*time.Second, `globalThis.measured`)
	list := get[[]float64](b, `measured`)
	b.logTimes(what, list)
	b.T.Logf("%s: the page's thread computes %.1f ms a frame", what, float64((b.computed()-before).Microseconds())/1000/float64(len(list)))
}

// computed is for how long the page's thread has.
func (b *tab) computed() (sum time.Duration) {
	b.T.Helper()
	b.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
			return err
		}
		now, err := cdp.Call(ctx, target, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, m := range now.Metrics {
			if m.Name == "TaskDuration" {
				sum = time.Duration(m.Value * float64(time.Second))
			}
		}
		return nil
	}))
	return sum
}

func (b *tab) logTimes(what string, list []float64) {
	b.T.Helper()
	slices.Sort(list)
	b.T.Logf("%s: %.1f ms (median), %.1f ms (90 of 100), %.1f ms (99 of 100), at most %.1f ms, of %d", what, list[len(list)/2], list[len(list)*90/100], list[len(list)*99/100], list[len(list)-1], len(list))
}

// A map of 100,000 service points, which is moved and zoomed in a storm: outages begin,
// change and end, ten a second, until a third of the points are out. The figures are logged.
func TestTortureMapInAStorm(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE=1")
	}
	const points = 100_000
	f := newFake(t)
	f.substation()
	f.network(points)
	b := open(t, f, "/desk")
	b.Await(60*time.Second, `document.querySelector("[data-testid=map]")?.dataset.frames > 0 && document.querySelector("[data-testid=map]").dataset.unknown === "0"`)
	b.Do(chromedp.Evaluate[chromedp.Void](`globalThis.map = document.querySelector("[data-testid=map]"); map.focus();
		globalThis.drawing = []; globalThis.press = key => { if (map.dataset.took) drawing.push(Number(map.dataset.took)); map.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true})); }`))
	keys := `const keys = [...Array(12).fill("+"), ...Array(20).fill("ArrowRight"), ...Array(20).fill("ArrowDown"), ...Array(20).fill("ArrowLeft"), ...Array(20).fill("ArrowUp"), ...Array(12).fill("-")]; press(keys[n % keys.length]);`
	run := func(what string) {
		t.Helper()
		b.frames(what+": between frames", 312, keys)
		b.logTimes(what+": drawing", get[[]float64](b, `drawing.splice(0)`))
	}
	run("without a storm")

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		changes := 0
		defer func() { ended <- changes }()
		states := []string{"suspected", "probable", "confirmed", "assigned", "restored"}
		for ; ctx.Err() == nil; changes++ {
			of := changes % 300
			f.setOutage(fmt.Sprintf("storm-%d", of), func(o map[string]any) {
				o["device"], o["feeder"], o["state"] = fmt.Sprintf("C%d", 8+of*300), fmt.Sprintf("feeder-%d", of%40), states[changes/300%len(states)]
				at := f.desk.network["points"].(map[string]any)
				o["x"], o["y"] = at["x"].([]int)[of*300], at["y"].([]int)[of*300]
				if changes == of {
					for i := of * 300; i < of*300+110; i++ {
						f.desk.points[o["id"].(string)] = append(f.desk.points[o["id"].(string)], map[string]any{"id": fmt.Sprintf("SP-%d", i)})
					}
				}
				o["points"], o["points_out"] = 110, 110
			})
			select {
			case <-time.After(30 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	b.Await(60*time.Second, `document.querySelectorAll("[data-testid=outage-row]").length > 250 || document.querySelectorAll("[data-testid=desk-group]").length > 30`)
	run("in a storm")
	b.frames("in a storm, nobody touches it: between frames", 200, "")
	stop()
	t.Logf("%d changes of outages", <-ended)
	b.Await(60*time.Second, `Number(map.dataset.lost) > 30000`)
}

// The desk and the list of alarms while the alarms of 10,000 dead meters come within seconds,
// for which an outage's stands. The figures are logged.
func TestTortureAFloodOfDeadMeters(t *testing.T) {
	if os.Getenv("BUSBAR_TORTURE") == "" {
		t.Skip("set BUSBAR_TORTURE=1")
	}
	const meters = 10_000
	f := newFake(t)
	f.substation()
	f.network(meters)
	for n, path := range []string{"/desk", "/"} {
		b := open(t, f, path)
		const critical = `Number(document.querySelector("[data-testid=count-critical]").dataset.count)`
		before := get[int](b, critical)
		told := make(chan time.Duration)
		go func() {
			began := time.Now()
			for i := range meters {
				f.raise(alarm{ID: fmt.Sprintf("dead-%d-%d", n, i), Rule: "voltage-interruption", Priority: "high", Asset: fmt.Sprintf("SP-%d", i), Device: "meter", Feeder: "feeder-1", Summary: "It is without voltage", SuppressedBy: "a1", Unannounced: true})
				if i%10 == 9 {
					time.Sleep(4 * time.Millisecond)
				}
			}
			told <- time.Since(began)
			f.raise(alarm{ID: fmt.Sprintf("last-%d", n), Priority: "critical", Asset: "feeder-1", Summary: "The last one"})
		}()
		b.frames(path+" in the flood", 300, "")
		took, began := <-told, time.Now()
		b.Await(120*time.Second, fmt.Sprintf("%s === %d", critical, before+1))
		t.Logf("%s: %d alarms were told in %s, the last one shown %s later", path, meters, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
}
