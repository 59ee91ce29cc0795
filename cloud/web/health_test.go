package web

import (
	"maps"
	"strings"
	"testing"
)

// health is how assets do, for the fake: of one that is measured, and of one of which little is
// known.
func health() map[string]map[string]any {
	now := nowUs()
	const day = 86_400_000_000
	unmeasured := map[string]any{"asset": "F7", "as_of_us": now,
		"supply":        map[string]any{"unknown": "uncertain", "state": "", "outages": []any{}},
		"communication": map[string]any{"unknown": "not-measured", "signals": 0, "valueless": 0, "gateways": 0, "heard": 0, "newest_us": nil, "oldest_us": nil},
		"completeness":  map[string]any{"unknown": "not-measured", "from_us": now - day, "to_us": now, "devices": 0, "devices_looked_at": 0, "accounted": 0, "quarter_hours": 0, "expected": 0, "present": 0},
		"quality":       map[string]any{"unknown": "not-measured", "from_us": now - 7*day, "signals": 0, "signals_of": 0, "samples": 0, "good": 0},
		"alarms":        map[string]any{"unknown": "not-measured", "active": 0, "raised_30d": 0, "raised_365d": 0, "from_30d_us": now - 30*day, "from_365d_us": now - 365*day},
		"interruptions": map[string]any{"unknown": "", "from_us": now - 365*day, "sustained": 1, "momentary": 0, "planned": 0, "minutes": nil},
		"operations":    map[string]any{"unknown": "", "changes_30d": 1, "changes_365d": 4, "since_us": now - 200*day, "counter": nil, "counter_us": nil},
		"voltage": map[string]any{"unknown": "not-measured", "from_us": now - 7*day, "interval_us": 0, "nominal_v": 0, "signals": 0, "intervals": 0, "intervals_of": 0,
			"without": 0, "outside": 0, "least_pu": nil, "most_pu": nil},
		"loading": map[string]any{"unknown": "not-applicable", "from_us": now - 7*day, "interval_us": 0, "rated": 0, "unit": "", "peak": 0, "peak_us": 0, "signal": "", "intervals": 0, "intervals_of": 0},
	}
	measured := maps.Clone(unmeasured)
	maps.Copy(measured, map[string]any{"asset": "T-mill",
		"supply":        map[string]any{"unknown": "", "state": "part", "outages": []any{}},
		"communication": map[string]any{"unknown": "", "signals": 3, "valueless": 1, "gateways": 2, "heard": 1, "newest_us": now - 20_000_000, "oldest_us": now - 7_300_000_000},
		"completeness":  map[string]any{"unknown": "no-account", "from_us": now - day, "to_us": now, "devices": 1, "devices_looked_at": 1, "accounted": 0, "quarter_hours": 96, "expected": 0, "present": 0},
		"quality":       map[string]any{"unknown": "", "from_us": now - 7*day, "signals": 3, "signals_of": 40, "samples": 1_814_400, "good": 1_814_399},
		"alarms":        map[string]any{"unknown": "", "active": 1, "raised_30d": 4, "raised_365d": 31, "from_30d_us": now - 30*day, "from_365d_us": now - 365*day},
		"operations":    map[string]any{"unknown": "not-applicable", "changes_30d": 0, "changes_365d": 0, "since_us": nil, "counter": nil, "counter_us": nil},
		"voltage": map[string]any{"unknown": "", "from_us": now - 7*day, "interval_us": 600_000_000, "nominal_v": 400, "signals": 3, "intervals": 3000, "intervals_of": 3024,
			"without": 2, "outside": 210, "least_pu": 0.853, "most_pu": 1.04},
		"loading": map[string]any{"unknown": "", "from_us": now - 7*day, "interval_us": 600_000_000, "rated": 400_000, "unit": "V.A", "peak": 436_000, "peak_us": now - 2*day, "signal": "TotVA", "intervals": 1008, "intervals_of": 1008},
	})
	return map[string]map[string]any{"T-mill": measured, "F7": unmeasured}
}

// An asset's page says how it does line by line, with why something isn't known, and without what
// such an asset hasn't got.
func TestHowAnAssetDoes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	f.network(50)
	f.operated()
	b := open(t, f, "/network/T-mill")
	b.await(`document.querySelectorAll("[data-testid=health] [data-line]").length === 8`)
	line := func(name, want string, abnormal bool) {
		t.Helper()
		css := "[data-testid=health] [data-line=" + name + "]"
		if got := b.text(css); !strings.Contains(strings.ReplaceAll(got, "\u00a0", " "), want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if get[bool](b, `!!document.querySelector("`+css+` .abnormal")`) != abnormal {
			t.Errorf("%s is abnormal or not: want %t", name, abnormal)
		}
	}
	line("supply", "Supplied at one of its sides only", true)
	line("communication", "1 of 2 gateways heard, 3 signals, 1 without a value, newest value ", true)
	line("communication", "oldest value 2h 1m", true)
	line("completeness", "Not known: gateways haven't accounted for this time", false)
	line("quality", "99.9 % of 1,814,400 samples good", false) // not all of them
	line("quality", "of 3 of 40 signals", false)
	line("alarms", "1 active; raised 4 in 30 days, 31 in 365 days", true)
	line("interruptions", "1 sustained, 0 momentary", false)
	line("voltage", "210 means (7 %) outside of 10 % around 400 V; from 85.3 % to 104 %; 2 without voltage; of 24 of 3,024 intervals nothing is known", true)
	line("loading", "Peak 109 %: 436 kVA of 400 kVA, TotVA", true)
	b.visit(f, "/network/F7")
	b.await(`document.querySelectorAll("[data-testid=health] [data-line]").length === 8 && !document.querySelector("[data-line=loading]")`)
	line("supply", "Not known: a position, a source, an outage or what measures it isn't certain", false)
	line("communication", "Not known: nothing measures it", false)
	line("alarms", "Not known: nothing measures it", false)
	line("operations", "1 in 30 days, 4 in 365 days", false)
	if got := get[int](b, `document.querySelectorAll("[data-testid=health] [data-unknown]:not([data-unknown=''])").length`); got != 6 {
		t.Errorf("%d lines aren't known", got)
	}
	// It can't be asked.
	f.mu.Lock()
	delete(f.desk.health, "F7")
	f.mu.Unlock()
	b.visit(f, "/network/F7")
	b.await(`document.querySelector("[aria-labelledby=a-health]")?.innerText.includes("there is no such thing")`)
	b.Forgive("404")
}
