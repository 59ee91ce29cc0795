package web

import (
	"fmt"
	"testing"
)

// Lists that come in pages are shown whole, but for alarms of any state, whose older
// ones come when they are asked for.
func TestListsAreLoadedPageByPage(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.mu.Lock()
	f.page = 2
	f.alarms = nil
	f.mu.Unlock()
	const all = 12
	for i := range all {
		id := fmt.Sprintf("alarm-%d", i)
		f.raise(alarm{ID: id, Priority: "low", Asset: "feeder-1", Summary: "Past", Raised: nowUs() - 900_000_000_000 + int64(i)*1_000_000})
		// The newest one stays open: each page that is loaded then adds rows, which the next click waits for.
		if i < all-1 {
			f.clear(id)
			f.acknowledge(id, "Ana", "")
		}
	}
	f.mu.Lock()
	series := len(f.series)
	f.mu.Unlock()
	b := open(t, f, "/")
	b.await(`document.querySelectorAll("[data-testid=alarm-row]").length === 1`)
	b.await(`document.querySelectorAll("[data-testid=gateway]").length === 2`)
	b.click("[data-testid=scope-all]")
	for n := 2; n < all; n += 2 {
		b.await(fmt.Sprintf(`document.querySelectorAll("[data-testid=alarm-row]").length === %d && document.querySelector("[data-testid=more-alarms]")?.innerText.includes("older")`, n))
		b.click("[data-testid=more-alarms]")
	}
	b.await(fmt.Sprintf(`document.querySelectorAll("[data-testid=alarm-row]").length === %d && !document.querySelector("[data-testid=more-alarms]")`, all))
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=total]").innerText === "%d alarms"`, all))
	b.visit(f, "/signals")
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=signal-total]").innerText === "%d signals"`, series))
}
