package gridfile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The documentation has every key and every code of a finding, and its example
// is sound.
func TestDocumentation(t *testing.T) {
	src, err := os.ReadFile("../../docs/grid.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(src)
	for i := range sections {
		s := &sections[i]
		_, row, _ := strings.Cut(doc, "\n| `"+s.name+"` |")
		row, _, _ = strings.Cut(row, "\n")
		for _, f := range s.fields {
			common := strings.Contains(doc, "\n| `"+f.name+"`") || strings.Contains(doc, ", `"+f.name+"` | when")
			if !common && !strings.Contains(row, "`"+f.name+"`") {
				t.Errorf("docs/grid.md has no %s of %s", f.name, s.name)
			}
		}
	}
	for _, code := range codes(t) {
		if !strings.Contains(doc, "\n| `"+code+"` |") {
			t.Errorf("docs/grid.md has no %s", code)
		}
	}
	_, example, _ := strings.Cut(doc, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	m, findings := ReadYAML("grid.yaml", []byte(example))
	findings = append(findings, m.Check(1_700_000_000_000_000)...)
	if len(findings) > 0 || len(m.ServicePoints) != 4 {
		t.Errorf("the example: %v", findings)
	}
	_, table, _ := strings.Cut(doc, "```csv\n")
	table, _, _ = strings.Cut(table, "```")
	var c csvReader
	c.read("lines.csv", []byte(table), sectionOf("line"))
	if len(c.findings) > 0 || len(c.model.Lines) != 2 {
		t.Errorf("the table: %v", c.findings)
	}
}

// codes is the constants of a finding's code.
func codes(t *testing.T) []string {
	file, err := parser.ParseFile(token.NewFileSet(), "../finding.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, decl := range file.Decls {
		constants, ok := decl.(*ast.GenDecl)
		if !ok || constants.Tok != token.CONST {
			continue
		}
		ast.Inspect(constants, func(n ast.Node) bool {
			if v, ok := n.(*ast.BasicLit); ok && v.Kind == token.STRING {
				code, _ := strconv.Unquote(v.Value)
				out = append(out, code)
			}
			return true
		})
	}
	if len(out) < 20 {
		t.Fatalf("only %q", out)
	}
	return out
}
