package session_test

import (
	"os"
	"strings"
	"testing"
)

// What docs/adapters.md shows is what is compiled and run.
func TestDocsShowTheExample(t *testing.T) {
	docs, err := os.ReadFile("../../docs/adapters.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(code), "\n)\n\n")
	if !strings.Contains(string(docs), "```go\n"+want+"```\n") {
		t.Error("docs/adapters.md doesn't show what is in example_test.go behind its imports")
	}
}
