package web

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestOutageIsNotOlderThanNow(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	raised := nowUs() - 12_000_000
	f.series = []series{{ID: 1, Gateway: "g", Device: "meter", Name: "PhV.phsA", Unit: "V", Asset: "feeder-2", Kind: "gauge"}}
	f.store(1, voltages(raised-10_000_000, 22, func(i int) bool { return i >= 10 })...)
	f.raise(alarm{ID: "x", Priority: "high", Asset: "feeder-2", Summary: "Dead", Raised: raised,
		Inputs: []input{{Series: 1, Name: "PhV.phsA", Device: "meter", Unit: "V", Quality: "bad (timeout)", Time: raised}}})
	b := open(t, f, "/alarms/x")
	b.await(`document.querySelector("[data-testid=plot]")?.dataset.points > 10`)
	words := b.text("figcaption")
	_, rest, found := strings.Cut(words, "No good value for ")
	text, _, _ := strings.Cut(rest, "s (hatched)")
	seconds, err := strconv.Atoi(text)
	if !found || err != nil || seconds < 12 || time.Duration(seconds)*time.Second > time.Since(time.UnixMicro(raised)) {
		t.Errorf("%.0f s into the outage the plot says %q", time.Since(time.UnixMicro(raised)).Seconds(), words)
	}
	if got := b.text(".facts"); strings.Contains(got, "Device") {
		t.Errorf("a row for a device that isn't: %q", got)
	}
}

func TestSixteenLinesDiffer(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	a := alarm{ID: "x", Priority: "high", Asset: "feeder-2", Summary: "Dead"}
	for i := int64(1); i <= 16; i++ { // 0 is no series
		name := fmt.Sprintf("PhV.%d", i)
		f.series = append(f.series, series{ID: i, Gateway: "g", Device: "meter", Name: name, Unit: "V", Kind: "gauge"})
		f.store(i, sample{Time: nowUs(), Value: new(230.0), Quality: "good"})
		a.Inputs = append(a.Inputs, input{Series: i, Name: name, Device: "meter", Unit: "V", Value: new(230.0), Quality: "good", Time: nowUs()})
	}
	f.raise(a)
	b := open(t, f, "/alarms/x")
	b.await(`document.querySelectorAll(".legend .swatch").length === 16`)
	looks := get[[]string](b, `[...document.querySelectorAll(".legend .swatch")].map(s =>
		getComputedStyle(s).stroke + " " + s.querySelector("line").getAttribute("stroke-dasharray"))`)
	seen := map[string]int{}
	for i, look := range looks {
		if before, twice := seen[look]; twice {
			t.Errorf("lines %d and %d both look like %s", before+1, i+1, look)
		}
		seen[look] = i
	}
}

// The stream tells of the newest of many samples; the plot has them all.
func TestPlotHasEverySample(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.series = []series{{ID: 1, Gateway: "g", Device: "meter", Name: "Hz", Unit: "Hz", Asset: "feeder-3", Kind: "gauge"}}
	f.store(1, sample{Time: nowUs() - 60_000_000, Value: new(50.0), Quality: "good"})
	b := open(t, f, "/signals?series=1")
	b.await(`document.querySelector("[data-testid=plot]")?.dataset.points === "1"`)
	before, began := f.asks(1), time.Now()
	points := 1
	for range 12 {
		var burst []sample
		for range 5 {
			burst = append(burst, sample{Time: nowUs() + int64(len(burst)), Value: new(50.01), Quality: "good"})
		}
		f.store(1, burst...)
		points += len(burst)
		get[bool](b, `new Promise(done => setTimeout(() => done(true), 150))`)
	}
	b.await(fmt.Sprintf(`document.querySelector("[data-testid=plot]").dataset.points === "%d"`, points))
	if asks, most := f.asks(1)-before, 2+int(time.Since(began).Seconds()); asks > most {
		t.Errorf("asked %d times for samples, want at most %d", asks, most)
	}
}

func TestCompleteness(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.substation()
	b := open(t, f, "/")
	b.await(`document.querySelectorAll("[data-testid=gateway]").length === 2`)
	south := `[data-gateway=south-gw1] [data-testid=gateway-%s].abnormal`
	for what, want := range map[string]string{"missing": "12 missing", "parked": "5 waiting for their signal table"} {
		if got := b.text(fmt.Sprintf(south, what)); got != want {
			t.Errorf("south says %q, want %q", got, want)
		}
	}
	if got := b.text("footer"); strings.Contains(got, "0 missing") || strings.Contains(got, "0 waiting") || strings.Contains(got, "not known") {
		t.Errorf("the footer says %q", got)
	}
}
