package buffer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// samplesOf is what Samples visits of a buffer.
func samplesOf(t *testing.T, path string, s Selection) (all []Measured, n []Contents) {
	t.Helper()
	i, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range i.Segments() {
		contents, err := i.Samples(path, s, func(m []Measured) { all = append(all, m...) })
		if err != nil {
			t.Fatal(err)
		}
		n = append(n, contents)
	}
	return all, n
}

func TestSamplesAreThoseThatAreExported(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	measured(t, b, 40)
	b.Close()
	for _, s := range []Selection{{}, {Device: "feeder-2-head"}, {From: 1_790_000_003_000_000, To: 1_790_000_009_000_000}} {
		s.Stream = record.Telemetry
		want, total := export(t, dir, s, CSV)
		var out bytes.Buffer
		lines := NewLines(&out, CSV)
		all, n := samplesOf(t, dir, s)
		for _, m := range all {
			if err := lines.sample(m.Signal, m.Sample); err != nil {
				t.Fatal(err)
			}
		}
		if err := lines.Flush(); err != nil || out.String() != want || strings.Count(want, "\n") < 2 {
			t.Errorf("%+v: %v, %d bytes, expected %d", s, err, out.Len(), len(want))
		}
		visited := uint64(0)
		for _, c := range n {
			visited += c.Lines
			if c.Thinned || c.Unreadable+c.Salvaged > 0 {
				t.Errorf("%+v", c)
			}
		}
		if visited != total.Lines {
			t.Errorf("%d samples, expected %d", visited, total.Lines)
		}
	}
}

func TestSamplesOfAThinnedFileAreCalledSo(t *testing.T) {
	k := full(t)
	if err := k.b.thin(t.Context(), k.b.Telemetry.segments[0]); err != nil {
		t.Fatal(err)
	}
	_, n := samplesOf(t, k.b.Telemetry.segments[0].path, Selection{})
	if len(n) != 1 || !n[0].Thinned || n[0].Lines == 0 {
		t.Errorf("%+v", n)
	}
}

// Names are those of the buffer's table.
func TestSamplesAreNamed(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	measured(t, b, 3)
	b.Close()
	all, _ := samplesOf(t, dir, Selection{})
	if len(all) == 0 || all[0].Signal.Device != "feeder-1-head" || all[0].Signal.Name != "PhV.phsA" || all[0].Sample.Time != telemetry.Micros(1_790_000_000_000_000) {
		t.Errorf("%+v", all[:min(len(all), 1)])
	}
}
