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

func BenchmarkWriteTable100k(b *testing.B) {
	m := gridtest.Radial(100_000, 1)
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := gridfile.WriteTable(&out, m); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(out.Len()))
	}
}

func BenchmarkReadTable100k(b *testing.B) {
	m := gridtest.Radial(100_000, 1)
	var src bytes.Buffer
	if err := gridfile.WriteTable(&src, m); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(src.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, findings := gridfile.ReadTable("grid.csv", src.Bytes()); len(findings) > 0 {
			b.Fatal(findings[0])
		}
	}
}
