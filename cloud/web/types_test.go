package web

import (
	"testing"

	"github.com/busbar/busbar/test/typescript"
)

// The sources are right in their types, those of the API among them, and all of their
// texts exist.
func TestTypes(t *testing.T) { typescript.Compile(t, "--project", ".") }
