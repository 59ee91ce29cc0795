package web

import (
	"fmt"
	"testing"
)

// Lists that come in pages are shown whole, but for alarms of any state, whose older
// ones come when they are asked for.
func TestListsAreLoadedPageByPage(t *testing.T) {
	f := newFake(t)
	f.substation()
	f.mu.Lock()
	f.page = 2
	current := f.alarms
	f.alarms = nil // it lists backwards
	f.mu.Unlock()
	for i := range 7 {
		id := fmt.Sprintf("old-%d", i)
		f.raise(alarm{ID: id, Priority: "low", Asset: "feeder-1", Summary: "Past", Raised: nowUs() - 900_000_000_000 + int64(i)*1_000_000})
		f.clear(id)
		f.acknowledge(id, "Ana", "")
	}
	f.mu.Lock()
	f.alarms = append(f.alarms, current...)
	all, series, waiting := len(f.alarms), len(f.series), 0
	for _, a := range f.alarms {
		if a.Active || !a.Acknowledged {
			waiting++
		}
	}
	f.mu.Unlock()
	b := open(t, f, "/")
	b.await(fmt.Sprintf(`document.querySelectorAll("[data-testid=alarm-row]").length === %d`, waiting))
	b.await(`document.querySelectorAll("[data-testid=gateway]").length === 2`)
	b.click("[data-testid=scope-all]")
	for n := 2; n < all; n += 2 {
		b.await(fmt.Sprintf(`document.querySelectorAll("[data-testid=alarm-row]").length >= %d && document.querySelector("[data-testid=more-alarms]")?.innerText.includes("older")`, n))
		b.click("[data-testid=more-alarms]")
	}
	b.await(fmt.Sprintf(`document.querySelectorAll("[data-testid=alarm-row]").length === %d && !document.querySelector("[data-testid=more-alarms]")`, all))
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=total]").innerText === "%d alarms"`, all))
	b.visit(f, "/signals")
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=signal-total]").innerText === "%d signals"`, series))
}
