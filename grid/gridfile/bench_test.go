package gridfile_test

import (
	"bytes"
	"testing"

	"github.com/busbar/busbar/grid/gridfile"
	"github.com/busbar/busbar/grid/gridtest"
)

func BenchmarkReadYAML100k(b *testing.B) {
	m := gridtest.Radial(100_000, 1)
	var src bytes.Buffer
	if err := gridfile.WriteYAML(&src, m); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(src.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, findings := gridfile.ReadYAML("grid.yaml", src.Bytes()); len(findings) > 0 {
			b.Fatal(findings[0])
		}
	}
}
