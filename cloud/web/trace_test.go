package web

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/evanw/esbuild/pkg/api"
)

// module evaluates a module of the console's sources that needs no page, and makes its
// exports the global of a name.
func (b *tab) module(path, global string) {
	b.T.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		b.T.Fatal(err)
	}
	built := api.Build(api.BuildOptions{Bundle: true, MinifySyntax: true, Format: api.FormatIIFE, Target: api.ES2022, GlobalName: global, EntryPoints: []string{filepath.Join(root, "src", path)},
		Alias: map[string]string{"@busbar/client": filepath.Join(root, "..", "client", "typescript", "client.ts")}, Write: false})
	if len(built.Errors) > 0 {
		b.T.Fatal(built.Errors)
	}
	b.Do(chromedp.Evaluate[chromedp.Void](string(built.OutputFiles[0].Contents) + "globalThis." + global + " = " + global + ";"))
}

// Which part of a feeder is supplied follows from what feeds it, from positions, and from
// what is measured to be dead; what isn't known is unknown, never live.
func TestTrace(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	b.module("oneline/trace.ts", "traced")
	// A source, its busbar behind T, and two sections behind switches A and B; ties leave the end,
	// and one leads from the end to the busbar.
	b.Do(chromedp.Evaluate[chromedp.Void](`globalThis.supply = (positions, source, other, dead = []) => {
		const drawing = {nodes: Array(4).fill({}), branches: [{id: "T", from: 0, to: 1}, {id: "A", from: 1, to: 2}, {id: "B", from: 2, to: 3}],
			ties: [{id: "tie", at: 3, within: -1}, {id: "ring", at: 3, within: 1}]};
		const letters = {c: "closed", o: "open", "?": "unknown"};
		const of = id => letters[positions["TABtr".indexOf({tie: "t", ring: "r"}[id] ?? id)]];
		const feeding = source && {feeder: "f", source, dead, ties: other ? [{id: "tie", supply: other}] : []};
		return traced.trace(drawing, of, feeding).join(" ");
	}`))
	for _, of := range []struct{ positions, source, other, dead, want string }{
		{"cccoo", "live", "live", "", "live live live live"},
		{"coc?o", "live", "dead", "", "live live dead dead"},
		{"coc?o", "live", "live", "", "live live unknown unknown"},
		{"coc?o", "live", "unknown", "", "live live unknown unknown"},
		{"cocco", "live", "live", "", "live live back back"},
		{"cocco", "live", "unknown", "", "live live unknown unknown"},
		{"cocco", "live", "dead", "", "live live dead dead"},
		{"cocco", "live", "", "", "live live unknown unknown"}, // nobody says
		// The source.
		{"cccoo", "dead", "live", "", "dead dead dead dead"},
		{"cccco", "dead", "live", "", "back back back back"},
		{"cccco", "dead", "dead", "", "dead dead dead dead"},
		{"cccoo", "unknown", "live", "", "unknown unknown unknown unknown"},
		{"cccco", "unknown", "live", "", "back back back back"},
		{"coooo", "unknown", "live", "", "unknown unknown dead dead"},
		{"cccoo", "", "", "", "unknown unknown unknown unknown"},
		// A device that may have opened, and one that isn't known on the way back.
		{"c?coo", "live", "live", "", "live live unknown unknown"},
		{"?ccoo", "live", "live", "", "live unknown unknown unknown"},
		{"co?co", "live", "live", "", "live live unknown back"},
		{"cocoo", "live", "live", "", "live live dead dead"},
		{"cococ", "live", "live", "", "live live live live"}, // by the ring
		{"co?oc", "live", "live", "", "live live unknown live"},
		// A busbar at which no voltage is measured.
		{"cccoo", "live", "live", "1", "live dead dead dead"},
		{"cccco", "live", "live", "1", "live dead back back"},
		{"?ccoo", "live", "live", "1", "live dead dead dead"},
	} {
		quoted := func(s string) string { return `"` + s + `"` }
		if got := get[string](b, "supply("+strings.Join([]string{quoted(of.positions), quoted(of.source), quoted(of.other), "[" + of.dead + "]"}, ", ")+")"); got != of.want {
			t.Errorf("%+v: %s", of, got)
		}
	}
}

// What an outage says of its device gives way to a position that is told later, but not to what
// nobody is back by; and of several outages the surer one says.
func TestOpening(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	b.module("oneline/opening.ts", "opened")
	for of, want := range map[string]string{
		`{class: "sustained", points: 2, points_out: 2, found_us: 5}, "confirmed", undefined`: "open",
		`{class: "sustained", points: 2, points_out: 1, found_us: 5}, "confirmed", undefined`: "open",
		`{class: "sustained", points: 2, points_out: 1, found_us: 5}, "confirmed", 5`:         "open",
		`{class: "sustained", points: 2, points_out: 1, found_us: 5}, "confirmed", 6`:         "undefined",
		`{class: "sustained", points: 2, points_out: 2, found_us: 5}, "worked", 6`:            "unknown",
		`{class: "open", points: 2, points_out: 1, found_us: 5}, "unsure", 6`:                 "unknown",
		`{class: "phase-loss", points: 2, points_out: 0, found_us: 5}, "confirmed"`:           "undefined",
		`{class: "sustained", points: 2, points_out: 1, found_us: 5}, "back"`:                 "undefined",
	} {
		if got := get[string](b, "String(opened.opening("+of+"))"); got != want {
			t.Errorf("%s: %s, want %s", of, got, want)
		}
	}
	if got := get[string](b, `opened.openings([{device: "a", says: "open"}, {device: "a", says: "unknown"}, {device: "b", says: "unknown"}, {device: "b", says: "open"}, {device: "c"}]).values().toArray().join(" ")`); got != "open open" {
		t.Errorf("of several outages of one device: %s", got)
	}
}

// One request at a time, again while nothing changes, and once for many changes; one that fails is
// asked again.
func TestAsking(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	b.module("data/asking.ts", "asked")
	b.Do(chromedp.Evaluate[chromedp.Void](`globalThis.n = 0; globalThis.most = 0; globalThis.now = 0; globalThis.answer = undefined;
		globalThis.loop = asked.asking(() => new Promise((resolve, reject) => {
			n++; now++; most = Math.max(most, now);
			answer = (ok) => { now--; ok ? resolve() : reject(new Error("no")); };
		}), 50);
		for (let i = 0; i < 20; i++) { loop.soon(); }`))
	b.await(`n === 1`)
	b.Do(chromedp.Evaluate[chromedp.Void](`for (let i = 0; i < 20; i++) { loop.soon(); } answer(true);`))
	b.await(`n === 2`)
	b.Do(chromedp.Evaluate[chromedp.Void](`answer(true)`))
	b.await(`n === 3`) // nothing has changed
	b.Do(chromedp.Evaluate[chromedp.Void](`answer(false); loop.soon()`))
	b.await(`n === 4`)
	if most := get[int](b, `most`); most != 1 {
		t.Errorf("%d requests at once", most)
	}
}
