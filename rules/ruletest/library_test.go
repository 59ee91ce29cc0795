package ruletest

import (
	"path/filepath"
	"testing"

	"github.com/busbar/busbar/configfile"
	"github.com/busbar/busbar/rules"
)

// Every rule of the standard library is raised and cleared by a test, from published
// numbers or its own limits.
func TestLibrary(t *testing.T) {
	shown := map[string]bool{}
	tests, err := filepath.Glob("../library/tests/*.yaml")
	if err != nil || len(tests) == 0 {
		t.Fatal("no tests", err)
	}
	for _, path := range tests {
		s, err := Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, r := range s.Run() {
			if len(r.Failures) > 0 {
				t.Errorf("%s: %s\n%s", path, r.Name, r.Failures)
			}
		}
		for _, test := range s.tests {
			for _, a := range test.Alarms {
				shown[a.Rule] = true
			}
		}
	}
	files, err := filepath.Glob("../library/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no library", err)
	}
	for _, path := range files {
		source, err := configfile.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Parameters map[string]struct {
				Default configfile.Quantity `yaml:"default"`
				Source  string              `yaml:"source"`
			} `yaml:"parameters"`
			Rules []rules.Rule `yaml:"rules"`
		}
		if _, err := configfile.Decode(path, source, &file); err != nil {
			t.Fatal(err)
		}
		for _, r := range file.Rules {
			if !shown[r.Name] {
				t.Errorf("%s: no test raises %s", path, r.Name)
			}
		}
	}
}
