package gridfile_test

import (
	"strings"
	"testing"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/gridfile"
)

// What is endless ends, with a finding that says so.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		src, want string
		read      func(string, []byte) (grid.Model, []grid.Finding)
	}{
		"bytes of YAML":    {strings.Repeat("#", 128<<20+1), "bytes, expected at most", gridfile.ReadYAML},
		"mistakes in YAML": {"lines:\n" + strings.Repeat("- x\n", 20_000), "more than 10000 findings", gridfile.ReadYAML},
		"wrong keys":       {strings.Repeat("a\n", 15_000), "more than 10000 findings", gridfile.ReadYAML},
		"mistakes in CSV":  {"kind,id\n" + strings.Repeat("x,y\n", 20_000), "more than 10000 findings", gridfile.ReadTable},
		"assets in CSV":    {"kind,id\n" + strings.Repeat("zone,y\n", 2_100_000), "more than 2000000 assets", gridfile.ReadTable},
	} {
		_, findings := c.read("f", []byte(c.src))
		if len(findings) == 0 || len(findings) > 10_300 {
			t.Errorf("%s: %d findings", name, len(findings))
		} else if last := findings[len(findings)-1]; !strings.Contains(last.Message, c.want) {
			t.Errorf("%s: the last of %d findings is %s", name, len(findings), last)
		}
	}
	// A key isn't read again for every entry, however long its line.
	if _, findings := gridfile.ReadYAML("f", []byte("lines: #"+strings.Repeat("x", 4<<20)+"\n"+strings.Repeat("- {id: L, from: a, to: b}\n", 1000))); len(findings) != 1 {
		t.Errorf("%d findings about a long line", len(findings))
	}
	// One asset doesn't take the parser's whole stack.
	if _, findings := gridfile.ReadYAML("f", []byte("lines:\n  - "+strings.Repeat("[", 1<<20))); len(findings) != 1 {
		t.Errorf("%d findings about brackets", len(findings))
	}
}
