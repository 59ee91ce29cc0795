package gridfile

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/busbar/busbar/grid"
	"github.com/busbar/busbar/grid/internal/table"
)

// Open reads the model at path: a directory of CSV tables, a table of all
// assets whose name ends with .csv, or YAML. The error is that it can't be read
// at all; what is wrong in it is in the findings.
func Open(path string) (grid.Model, []grid.Finding, error) {
	info, err := os.Stat(path)
	if err != nil {
		return grid.Model{}, nil, err
	}
	if info.IsDir() {
		return ReadCSV(path, os.DirFS(path))
	}
	src, err := table.ReadFile(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		return grid.Model{}, nil, err
	}
	read := ReadYAML
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		read = ReadTable
	}
	m, findings := read(path, src)
	return m, findings, nil
}
